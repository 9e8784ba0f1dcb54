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


def fold_scores(result: TrialResult, name: str, score: str | None = None) -> list[float]:
    """Return a score of a member or the blend on each fold, in order of the folds.

    Args:
        result: The trial.
        name: The member's name, or that of the blend.
        score: The score; None for the main one.
    """
    prefix = f"cv_{score or result.main_score}_{name}_fold_"
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


def paired_lift(
    baseline: Sequence[float], blended: Sequence[float], k: int | None = None, *, maximised: bool = False
) -> Interval:
    """Return how much better one score is than another on the mean fold, in the score's unit; positive is better.

    Args:
        baseline: Score per fold, at least two.
        blended: Score per fold, in the same order.
        k: Folds of one division of the rows, where there are several divisions.
        maximised: Whether a higher score is better.
    """
    lower = np.asarray(baseline) - np.asarray(blended)
    return mean_over_folds(-lower if maximised else lower, k)
