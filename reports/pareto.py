"""The Pareto front: what no other point beats in accuracy without costing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Offer(NamedTuple):
    """What one pays and what one gets; None is unknown."""

    cost: float | None
    accuracy: float | None


def front(offers: Sequence[Offer]) -> list[bool]:
    """Return which offers no other dominates: costs no more, is no less accurate, and differs in one.

    An offer with an unknown is never on the front. One sort, so that it also serves long boards.
    """
    known = [
        (o.cost, -o.accuracy, i)
        for i, o in enumerate(offers)
        if o.cost is not None and o.accuracy is not None
    ]
    result, best = [False] * len(offers), (float("inf"), float("inf"))
    for cost, loss, index in sorted(known):
        if loss < best[1] or (cost, loss) == best:
            result[index], best = True, (cost, loss)
    return result
