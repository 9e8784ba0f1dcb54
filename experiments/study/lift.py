"""Whether the ensemble pays: the blend against the best that a member reached alone, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensemble.evaluation import Interval, paired_lift
from ensemble.recipe import BLENDED
from experiments.study.spec import TrialResult


def fold_rmse(result: TrialResult, name: str) -> list[float]:
    """Return the RMSE of a member or the blend on each fold, in order of the folds."""
    prefix = f"cv_rmse_{name}_fold_"
    folds = {int(key[len(prefix) :]): value for key, value in result.metrics.items() if key.startswith(prefix)}
    return [folds[number] for number in sorted(folds)]


@dataclass(frozen=True)
class LoneMember:
    """The best that one member reached by itself.

    Attributes:
        name: The member.
        trial: The trial in which it did.
        rmse: Its cross-validated RMSE there.
    """

    name: str
    trial: TrialResult
    rmse: float


def best_lone_member(results: Sequence[TrialResult], members: Sequence[str]) -> LoneMember:
    """Return the member and trial with the lowest cross-validated RMSE of all complete trials."""
    complete = [result for result in results if result.state == "complete"]
    candidates = [LoneMember(name, trial, trial.metrics[f"cv_rmse_{name}"]) for trial in complete for name in members]
    return min(candidates, key=lambda candidate: candidate.rmse)


def lift_over_lone_member(winner: TrialResult, lone: LoneMember, members: Sequence[str]) -> Interval | None:
    """Return how much lower the blend's RMSE is than the best lone member's, or None for an ensemble of one.

    That member comes from whatever trial it did best in, as it would if it had been tuned alone.
    """
    if len(members) < 2:
        return None
    k = winner.info.get("recipe", {}).get("folds", {}).get("k")
    return paired_lift(fold_rmse(lone.trial, lone.name), fold_rmse(winner, BLENDED), k)


def ruling(lift: Interval) -> Literal["pays", "costs", "undecided"]:
    """Say in a word what a lift over the best lone member means."""
    return "pays" if lift.low > 0 else "costs" if lift.high < 0 else "undecided"


def study_metrics(final: TrialResult, results: Sequence[TrialResult], members: Sequence[str]) -> dict[str, float]:
    """Return what the study's own MLflow run shows: the winner's RMSEs, the best lone member's and the lift over it."""
    names = [*members, BLENDED]
    numbers = {
        key: final.metrics[key]
        for split in ("cv", "validation", "test")
        for name in names
        if (key := f"{split}_rmse_{name}") in final.metrics
    }
    lone = best_lone_member(results, members)
    lift = lift_over_lone_member(final, lone, members)
    if lift is not None:
        numbers |= {"lift_mean": lift.mean, "lift_low": lift.low, "lift_high": lift.high}
    return numbers | {"cv_rmse_best_lone_member": lone.rmse}


def below_or_above(lift: float) -> str:
    """Say a lift as where the blend's RMSE is."""
    size = np.format_float_positional(abs(lift), precision=3, fractional=False, unique=False, trim="-")
    return f"{size} {'below' if lift >= 0 else 'above'}"
