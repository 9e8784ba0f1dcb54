"""How far the members' predictions of a row are apart: where they disagree, rows are unlike those learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Floats


@dataclass(frozen=True)
class Disagreement:
    """The mean distance of the members from their mean, both weighted as in the blend.

    For quantities it is in the target's unit. For probabilities it is the total variation distance, from 0 to 1.

    Attributes:
        shares: The share of each member, shape (members,), sum 1.
    """

    shares: Floats

    @classmethod
    def of_blend(cls, weights: Sequence[float]) -> Disagreement | None:
        """Return it for a blend's weights, whose sign does not count; None if fewer than two members have weight."""
        sizes = np.abs(np.asarray(weights, dtype=np.float64))
        return cls(sizes / sizes.sum()) if np.count_nonzero(sizes) > 1 else None

    def of_rows(self, members: Floats) -> Floats:
        """Return the disagreement of each row, shape (rows,).

        Args:
            members: Predictions, shape (rows, members), or probabilities, shape (rows, members, classes).
        """
        if members.ndim == 2:
            apart = members - (members @ self.shares)[:, None]
            return np.asarray(np.abs(apart, out=apart) @ self.shares)
        apart = members - (self.shares @ members)[:, None]
        return np.asarray(np.abs(apart, out=apart).sum(axis=2) @ self.shares / 2)
