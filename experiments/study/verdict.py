"""Whether the ensemble pays: its blend against the best score that any single member reached, with the interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensemble.evaluation import SCORES, MetricName, overlap_factor
from ensemble.recipe import BLENDED
from experiments.study.baseline import CATBOOST, MEAN
from experiments.study.fold_intervals import Interval, fold_scores, score_difference, score_interval
from experiments.study.spec import TrialResult

# Divisions of the rows into folds, beyond which more take long and narrow an interval little.
MOST_REPEATS = 10
# From when on the test score is far from that in cross-validation: as a share of it, and in standard errors.
GAP_SHARE, GAP_ERRORS = 0.1, 2.0

Verdict = Literal["pays", "costs", "undecided"]


@dataclass(frozen=True)
class BestSingleMember:
    """The best score that any member reached without the blend, in any trial.

    Attributes:
        name: The member.
        trial: The trial in which it reached the score.
        score: Its score there, in cross-validation.
        metric: Which score that is.
    """

    name: str
    trial: TrialResult
    score: float
    metric: str


def decisive_score(objective: str, results: Iterable[TrialResult]) -> str:
    """Return the score of the verdict: that of the objective, or the main one if folds lack it.

    Trials of earlier versions have the main score on each fold, and for classes the AUC. A fold of one class has no
    AUC.

    Args:
        objective: The metric that the study optimised.
        results: Its trials, of which at least one is complete.
    """
    complete = [result for result in results if result.state == "complete"]
    score = MetricName.parse(objective).score
    known = all(len(fold_scores(result, BLENDED, score)) > 1 for result in complete)
    return score if known else complete[0].main_score


def best_single_member(results: Sequence[TrialResult], members: Sequence[str], score: str) -> BestSingleMember:
    """Return the member and trial with the best score in cross-validation of all complete trials; of equals the first.

    Args:
        results: The trials of a study.
        members: The names of its members.
        score: Which score decides.
    """
    sign = -1.0 if SCORES[score].maximised else 1.0
    candidates = [
        BestSingleMember(name, trial, found, score)
        for trial in results
        if trial.state == "complete"
        for name in members
        if (found := trial.metrics.get(f"cv_{score}_{name}")) is not None
    ]
    return min(candidates, key=lambda candidate: sign * candidate.score)


def score_rows(metrics: Mapping[str, float], members: Sequence[str]) -> list[str]:
    """Return what has scores of its own in an ensemble: its members, and the blend.

    A single member's blend is the member itself, unless it is calibrated or fitted otherwise.

    Args:
        metrics: The ensemble's scores by name.
        members: The names of its members.
    """
    names = list(members)
    blend = {key: value for key, value in metrics.items() if key.startswith("cv_") and key.endswith(f"_{BLENDED}")}
    own = (metrics.get(key.removesuffix(BLENDED) + names[0], math.nan) for key in blend)
    same = all(math.isclose(value, member) for value, member in zip(blend.values(), own, strict=True))
    return names if len(names) == 1 and same else [*names, BLENDED]


def lift_over_best_member(winner: TrialResult, best: BestSingleMember, members: Sequence[str]) -> Interval | None:
    """Return the blend's score minus the best single member's, over all rows; None if there is one member.

    The member comes from the trial in which it did best, as it would if it had been tuned without the others.
    """
    return None if len(members) < 2 else score_difference(winner, BLENDED, best.trial, best.name, best.metric)


def verdict(lift: Interval, score: str) -> Verdict:
    """Return what a lift over the best single member means: undecided if its interval includes zero.

    Args:
        lift: The blend's score minus the other.
        score: The score.
    """
    if lift.low <= 0 <= lift.high:
        return "undecided"
    return "pays" if (lift.low > 0) is SCORES[score].maximised else "costs"


@dataclass(frozen=True)
class Gap:
    """How far the winner's test score is from that in cross-validation.

    Attributes:
        share: Their difference as a share of the score in cross-validation; positive if the test score is higher.
        errors: The difference in standard errors.
    """

    share: float
    errors: float


def gap_on_test_rows(winner: TrialResult) -> Gap | None:
    """Return the gap between test and cross-validation if it is large; None if it is not, or is not known.

    It is large if it is more than ``GAP_SHARE`` of the score and ``GAP_ERRORS`` standard errors. The test score is
    taken to vary as that of one fold, and the score in cross-validation as its interval says.
    """
    from scipy.stats import t

    test, whole = (winner.main(split, BLENDED) for split in ("test", "cv"))
    interval, folds = score_interval(winner, BLENDED), fold_scores(winner, BLENDED)
    if test is None or not whole or interval is None:
        return None
    of_cv = (interval.high - interval.low) / 2 / float(t.ppf(0.975, len(folds) - 1))
    error = float(np.hypot(of_cv, np.std(list(folds.values()), ddof=1)))
    share, errors = (test - whole) / whole, abs(test - whole) / error if error else np.inf
    return Gap(share, errors) if abs(share) > GAP_SHARE and errors > GAP_ERRORS else None


def repeats_to_decide(lift: Interval, k: int, repeats: int) -> int | None:
    """Return how often the folds must be repeated to decide a lift, if it stays as it is; None if that is too often.

    Args:
        lift: A lift whose interval includes zero.
        k: Folds of one division of the rows.
        repeats: How many divisions it is of.
    """
    from scipy.stats import t

    def width(divisions: int) -> float:
        n = divisions * k
        return float(t.ppf(0.975, n - 1) * np.sqrt(overlap_factor(n, k)))

    half = (lift.high - lift.low) / 2 / width(repeats)
    enough = (more for more in range(max(repeats + 1, 3), MOST_REPEATS + 1) if half * width(more) < abs(lift.value))
    return next(enough, None)


def lift_over_baseline(winner: TrialResult, baseline: TrialResult | None, score: str) -> Interval | None:
    """Return the blend's score minus plain CatBoost's, over all rows; None if that does not have it."""
    return None if baseline is None else score_difference(winner, BLENDED, baseline, CATBOOST, score)


def study_metrics(
    final: TrialResult,
    results: Sequence[TrialResult],
    members: Sequence[str],
    objective: str,
    baseline: TrialResult | None = None,
) -> dict[str, float]:
    """Return the metrics of a study's own MLflow run.

    They are the main scores of the winner, and its decisive ones if these are others; the decisive scores of the best
    single member and of the baseline; and the lifts of the blend over the latter two, of which a negative one is below.
    """
    score = decisive_score(objective, [final, *results])
    numbers = {
        key: final.metrics[key]
        for shown in dict.fromkeys((final.main_score, score))
        for split in ("cv", "validation", "test")
        for name in (*final.info.get("weights", members), BLENDED)
        if (key := f"{split}_{shown}_{name}") in final.metrics
    }
    best = best_single_member(results, members, score)
    over_member = lift_over_best_member(final, best, members)
    if over_member is not None:
        numbers |= _named_ends("lift", over_member)
    naive = "class_frequencies" if final.classes else "target_mean"
    for name, key in ((CATBOOST, f"cv_{score}_catboost_default"), (MEAN, f"cv_{score}_{naive}")):
        if baseline is not None and (found := f"cv_{score}_{name}") in baseline.metrics:
            numbers[key] = baseline.metrics[found]
    over_baseline = lift_over_baseline(final, baseline, score)
    if over_baseline is not None:
        numbers |= _named_ends("lift_over_catboost", over_baseline)
    return numbers | {f"cv_{score}_best_lone_member": best.score}


def _named_ends(name: str, lift: Interval) -> dict[str, float]:
    return {f"{name}_mean": lift.value, f"{name}_low": lift.low, f"{name}_high": lift.high}
