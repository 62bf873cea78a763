"""``cssbench submit``: from a method to the bundle that a pull request is made of."""

from benchmark.submit.prepare import Heard, Submission, Submitted, submit

__all__ = ["Heard", "Submission", "Submitted", "submit"]
