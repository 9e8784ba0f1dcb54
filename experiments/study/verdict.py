"""Whether the ensemble pays: its blend against the best score that any single member reached, with the interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
        score: Its main score there, in cross-validation.
    """

    name: str
    trial: TrialResult
    score: float


def best_single_member(results: Sequence[TrialResult], members: Sequence[str]) -> BestSingleMember:
    """Return the member and trial with the lowest main score in cross-validation of all complete trials."""
    candidates = [
        BestSingleMember(name, trial, score)
        for trial in results
        if trial.state == "complete"
        for name in members
        if (score := trial.main("cv", name)) is not None
    ]
    return min(candidates, key=lambda candidate: candidate.score)


def lift_over_best_member(winner: TrialResult, best: BestSingleMember, members: Sequence[str]) -> Interval | None:
    """Return how much lower the blend's main score is than the best single member's; None if there is one member.

    The member comes from the trial in which it did best, as it would if it had been tuned without the others.
    """
    if len(members) < 2:
        return None
    k = winner.info.get("recipe", {}).get("folds", {}).get("k")
    return paired_lift(fold_scores(best.trial, best.name), fold_scores(winner, BLENDED), k)


def verdict(lift: Interval) -> Verdict:
    """Return what a lift over the best single member means: undecided if its interval includes zero."""
    return "pays" if lift.low > 0 else "costs" if lift.high < 0 else "undecided"


def lift_over_baseline(winner: TrialResult, baseline: TrialResult | None) -> Interval | None:
    """Return how much lower the blend's main score is than plain CatBoost's; None if that has no score."""
    folds = [] if baseline is None else fold_scores(baseline, CATBOOST, winner.main_score)
    blended = fold_scores(winner, BLENDED)
    if not folds or len(folds) != len(blended):
        return None
    return paired_lift(folds, blended, winner.info.get("recipe", {}).get("folds", {}).get("k"))


def study_metrics(
    final: TrialResult, results: Sequence[TrialResult], members: Sequence[str], baseline: TrialResult | None = None
) -> dict[str, float]:
    """Return the metrics of a study's own MLflow run.

    They are the main scores of the winner, of the best single member and of the baseline, and the lifts of the blend
    over the latter two.
    """
    numbers = {
        key: final.metrics[key]
        for split in ("cv", "validation", "test")
        for name in (*final.info.get("weights", members), BLENDED)
        if (key := f"{split}_{final.main_score}_{name}") in final.metrics
    }
    best = best_single_member(results, members)
    lift = lift_over_best_member(final, best, members)
    if lift is not None:
        numbers |= {"lift_mean": lift.mean, "lift_low": lift.low, "lift_high": lift.high}
    main = f"cv_{final.main_score}"
    naive = "class_frequencies" if final.classes else "target_mean"
    for name, key in ((CATBOOST, f"{main}_catboost_default"), (MEAN, f"{main}_{naive}")):
        if baseline is not None and (found := f"{main}_{name}") in baseline.metrics:
            numbers[key] = baseline.metrics[found]
    over = lift_over_baseline(final, baseline)
    if over is not None:
        numbers |= {f"lift_over_catboost_{end}": getattr(over, end) for end in ("mean", "low", "high")}
    return numbers | {f"{main}_best_lone_member": best.score}
