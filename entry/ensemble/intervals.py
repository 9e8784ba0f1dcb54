"""Intervals that hold a given share of targets, and sets of classes, from the residuals of blends out of fold.

The residual of a row is that of a blend whose members and weights were fitted without it (``ensemble.nested_blend``).
The interval of a new row is the served prediction plus and minus the quantile of these residuals for which the share of
the rows, one more counted as outside, is at least the level. This is the cross-validated jackknife of R. Barber, E.
Candes, A. Ramdas and R. Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 49, 486-507, 2021.
Their CV+ takes the quantile over the predictions of all folds' models, which a served model does not have: it is fitted
once more on all rows. Its errors are those of the folds' models or smaller.

For classes, a set has every class whose probability is at least one minus the quantile of what the true class's
probability out of fold lacks (M. Sadinle, J. Lei, L. Wasserman, "Least ambiguous set-valued classifiers with bounded
error levels", Journal of the American Statistical Association 114, 223-234, 2019), and the predicted label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.errors import InputError, brief
from ensemble.evaluation import of_true_class
from ensemble.residual_scale import ResidualScale, fit_scale
from ensemble.table import Table

# The level of an interval unless another one is asked for, and that at which the width is chosen.
LEVEL = 0.9
# Fewer rows give one width for all rows.
SCALE_ROWS = 100
# Widths that vary must be narrower by this share: on rows whose errors do not depend on anything, chance alone makes
# them a little narrower or wider.
NARROWER = 0.02
# More scores are thinned out; the next larger one that is kept then stands for those before it.
MOST_SCORES = 2_000

# Why a model has no interval, as the end of a message.
WITHOUT = "this model was saved without intervals. Train it again."


class LevelError(InputError):
    """An interval of a level that does not exist, or for which a model has too few rows."""


def check_level(level: float, place: str) -> None:
    """Raise LevelError for a level that is not a number between 0 and 1; ``place`` is where it was given."""
    if not isinstance(level, Real):
        raise LevelError(
            f"{place}={brief(level)} is not a number: the level of an interval is above 0 and below 1, such as {LEVEL}."
        )
    if not 0 < level < 1:
        raise LevelError(f"{place}={level:g}: the level of an interval is above 0 and below 1, such as {LEVEL}.")


@dataclass(frozen=True)
class Intervals:
    """What is known of a blend's errors on rows that it has not seen.

    Attributes:
        shares: The share of the rows up to each score, counting one more row as outside; ascending, shape (scores,).
        scores: Absolute residuals, in the target's unit or divided by ``scale``; for classes, what the probability of
            the true class lacks to 1. Ascending, shape (scores,).
        scale: The expected absolute residual of a row; None if all rows have the same width, and for classes.
    """

    shares: Floats
    scores: Floats
    scale: ResidualScale | None = None

    @property
    def highest(self) -> float:
        """The highest level that these rows allow."""
        return float(self.shares[-1])

    def score(self, level: float, place: str) -> float:
        """Return the score that the share ``level`` of new rows does not exceed.

        Raises:
            LevelError: It is not a level, or there are too few rows for it.
        """
        check_level(level, place)
        at = int(np.searchsorted(self.shares, level))
        if at == len(self.shares):
            raise LevelError(
                f"{place}={level:g}: the training rows of this model allow a level up to "
                f"{math.floor(1e4 * self.highest) / 1e4:g}."
            )
        return float(self.scores[at])

    def half_widths(self, features: Floats, blended: Floats, level: float, place: str) -> Floats:
        """Return half the width of the interval of each row, shape (rows,), in the target's unit.

        Args:
            features: Shape (rows, columns), float64, NaN where missing.
            blended: The blended predictions, shape (rows,).
            level: The share of targets that intervals hold.
            place: Where the level was given, for messages.

        Raises:
            LevelError: As in ``score``.
        """
        score = self.score(level, place)
        if self.scale is None:
            return np.full(len(blended), score)
        return score * self.scale.predict(features, blended)

    def sets(self, blended: Floats, labels: npt.NDArray[np.intp], level: float, place: str) -> npt.NDArray[np.bool_]:
        """Return which classes are in the set of each row, shape (rows, classes).

        Args:
            blended: The blended probabilities, shape (rows, classes).
            labels: The position of the label of each row, which is in its set.
            level: The share of rows whose class is in its set.
            place: Where the level was given, for messages.

        Raises:
            LevelError: As in ``score``.
        """
        found: npt.NDArray[np.bool_] = 1.0 - blended <= self.score(level, place)
        found[np.arange(len(found)), labels] = True
        return found

    def as_arrays(self) -> dict[str, Any]:
        """Return the attributes as arrays by name, which ``from_arrays`` reads back."""
        scale = {} if self.scale is None else self.scale.as_arrays()
        return {
            "shares": self.shares,
            "scores": self.scores,
            **{f"scale_{name}": value for name, value in scale.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], columns: int) -> Intervals:
        """Read what ``as_arrays`` returned, for a model of ``columns`` columns.

        Raises:
            KeyError: An array is missing.
            ValueError: The arrays do not have the form in which they are saved.
        """
        shares, scores = (np.asarray(arrays[name], dtype=np.float64) for name in ("shares", "scores"))
        ascending = all(array.ndim == 1 and (np.diff(array) >= 0).all() for array in (shares, scores))
        if not (ascending and len(shares) == len(scores) > 0 and np.isfinite(scores).all()):
            raise ValueError("its scores are not ascending")
        scale = {name.removeprefix("scale_"): arrays[name] for name in arrays if name.startswith("scale_")}
        return cls(shares, scores, ResidualScale.from_arrays(scale, columns) if scale else None)


def fit_intervals(blended: Floats, fold_of_row: npt.NDArray[np.int32], table: Table, seed: int) -> Intervals | None:
    """Return the intervals of a blend.

    Args:
        blended: The nested blends' out-of-fold predictions, shape (rows[, classes]), NaN in rows that no fold scores.
        fold_of_row: Number of the fold in which each row was scored, shape (rows, repeats); -1 if in none.
        table: The rows, with their own weights: those of classes would change the share of the rows that is meant.
        seed: Seed of the training.

    Returns:
        The intervals, None if no row with a weight is scored.
    """
    scored = fold_of_row[:, 0] >= 0
    if table.weights is not None:
        scored &= table.weights > 0
    if not scored.any():
        return None
    target, predicted = table.target[scored], blended[scored]
    weights = None if table.weights is None else table.weights[scored]
    if table.classes:
        return Intervals(*_distribution(1.0 - of_true_class(predicted, target), weights))
    residuals = np.abs(target - predicted)
    rows = _Rows(table.features[scored], predicted, residuals, weights, fold_of_row[scored, 0])
    scale = fit_scale(rows.features, rows.blended, residuals, weights, seed) if len(residuals) >= SCALE_ROWS else None
    scales = None if scale is None else _scales_out_of_fold(rows, seed)
    if scale is None or scales is None or not _is_better(rows, scales):
        return Intervals(*_distribution(residuals, weights))
    return Intervals(*_distribution(residuals / scales, weights), scale)


def check_intervals(intervals: Intervals | None, level: float, place: str) -> None:
    """Raise InputError unless there are intervals of this level; ``place`` is where it was given, for the message."""
    check_level(level, place)
    if intervals is None:
        raise LevelError(f"{place}={level:g}: {WITHOUT}")
    intervals.score(level, place)


@dataclass(frozen=True)
class _Rows:
    """Rows with out-of-fold predictions; the attributes are as in ``fit_scale``, and ``folds`` has each row's fold."""

    features: Floats
    blended: Floats
    residuals: Floats
    weights: Floats | None
    folds: npt.NDArray[np.int32]

    def parts(self) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
        """Yield for each fold its rows, and those of the others."""
        for fold in np.unique(self.folds):
            yield self.folds == fold, self.folds != fold

    def weights_of(self, part: npt.NDArray[np.bool_]) -> Floats | None:
        """Return the weights of some rows."""
        return None if self.weights is None else self.weights[part]


