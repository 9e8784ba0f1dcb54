"""What a table contains and what in it may mislead, reported before the first trial."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table as TextTable
from rich.text import Text

from ensemble.arguments import as_argument
from ensemble.column_types import DeclaredType
from ensemble.members import Floats, Member
from ensemble.table import Column, Table
from experiments.data.datasets import Splits
from experiments.data.float_limits import float_warnings

# Rows in which distinct values and repeated rows are looked for; this many take a second.
MOST_ROWS = 100_000
MANY_LEVELS = 1000
# Standard deviations from the mean beyond which a target's largest value dominates the squared error.
HEAVY_TAIL = 10.0
_NO_ISO_DATE = "dates?"
_DATE = re.compile(r"\d{1,4}([/.-])\d{1,2}\1\d{1,4}( .*)?")


@dataclass(frozen=True)
class ColumnReport:
    """One column.

    Attributes:
        name: Its name.
        type: Its type.
        missing: Share of rows without a value.
        distinct: Number of different values.
        remark: What may mislead about it, or an empty string.
    """

    name: str
    type: str
    missing: float
    distinct: int
    remark: str


@dataclass(frozen=True)
class DataReport:
    """A whole table.

    Attributes:
        columns: The features.
        warnings: Sentences about the table, each with what to do.
    """

    columns: tuple[ColumnReport, ...]
    warnings: tuple[str, ...]

    def render(self) -> RenderableType:
        """Return the columns as a table, and how one is read otherwise."""
        table = TextTable(box=None, pad_edge=False, padding=(0, 1))
        for title in ("column", "type", "missing", "distinct", ""):
            table.add_column(title, justify="right" if title in ("missing", "distinct") else "left")
        for column in self.columns:
            missing = f"{column.missing:.1%}" if column.missing else ""
            table.add_row(column.name, column.type, missing, str(column.distinct), column.remark)
        types = "|".join(get_args(DeclaredType))
        return Group(table, Text(f"To read a column otherwise: dataset.columns.<name>={types}"))


def report(splits: Splits, members: Mapping[str, type[Member]]) -> DataReport:
    """Look at the data of a study.

    Args:
        splits: The data.
        members: The classes of the study's members, by name.
    """
    tables = splits.tables.values()
    features = np.concatenate([np.asarray(table.features[:MOST_ROWS]) for table in tables])[:MOST_ROWS]
    columns = tuple(_column(column, features[:, place]) for place, column in enumerate(splits.train.columns))
    warnings = []
    for remark, advice in (
        ("constant", "no member learns anything from them"),
        ("an identifier?", "what is learnt from them does not hold for new rows"),
        ("many values", "most members see only the most frequent"),
        (_NO_ISO_DATE, "they are read as categories; write 2024-12-31"),
    ):
        named = [column.name for column in columns if column.remark == remark]
        if named:
            warnings.append(
                f"{', '.join(named)}: {remark.rstrip('?')}; {advice}. To leave out: "
                f"{as_argument('dataset.drop', named)}"
            )
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    return DataReport(
        columns,
        (
            *notes,
            *warnings,
            *_repeated(splits),
            *_heavy_tail(splits.train.target),
            *float_warnings(splits.train, members),
        ),
    )


def _column(column: Column, values: Floats) -> ColumnReport:
    known = values[~np.isnan(values)]
    distinct = len(np.unique(known))
    return ColumnReport(
        column.name, column.type, 1 - len(known) / len(values), distinct, _remark(column, known, distinct, len(values))
    )


def _remark(column: Column, known: Floats, distinct: int, rows: int) -> str:
    if column.levels and all(map(_DATE.fullmatch, column.levels)):
        return _NO_ISO_DATE
    if distinct == 0 or (distinct == 1 and len(known) == rows):
        return "constant"
    counted = column.type == "number" and np.array_equal(known, np.round(known)) and np.ptp(known) == len(known) - 1
    if distinct == len(known) > 20 and (column.type == "category" or counted):
        return "an identifier?"
    return "many values" if len(column.levels) > MANY_LEVELS else ""


def _repeated(splits: Splits) -> list[str]:
    train = _rows(splits.train)
    seen = set(train)
    cure = "remove repeated rows, or keep them together with dataset.folds.kind=group"
    sentences = []
    if splits.train.fold_keys is None and len(seen) < len(train):
        sentences.append(
            f"{len(train) - len(seen)} of {splits.train.rows} training rows repeat another, in any fold, so "
            f"cross-validation scores are too good: {cure}"
        )
    again = 0 if splits.test is None else sum(row in seen for row in _rows(splits.test))
    if splits.test is not None and again:
        sentences.append(
            f"{again} of {splits.test.rows} test rows are among the training rows too, so test scores are too good: "
            f"{cure}"
        )
    return sentences


def _rows(table: Table) -> list[bytes]:
    rows = np.column_stack([table.features[:MOST_ROWS], table.target[:MOST_ROWS]])
    return [row.tobytes() for row in rows]


def _heavy_tail(target: Floats) -> list[str]:
    spread = float(np.std(target))
    furthest = float(np.max(np.abs(target - np.mean(target)))) / spread if spread else 0.0
    sentence = (
        f"the target's furthest value is {furthest:.0f} standard deviations from the mean, and dominates the RMSE: "
        "consider its logarithm, or search.objective=cv_mae_blended"
    )
    return [sentence] if furthest >= HEAVY_TAIL else []
