"""``cssbench validate``: whether records are what a run would have left, rule by rule."""

from benchmark.validate.findings import Finding
from benchmark.validate.rules import RULES, Asked, Report, validate

__all__ = ["RULES", "Asked", "Finding", "Report", "validate"]
