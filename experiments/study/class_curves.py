"""What predicted probabilities of classes are worth: confusion, ROC and precision-recall curves, reliability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import Index
from experiments.study.predictions import Predictions

# Bins of equal width in which probabilities are compared with what happened.
BINS = 10
# The normal distribution's 97.5% quantile.
Z = 1.959964
# Positions at which the curves of several classes are averaged.
GRID = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True)
class Curve:
    """A curve in the unit square.

    Attributes:
        x: Ascending, shape (points,).
        y: Shape (points,).
        area: The area below it, as its field defines it: AUC, or average precision.
    """

    x: Floats
    y: Floats
    area: float


@dataclass(frozen=True)
class Reliability:
    """Bins of predicted probabilities that have rows.

    Attributes:
        predicted: (Weighted) mean probability in each bin, shape (bins,).
        observed: (Weighted) share of the rows in which the prediction came true, shape (bins,).
        low: Lower end of the 95% interval of that share, shape (bins,).
        high: Upper end, shape (bins,).
        rows: Number of rows, shape (bins,); of several divisions into folds the mean, rounded.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    rows: Index


@dataclass(frozen=True)
class Confusion:
    """How often each class was predicted for the rows of each class.

    Attributes:
        rows: Number of rows by actual and by predicted class, shape (classes, classes); of several divisions into folds
            the mean, rounded.
        shares: Their (weighted) share of the rows of the actual class, shape (classes, classes).
    """

    rows: Index
    shares: Floats


def confusion(found: Predictions, classes: int) -> Confusion:
    """Return how often the blend predicted each class for the rows of each class.

    Args:
        found: Predictions of classes.
        classes: Number of classes.
    """
    pairs = found.target.astype(np.intp) * classes + found.decided()
    counted, weighed = (
        np.bincount(pairs, weights, minlength=classes**2).reshape(classes, classes) for weights in (None, found.weights)
    )
    whole = weighed.sum(axis=1, keepdims=True)
    return Confusion(_by_division(counted, found), weighed / np.where(whole > 0, whole, 1.0))


def _by_division(rows: Index, found: Predictions) -> Index:
    return np.rint(rows / found.divisions).astype(np.intp)


def roc_curve(target: Floats, probabilities: Floats, weights: Floats | None, places: Sequence[int]) -> Curve:
    """Return the share of true positives by that of false ones, averaged over classes against the rest.

    Args:
        target: Class positions, shape (rows,).
        probabilities: Shape (rows, classes).
        weights: Shape (rows,); None if all rows count equally.
        places: The classes; those without rows, or with all rows, are left out.
    """
    from sklearn.metrics import auc
    from sklearn.metrics import roc_curve as curve

    def one(own: Floats, probability: Floats) -> Curve:
        x, y, _ = curve(own, probability, sample_weight=weights)
        return Curve(x, y, float(auc(x, y)))

    return _averaged(one, target, probabilities, places)


def precision_recall_curve(
    target: Floats, probabilities: Floats, weights: Floats | None, places: Sequence[int]
) -> Curve:
    """Return the precision by recall, averaged over classes; the arguments are those of ``roc_curve``."""
    from sklearn.metrics import average_precision_score
    from sklearn.metrics import precision_recall_curve as curve

    def one(own: Floats, probability: Floats) -> Curve:
        y, x, _ = curve(own, probability, sample_weight=weights)
        return Curve(x[::-1], y[::-1], float(average_precision_score(own, probability, sample_weight=weights)))

    return _averaged(one, target, probabilities, places)


def _averaged(
    one: Callable[[Floats, Floats], Curve], target: Floats, probabilities: Floats, places: Sequence[int]
) -> Curve:
    owns = [(place, (target == place).astype(np.float64)) for place in places]
    curves = [one(own, probabilities[:, place]) for place, own in owns if 0 < own.sum() < len(own)]
    if len(curves) == 1:
        return curves[0]
    if not curves:
        return Curve(np.empty(0), np.empty(0), float("nan"))
    means = np.mean([np.interp(GRID, curve.x, curve.y) for curve in curves], axis=0)
    return Curve(GRID, means, float(np.mean([curve.area for curve in curves])))


def reliability(found: Predictions, positive: int | None) -> Reliability:
    """Compare the blend's probabilities with how often they came true; the intervals of shares are Wilson's (1927).

    They count rows as Kish (1965) does: unequal weights make them fewer. A row is the same one in each division into
    folds.

    Args:
        found: Predictions of classes.
        positive: The class whose probabilities are looked at; None for those of each row's most probable class.
    """
    if positive is None:
        predicted, came_true = found.blended.max(axis=1), found.blended.argmax(axis=1) == found.target
    else:
        predicted, came_true = found.blended[:, positive], found.target == positive
    weights = np.ones(len(predicted)) if found.weights is None else found.weights
    place = np.minimum((predicted * BINS).astype(np.intp), BINS - 1)
    total = np.bincount(place, weights, BINS)
    filled = total > 0
    total = total[filled]
    means = [np.bincount(place, weights * values, BINS)[filled] / total for values in (predicted, came_true)]
    n = total**2 / np.bincount(place, weights**2, BINS)[filled] / found.divisions
    share = means[1]
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    rows = _by_division(np.bincount(place, weights > 0, BINS)[filled].astype(np.intp), found)
    return Reliability(means[0], share, centre - half, centre + half, rows)
