"""Rows that stand for those that a model learnt from, drawn from its sketch, so that none of these has to be kept.

Each column has the values and shares of the training rows by itself: nothing of two columns together is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble.arrays import Floats
from ensemble.sketch import ColumnSketch, Sketch
from ensemble.table import Column


def typical_rows(sketch: Sketch, columns: Sequence[Column], count: int) -> Floats:
    """Return rows whose columns are independent, each with the shares of the training rows as far as ``count`` allows.

    A number is one of the sketched quantiles, so that no value is one that training rows did not have, up to rounding.

    Args:
        sketch: What is known of the training rows.
        columns: The model's features, as in the sketch.
        count: The number of rows.

    Returns:
        Shape (count, columns), float64, NaN where missing. The same arguments give the same rows.
    """
    random = np.random.default_rng(0)
    rows = np.empty((count, len(columns)))
    positions = (np.arange(count) + 0.5) / count
    for place, (found, column) in enumerate(zip(sketch.columns, columns, strict=True)):
        rows[random.permutation(count), place] = _quantiles(found, column, positions)
    return rows


def _quantiles(found: ColumnSketch, column: Column, positions: Floats) -> Floats:
    """Return a column's values at positions from 0 to 1 in their order, of which the missing ones are the first."""
    values, shares = _levels(found, column) if found.is_category else _numbers(found)
    values, shares = np.concatenate([[np.nan], values]), shares * (1.0 - found.missing)
    upto = np.cumsum(np.concatenate([[found.missing], shares]))
    return np.asarray(values[np.minimum(np.searchsorted(upto / upto[-1], positions, side="right"), len(values) - 1)])


def _numbers(found: ColumnSketch) -> tuple[Floats, Floats]:
    """Return the quantiles and their shares; the rows between two of them count half for each."""
    at, between = np.array(found.shares[1::2]), np.array(found.shares[::2])
    halves = between / 2
    halves[[0, -1]] = between[[0, -1]]
    return np.array(found.edges), _with_sum_one(at + halves[:-1] + halves[1:])


def _levels(found: ColumnSketch, column: Column) -> tuple[Floats, Floats]:
    """Return the positions of all levels and their shares; those that are not sketched share the rest equally."""
    shares = np.zeros(len(column.levels))
    others = np.setdiff1d(np.arange(len(shares)), found.levels)
    shares[list(found.levels)] = found.shares[:-1]
    if len(others):
        shares[others] = found.shares[-1] / len(others)
    return np.arange(len(shares), dtype=np.float64), _with_sum_one(shares)


def _with_sum_one(shares: Floats) -> Floats:
    total = float(shares.sum())
    return shares / total if total > 0 else np.full(len(shares), 1.0 / max(len(shares), 1))
