"""What the tests of the way in share."""

from __future__ import annotations

import pytest
from forging import Past

from benchmark.validate import context


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a known history in place of the checkout's own, which a shallow clone does not have."""
    monkeypatch.setattr(context, "History", Past)
