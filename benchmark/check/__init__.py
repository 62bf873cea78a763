"""``cssbench check``: whether a method keeps the rules, on a toy protocol and in under a minute."""

from benchmark.check.findings import Verdict
from benchmark.check.rules import RULES, Report, check

__all__ = ["RULES", "Report", "Verdict", "check"]
