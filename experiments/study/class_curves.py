"""What predicted probabilities of classes are worth: confusion, ROC and precision-recall curves, reliability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import Index

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
        predicted: Mean probability in each bin, shape (bins,).
        observed: Share of the rows in which the prediction came true, shape (bins,).
        low: Lower end of the 95% interval of that share, shape (bins,).
        high: Upper end, shape (bins,).
        rows: Number of rows, shape (bins,).
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    rows: Index


def confusion(target: Floats, labels: Index, classes: int) -> Index:
    """Return the number of rows by actual and by predicted class, shape (classes, classes)."""
    pairs = target.astype(np.intp) * classes + labels
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


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


def reliability(target: Floats, probabilities: Floats, positive: int | None) -> Reliability:
    """Compare probabilities with how often they came true; the intervals of shares are Wilson's (1927).

    Args:
        target: Class positions, shape (rows,).
        probabilities: Shape (rows, classes).
        positive: The class whose probabilities are looked at; None for those of each row's most probable class.
    """
    if positive is None:
        likely = probabilities.argmax(axis=1)
        predicted, came_true = probabilities.max(axis=1), likely == target
    else:
        predicted, came_true = probabilities[:, positive], target == positive
    place = np.minimum((predicted * BINS).astype(np.intp), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    filled = rows > 0
    sums = [np.bincount(place, values, BINS)[filled] for values in (predicted, came_true.astype(np.float64))]
    n, share = rows[filled], sums[1] / rows[filled]
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return Reliability(sums[0] / n, share, centre - half, centre + half, n)
