"""Folds and scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.errors import InputError
from ensemble.recipe import FoldSpec

Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """One fold of cross-validation, as row numbers.

    Attributes:
        fit: The rows on which the models of this fold are fitted, shape (n,).
        score: The rows on which they are scored, shape (m,); disjoint from ``fit``.
        repeat: The division of the rows to which this fold belongs, from 0.
    """

    fit: Index
    score: Index
    repeat: int = 0


def make_folds(
    spec: FoldSpec, rows: int, seed: int, keys: Floats | None = None, classes: Floats | None = None
) -> list[Fold]:
    """Divide the rows into folds, which are the same for every member and trial.

    Each fold has about the same share of every class, except in time.

    Args:
        spec: The scheme.
        rows: Number of rows.
        seed: Seed of the schemes that divide at random.
        keys: The group or the moment of each row, shape (rows,), float64; for the schemes that need it.
        classes: The class of each row, shape (rows,), float64; None if the target is a quantity.

    Raises:
        InputError: There are fewer rows, groups or moments than the folds need, or every class has fewer rows.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    if rows < spec.k:
        raise InputError(f"{rows} training rows cannot be divided into {spec.k} folds: lower dataset.folds.k.")
    if classes is not None and spec.kind != "time" and (most := int(np.unique_counts(classes).counts.max())) < spec.k:
        raise InputError(
            f"each class has at most {most} training row{'' if most == 1 else 's'}, which cannot be divided into "
            f"{spec.k} folds: lower dataset.folds.k, or combine classes."
        )
    places = np.empty((rows, 1))
    stratified = classes is not None
    if spec.kind in ("kfold", "repeated"):
        folds: list[Fold] = []
        for repeat in range(spec.repeats):
            splitter = (StratifiedKFold if stratified else KFold)(spec.k, shuffle=True, random_state=seed + repeat)
            folds.extend(Fold(fit, score, repeat) for fit, score in _divided(splitter, places, classes))
        return folds
    if keys is None:
        raise InputError(f"dataset.folds.kind={spec.kind} divides by a column: name it with dataset.folds.column.")
    distinct = np.unique(keys)
    if spec.kind == "time":
        return _folds_in_time(spec.k, np.asarray(keys), distinct)
    if len(distinct) < spec.k:
        raise InputError(
            f"the training rows have {len(distinct)} group{'' if len(distinct) == 1 else 's'}, which cannot be divided "
            f"into {spec.k} folds: lower dataset.folds.k, or choose another dataset.folds.column."
        )
    by_group = (StratifiedGroupKFold if stratified else GroupKFold)(spec.k, shuffle=True, random_state=seed)
    return [Fold(fit, score) for fit, score in _divided(by_group, places, classes, keys)]


def _divided(
    splitter: Any, places: Floats, classes: Floats | None, keys: Floats | None = None
) -> list[tuple[Index, Index]]:
    with warnings.catch_warnings():
        # A class may have fewer rows than there are folds: some folds then score no row of it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter.split(places, classes, keys))


def _folds_in_time(k: int, keys: Floats, moments: Floats) -> list[Fold]:
    from sklearn.model_selection import TimeSeriesSplit

    if len(moments) < k + 1:
        raise InputError(
            f"the training rows have {len(moments)} different times, and {k} folds in time need {k + 1} or more: lower "
            "dataset.folds.k."
        )
    # Rows of one moment stay together, so that no model is scored on a moment on which it was fitted.
    moment = np.searchsorted(moments, keys)
    splits = TimeSeriesSplit(k).split(moments[:, None])
    return [Fold(np.flatnonzero(np.isin(moment, fit)), np.flatnonzero(np.isin(moment, score))) for fit, score in splits]


def rmse(target: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Return the root of the (weighted) mean squared error of arrays of shape (rows,), in the target's unit."""
    return float(np.sqrt(_mean((target - predicted) ** 2, weights)))


def mae(target: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Return the (weighted) mean absolute error of arrays of shape (rows,), in the target's unit."""
    return _mean(np.abs(target - predicted), weights)


def r2(target: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Return the share of the target's variance that is explained, at most 1; NaN if the target is constant."""
    if np.all(target == target[0]):  # the mean may differ in the last bit, so that the variance is not exactly zero
        return float("nan")
    spread = _mean((target - _mean(target, weights)) ** 2, weights)
    return 1.0 - _mean((target - predicted) ** 2, weights) / spread if spread else float("nan")


def _mean(values: Floats, weights: Floats | None) -> float:
    return float(np.mean(values)) if weights is None else float(np.average(values, weights=weights))


Score = Callable[[Floats, Floats, Floats | None], float]
SCORES: dict[str, Score] = {"rmse": rmse, "mae": mae, "r2": r2}


@dataclass(frozen=True)
class MetricName:
    """The parts of a metric's name.

    Attributes:
        split: ``cv``, ``validation`` or ``test``.
        score: Which of ``SCORES``.
        who: A member's name or ``blended``.
    """

    split: str
    score: str
    who: str

    @classmethod
    def parse(cls, name: str) -> MetricName:
        """Split a name of the form ``{split}_{score}_{who}``."""
        return cls(*name.split("_", 2))

    @property
    def maximised(self) -> bool:
        """Whether a higher value is better."""
        return self.score == "r2"

    def of(self, who: str) -> str:
        """Return the name of the same metric of another member."""
        return f"{self.split}_{self.score}_{who}"


def scores(
    prefix: str, name: str, target: Floats, predicted: Floats, weights: Floats | None = None
) -> dict[str, float]:
    """Return every score as ``{prefix}_{score}_{name}``."""
    return {f"{prefix}_{score}_{name}": function(target, predicted, weights) for score, function in SCORES.items()}


def overlap_factor(n: int, k: int) -> float:
    """Return the factor that turns the variance of n paired differences into the variance of their mean.

    It is 1/n + score rows/fit rows = 1/n + 1/(k-1) rather than 1/n, since folds share training rows
    (C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 239-281, 2003).
    """
    return 1 / n + 1 / (k - 1)
