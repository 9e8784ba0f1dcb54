"""A study in numbers: trials, time, dollars, scores with their intervals, and the best score so far."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ensemble.classes import task_of
from ensemble.evaluation import MetricName, folded_scores
from ensemble.recipe import BLENDED
from experiments.comparison.recorded_study import RecordedStudy
from experiments.study.fold_intervals import Interval, score_difference, score_interval
from experiments.study.more_trials import Outlook
from experiments.study.predictions import Predictions
from experiments.study.spec import TrialResult
from experiments.study.verdict import (
    BestSingleMember,
    best_single_member,
    decisive_score,
    lift_over_baseline,
    lift_over_best_member,
    score_rows,
)

SPLITS = ("cv", "validation", "test")
# What a score can be; with few folds, an interval may go beyond.
_POSSIBLE = {"rmse": (0.0, math.inf), "logloss": (0.0, math.inf), "auc": (0.0, 1.0)}


@dataclass(frozen=True)
class Point:
    """The best score so far at the end of a trial.

    Attributes:
        trial: Index of the trial.
        minutes: Minutes since the study started, without pauses.
        usd: Dollars spent so far; None if no price is known.
        value: The trial's own objective; None if it has no score.
        best: The best objective so far; None before the first score.
    """

    trial: int
    minutes: float
    usd: float | None
    value: float | None
    best: float | None


@dataclass(frozen=True)
class Measures:
    """One study in numbers.

    Attributes:
        study: The study.
        label: Its name in figures: the mode, and the study's name if several studies have the same mode.
        metric: The metric by which searches are compared.
        best: The winner with its test scores, or the best trial if the winner was not trained; None without a score.
        seconds: Wall time of the commands that ran it, and of jobs that ran meanwhile.
        billed: Billed seconds; None if nothing was billed.
        usd: Dollars spent, as far as known; None if nothing was billed or no price is known.
        unpriced: Number of billed trials without a known price.
        best_member: The best score of a single member.
        decisive: The score of the verdicts, the same for all studies: that of ``metric``, or the main one if folds lack
            it.
        lift: The blend's decisive score minus the best single member's.
        lift_over_baseline: The blend's decisive score minus plain CatBoost's.
        outlook: What more trials may bring; None for given points, a grid, or too few trials.
        by_trial: The best score so far, in the order of trials.
        by_time: The best score so far, in the order in which trials ended.
    """

    study: RecordedStudy
    label: str
    metric: str
    decisive: str
    best: TrialResult | None
    seconds: float
    billed: float | None
    usd: float | None
    unpriced: int
    best_member: BestSingleMember | None
    lift: Interval | None
    lift_over_baseline: Interval | None
    outlook: Outlook | None
    by_trial: tuple[Point, ...]
    by_time: tuple[Point, ...]

    @property
    def shown_scores(self) -> tuple[str, ...]:
        """The scores to show: the main one first, the decisive one at the end unless it is among them."""
        usual = ("logloss", "auc", "accuracy") if self.study.classes else ("rmse",)
        return tuple(dict.fromkeys((*usual, self.decisive)))

    @property
    def folded_scores(self) -> tuple[str, ...]:
        """Those of them that trials have for each fold."""
        return folded_scores(task_of(self.study.classes), f"cv_{self.decisive}_{BLENDED}")

    @property
    def names(self) -> tuple[str, ...]:
        """Members, and the blend where it is another model than a single member."""
        members = self.study.members
        return (*members, BLENDED) if self.best is None else tuple(score_rows(self.best.metrics, members))

    @property
    def trials_per_minute(self) -> float | None:
        """Finished trials per minute; None if no time has passed."""
        return 60 * len(self.study.results) / self.seconds if self.seconds > 0 else None

    def baseline(self, name: str) -> float | None:
        """Return the decisive score of a baseline in cross-validation, ``catboost`` or ``mean``; None if not known."""
        known = self.study.baseline
        return None if known is None else known.metrics.get(f"cv_{self.decisive}_{name}")

    def count(self, state: str) -> int:
        """Return how many trials have this state."""
        return sum(result.state == state for result in self.study.results)

    def score(self, split: str, score: str, name: str) -> float | None:
        """Return a score of the winner, of a member or the blend; None if it has none."""
        return None if self.best is None else self.best.metrics.get(f"{split}_{score}_{name}")

    def main(self, split: str, name: str) -> float | None:
        """Return the winner's main score of a member or the blend; None if it has none."""
        return self.score(split, self.study.main_score, name)

    def interval(self, name: str, score: str | None = None) -> Interval | None:
        """Return a score of the winner in cross-validation, by default the main one, with its 95% interval."""
        found = None if self.best is None else score_interval(self.best, name, score)
        if found is None:
            return None
        lowest, highest = _POSSIBLE.get(score or self.study.main_score, (-math.inf, math.inf))
        return Interval(found.value, max(found.low, lowest), min(found.high, highest))


def blend_title(measures: Sequence[Measures]) -> str:
    """Return what a row of blends is called: a single member has none, and is compared with those of others."""
    return BLENDED if all(BLENDED in one.names for one in measures) else f"{BLENDED}, or the single member"


