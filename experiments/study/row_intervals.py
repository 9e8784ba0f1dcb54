"""Intervals of main scores on rows that no model has learnt from, such as the test rows."""

from __future__ import annotations

import math

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import SCORES, main_score, of_true_class
from experiments.study.fold_intervals import Interval
from experiments.study.predictions import Predictions

CONFIDENCE = 0.95


def score_on_rows(one: Predictions) -> Interval | None:
    """Return the blend's main score on some rows with its interval, None for fewer than two rows.

    It is the normal approximation over the rows' errors: their squares, with the slope of the root, or the logarithms.
    """
    if len(one.target) < 2:
        return None
    value = score_of(one)
    errors = _errors(one, value)
    half = _half(errors - np.average(errors, weights=one.weights), one)
    return Interval(value, max(value - half, 0.0), value + half)


def difference_on_rows(one: Predictions, other: Predictions) -> Interval | None:
    """Return by how much the other blend's main score is higher on the same rows, with its interval from paired errors.

    Returns:
        None if there are fewer than two rows, or they are not the same.
    """
    if len(one.target) < 2 or not np.array_equal(one.target, other.target):
        return None
    values = score_of(one), score_of(other)
    half = _half(_errors(other, values[1]) - _errors(one, values[0]), one)
    value = values[1] - values[0]
    return Interval(value, value - half, value + half)


def score_of(one: Predictions) -> float:
    """Return the blend's main score."""
    return SCORES[main_score(one.task)](one.target, one.blended, one.weights)


def _errors(one: Predictions, value: float) -> Floats:
    """Return errors whose mean changes as the score does: the root's slope turns squares into one."""
    if one.task == "regression":
        return np.asarray((one.blended - one.target) ** 2 / max(2 * value, 1e-300))
    return np.asarray(-np.log(np.clip(of_true_class(one.blended, one.target), 1e-15, 1.0)))


def _half(errors: Floats, one: Predictions) -> float:
    """Return half of the width of the interval of the weighted mean of errors."""
    from scipy.stats import norm

    weights = np.ones(len(errors)) if one.weights is None else one.weights
    spread = (errors * weights / weights.mean()).std(ddof=1) / math.sqrt(len(errors))
    return float(norm.ppf(0.5 + CONFIDENCE / 2)) * float(spread)
