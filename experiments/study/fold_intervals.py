"""A score over all rows with its 95% interval, and the difference of two, from the scores of the folds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import overlap_factor
from experiments.study.spec import TrialResult

# Scores that are means over rows, or of which the RMSE is the root.
_OF_ROWS = ("rmse", "mae", "logloss", "accuracy", "brier")


@dataclass(frozen=True)
class Interval:
    """A score over all rows, or a difference of two, with its interval.

    Attributes:
        value: The score or the difference.
        low: Lower end of the 95% interval.
        high: Upper end of the 95% interval.
    """

    value: float
    low: float
    high: float


def fold_scores(result: TrialResult, name: str, score: str | None = None) -> dict[int, float]:
    """Return a score of a member or the blend on each fold that has one, by the fold's number, in order.

    Args:
        result: The trial.
        name: The member's name, or that of the blend.
        score: The score; None for the main one.
    """
    prefix = f"cv_{score or result.main_score}_{name}_fold_"
    folds = {int(key[len(prefix) :]): value for key, value in result.metrics.items() if key.startswith(prefix)}
    return {number: folds[number] for number in sorted(folds)}


def score_interval(result: TrialResult, name: str, score: str | None = None) -> Interval | None:
    """Return a score of a member or the blend over all rows, with its interval; None with fewer than two folds.

    Args:
        result: The trial.
        name: The member's name, or that of the blend.
        score: The score; None for the main one.
    """
    score = score or result.main_score
    parts = _parts(result, name, score)
    if parts is None:
        return None
    return _interval(_whole(result, name, score), list(parts.values()), _folds_a_division(result, parts), score)


def score_difference(
    one: TrialResult, name: str, other: TrialResult, other_name: str, score: str | None = None
) -> Interval | None:
    """Return a score over all rows minus another's, with the interval of the difference.

    Args:
        one: The trial, whose main score counts unless ``score`` is given.
        name: Its member, or the blend.
        other: The trial whose score is subtracted, on the same folds.
        other_name: Its member, or the blend.
        score: The score; None for the main one.

    Returns:
        None if the trials have not the score of the same folds, or of fewer than two.
    """
    score = score or one.main_score
    own, theirs = _parts(one, name, score), _parts(other, other_name, score)
    if own is None or theirs is None or own.keys() != theirs.keys():
        return None
    apart = [own[number] - theirs[number] for number in own]
    value = _whole(one, name, score) - _whole(other, other_name, score)
    return _interval(value, apart, _folds_a_division(one, own), score)


def _interval(value: float, parts: Sequence[float], k: int, score: str) -> Interval:
    """Return the t interval of the mean of the folds' parts around ``value``, corrected for overlapping training sets.

    A score that is not a mean over rows may be far from its folds: the blend of a fold has probabilities of its own
    temperature, so that an AUC over all rows can differ where that of each fold does not. The interval is that much
    wider.
    """
    from scipy.stats import t

    n = len(parts)
    half = float(t.ppf(0.975, n - 1) * np.sqrt(overlap_factor(n, k) * np.var(parts, ddof=1)))
    half += 0.0 if score in _OF_ROWS else abs(value - float(np.mean(parts)))
    return Interval(value, value - half, value + half)


def _parts(result: TrialResult, name: str, score: str) -> dict[int, float] | None:
    """Return the part of each fold in a score over all rows: numbers of which the score is the mean, where it is one.

    A mean over rows, such as the log loss, is the mean of the folds' scores with the weights of their rows. The RMSE is
    the root of such a mean, so that a fold's part is linear in its squared error: how much the RMSE would change if the
    fold had a little more weight (the infinitesimal jackknife, B. Efron, "The Jackknife, the Bootstrap and Other
    Resampling Plans", 1982, chapter 6). The parts of a score that is not a mean over rows, such as the AUC, are those
    of one that is.

    Returns:
        By the fold's number; None if there are fewer than two folds, or no score over all rows.
    """
    folds = fold_scores(result, name, score)
    if len(folds) < 2 or f"cv_{score}_{name}" not in result.metrics:
        return None
    weights, k = result.info.get("fold_weights"), _folds_a_division(result, folds)
    parts: dict[int, float] = {}
    for division in sorted({number // k for number in folds}):
        numbers = [number for number in folds if number // k == division]
        values = np.array([folds[number] for number in numbers])
        shares = np.ones(len(numbers)) if weights is None else np.array([weights[number] for number in numbers])
        parts |= dict(zip(numbers, _of_division(values, shares / shares.sum(), score), strict=True))
    return parts


def _whole(result: TrialResult, name: str, score: str) -> float:
    return result.metrics[f"cv_{score}_{name}"]


def _of_division(folds: Floats, shares: Floats, score: str) -> Floats:
    """Return each fold's part in the score of one division of the rows, of which it is the mean."""
    values = folds**2 if score == "rmse" else folds
    mean = float(shares @ values)
    parts: Floats = mean + len(folds) * shares * (values - mean)
    if score == "rmse":
        root = float(np.sqrt(mean))
        parts = root + (parts - mean) / (2 * root if root else 1.0)
    return parts


def _folds_a_division(result: TrialResult, folds: Collection[int]) -> int:
    known = result.info.get("recipe", {}).get("folds", {}).get("k")
    return len(folds) if known is None else int(known)
