"""Probabilities of classes, computed row by row, so that a row alone gives the same bits as among others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble.arrays import Floats
from ensemble.elementary import exp


def softmax(scores: Floats) -> Floats:
    """Return the probabilities that belong to scores on the scale of logarithms.

    Args:
        scores: Shape (rows, classes); or (rows,), the logarithm of the odds of the second of two classes.

    Returns:
        Shape (rows, classes), float64; each row sums to 1.
    """
    if scores.ndim == 1:
        return _of_two(np.asarray(scores, dtype=np.float64))
    scores = np.ascontiguousarray(scores, dtype=np.float64)
    return normalised(exp(scores - scores.max(axis=1, keepdims=True)))


def _of_two(odds: Floats) -> Floats:
    """Return what ``softmax`` of zeros and ``odds`` side by side is, to the bit, in half the time."""
    less, is_second = exp(-np.abs(odds)), odds >= 0
    found = np.empty((len(odds), 2))
    found[:, 0] = np.where(is_second, less, 1.0)
    found[:, 1] = np.where(is_second, 1.0, less)
    found /= (1.0 + less)[:, None]
    return found


def softmax_each(scores: Sequence[Floats]) -> list[Floats]:
    """Return ``softmax`` of each of several arrays, at once if they have one shape: a call costs more than a row."""
    if len({part.shape for part in scores}) > 1:
        return [softmax(part) for part in scores]
    return list(np.split(softmax(np.concatenate(scores)), len(scores)))


def normalised(shares: Floats) -> Floats:
    """Return ``shares``, shape (rows, classes), divided by the sum of each row, which is summed class by class."""
    total = np.zeros(len(shares))
    for column in shares.T:
        total += column
    return np.asarray(shares / total[:, None], dtype=np.float64)


def in_columns(probabilities: Floats, present: Sequence[int], classes: int) -> Floats:
    """Return ``probabilities`` with a column for each class, 0 for those that were not among the rows of a fit.

    Args:
        probabilities: Shape (rows, classes that were present).
        present: Positions of the classes that were present, in the order of the columns.
        classes: Number of all classes.
    """
    found = np.zeros((len(probabilities), classes))
    found[:, np.asarray(present, dtype=np.intp)] = probabilities
    return found
