"""What a method is: the hooks the training loop calls, and what they are handed.

A method is a frozen dataclass whose fields are its hyper-parameters. Only :meth:`Method.loss` is
required. The harness owns the loop, the optimiser, the schedule, the order of the data, measurement
and scoring; a method sees only what the protocol lets it see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict
from torch import Tensor, nn

if TYPE_CHECKING:
    from benchmark.model import SegModel

Need = Literal["previous", "stages", "branches"]
Setting = Literal["sequential", "disjoint", "overlapped"]
State = dict[str, Tensor]
"""All that a method carries from step to step. Keys start with the method's name and a dot."""


class Batch(NamedTuple):
    """What a method sees of the data.

    ``image`` (B, 3, H, W) float, normalised. ``target`` (B, H, W) int64: indices of the model's
    outputs, 0 for background and for all that is not labelled at this step, 255 for ignored pixels.
    """

    image: Tensor
    target: Tensor


class Output(NamedTuple):
    """One forward pass.

    ``logits`` (B, seen + 1, H, W) at the size of the image; ``features`` (B, D, h, w), the encoder's
    output; ``stages``, one (B, D_i, h_i, w_i) for each encoder stage; ``branches``, one
    (B, D_j, h, w) for each parallel branch of the decoder. The last two are empty unless the
    method's ``needs`` names them.
    """

    logits: Tensor
    features: Tensor
    stages: tuple[Tensor, ...] = ()
    branches: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class StepView:
    """What a method may know of the step it is in.

    Classes are indices of the model's outputs, so ``old_classes`` of a 15-5 protocol's second step is
    ``(1, ..., 15)``; index 0, the background, is in none of them. ``weights`` says where the preset's
    encoder started from.
    """

    index: int
    old_classes: tuple[int, ...]
    new_classes: tuple[int, ...]
    iterations: int
    setting: Setting
    ignore_index: int = 255
    weights: Literal["random", "pretrained"] = "random"

    @property
    def seen_classes(self) -> tuple[int, ...]:
        """Old and new classes, in learning order."""
        return self.old_classes + self.new_classes

    @property
    def old_outputs(self) -> int:
        """Number of the previous model's outputs, background included; 0 at step 0."""
        return len(self.old_classes) + 1 if self.index else 0


@dataclass(frozen=True)
class ParamGroup:
    """Parameters trained together; ``weight_decay`` None means the preset's."""

    params: tuple[nn.Parameter, ...]
    lr_factor: float = 1.0
    weight_decay: float | None = None


def trainable(module: nn.Module) -> list[ParamGroup]:
    """Return all parameters of ``module`` that require a gradient as one group (none: no group)."""
    params = tuple(p for p in module.parameters() if p.requires_grad)
    return [ParamGroup(params)] if params else []


class Method:
    """Base of all adapters. Hooks are called in the order in which they stand here."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: ClassVar[str]
    """Set by the harness: the file's name."""

    def resolved(self, step: StepView) -> Mapping[str, str]:
        """Return hyper-parameters left to the method (``auto``), as they were decided; recorded."""
        return {}

    @property
    def needs(self) -> frozenset[Need]:
        """What the harness must compute for :meth:`loss` beside the student's logits and features.

        ``previous``: the frozen previous model's output. ``stages`` and ``branches``: those fields of
        :class:`Output`, for the student and, where ``previous`` is named, the teacher.
        """
        return frozenset()

    @property
    def own_base(self) -> bool:
        """True for a method that changes how step 0 is trained or reads its gradients.

        Step 0 is otherwise plain cross entropy by the harness, trained once and shared by all methods
        whose :meth:`adapt` leaves the same structure; :meth:`loss` is not called in it.
        """
        return False

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Change structure before a step and return exactly the parameters to be trained.

        Called after the classifier has grown by the step's classes. No data. Deterministic given torch's
        global random stream. Called again, step by step, before a checkpoint is loaded.
        """
        return trainable(model)

    def prepare(
        self,
        model: SegModel,
        previous: SegModel | None,
        batches: Iterable[Batch],
        step: StepView,
        state: State,
    ) -> None:
        """Compute what needs the step's data before its first iteration (PLOP's thresholds).

        ``batches`` can be iterated more than once and costs nothing if it is not. Both models are in
        eval mode and no gradient is recorded.
        """

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> Mapping[str, Tensor]:
        """Return named scalar terms; the harness sums them, logs each and calls backward.

        ``model`` is there for penalties on parameters: a second forward pass is refused.
        """
        raise TypeError(f"{type(self).__name__} defines no loss")

    def after_backward(self, model: SegModel, step: StepView, state: State) -> None:
        """Read gradients, after backward and before the optimiser moves the parameters."""

    def consolidate(self, model: SegModel, batches: Iterable[Batch], step: StepView, state: State) -> None:
        """Compute what the next step will need from this one's data (prototypes), after training.

        As in :meth:`prepare`, the model is in eval mode and no gradient is recorded.
        """

    def deploy(self, model: SegModel) -> SegModel:
        """Return what is shipped after a step: the model itself, or a changed copy of it.

        It is scored and counted, and its frozen copy is the next step's previous model. ``model``
        itself must stay as it is.
        """
        return model


def other(name: str, **params: object) -> Method:
    """Return the method called ``name``, for one that works on top of it.

    Name it in a hyper-parameter called ``on``: the digest of a method's source covers the sources of
    the methods it names there. Raises MethodError for an unknown name or hyper-parameter.
    """
    from benchmark.finding import find_method

    return find_method(name, params).method
