"""Which class is predicted, given the probabilities of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble.arrays import Floats


def decided(probabilities: Floats, positive: int | None = None, threshold: float = 0.5) -> Any:
    """Return the predicted class of each row.

    Args:
        probabilities: Shape (rows, classes), float64.
        positive: Position of the positive class of two; None for more classes.
        threshold: The positive class is predicted where its probability is at least this. Not used for more than two
            classes, where the most probable class is predicted, and the first of equally probable ones.

    Returns:
        Positions among the classes, shape (rows,), int64.
    """
    if positive is None:
        return np.argmax(probabilities, axis=1)
    return np.where(probabilities[:, positive] >= threshold, positive, 1 - positive)
