"""Random streams: one for each purpose, so that no consumer can shift what another one draws."""

from __future__ import annotations

import hashlib


def stream_seed(seed: int, purpose: str, *parts: int | str) -> int:
    """Return a 63-bit seed that depends on the run's seed, a purpose and further parts only."""
    text = "/".join([str(seed), purpose, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
