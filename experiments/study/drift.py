"""Whether rows are like those that a model learnt from: each column, and the members' disagreement.

A population stability index (PSI) compares the shares of rows in the parts of a column, of which missing values and
unknown categories are two: the sum of (p - q) ln(p / q). Without a drift, it is about (1/n + 1/m) times a chi-squared
number with one degree of freedom less than there are parts, for n and m rows (B. Yurdakul, J. Naranjo, "Statistical
properties of the population stability index", Journal of Risk Model Validation 14, 2020). So a column has drifted if
its index is above the threshold and above what chance explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.sketch import ColumnSketch, Sketch

# Numbers are compared in about ten parts; a value that this share of rows has is a part of its own.
LEAST_PART, LEAST_VALUE = 0.1, 0.05
# What chance may exceed in any column of rows without a drift.
CHANCE = 0.01
# Added to each count, so that an empty part has a finite logarithm.
_HALF_A_ROW = 0.5
# Enough rows to show a drift, whatever the columns are.
_MOST_TRIED = 1000


@dataclass(frozen=True)
class ColumnDrift:
    """How one column of some rows differs from the same column of the rows that a model learnt from.

    Attributes:
        name: The column.
        psi: The population stability index.
        chance: What the index may be by chance.
        ks: The largest difference of the shares of rows up to a value, at the sketch's quantiles; None for a category.
        missing: The share of rows without a value, before and now.
        unseen: The share of rows with a category that the model does not have.
        drifted: Whether the index is above the threshold and above chance.
    """

    name: str
    psi: float
    chance: float
    ks: float | None
    missing: tuple[float, float]
    unseen: float
    drifted: bool


@dataclass(frozen=True)
class Drift:
    """How some rows differ from those that a model learnt from.

    Attributes:
        rows: The number of rows.
        learnt: The number of rows that the model learnt from.
        columns: Each feature, in order.
        disagreement: The mean disagreement of the members, as a multiple of that out of fold; None if one member has
            all the weight.
        chance: What this multiple may be by chance.
        disagree: Whether it is above the threshold and above chance.
        fewest: The fewest rows that could show a drift of a column, if these are fewer and show none; otherwise 1.
        warnings: Sentences about values that are predicted as missing.
    """

    rows: int
    learnt: int
    columns: tuple[ColumnDrift, ...]
    disagreement: float | None
    chance: float
    disagree: bool
    fewest: int = 1
    warnings: tuple[str, ...] = ()

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that have drifted, the largest index first."""
        return tuple(sorted((one for one in self.columns if one.drifted), key=lambda one: -one.psi))


class Counts:
    """Counts of rows in the parts of a sketch, collected from one part of the rows after the other."""

    def __init__(self, found: Sketch) -> None:
        """Begin without rows."""
        self._sketch = found
        self.rows = 0
        self._parts = [np.zeros(len(column.shares)) for column in found.columns]
        self._missing = np.zeros(len(found.columns))
        self._apart: list[float] = [0.0]

    def add(self, features: Floats, disagreement: Floats | None) -> None:
        """Count further rows.

        Args:
            features: Shape (rows, columns), NaN where missing.
            disagreement: Of the members, shape (rows,); None if one member has all the weight.
        """
        self.rows += len(features)
        for place, (column, values) in enumerate(zip(self._sketch.columns, features.T, strict=True)):
            self._parts[place] += column.counts(values)
            self._missing[place] += np.count_nonzero(np.isnan(values))
        if disagreement is not None:
            self._apart.append(float(disagreement.sum()))

    def as_dict(self, unseen: Mapping[str, int]) -> dict[str, Any]:
        """Return JSON-ready data for ``drift_of``.

        Args:
            unseen: By column, in how many rows it has a category that the model does not have.
        """
        names = [column.name for column in self._sketch.columns]
        return {
            "rows": self.rows,
            "parts": [part.tolist() for part in self._parts],
            "missing": self._missing.tolist(),
            "unseen": [unseen.get(name, 0) for name in names],
            "apart": float(np.sum(self._apart)),
        }


