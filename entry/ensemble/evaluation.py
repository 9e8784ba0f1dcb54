"""Folds and scores."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.classes import Task
from ensemble.elementary import LEAST_PROBABILITY, log
from ensemble.errors import InputError
from ensemble.recipe import BLENDED, FoldSpec

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


def fold_weights(folds: Sequence[Fold], weights: Floats | None) -> tuple[float, ...]:
    """Return the sum of the weights of the rows that each fold scores, or their number if all count equally."""
    return tuple(float(len(fold.score) if weights is None else weights[fold.score].sum()) for fold in folds)


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


def logloss(target: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Return the (weighted) mean of minus the logarithm of the probability of the true class.

    A probability is at least 2.2e-16, as in scikit-learn's ``log_loss``, so that a member that was sure and wrong has a
    finite score.

    Args:
        target: Class positions, shape (rows,).
        predicted: Probabilities, shape (rows, classes).
        weights: Row weights, shape (rows,); None if all rows count equally.
    """
    return _mean(-log(np.clip(of_true_class(predicted, target), LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)), weights)


def of_true_class(predicted: Floats, target: Floats) -> Floats:
    """Return the entry of each row's true class, shape (rows, ...), of an array of shape (rows, ..., classes)."""
    found: Floats = predicted[np.arange(len(target)), ..., np.asarray(target).astype(np.intp)]
    return found


