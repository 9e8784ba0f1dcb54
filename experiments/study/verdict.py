"""Whether the ensemble pays: its blend against the best score that any single member reached, with the interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ensemble.evaluation import SCORES, MetricName
from ensemble.recipe import BLENDED
from experiments.study.baseline import CATBOOST, MEAN
from experiments.study.fold_intervals import Interval, fold_scores, paired_lift
from experiments.study.spec import TrialResult

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


def lift_over_best_member(winner: TrialResult, best: BestSingleMember, members: Sequence[str]) -> Interval | None:
    """Return how much better the blend's score is than the best single member's; None if there is one member.

    The member comes from the trial in which it did best, as it would if it had been tuned without the others.
    """
    if len(members) < 2:
        return None
    return _lift(fold_scores(best.trial, best.name, best.metric), winner, best.metric)


def lift_over_baseline(winner: TrialResult, baseline: TrialResult | None, score: str) -> Interval | None:
    """Return how much better the blend's score is than plain CatBoost's; None if that does not have it."""
    folds = [] if baseline is None else fold_scores(baseline, CATBOOST, score)
    return _lift(folds, winner, score) if folds and len(folds) == len(fold_scores(winner, BLENDED, score)) else None


def _lift(folds: Sequence[float], winner: TrialResult, score: str) -> Interval:
    k = winner.info.get("recipe", {}).get("folds", {}).get("k")
    return paired_lift(folds, fold_scores(winner, BLENDED, score), k, maximised=SCORES[score].maximised)


def verdict(lift: Interval) -> Verdict:
    """Return what a lift over the best single member means: undecided if its interval includes zero."""
    return "pays" if lift.low > 0 else "costs" if lift.high < 0 else "undecided"


def study_metrics(
    final: TrialResult,
    results: Sequence[TrialResult],
    members: Sequence[str],
    objective: str,
    baseline: TrialResult | None = None,
) -> dict[str, float]:
    """Return the metrics of a study's own MLflow run.

    They are the main scores of the winner, and its decisive ones if these are others; the decisive scores of the best
    single member and of the baseline; and the lifts of the blend over the latter two.
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
        numbers |= {f"lift_{end}": getattr(over_member, end) for end in ("mean", "low", "high")}
    naive = "class_frequencies" if final.classes else "target_mean"
    for name, key in ((CATBOOST, f"cv_{score}_catboost_default"), (MEAN, f"cv_{score}_{naive}")):
        if baseline is not None and (found := f"cv_{score}_{name}") in baseline.metrics:
            numbers[key] = baseline.metrics[found]
    over_baseline = lift_over_baseline(final, baseline, score)
    if over_baseline is not None:
        numbers |= {f"lift_over_catboost_{end}": getattr(over_baseline, end) for end in ("mean", "low", "high")}
    return numbers | {f"cv_{score}_best_lone_member": best.score}
