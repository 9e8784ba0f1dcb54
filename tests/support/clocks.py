"""A clock that tests move forward."""

from __future__ import annotations

import time

import pytest

from experiments.system import clock

# So that jobs and endpoints of a double of AWS, which run in real time, get on.
_REAL_SECONDS = 0.01


class FakeClock:
    """The harness's clock, whose sleeping moves it forward at once.

    Attributes:
        time: The time in seconds.
        slept: What was slept, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace the harness's clock for this test."""
        self.time = 0.0
        self.slept: list[float] = []
        monkeypatch.setattr(clock, "now", lambda: self.time)
        monkeypatch.setattr(clock, "sleep", self.sleep)
        monkeypatch.setattr(clock, "wait", lambda _, seconds: self.sleep(seconds))

    def sleep(self, seconds: float) -> None:
        """Move the clock forward."""
        self.time += seconds
        self.slept.append(seconds)
        time.sleep(min(seconds, _REAL_SECONDS))