def _scales_out_of_fold(rows: _Rows, seed: int) -> Floats | None:
    """Return for each row the scale that is fitted on the rows of other folds, None if a fold has no scale."""
    scales = np.empty(len(rows.residuals))
    for own, others in rows.parts():
        weights = rows.weights_of(others)
        scale = fit_scale(rows.features[others], rows.blended[others], rows.residuals[others], weights, seed)
        if scale is None:
            return None
        scales[own] = scale.predict(rows.features[own], rows.blended[own])
    return scales


def _is_better(rows: _Rows, scales: Floats) -> bool:
    """Return whether widths that vary cover as well as equal ones and are narrower, out of fold, at ``LEVEL``."""
    count = len(scales)
    widths, covered = np.zeros((2, count)), np.zeros((2, count), dtype=bool)
    for own, others in rows.parts():
        for place, unit in enumerate((np.ones(count), scales)):
            scores = rows.residuals / unit
            shares, ordered = _distribution(scores[others], rows.weights_of(others))
            quantile = ordered[min(int(np.searchsorted(shares, LEVEL)), len(ordered) - 1)]
            widths[place, own] = quantile * unit[own]
            covered[place, own] = scores[own] <= quantile
    equal, varying = zip(*(np.average(found, axis=1, weights=rows.weights) for found in (widths, covered)), strict=True)
    # The 95% limit of the difference of two shares, which few rows alone exceed.
    most = 1.96 * math.sqrt(2 * LEVEL * (1 - LEVEL) / count)
    return bool(varying[0] < (1 - NARROWER) * equal[0] and varying[1] >= equal[1] - most)


def _distribution(scores: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Return the shares and the scores of ``Intervals``."""
    order = np.argsort(scores, kind="stable")
    weight = np.ones(len(scores)) if weights is None else weights[order]
    total = np.cumsum(weight)
    shares, ordered = total / (total[-1] + total[-1] / len(scores)), scores[order]
    if len(ordered) > MOST_SCORES:
        kept = np.ceil(np.linspace(0, len(ordered) - 1, MOST_SCORES)).astype(np.intp)
        shares, ordered = shares[kept], ordered[kept]
    return shares, ordered
