"""Folds and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble.errors import InputError
from ensemble.members.base import Floats
from ensemble.recipe import FoldSpec

Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """Row numbers to fit on and to score on."""

    fit: Index
    score: Index


def make_folds(spec: FoldSpec, rows: int, seed: int) -> list[Fold]:
    """Divide ``rows`` rows, each scored in exactly one fold; the same for every member and trial.

    Raises:
        InputError: Fewer rows than folds.
    """
    from sklearn.model_selection import KFold

    if rows < spec.k:
        raise InputError(f"{rows} training rows cannot be divided into {spec.k} folds: lower dataset.folds.k.")
    splitter = KFold(spec.k, shuffle=True, random_state=seed)
    return [Fold(fit, score) for fit, score in splitter.split(np.empty((rows, 1)))]


def rmse(target: Floats, predicted: Floats) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.mean((target - predicted) ** 2)))


def mae(target: Floats, predicted: Floats) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.mean(np.abs(target - predicted)))


def r2(target: Floats, predicted: Floats) -> float:
    """Share of the target's variance that is explained; NaN for a constant target."""
    if np.all(target == target[0]):  # its mean may differ in the last bit, so its spread need not be zero
        return float("nan")
    return 1.0 - float(np.sum((target - predicted) ** 2) / np.sum((target - np.mean(target)) ** 2))


SCORES: dict[str, Callable[[Floats, Floats], float]] = {"rmse": rmse, "mae": mae, "r2": r2}


def scores(prefix: str, name: str, target: Floats, predicted: Floats) -> dict[str, float]:
    """Return every score as ``{prefix}_{score}_{name}``."""
    return {f"{prefix}_{score}_{name}": function(target, predicted) for score, function in SCORES.items()}


@dataclass(frozen=True)
class Lift:
    """How much lower one RMSE is than another, with a paired interval over folds.

    Attributes:
        mean: Mean over folds of (baseline's RMSE - blend's RMSE), in the target's unit; positive is better.
        low: Lower end of the 95% interval.
        high: Upper end of the 95% interval.
    """

    mean: float
    low: float
    high: float


def paired_lift(baseline: Sequence[float], blended: Sequence[float]) -> Lift:
    """Compare two RMSEs fold by fold by the corrected resampled t interval.

    Folds share training rows, so the plain t interval is too narrow; the variance is multiplied by
    1/k + score rows/fit rows, which for k folds is 1/k + 1/(k-1)
    (C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 239-281, 2003).

    Args:
        baseline: RMSE per fold, at least two.
        blended: RMSE per fold, in the same order.
    """
    from scipy.stats import t

    differences = np.asarray(baseline) - np.asarray(blended)
    k = len(differences)
    mean = float(np.mean(differences))
    half = float(t.ppf(0.975, k - 1) * np.sqrt((1 / k + 1 / (k - 1)) * np.var(differences, ddof=1)))
    return Lift(mean, mean - half, mean + half)
