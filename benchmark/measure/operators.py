"""Which operators that a counter took for zero may hide multiply-adds. Imports no torch, as reports ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

_CONTRACTION = re.compile(
    r"conv|matmul|mm\b|mm_|mv\b|dot\b|attention|lstm|gru|rnn|einsum|cdist|trilinear|(?<!bi)linear"
)


def suspects(uncounted: Mapping[str, int]) -> dict[str, int]:
    """Return those of ``uncounted`` that may hide multiply-adds: contractions and foreign kernels."""
    return {name: calls for name, calls in uncounted.items() if _hides(name)}


@cache
def _hides(operator: str) -> bool:
    return not operator.startswith("aten::") or _CONTRACTION.search(operator) is not None
