"""The clock by which the harness waits for AWS; tests replace it, so that no test waits."""

from __future__ import annotations

import time


def now() -> float:
    """Return the time in seconds, from an arbitrary start."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Return after that many seconds."""
    time.sleep(seconds)
