"""The clock by which the harness waits for AWS; tests replace it, so that no test waits."""

from __future__ import annotations

import threading
import time


def now() -> float:
    """Return the time in seconds, from an arbitrary start."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Return after that many seconds."""
    time.sleep(seconds)


def wait(event: threading.Event, seconds: float) -> None:
    """Return after that many seconds, or when the event is set."""
    event.wait(seconds)
