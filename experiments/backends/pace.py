"""How much of their cores the workers get, beside other programs on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

# How many times slower than on an idle machine anything is taken to be, at most.
MOST_SLOWNESS = 4.0
# Less processor time tells too little.
_LEAST_SECONDS = 1.0

# By process, the seconds that it ran on a core, and those that it waited for one.
Scheduled = Mapping[int, tuple[float, float]]


class Pace:
    """Measures how long something takes beside other programs, as a multiple of its time on an idle machine.

    A worker that is ready to run either runs or waits for a core; Linux counts both. What it waited for this process is
    left out, since the winner's training and its record do not run at the same time.

    Attributes:
        slowness: The multiple lately, 1 on an idle machine.
    """

    def __init__(
        self,
        scheduled: Callable[[], Scheduled] = dict,
        slowness: float = 1.0,
        own: Callable[[], float] = time.process_time,
    ) -> None:
        """Begin to measure.

        Args:
            scheduled: Returns what was counted for each worker since it began; empty where the system does not count.
            slowness: The multiple until enough is known.
            own: Returns the processor time of this process, in seconds.
        """
        self.slowness = slowness
        self._scheduled, self._own = scheduled, own
        self._before, self._own_before = dict(scheduled()), own()

    def measure(self) -> None:
        """Find the slowness since it was found last, if that is long enough."""
        now, own = dict(self._scheduled()), self._own()
        since = [
            (ran - before[0], waited - before[1])
            for pid, (ran, waited) in now.items()
            for before in [self._before.get(pid, (0.0, 0.0))]
        ]
        ran, waited = sum(one for one, _ in since), sum(one for _, one in since)
        if ran < _LEAST_SECONDS:
            return
        others = max(waited - (own - self._own_before), 0.0)
        self.slowness = min(1.0 + others / ran, MOST_SLOWNESS)
        self._before, self._own_before = now, own
