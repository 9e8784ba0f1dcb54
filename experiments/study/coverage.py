"""How often the intervals of a winner hold the target of rows that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import Index, of_true_class
from ensemble.intervals import LEVEL, LevelError

if TYPE_CHECKING:
    from ensemble.table import Table
    from ensemble.training import FittedEnsemble

# What a recorded winner's ``info`` calls it.
COVERAGE = "coverage"
# The confidence of the binomial interval.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Coverage:
    """The share of test rows that an interval, or a set of classes, holds.

    Attributes:
        level: The share that is meant to be held.
        share: The share that is held.
        low: The lower end of the binomial interval of ``share``.
        high: Its upper end.
        rows: The number of rows; with weights, of rows of equal weight that would tell as much.
        size: The mean width of the intervals, in the target's unit, or the mean number of labels in the sets.
    """

    level: float
    share: float
    low: float
    high: float
    rows: float
    size: float

    def metrics(self) -> dict[str, float]:
        """Return the numbers by the names that they have in MLflow, such as ``coverage_90``."""
        name = f"{100 * self.level:g}"
        return {
            f"coverage_{name}": self.share,
            f"coverage_{name}_low": self.low,
            f"coverage_{name}_high": self.high,
            f"interval_size_{name}": self.size,
        }


def coverage_of(info: Mapping[str, Any]) -> Coverage | None:
    """Return what a recorded winner's ``info`` has of its coverage; None if it was not measured."""
    return Coverage(**info[COVERAGE]) if COVERAGE in info else None


def measured_coverage(ensemble: FittedEnsemble, table: Table, blended: Floats, labels: Index | None) -> Coverage | None:
    """Return how many of some rows the intervals hold; None if the model has no intervals of this level.

    Args:
        ensemble: The model.
        table: The rows, with their own weights.
        blended: The blended predictions for them.
        labels: The positions of the predicted labels; None for a quantity.
    """
    if ensemble.intervals is None:
        return None
    try:
        if labels is None:
            half = ensemble.intervals.half_widths(table.features, blended, LEVEL, "level")
            held, sizes = (np.abs(table.target - blended) <= half).astype(np.float64), 2.0 * half
        else:
            sets = ensemble.intervals.sets(blended, labels, LEVEL, "level").astype(np.float64)
            held, sizes = of_true_class(sets, table.target), sets.sum(axis=1)
    except LevelError:  # too few rows
        return None
    weights = np.ones(table.rows) if table.weights is None else table.weights
    if not weights.any():
        return None
    share, size = (float(np.average(found, weights=weights)) for found in (held, sizes))
    rows = float(weights.sum() ** 2 / (weights**2).sum())
    return Coverage(LEVEL, share, *binomial_interval(share, rows), rows, size)


def binomial_interval(share: float, rows: float) -> tuple[float, float]:
    """Return the interval of a share of rows by C. Clopper and E. Pearson (Biometrika 26, 404-413, 1934)."""
    from scipy.special import betaincinv

    held, tail = share * rows, (1 - _CONFIDENCE) / 2
    low = 0.0 if share <= 0 else float(betaincinv(held, rows - held + 1, tail))
    high = 1.0 if share >= 1 else float(betaincinv(held + 1, rows - held, 1 - tail))
    return low, high
