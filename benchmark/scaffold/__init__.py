"""``cssbench new-method``: an adapter, its test and its page of evidence, all of which stand as written."""

from benchmark.scaffold.write import Written, new_method

__all__ = ["Written", "new_method"]
