"""For which models on all rows a training with a time limit has time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ensemble.members import Member

# What a fit takes that has nothing to do, and by how much at most fits take longer or shorter than expected.
LEAST_SECONDS, MOST_SLOWER = 0.02, 4.0
# What is fitted so far is saved before a fit that takes at least this many seconds, and this many times as long as
# saving a bundle: the training may be killed during such a fit.
LONG_SECONDS, LONG_SAVINGS = 1.5, 10.0


@dataclass
class FinalBudget:
    """The time in which members are fitted on all rows, and what is done of it.

    Attributes:
        seconds: The time, from now.
        expected: The seconds that one fit of each member takes, as expected.
        weights: Their weights in the blend.
        saving: The seconds that it takes to save a bundle.
        keep: Called before a long fit, in which the process may be killed, with the models so far.
        clock: Returns the time in seconds, from an arbitrary start.
        began: When the time began.
        taken: Expected and actual seconds of the fits so far.
    """

    seconds: float
    expected: Mapping[str, float]
    weights: Mapping[str, float]
    saving: float = 0.0
    keep: Callable[[Mapping[str, list[Member]]], None] | None = None
    clock: Callable[[], float] = time.perf_counter
    began: float = field(init=False)
    taken: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the time."""
        self.began = self._start = self.clock()

    def order(self, names: Iterable[str]) -> list[str]:
        """Return members in the order in which they are fitted: those first that are worth most for their time."""
        return sorted(names, key=lambda name: -abs(self.weights[name]) / (self.expected[name] + LEAST_SECONDS))

    def begin(self, name: str) -> bool:
        """Return whether there is time for a fit of a member; if so, it begins."""
        self._start = self.clock()
        return (self.expected[name] + LEAST_SECONDS) * self._slower() <= self.seconds - (self._start - self.began)

    def is_long(self, name: str) -> bool:
        """Return whether what is fitted so far is worth keeping before the fit of a member."""
        least = max(LONG_SECONDS, LONG_SAVINGS * self.saving)
        return bool(self.taken) and self.expected[name] * self._slower() > least

    def end(self, name: str) -> None:
        """Note that the fit that began last is done."""
        self.taken.append((self.expected[name] + LEAST_SECONDS, self.clock() - self._start))

    def _slower(self) -> float:
        """Return how many times as long as expected a fit takes."""
        expected, actual = (sum(times) for times in zip(*self.taken, strict=True)) if self.taken else (1.0, 1.0)
        return min(max(actual / expected, 1 / MOST_SLOWER), MOST_SLOWER)