def auc(target: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Return the area under the ROC curve: the mean over the classes of each one against the rest.

    Of two classes, one against the other is enough. A class that no row has, or that every row has, is left out; NaN if
    that leaves none. The arguments are those of ``logloss``.
    """
    weight = np.ones(len(target)) if weights is None else weights
    places = [1] if predicted.shape[1] == 2 else range(predicted.shape[1])
    areas = [_area(target == place, predicted[:, place], weight) for place in places]
    known = [area for area in areas if not np.isnan(area)]
    return float(np.mean(known)) if known else float("nan")


def _area(own: npt.NDArray[np.bool_], score: Floats, weights: Floats) -> float:
    """Return how often a row of the class has the higher score than one of another class; equal scores count half."""
    inside, outside = np.where(own, weights, 0.0), np.where(own, 0.0, weights)
    whole = float(np.sum(inside)) * float(np.sum(outside))
    if whole == 0.0:
        return float("nan")
    _, place = np.unique(score, return_inverse=True)
    of_class, of_rest = np.bincount(place, inside), np.bincount(place, outside)
    below = np.cumsum(of_rest) - of_rest
    return min(float(np.sum(of_class * (below + 0.5 * of_rest))) / whole, 1.0)  # sums of weights are rounded


def brier(target: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Return the (weighted) mean squared difference of probability and truth, added up over the classes.

    For two classes it is the difference for one of them alone. The arguments are those of ``logloss``.
    """
    truth = np.asarray(target)[:, None] == np.arange(predicted.shape[1])
    squares = (predicted - truth) ** 2
    return _mean(squares[:, 1] if predicted.shape[1] == 2 else np.sum(squares, axis=1), weights)


def accuracy(target: Floats, labels: Index, weights: Floats | None = None) -> float:
    """Return the (weighted) share of the rows whose label is right.

    Args:
        target: Class positions, shape (rows,).
        labels: Predicted class positions, shape (rows,).
        weights: Row weights, shape (rows,); None if all rows count equally.
    """
    return _mean((target == labels).astype(np.float64), weights)


def balanced_accuracy(target: Floats, labels: Index, weights: Floats | None = None) -> float:
    """Return the mean over the classes of the share of their rows whose label is right.

    Classes that no row has are left out. The arguments are those of ``accuracy``.
    """
    hit, true, _ = _counts(target, labels, weights)
    return float(np.mean(hit[true > 0] / true[true > 0]))


def f1(target: Floats, labels: Index, weights: Floats | None = None) -> float:
    """Return the mean over the classes of the harmonic mean of precision and recall.

    Classes that no row has and that no label names are left out. The arguments are those of ``accuracy``.
    """
    hit, true, named = _counts(target, labels, weights)
    either = true + named
    return float(np.mean(2.0 * hit[either > 0] / either[either > 0]))


def _counts(target: Floats, labels: Index, weights: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Return the weight of the rows of each class that are labelled with it, that have it, and that are labelled."""
    true, named = np.asarray(target).astype(np.intp), np.asarray(labels).astype(np.intp)
    weight = np.ones(len(true)) if weights is None else weights
    most = int(max(true.max(), named.max())) + 1
    hit, of_true, of_named = np.zeros((3, most))
    hit += np.bincount(true, weight * (true == named), most)
    of_true += np.bincount(true, weight, most)
    of_named += np.bincount(named, weight, most)
    return hit, of_true, of_named


@dataclass(frozen=True)
class Score:
    """A score of predictions.

    Attributes:
        name: Its name in metrics.
        function: Takes target, predictions and row weights.
        maximised: Whether a higher value is better.
        of_labels: Whether ``function`` takes labels, as class positions, and not probabilities.
    """

    name: str
    function: Callable[[Floats, Any, Floats | None], float]
    maximised: bool = False
    of_labels: bool = False

    def __call__(
        self, target: Floats, predicted: Floats, weights: Floats | None = None, labels: Index | None = None
    ) -> float:
        """Return the score; NaN if no row has a weight.

        Args:
            target: Shape (rows,): quantities, or class positions.
            predicted: Quantities, shape (rows,), or probabilities, shape (rows, classes).
            weights: Row weights, shape (rows,); None if all rows count equally.
            labels: Predicted class positions, shape (rows,); None for the most probable classes.
        """
        if weights is not None and not np.any(weights):  # a fold whose rows all have the weight 0
            return float("nan")
        if not self.of_labels:
            return self.function(target, predicted, weights)
        return self.function(target, np.argmax(predicted, axis=1) if labels is None else labels, weights)


# The first score of a task is its main one, which decides unless the user names another.
_OF_QUANTITIES = (Score("rmse", rmse), Score("mae", mae), Score("r2", r2, maximised=True))
_OF_CLASSES = (
    Score("logloss", logloss),
    Score("auc", auc, maximised=True),
    Score("accuracy", accuracy, maximised=True, of_labels=True),
    Score("balanced_accuracy", balanced_accuracy, maximised=True, of_labels=True),
    Score("f1", f1, maximised=True, of_labels=True),
    Score("brier", brier),
)
SCORES: dict[str, Score] = {score.name: score for score in (*_OF_QUANTITIES, *_OF_CLASSES)}


def scores_of(task: Task) -> tuple[str, ...]:
    """Return the names of a task's scores, the main one first."""
    return tuple(score.name for score in (_OF_QUANTITIES if task == "regression" else _OF_CLASSES))


def main_score(task: Task) -> str:
    """Return the score that decides: ``rmse`` or ``logloss``."""
    return scores_of(task)[0]


def folded_scores(task: Task, objective: str | None = None) -> tuple[str, ...]:
    """Return the scores that each fold reports too, so that they have an interval.

    Args:
        task: What is predicted.
        objective: The metric that is optimised, whose score is among them; None for the default one.
    """
    usual = ("rmse",) if task == "regression" else ("logloss", "auc")
    return usual if objective is None else tuple(dict.fromkeys((*usual, MetricName.parse(objective).score)))


def default_objective(task: Task) -> str:
    """Return the metric that is optimised unless another is given."""
    return f"cv_{main_score(task)}_{BLENDED}"


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
        """Split a name of the form ``{split}_{score}_{who}``, of which each part may have underscores but the first."""
        split, rest = name.split("_", 1)
        known = next((score for score in SCORES if rest.startswith(f"{score}_")), None)
        score, who = rest.split("_", 1) if known is None else (known, rest.removeprefix(f"{known}_"))
        return cls(split, score, who)

    @property
    def maximised(self) -> bool:
        """Whether a higher value is better."""
        return self.score in SCORES and SCORES[self.score].maximised

    def of(self, who: str) -> str:
        """Return the name of the same metric of another member."""
        return f"{self.split}_{self.score}_{who}"


def scores(
    prefix: str,
    name: str,
    target: Floats,
    predicted: Floats,
    weights: Floats | None = None,
    labels: Index | None = None,
) -> dict[str, float]:
    """Return every score of the task as ``{prefix}_{score}_{name}``; the other arguments are those of ``Score``."""
    return {
        f"{prefix}_{score.name}_{name}": score(target, predicted, weights, labels)
        for score in (_OF_QUANTITIES if predicted.ndim == 1 else _OF_CLASSES)
    }


def pooled_scores(
    name: str, target: Floats, predictions: Floats, weights: Floats | None = None, labels: Index | None = None
) -> dict[str, float]:
    """Return every score of the task over all rows of out-of-fold predictions, as ``cv_{score}_{name}``.

    Each division of the rows into folds has its own score, and the result is their mean: scores of predictions that are
    averaged over divisions would be those of another, less noisy model.

    Args:
        name: A member's name or that of the blend.
        target: Shape (rows,): quantities, or class positions.
        predictions: Shape (repeats, rows[, classes]), NaN in rows that no fold scores.
        weights: Row weights, shape (rows,); None if all rows count equally.
        labels: Predicted class positions, shape (repeats, rows); None for the most probable classes.
    """
    scored = np.flatnonzero(np.isfinite(predictions[0].reshape(len(target), -1)).all(axis=1))
    known = None if weights is None else weights[scored]
    each = [
        scores("cv", name, target[scored], part[scored], known, None if labels is None else labels[repeat][scored])
        for repeat, part in enumerate(predictions)
    ]
    return {key: float(np.mean([one[key] for one in each])) for key in each[0]}


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that have a value: a score of rows that do not allow it is not finite, and is not recorded."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def overlap_factor(n: int, k: int) -> float:
    """Return the factor that turns the variance of n paired differences into the variance of their mean.

    It is 1/n + score rows/fit rows = 1/n + 1/(k-1) rather than 1/n, since folds share training rows
    (C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 239-281, 2003).
    """
    return 1 / n + 1 / (k - 1)
