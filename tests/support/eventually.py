"""Waiting for what another thread brings about."""

import time
from collections.abc import Callable

SOON = 60
"""Seconds: long enough for a machine that does five other things."""


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail if it does not come to in `SOON` seconds."""
    until = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.02)
