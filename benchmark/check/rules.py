"""The rules, and the order of trying them: a plain run on each toy, then runs that must end the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from benchmark.check.documentation import check_documentation
from benchmark.check.findings import Findings, Verdict
from benchmark.check.runner import ToyRunner
from benchmark.check.runs import Result, run_toy
from benchmark.check.toy import TOYS, Toy
from benchmark.check.trace import Variation
from benchmark.check.watch import DeclinedError
from benchmark.data.loader import RawBatch, ordered_batches, train_batches
from benchmark.finding import Variant, find_method
from benchmark.method import Batch
from benchmark.run import describe


class Rule(NamedTuple):
    """A rule's name, and what it says of a method that keeps it."""

    name: str
    says: str


RULES = (
    Rule("documentation", "the module and each hyper-parameter have a docstring"),
    Rule("contract", "three steps run in every setting, and the harness refuses nothing"),
    Rule("hidden data", "hidden labels, other steps' images and names, exchanged, change no bit"),
    Rule("no images kept", "no image is in state, model or adapter after a step"),
    Rule("determinism", "the same seed gives the same bits"),
    Rule("random numbers", "whatever is drawn, the same data are shown"),
    Rule("restore", "a step saved, restored and finished in a new model gives the same bits"),
    Rule("evaluation", "scoring, twice or in mid-step, changes no bit"),
    Rule("hooks only look", "no hook changes weights, statistics, gradients or modes"),
    Rule("previous model", "the previous model stays as it was"),
    Rule("declared parameters", "what is in no group stays as it was, frozen statistics included"),
    Rule("one pass", "an iteration runs each encoder once"),
    Rule("shipped model", "deploy leaves the training model; logits are finite and of the right shape"),
    Rule("degenerate batches", "losses are finite on background, ignored pixels, one class, one image"),
)
WATCHED = (
    "contract",
    "no images kept",
    "random numbers",
    "hooks only look",
    "previous model",
    "declared parameters",
    "one pass",
    "shipped model",
)
VARIATIONS = {
    "determinism": Variation(),
    "hidden data": Variation(decoys=True),
    "evaluation": Variation(scored=True),
    "restore": Variation(restored=True),
}
ALL_AT_ONCE = Variation(decoys=True, scored=True, restored=True)
NOT_CHECKED = (
    "Not checked: what a method reads from files, the network or the clock as long as two runs agree; "
    "images kept in a changed form."
)


@dataclass(frozen=True)
class Report:
    """The outcome of every rule for one variant; ``declined`` says where it does not run, and why."""

    variant: str
    verdicts: tuple[Verdict, ...]
    declined: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True where no rule is broken."""
        return all(verdict.status != "FAIL" for verdict in self.verdicts)

    def lines(self) -> list[str]:
        """Return one line for each rule, and the sum of them."""
        lines = [f"{v.status:<8} {v.rule:<20} {v.reason}" for v in self.verdicts]
        broken = sum(v.status == "FAIL" for v in self.verdicts)
        total = f"{broken} of {len(lines)} rules broken" if broken else "no rule broken"
        declined = [f"Not run on {reason}" for reason in self.declined]
        return [*lines, f"{self.variant}: {total}", *declined, NOT_CHECKED]


def check(spec: str, toys: Sequence[Toy] = TOYS) -> Report:
    """Check the method ``spec`` (name or path, hyper-parameters after a colon) on the toy protocol.

    Raises MethodError for a method or hyper-parameter that does not exist.
    """
    variant: Variant = find_method(spec)
    findings = Findings()
    check_documentation(variant.method, findings)
    for toy in toys:
        try_on(spec, toy, findings)
    if "contract" not in {*findings.kept, *findings.broken}:  # every network was declined
        findings.fail("contract", findings.skipped["contract"][0])
    verdicts = tuple(findings.verdict(*rule) for rule in RULES)
    return Report(variant.text, verdicts, tuple(findings.declined))


def try_on(spec: str, toy: Toy, findings: Findings) -> None:
    """Run the method plainly; where that goes well, try what must make no difference."""
    plain = run_toy(spec, toy, Variation(), findings)
    if plain.error is not None:
        _stopped(plain.error, toy, findings)
        return
    for rule in WATCHED:
        findings.keep(rule)
    _check_shown(plain, findings)
    if toy.thorough:
        _check_variations(spec, toy, plain, findings)


def _stopped(error: Exception, toy: Toy, findings: Findings) -> None:
    """A method may decline a network; anything else breaks the contract."""
    declined = isinstance(error, DeclinedError)
    if declined:
        findings.declined.append(f"{toy.name}: adapt declined it, {error}")
    else:
        findings.fail("contract", f"{toy.name}: {describe(error)}")
    for rule in RULES[1:]:
        findings.skip(rule.name, findings.declined[-1] if declined else f"{toy.name}: the run stopped")


def _check_variations(spec: str, toy: Toy, plain: Result, findings: Findings) -> None:
    """Vary everything at once; only where that makes a difference, find out what did."""
    together = _difference(plain, run_toy(spec, toy, ALL_AT_ONCE))
    alone = _each_alone(spec, toy, plain) if together else dict.fromkeys(VARIATIONS)
    for rule in VARIATIONS:
        if rule not in alone:
            findings.skip(rule, f"{toy.name}: two plain runs differ already, see determinism")
            continue
        findings.keep(rule)
        if difference := alone[rule]:
            findings.fail(rule, f"{toy.name}: {difference}")
    if together and not any(alone.values()):
        findings.fail("determinism", f"{toy.name}: {together}, but not in each run that should show why")


def _each_alone(spec: str, toy: Toy, plain: Result) -> dict[str, str | None]:
    """Return what each variation changes; after determinism none is tried that needs it."""
    found: dict[str, str | None] = {}
    for rule, variation in VARIATIONS.items():
        found[rule] = _difference(plain, run_toy(spec, toy, variation))
        if found["determinism"]:
            break
    return found


def _difference(plain: Result, varied: Result) -> str | None:
    if varied.error is not None:
        return f"the run stopped: {describe(varied.error)}"
    for step, (one, other) in enumerate(zip(plain.traces, varied.traces, strict=True)):
        if found := one.difference(other):
            return f"step {step}: {found} differs"
    return None


def _check_shown(plain: Result, findings: Findings) -> None:
    """Compare what was shown, while every hook drew random numbers, with what the loader gives without."""
    for step, trace in enumerate(plain.traces):
        expected = _expected(plain.runner, step)
        for place, batch in trace.shown:
            if not all(map(torch.equal, batch, expected[place])):
                findings.fail("random numbers", f"step {step}: batch '{place}' is another one")


def _expected(runner: ToyRunner, step: int) -> dict[str, Batch]:
    runner.data.now = step
    view, preset = runner.view(step), runner.protocol.model
    table = torch.from_numpy(runner.plan.steps[step].visible).long()
    given = {"preset": preset, "augmentation": runner.protocol.augmentation, "seed": 0, "step": step}
    source, images = runner.plan.train, runner.plan.steps[step].images

    def batch(raw: RawBatch) -> Batch:
        return Batch(runner.runtime.normalise(raw.image), table[raw.label.long()])

    trained = train_batches(source, images, iterations=view.iterations, **given)  # type: ignore[arg-type]
    ordered = ordered_batches(source, images, **given)  # type: ignore[arg-type]
    found = {f"trained {number}": batch(raw) for number, raw in enumerate(trained)}
    return found | {f"ordered {number}": batch(raw) for number, raw in enumerate(ordered)}
