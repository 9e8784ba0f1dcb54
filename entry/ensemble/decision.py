"""Decisions: which label follows from probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats

# The probability from which a row gets the positive label, unless another one is chosen.
HALF = 0.5


@dataclass(frozen=True)
class Decision:
    """How a label follows from the probabilities of classes.

    Attributes:
        positive: Position of the positive class of two; None for more classes, of which the most probable one counts.
        threshold: A row gets the positive label if its probability is at least this. At 0.5 it gets the more probable
            one, and the first of two that are equally probable.
    """

    positive: int | None = None
    threshold: float = HALF

    def labels(self, probabilities: Floats) -> npt.NDArray[np.intp]:
        """Return the position of each row's label among the classes, shape (rows,).

        Args:
            probabilities: Shape (rows, classes).
        """
        found: npt.NDArray[np.intp] = np.argmax(probabilities, axis=1)
        if self.positive is None or self.threshold == HALF:
            return found
        decided = probabilities[:, self.positive] >= self.threshold
        return np.where(decided, np.intp(self.positive), np.intp(1 - self.positive))
