"""What is shipped after a step: scored on the test set, counted, and frozen as the next step's teacher."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmark.contract import Contract, fingerprint
from benchmark.data.evaluation import test_batches
from benchmark.data.scenario import Plan
from benchmark.evaluate import Scores, evaluate, predict
from benchmark.measure.flops import count_macs
from benchmark.measure.memory import PhaseMemory
from benchmark.measure.params import count_parameters
from benchmark.measure.timing import latency
from benchmark.method import Method, ParamGroup
from benchmark.model import SegModel
from benchmark.pictures import PictureBook, Shown
from benchmark.protocol import Protocol
from benchmark.record import Compute, Parameters
from benchmark.runtime import Runtime
from benchmark.sharing import gather_scores, own_share
from benchmark.windows import Windows


def ship(method: Method, model: SegModel, contract: Contract, outputs: int) -> SegModel:
    """Return what the method ships, in eval mode; raises MethodError if that changed the model itself."""
    before = fingerprint(model)
    shipped = method.deploy(model)
    contract.unchanged("deploy", "the training model", before, fingerprint(model))
    contract.deployed(shipped, outputs)
    contract.apart(shipped, model)
    return shipped


def freeze(model: SegModel, shipped: SegModel, device: torch.device) -> SegModel:
    """Return the next step's previous model: what was shipped, a copy of it where it is the model itself."""
    previous = copy.deepcopy(shipped) if shipped is model else shipped
    return previous.to(device).eval().requires_grad_(False)


def share_frozen(previous: SegModel, model: SegModel) -> None:
    """Let the teacher use the student's storage for parameters that are frozen and equal: half the memory."""
    theirs = dict(previous.named_parameters())
    for name, mine in model.named_parameters():
        old = theirs.get(name)
        if old is None or mine.requires_grad or old.shape != mine.shape:
            continue
        if torch.equal(old, mine):
            old.data = mine.data


@dataclass(frozen=True)
class Scorer:
    """Scores and counts shipped models under one protocol."""

    protocol: Protocol
    plan: Plan
    runtime: Runtime
    on_scored: Callable[[int], object]

    def score(self, shipped: SegModel, contract: Contract, memory: PhaseMemory) -> Scores:
        """Return the confusion matrices of the test set after the contract's step.

        On a CPU ``memory`` follows the tensors of the first batch.
        """
        preset, step, accelerator = self.protocol.model, contract.step.index, self.runtime.accelerator
        outputs = self.protocol.outputs(step)
        trackers = iter([memory.track(shipped)])

        def forward(image: Tensor) -> Tensor:
            with next(trackers, nullcontext()), accelerator.autocast():
                logits: Tensor = shipped(self.runtime.normalise(image)).logits
            contract.shipped(logits, outputs)
            return logits.float()

        own = evaluate(
            self._windowed(forward),
            test_batches(
                self.plan.test,
                preset=preset,
                evaluation=self.protocol.evaluation,
                batch=preset.batch_size,
                images=own_share(len(self.plan.test), accelerator.process_index, accelerator.num_processes),
            ),
            torch.from_numpy(self.plan.steps[step].evaluation).long().to(self.runtime.device),
            rows=len(self.protocol.row_names),
            columns=outputs,
            on_batch=self.on_scored,
        )
        return own if accelerator.num_processes == 1 else gather_scores(own)

    @torch.no_grad()
    def picture(self, shipped: SegModel, book: PictureBook) -> None:
        """Add to ``book`` what a shipped model predicts for its test images, one by one.

        Nothing is measured or drawn at random here. Labels are given as rows, 255 where nothing is scored.
        """

        def forward(image: Tensor) -> Tensor:
            with self.runtime.accelerator.autocast():
                logits: Tensor = shipped(self.runtime.normalise(image)).logits
            return logits.float()

        preset, test = self.protocol.model, self.plan.test
        batches = test_batches(
            test, preset=preset, evaluation=self.protocol.evaluation, batch=1, images=book.images
        )
        for batch in batches:
            (index,), label = batch.index, batch.label[0].numpy()
            logits = self._windowed(forward)(batch.image.to(self.runtime.device))
            prediction = predict(logits, (label.shape[0], label.shape[1]))[0]
            pixels = np.ascontiguousarray(batch.image[0].permute(1, 2, 0).numpy())
            book.add(index, Shown(test.ids[index], pixels, self.plan.steps[0].evaluation[label]))
            book.predict(index, prediction.to(torch.uint8).cpu().numpy())

    def _windowed(self, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Return ``forward``, or what shows it large images in windows where the protocol says so."""
        preset, stride = self.protocol.model, self.protocol.evaluation.window_stride
        if stride is None:
            return forward
        pixels = max(1, round(stride * preset.image_size))
        return Windows(forward, preset.image_size, pixels, at_once=preset.batch_size)

    def latency(self, shipped: SegModel) -> float:
        """Return the median seconds of one image at the training crop, in the precision it is scored in."""
        with self.runtime.accelerator.autocast():
            return latency(shipped, self.one_image())

    def one_image(self) -> Tensor:
        """Return an image of zeros (1, 3, S, S) at the training crop."""
        size = self.protocol.model.image_size
        return torch.zeros(1, 3, size, size, device=self.runtime.device)

    def parameters(self, model: SegModel, shipped: SegModel, groups: list[ParamGroup]) -> Parameters:
        """Count parameters while training, those of the groups, and those shipped."""
        count = count_parameters(model, [p for group in groups for p in group.params])
        return Parameters(count.total, count.trainable, count_parameters(shipped).total)

    def compute(self, model: SegModel, shipped: SegModel, trained: Compute) -> Compute:
        """Add the MACs of a forward pass, shipped and in training, to what an iteration took."""
        inference = count_macs(shipped, self.one_image())
        forward = inference if shipped is model else count_macs(model, self.one_image())
        return replace(
            trained, inference_macs=inference.macs, forward_macs=forward.macs, uncounted=inference.uncounted
        )
