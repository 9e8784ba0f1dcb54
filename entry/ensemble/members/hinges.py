"""Hinges: columns that make a linear model one of bent lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ensemble.arrays import Floats

# The share of the rows below the first knot of a column, and above the last one.
_OUTSIDE = 0.03


class Hinges(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Add to each column how far its values are above each of some knots, as a transformer of scikit-learn.

    A linear model of these columns has a line with a bend at each knot in place of a straight one, and goes on straight
    outside the knots. The knots are quantiles.
    """

    def __init__(self, knots: int) -> None:
        """Keep the settings, as scikit-learn requires; a column with few values has fewer ``knots``."""
        self.knots = knots

    def fit(self, features: Floats, target: Any = None) -> Hinges:
        """Find the knots of each column; features have the shape (rows, columns), and are finite."""
        shares = np.linspace(_OUTSIDE, 1 - _OUTSIDE, self.knots)
        self.knots_ = [np.unique(np.quantile(column, shares)) for column in features.T]
        return self

    @property
    def bends(self) -> list[Floats]:
        """The knots of each column that have a hinge: none above the last, and none if there are only two."""
        return [knots[:-1] if len(knots) > 2 else knots[:0] for knots in self.knots_]

    def transform(self, features: Floats) -> Floats:
        """Return each column followed by its hinges."""
        columns = []
        for column, bends in zip(features.T, self.bends, strict=True):
            columns.append(column)
            columns += [np.maximum(column - bend, 0.0) for bend in bends]
        return np.column_stack(columns) if columns else features
