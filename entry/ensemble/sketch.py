"""A sketch of the rows that a model learnt from, by which other rows can be compared with them.

It has no row, and nothing of two columns together: of each column the share of missing values and the shares of rows
between quantiles, or in the larger categories, and likewise of the members' disagreement out of fold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.disagreement import Disagreement
from ensemble.documents import read_json
from ensemble.errors import BundleError
from ensemble.table import Column, Table

SKETCH = "sketch.json"
SKETCH_VERSION = 1
# Of a longer table, as many rows at equal distances are sketched.
MOST_ROWS = 100_000
# Bins of a column, and the fewest rows in each, so that no quantile is the value of a row known to be extreme.
MOST_BINS, LEAST_ROWS = 20, 10
# The largest categories, if each has at least this share of the rows.
MOST_LEVELS, LEAST_SHARE = 50, 0.01
_DIGITS, _SHARE_DIGITS = 4, 5
# A smaller disagreement counts as zero, and more rows than this are not counted one by one.
_LEAST_MEAN, _MANY = 1e-250, 2**53


@dataclass(frozen=True)
class ColumnSketch:
    """The values of one column.

    Attributes:
        name: Its name.
        missing: The share of rows without a value.
        edges: Of numbers, quantiles, ascending: rounded, unless ``LEAST_ROWS`` rows have the value.
        levels: Of a category, the positions of the larger levels.
        shares: The shares of the rows with a value. Of numbers: below the first edge, at it, between it and the second
            one, and so on, so that there are ``2 * len(edges) + 1``. Of a category: of each of ``levels``, and of all
            others together.
    """

    name: str
    missing: float
    edges: tuple[float, ...]
    levels: tuple[int, ...]
    shares: tuple[float, ...]

    @property
    def is_category(self) -> bool:
        """Whether it has levels rather than an order."""
        return not self.edges and len(self.shares) == len(self.levels) + 1

    def counts(self, values: Floats) -> Floats:
        """Return in how many of some rows the value is in each of the parts that ``shares`` has; NaN is in none.

        Args:
            values: As the model codes them, shape (rows,).
        """
        known = values[~np.isnan(values)]
        if self.is_category:
            place = {level: number for number, level in enumerate(self.levels)}
            found = [place.get(int(value), len(self.levels)) for value in known.tolist()]
            return np.bincount(np.asarray(found, dtype=np.intp), minlength=len(self.shares)).astype(np.float64)
        return _counts(known, np.asarray(self.edges))


@dataclass(frozen=True)
class Sketch:
    """The rows that a model learnt from.

    Attributes:
        rows: Their number.
        columns: Each feature, in order.
        disagreement: The members' disagreement out of fold, as a column; None if one member has all the weight.
        mean: The mean disagreement out of fold; 0 if there is none.
        deviation: The standard deviation of the disagreement over the rows.
    """

    rows: int
    columns: tuple[ColumnSketch, ...]
    disagreement: ColumnSketch | None = None
    mean: float = 0.0
    deviation: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``read_sketch`` reads back."""
        return {"sketch_version": SKETCH_VERSION, **asdict(self)}


def sketch(table: Table, out_of_fold: Floats, weights: Sequence[float]) -> Sketch:
    """Return the sketch of the rows of a table.

    Args:
        table: The rows that a model's members are fitted on.
        out_of_fold: The members' out-of-fold predictions, shape (rows, members[, classes]); NaN where there are none.
        weights: The members' weights in the blend.
    """
    step = max(1, math.ceil(table.rows / MOST_ROWS))
    columns = tuple(
        _sketch_column(column, np.asarray(values[::step], dtype=np.float64))
        for column, values in zip(table.columns, table.features.T, strict=True)
    )
    apart = Disagreement.of_blend(weights)
    scored = np.isfinite(out_of_fold.reshape(len(out_of_fold), -1)).all(axis=1)
    if apart is None or not scored.any():
        return Sketch(table.rows, columns)
    found = apart.of_rows(out_of_fold[scored])
    mean, deviation = (float(f"{value:.6g}") for value in (found.mean(), found.std()))
    if mean < _LEAST_MEAN:  # members that are all the same
        return Sketch(table.rows, columns)
    return Sketch(table.rows, columns, _sketch_numbers("disagreement", found), mean, deviation)


def write_sketch(path: Path, found: Sketch) -> None:
    """Write a sketch as JSON."""
    path.write_text(json.dumps(found.as_dict(), separators=(",", ":")))


