"""What a check finds: at each rule whether it was kept, broken and how, or not tried and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["pass", "FAIL", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """One rule's outcome; ``reason`` is what broke it, or why it was not tried, else what it says."""

    rule: str
    status: Status
    reason: str


@dataclass
class Findings:
    """Reasons by rule, in the order found; the first speaks for its rule. ``declined``: toys not run on."""

    broken: dict[str, list[str]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    declined: list[str] = field(default_factory=list)

    def fail(self, rule: str, reason: str) -> None:
        """Take down that a rule was broken."""
        reasons = self.broken.setdefault(rule, [])
        if (line := " ".join(reason.split())) not in reasons:
            reasons.append(line)

    def skip(self, rule: str, reason: str) -> None:
        """Take down that a rule could not be tried somewhere."""
        self.skipped.setdefault(rule, []).append(reason)

    def keep(self, rule: str) -> None:
        """Take down that a rule was tried to the end somewhere; it passes unless it was broken."""
        self.kept.add(rule)

    def verdict(self, rule: str, says: str) -> Verdict:
        """Return the outcome of one rule."""
        if reasons := self.broken.get(rule):
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            return Verdict(rule, "FAIL", reasons[0] + more)
        if rule in self.kept:
            return Verdict(rule, "pass", says)
        return Verdict(rule, "skipped", self.skipped.get(rule, ["never came up"])[0])