def measure(studies: Sequence[RecordedStudy]) -> list[Measures]:
    """Return each study in numbers."""
    metric = common_metric(studies)
    modes = [study.mode for study in studies]
    return [
        _measure(
            study,
            study.mode if modes.count(study.mode) == 1 else f"{study.mode} ({study.name})",
            metric,
            _decisive(study, studies, metric),
        )
        for study in studies
    ]


def common_metric(studies: Sequence[RecordedStudy]) -> str:
    """Return the objective that all studies share, or else the blend's main score in cross-validation."""
    objectives = {study.objective for study in studies}
    return objectives.pop() if len(objectives) == 1 else f"cv_{studies[0].main_score}_{BLENDED}"


def _decisive(study: RecordedStudy, studies: Sequence[RecordedStudy], metric: str) -> str:
    """Return the score of the verdicts of a study, which is that of all studies of its task."""
    alike = [one for one in studies if bool(one.classes) is bool(study.classes)]
    finals = [one.final for one in alike if one.final is not None]
    return decisive_score(metric, [*finals, *(result for one in alike for result in one.results)])


def lift_between_winners(one: Measures, other: Measures) -> Interval | None:
    """Return the first winner's decisive score minus the other's, of their blends; None if their folds differ."""
    if one.best is None or other.best is None or not same_folds(one.study, other.study):
        return None
    return score_difference(one.best, BLENDED, other.best, BLENDED, one.decisive)


def same_folds(one: RecordedStudy, other: RecordedStudy) -> bool:
    """Whether two studies scored their trials on the same folds of the same rows."""
    keys = ("data", "fixed.seed", "fixed.folds_kind", "fixed.folds_k", "fixed.folds_repeats")
    return all(one.identity.get(key) == other.identity.get(key) for key in keys)


class _Clock:
    """Converts moments to seconds of running time, which excludes pauses."""

    def __init__(self, spans: Iterable[tuple[float, float]]) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._before: list[float] = []
        passed = 0.0
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                passed += max(0.0, end - self._ends[-1])
                self._ends[-1] = max(end, self._ends[-1])
                continue
            self._before.append(passed)
            self._starts.append(start)
            self._ends.append(end)
            passed += end - start
        self.total = passed

    def seconds(self, moment: float) -> float:
        """Return for how long something had run by this moment, in seconds since the epoch."""
        place = bisect.bisect_right(self._starts, moment) - 1
        return self._before[place] + min(moment, self._ends[place]) - self._starts[place] if place >= 0 else 0.0


def _measure(study: RecordedStudy, label: str, metric: str, decisive: str) -> Measures:
    best = study.final or study.best
    best_member = best_single_member(study.results, study.members, decisive) if best is not None else None
    clouds = [result.info["cloud"] for result in study.results if "cloud" in result.info]
    seconds = [cloud["billable_seconds"] for cloud in clouds if cloud.get("billable_seconds") is not None]
    prices = [cloud["cost_usd"] for cloud in clouds if cloud.get("cost_usd") is not None]
    clock = _Clock([*(_span(result) for result in study.results), *study.commands])
    return Measures(
        study=study,
        label=label,
        metric=metric,
        decisive=decisive,
        best=best,
        seconds=clock.total,
        billed=sum(seconds) if seconds else None,
        usd=sum(prices) if prices else None,
        unpriced=max(0, len(seconds) - len(prices)),
        best_member=best_member,
        lift=None if best is None or best_member is None else lift_over_best_member(best, best_member, study.members),
        lift_over_baseline=None if best is None else lift_over_baseline(best, study.baseline, decisive),
        outlook=study.outlook(),
        by_trial=_history(study.results, metric, clock),
        by_time=_history(sorted(study.results, key=lambda result: result.finished), metric, clock),
    )


def _history(ordered: Sequence[TrialResult], metric: str, clock: _Clock) -> tuple[Point, ...]:
    pick = max if MetricName.parse(metric).maximised else min
    points: list[Point] = []
    best: float | None = None
    usd: float | None = None
    for result in ordered:
        value = result.metrics.get(metric) if result.state == "complete" else None
        if value is not None:
            best = value if best is None else pick(best, value)
        cost = result.info.get("cloud", {}).get("cost_usd")
        if cost is not None:
            usd = (usd or 0.0) + cost
        points.append(Point(result.index, clock.seconds(result.finished) / 60, usd, value, best))
    return tuple(points)


def _span(result: TrialResult) -> tuple[float, float]:
    """Return when a trial was created, or else started, and when it ended."""
    return min(result.started, result.info.get("cloud", {}).get("created", result.started)), result.finished


def winners_on_test_rows(
    measures: Sequence[Measures], *, of_classes: bool
) -> tuple[dict[int, Predictions], tuple[str, ...]]:
    """Return the winners' predictions on the test rows, by the place of their study, and sentences on missing ones.

    Args:
        measures: Of each study, in order.
        of_classes: Whether studies of classes count, or those of quantities.
    """
    found: dict[int, Predictions] = {}
    missing = []
    for place, one in enumerate(measures):
        if one.study.final is None or not one.study.has_test_rows or bool(one.study.classes) != of_classes:
            continue
        kept = one.study.on_test_rows()
        if kept is None or not len(kept.target):
            missing.append(
                f"{one.label}: the winner's predictions on the test rows are missing or incomplete: "
                f"{one.study.test_file}"
            )
        else:
            found[place] = kept
    return found, tuple(missing)
