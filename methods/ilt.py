"""ILT: incremental learning techniques, knowledge distillation at four places of the network.

Idea: keep the new model close to the previous one: in its output, in the encoder's features, in the
parallel branches of the decoder, or in how similar the images of a batch are to each other. The encoder
is trained, frozen, or its first two stages are.

    loss = cross entropy + sum of the terms of ``scheme``, each times its weight

    output       L'_D    minus mean over old classes of p' log p, softmax over the old classes
    encoder      L''_D   mean squared difference of the encoder's features
    decoder              mean squared difference of each parallel branch's output, mean over branches
    similarity           squared difference of the batch's row-normalised Gram matrices over B^2 (SPKD)

``scheme`` joins the terms by ``+`` in this order. The papers' schemes are ``output``, ``encoder``,
``decoder`` and ``similarity``, with ``encoder=freeze`` where that makes sense; ``output+encoder`` is what
later papers call ILT.

Papers: Michieli, Zanuttigh, "Incremental Learning Techniques for Semantic Segmentation", ICCV Workshops
2019, arXiv 1907.13372; the same, "Knowledge Distillation for Incremental Learning in Semantic
Segmentation", CVIU 205, 2021, arXiv 1911.03462; similarity: Tung, Mori, ICCV 2019, arXiv 1907.09682.

Verified: every term against values computed by hand and by a brute-force second implementation; zero
gradient where student and previous model agree. Departures: the papers start from MS-COCO weights,
here the preset decides; their code masks the output term to old classes and background
(``output_mask=old_and_background``), later papers' code does not, which is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from benchmark.losses import (
    cross_entropy,
    cross_entropy_and_distillation,
    feature_distillation,
    similarity_distillation,
)
from benchmark.method import Batch, Method, Need, Output, ParamGroup, State, StepView, trainable
from benchmark.model import SegModel

Weight = Annotated[float, Field(ge=0)]
Mask = Literal["all", "old", "old_and_background"]
TERMS = ("output", "encoder", "decoder", "similarity")


@dataclass(frozen=True)
class ILT(Method):
    """Cross entropy and knowledge distillation at the places ``scheme`` names."""

    scheme: str = "output+encoder"
    """Which terms are on: one or more of output, encoder, decoder, similarity, in this order, joined by
    ``+``. ``output+encoder``: what later papers (MiB, SDR, PLOP, CLoRA) compare with as ILT."""

    output_weight: Weight = 100.0
    """Weight of the output term. 100: MiB's, PLOP's and SDR's code."""

    encoder_weight: Weight = 100.0
    """Weight of the encoder term. 100: MiB's, PLOP's and SDR's code."""

    decoder_weight: Weight = 100.0
    """Weight of the decoder term. 100: as the encoder's; no published code has this term."""

    similarity_weight: Weight = 100.0
    """Weight of the similarity term. 100: as the others'; no published code has this term."""

    output_mask: Mask = "all"
    """Pixels of the output term, by their visible label. ``all``: later papers' code; the authors' own code
    takes old classes and background."""

    encoder_mask: Mask = "all"
    """Pixels of the encoder term, by their visible label. ``all``: the authors' code."""

    encoder: Literal["train", "freeze", "freeze_first_two_stages"] = "train"
    """What of the encoder is trained after step 0; its stem counts to the first stage."""

    def __post_init__(self) -> None:
        """Refuse schemes that do not exist and terms that could never have a gradient."""
        if not self.scheme or self.scheme != "+".join(term for term in TERMS if term in self.terms):
            raise ValueError(
                f"scheme is {'+'.join(TERMS)} or a part of it in this order, got {self.scheme!r}"
            )
        idle = [term for term in ("encoder", "similarity") if term in self.terms]
        if self.encoder == "freeze" and idle:
            raise ValueError(
                f"encoder=freeze leaves the {idle[0]} term nothing to do, as frozen features cannot differ; "
                "take it out of scheme"
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """The names in ``scheme``."""
        return tuple(self.scheme.split("+"))

    @property
    def needs(self) -> frozenset[Need]:
        """The previous model, and the decoder's branches where the scheme names them."""
        return frozenset({"previous", "branches"}) if "decoder" in self.terms else frozenset({"previous"})

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Freeze what ``encoder`` says, after step 0."""
        if step.index and self.encoder == "freeze":
            model.encoder.requires_grad_(False)
        if step.index and self.encoder == "freeze_first_two_stages":
            stem, first, second, *_ = model.encoder.stage_parameters()
            for parameter in (*stem, *first, *second):
                parameter.requires_grad_(False)
        return trainable(model)

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> dict[str, Tensor]:
        """Return the cross entropy and the scheme's weighted terms."""
        logits, target = output.logits, batch.target
        if previous_output is None or "output" not in self.terms:
            terms = {"cross_entropy": cross_entropy(logits, target, step.ignore_index)}
        else:
            mask = _mask(self.output_mask, target, step)
            pair = cross_entropy_and_distillation(
                logits, target, previous_output.logits, mask, step.ignore_index
            )
            terms = {
                "cross_entropy": pair.cross_entropy,
                "output_distillation": self.output_weight * pair.distillation,
            }
        if previous_output is not None:
            for name in self.terms:
                if name != "output":
                    weight: float = getattr(self, f"{name}_weight")
                    term = getattr(self, f"_{name}")(output, previous_output, target, step)
                    terms[f"{name}_distillation"] = weight * term
        return terms

    def _encoder(self, output: Output, previous: Output, target: Tensor, step: StepView) -> Tensor:
        mask = _mask(self.encoder_mask, target, step)
        return feature_distillation(output.features, previous.features, mask)

    def _decoder(self, output: Output, previous: Output, target: Tensor, step: StepView) -> Tensor:
        pairs = zip(output.branches, previous.branches, strict=True)
        return torch.stack([feature_distillation(new, old) for new, old in pairs]).mean()

    def _similarity(self, output: Output, previous: Output, target: Tensor, step: StepView) -> Tensor:
        return similarity_distillation(output.features, previous.features)


def _mask(kind: Mask, labels: Tensor, step: StepView) -> Tensor | None:
    """Return the pixels (B, H, W) whose visible label is of that kind; None for all."""
    if kind == "all":
        return None
    lowest = 0 if kind == "old_and_background" else 1
    return (labels >= lowest) & (labels < step.old_outputs)
