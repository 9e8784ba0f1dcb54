"""The mean of a score over the folds with its 95% interval, corrected for training sets that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import overlap_factor
from experiments.study.spec import TrialResult


@dataclass(frozen=True)
class Interval:
    """A mean over folds with its interval.

    Attributes:
        mean: The mean.
        low: Lower end of the 95% interval.
        high: Upper end of the 95% interval.
    """

    mean: float
    low: float
    high: float


def fold_rmse(result: TrialResult, name: str) -> list[float]:
    """Return the RMSE of a member or the blend on each fold, in order of the folds."""
    prefix = f"cv_rmse_{name}_fold_"
    folds = {int(key[len(prefix) :]): value for key, value in result.metrics.items() if key.startswith(prefix)}
    return [folds[number] for number in sorted(folds)]


def mean_over_folds(values: Sequence[float] | Floats, k: int | None = None) -> Interval:
    """Return the mean of a score's values on the folds, with its t interval, corrected for overlapping training sets.

    Args:
        values: One a fold, at least two.
        k: Folds of one division of the rows, where there are several divisions.
    """
    from scipy.stats import t

    n = len(values)
    mean = float(np.mean(values))
    half = float(t.ppf(0.975, n - 1) * np.sqrt(overlap_factor(n, k or n) * np.var(values, ddof=1)))
    return Interval(mean, mean - half, mean + half)


def paired_lift(baseline: Sequence[float], blended: Sequence[float], k: int | None = None) -> Interval:
    """Return how much lower one RMSE is than another on the mean fold, in the target's unit; positive is better.

    Args:
        baseline: RMSE per fold, at least two.
        blended: RMSE per fold, in the same order.
        k: Folds of one division of the rows, where there are several divisions.
    """
    return mean_over_folds(np.asarray(baseline) - np.asarray(blended), k)