def read_sketch(path: Path, columns: Sequence[Column]) -> Sketch:
    """Read what ``write_sketch`` wrote.

    Args:
        path: The file.
        columns: The model's features.

    Raises:
        BundleError: It is not a sketch of these columns.
    """
    try:
        data = read_json(path)
        if data["sketch_version"] != SKETCH_VERSION:
            version = str(data["sketch_version"])[:20]
            raise BundleError(f"{path} has version {version}; this release reads {SKETCH_VERSION}. Train again.")
        found = tuple(_column(entry) for entry in data["columns"])
        if [one.name for one in found] != [column.name for column in columns]:
            raise ValueError("it has other columns than the model")
        for one, column in zip(found, columns, strict=True):
            if one.is_category != (column.type == "category"):
                raise ValueError(f"{column.name!r} is of another kind")
        apart = data["disagreement"]
        rows, mean, deviation = int(data["rows"]), float(data["mean"]), float(data["deviation"])
        if not 1 <= rows < _MANY or not 0 <= mean < math.inf or not 0 <= deviation < math.inf:
            raise ValueError("its numbers are not those of rows")
        if apart is not None and mean < _LEAST_MEAN:
            raise ValueError("its disagreement has no mean")
        return Sketch(rows, found, None if apart is None else _column(apart), mean, deviation)
    except BundleError:
        raise
    except (OSError, ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise BundleError(f"{path} is damaged: it is not a sketch ({error}). Copy it again or train again.") from None


def _column(entry: Mapping[str, Any]) -> ColumnSketch:
    edges, levels, shares = (tuple(entry[name]) for name in ("edges", "levels", "shares"))
    found = ColumnSketch(str(entry["name"]), float(entry["missing"]), edges, levels, shares)
    numbers = [found.missing, *edges, *shares]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        raise ValueError(f"{found.name!r} has values that are not numbers")
    if not all(isinstance(level, int) for level in levels) or list(edges) != sorted(set(edges)):
        raise ValueError(f"{found.name!r} has parts without an order")
    if not 0 <= found.missing <= 1 or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"{found.name!r} has shares outside 0 to 1")
    if len(shares) != (2 * len(edges) + 1 if edges else len(levels) + 1):
        raise ValueError(f"{found.name!r} has {len(shares)} shares")
    return found


def _sketch_column(column: Column, values: Floats) -> ColumnSketch:
    if column.type != "category":
        return _sketch_numbers(column.name, values)
    known = values[~np.isnan(values)].astype(np.intp)
    counts = np.bincount(known, minlength=len(column.levels))
    least = max(LEAST_ROWS, LEAST_SHARE * len(values))
    order = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    levels = tuple(sorted(int(level) for level in order if counts[level] >= least))
    parts = np.array([*(counts[level] for level in levels), len(known) - sum(counts[level] for level in levels)])
    return ColumnSketch(column.name, _missing(values), (), levels, _shares(parts))


def _sketch_numbers(name: str, values: Floats) -> ColumnSketch:
    known = values[~np.isnan(values)]
    if not len(known):
        return ColumnSketch(name, _missing(values), (0.0,), (), (0.0, 0.0, 0.0))
    bins = min(MOST_BINS, max(2, len(known) // LEAST_ROWS))
    places = np.arange(1, bins) / bins
    found = np.unique(np.quantile(known, places, method="inverted_cdf"))
    ordered = np.sort(known)
    often = np.searchsorted(ordered, found, side="right") - np.searchsorted(ordered, found, side="left") >= LEAST_ROWS
    # A value that many rows have stays as it is, so that rows below it and at it are told apart.
    exact = zip(found.tolist(), often.tolist(), strict=True)
    edges = tuple(sorted({value if kept else float(f"{value:.{_DIGITS}g}") for value, kept in exact}))
    return ColumnSketch(name, _missing(values), edges, (), _shares(_counts(known, np.asarray(edges))))


def _counts(known: Floats, edges: Floats) -> Floats:
    places = np.searchsorted(edges, known, side="left") + np.searchsorted(edges, known, side="right")
    return np.bincount(places, minlength=2 * len(edges) + 1).astype(np.float64)


def _shares(counts: Any) -> tuple[float, ...]:
    total = float(np.sum(counts)) or 1.0
    return tuple(round(float(count) / total, _SHARE_DIGITS) for count in counts)


def _missing(values: Floats) -> float:
    return round(float(np.isnan(values).mean()), _SHARE_DIGITS) if len(values) else 0.0