def drift_of(found: Sketch, counts: Mapping[str, Any], threshold: float, disagreement: float) -> Drift:
    """Return how rows differ from those of a sketch.

    Args:
        found: The sketch.
        counts: What ``Counts.as_dict`` returned; with at least one row.
        threshold: The index from which a column has drifted, unless chance explains it.
        disagreement: The multiple of the disagreement out of fold from which the members disagree.
    """
    rows = int(counts["rows"])
    columns = []
    for column, parts, missing, unseen in zip(
        found.columns, counts["parts"], counts["missing"], counts["unseen"], strict=True
    ):
        columns.append(_column(column, np.asarray(parts), (missing, unseen), rows, found, threshold))
    multiple, chance = None, 0.0
    if found.disagreement is not None:
        from scipy.stats import norm

        multiple = counts["apart"] / rows / found.mean
        spread = found.deviation * np.sqrt(1.0 / rows + 1.0 / found.rows) / found.mean
        chance = 1.0 + float(norm.ppf(1.0 - CHANCE)) * float(spread)
    disagree = multiple is not None and multiple > max(disagreement, chance)
    drift = Drift(rows, found.rows, tuple(columns), multiple, chance, disagree)
    return drift if drift.drifted or disagree else replace(drift, fewest=_fewest(rows, found))


def _fewest(rows: int, found: Sketch) -> int:
    """Return 1 if in this number of rows an index can be above chance, and otherwise the fewest in which it can."""

    def enough(count: int) -> bool:
        return any(_largest(column, count, found).drifted for column in found.columns)

    return 1 if enough(rows) else next((count for count in range(rows + 1, _MOST_TRIED) if enough(count)), _MOST_TRIED)


def _largest(column: ColumnSketch, rows: int, found: Sketch) -> ColumnDrift:
    """Return the drift of a column if all rows had an unknown category, or a number in its rarest part."""
    parts = np.zeros(len(column.shares))
    if column.is_category or not len(parts):
        return _column(column, parts, (rows, rows), rows, found, 0.0)
    sizes = np.bincount(joined := np.array(_joined(column.shares)), weights=column.shares)
    parts[int(np.argmax(joined == np.argmin(sizes)))] = rows
    return _column(column, parts, (0, 0), rows, found, 0.0)


def _column(
    column: ColumnSketch, parts: Floats, gaps: tuple[float, float], rows: int, found: Sketch, threshold: float
) -> ColumnDrift:
    from scipy.stats import chi2

    missing, unseen = gaps[0] - gaps[1], gaps[1]  # an unknown category is read as a missing value
    known = 1.0 - column.missing
    before = np.asarray(column.shares) * known * found.rows
    joined = list(range(len(parts))) if column.is_category else _joined(column.shares)
    then: Floats = np.append(np.bincount(joined, weights=before), [column.missing * found.rows, 0.0])
    now: Floats = np.append(np.bincount(joined, weights=parts), [missing, unseen])
    used = (then > 0) | (now > 0)
    psi = _index(then[used], now[used])
    freedom = max(1, int(used.sum()) - 1)
    chance = (1.0 / rows + 1.0 / found.rows) * float(chi2.ppf(1.0 - CHANCE / len(found.columns), freedom))
    ks = None
    if not column.is_category and parts.sum() and known:
        ks = float(np.abs(np.cumsum(parts) / parts.sum() - np.cumsum(column.shares)).max())
    return ColumnDrift(
        column.name, psi, chance, ks, (column.missing, missing / rows), unseen / rows, psi > max(threshold, chance)
    )


def _index(then: Floats, now: Floats) -> float:
    p, q = ((counts + _HALF_A_ROW) / (counts + _HALF_A_ROW).sum() for counts in (now, then))
    return float(np.sum((p - q) * np.log(p / q)))


def _joined(shares: Sequence[float]) -> list[int]:
    """Return for each part of a column's numbers the part of about a tenth of the rows that it belongs to."""
    places: list[int] = []
    current, size = -1, LEAST_PART
    for number, share in enumerate(shares):
        alone = number % 2 == 1 and share >= LEAST_VALUE
        if alone or size >= LEAST_PART:
            current, size = current + 1, 0.0
        places.append(current)
        size = LEAST_PART if alone else size + share
    return places
