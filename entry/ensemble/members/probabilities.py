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
        scores = np.column_stack([np.zeros(len(scores)), scores])
    scores = np.ascontiguousarray(scores, dtype=np.float64)
    return normalised(exp(scores - scores.max(axis=1, keepdims=True)))


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
