"""How a study's time limit is divided: between trials, the winner's training, and its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from experiments.backends.pace import Pace
from experiments.study.served_fits import besides_fits, blends_seconds, scoring_seconds, served_fits_seconds
from experiments.study.spec import ENDING_SECONDS, SHORTEST_SECONDS, StudySpec, TrialResult, first_trial_seconds

# Time is also reserved for the winner: this multiple of what a trial took besides its fits, and the time of one fit of
# each member on all rows. Fits take less than in trials, where boosters grow until they get no better.
BESIDES = 1.1
# Where trainings are not told their time, it is this multiple of the longest trial's duration for the winner's
# training, and this one for its training on all rows.
FINAL_TRIALS = 1.5
ALL_ROWS_TRIALS = 1.5
# A trial is started if there is this share of the time that the shortest one took; or, where it may take members from
# other trials, if there is time for this share of the fits. Other parameters may take this many times as long.
STARTED, FEWEST_FITS, OTHER_PARAMETERS = 0.8, 0.05, 1.4


class TimePlan:
    """Divides the time limit of one study, whose time begins when this is made.

    Attributes:
        is_told: Whether trainings are told how much of the time they may take.
        keeps_models: Whether every trial writes its models, so that the winner need not be fitted on the folds again.
        pace: How busy this machine is.
    """

    def __init__(self, spec: StudySpec, *, is_told: bool, clock: Callable[[], float] = time.monotonic, pace: Pace):
        """Begin.

        Args:
            spec: The study.
            is_told: Whether trainings are told how much of the time limit they may take.
            clock: Returns the time in seconds, from an arbitrary start.
            pace: How busy this machine is.
        """
        self.is_told = is_told and spec.timeout is not None
        self.keeps_models = self.is_told and spec.search.vary == "all"
        self.pace = pace
        self.clock = clock
        self._limit = spec.timeout
        self._scores = 0.0
        self._begun = clock() - spec.spent

    def left(self) -> float | None:
        """Return how many seconds of the limit are left; None without one."""
        return None if self._limit is None else self._limit - (self.clock() - self._begun)

    def learn(self, spec: StudySpec, results: Iterable[TrialResult]) -> None:
        """Find how busy the machine is now, and how long the winner's scores and further blends take.

        Args:
            spec: The study, as it is trained.
            results: The finished trials.
        """
        self.pace.measure()
        if self.is_told and (scored := complete(results)):
            self._scores = scoring_seconds(spec, scored) + blends_seconds(spec, scored)

    def before_ending(self) -> float:
        """Return how long trainings may still take, all together. It needs a limit."""
        return (self.left() or 0.0) - self._scores - ENDING_SECONDS * self.pace.slowness

    def for_first_trial(self) -> float:
        """Return how long the folds of the first trial may take."""
        return first_trial_seconds(self.before_ending(), self.pace.slowness)

    def for_winner(self) -> float:
        """Return how long the winner's training may take."""
        return max(SHORTEST_SECONDS, self.before_ending())

    def for_trials(self, spec: StudySpec, results: Iterable[TrialResult], since: Iterable[float] = ()) -> float | None:
        """Return how long trials may still run, with time reserved for the winner; None without a limit.

        Args:
            spec: The study, as it is trained.
            results: The finished trials. No time is reserved for a winner until one of them has a score.
            since: When each running trial began. One that runs on may become the winner, and takes as long once more.
        """
        scored = complete(results)
        if self._limit is None or not scored:
            return None
        longest = max(result.finished - result.started for result in scored)
        left, reserved = self.before_ending(), self._reserved(spec, scored, longest)
        if self.keeps_models:  # the winner's folds are not fitted again
            return max(0.0, left - reserved)
        factor = reserved / max(longest, 1e-9)
        ends = [(left - factor * (self.clock() - began)) / (1 + factor) for began in since]
        return max(0.0, min([left - reserved, *ends]))

    def is_late(self, spec: StudySpec, results: Sequence[TrialResult]) -> bool:
        """Return whether a further trial would not end in time."""
        shortest = min(result.finished - result.started for result in results)
        left = self.for_trials(spec, results)
        return left is not None and left < STARTED * shortest

    def in_time(self, spec: StudySpec, results: Iterable[TrialResult], members: Sequence[str]) -> list[str]:
        """Return the members that another trial has time to fit, quick ones first; none if they are not worth it.

        Args:
            spec: The study, as it is trained.
            results: The finished trials.
            members: Its members.
        """
        scored = complete(results)
        left = self.for_fits(spec, scored)
        if left is None:
            return list(members)
        takes = {name: max(result.info.get("fit_seconds", {}).get(name, 0.0) for result in scored) for name in members}
        found, used = [], 0.0
        for name in sorted(takes, key=takes.__getitem__):
            used += OTHER_PARAMETERS * takes[name]
            if used <= left:
                found.append(name)
        return found if sum(takes[name] for name in found) >= FEWEST_FITS * sum(takes.values()) else []

    def for_fits(self, spec: StudySpec, results: Iterable[TrialResult]) -> float | None:
        """Return how long the fits of another trial may take; None without a limit. The arguments are as before."""
        scored = complete(results)
        left = self.for_trials(spec, scored)
        return None if left is None else max(left - max(map(besides_fits, scored)), 0.0)

    def _reserved(self, spec: StudySpec, scored: Sequence[TrialResult], longest: float) -> float:
        """Return the seconds that the winner's training takes if each trial took no longer than ``longest``."""
        times = 1 if spec.max_ms is None else 2  # the best trial is measured before members are left out
        if not self.is_told:
            return times * longest * (FINAL_TRIALS + (0.0 if spec.final_rows == "train" else ALL_ROWS_TRIALS))
        besides = max(map(besides_fits, scored))
        again = 0.0 if self.keeps_models else longest  # the winner's folds
        return times * (again + BESIDES * besides + served_fits_seconds(spec, scored))


def complete(results: Iterable[TrialResult]) -> list[TrialResult]:
    """Return the trials that have a score."""
    return [result for result in results if result.state == "complete"]
