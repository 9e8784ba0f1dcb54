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
from ensemble.arrays import Floats
from ensemble.column_types import DeclaredType
from ensemble.evaluation import SCORES
from ensemble.members import Member
from ensemble.table import Column, Table
from experiments.data.datasets import Splits
from experiments.data.float_limits import float_warnings

# Rows in which distinct values and repeated rows are looked for; this many take a second.
MOST_ROWS = 100_000
MANY_LEVELS = 1000
# Standard deviations from the mean beyond which a target's largest value dominates the squared error; and the share of
# the variance beyond which its furthest rows do, one in a hundred. A few rows cannot reach the former.
HEAVY_TAIL, TAIL_SHARE = 10.0, 0.5
# Rows on which a feature is compared with the target, the fewest and the most; and from when on it explains nearly all.
LEAK_ROWS, LEAK = (20, 10_000), 0.99
# Classes whose rows are counted in the report.
MOST_CLASSES = 12
# With fewer training rows the scores are mostly chance.
FEW_ROWS = 50
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
        balance: How many rows each class of the target has; None for a quantity.
    """

    columns: tuple[ColumnReport, ...]
    warnings: tuple[str, ...]
    balance: str | None = None

    def render(self) -> RenderableType:
        """Return the columns as a table, and how one is read otherwise."""
        table = TextTable(box=None, pad_edge=False, padding=(0, 1))
        for title in ("column", "type", "missing", "distinct", ""):
            table.add_column(title, justify="right" if title in ("missing", "distinct") else "left")
        for column in self.columns:
            missing = f"{column.missing:.1%}" if column.missing else ""
            table.add_row(column.name, column.type, missing, str(column.distinct), column.remark)
        types = "|".join(get_args(DeclaredType))
        below = [Text(f"To read a column otherwise: dataset.columns.<name>={types}")]
        return Group(table, *below, *([] if self.balance is None else [Text(self.balance)]))


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
            *_few_rows(splits),
            *_leaks(splits.train),
            *_repeated(splits),
            *([] if splits.train.classes else _heavy_tail(splits.train.target)),
            *float_warnings(splits.train, members),
        ),
        _balance(splits) if splits.train.classes else None,
    )


def _balance(splits: Splits) -> str:
    """Return how many rows of all tables each class has, the most frequent first."""
    train = splits.train
    target = np.concatenate([table.target for table in splits.tables.values()]).astype(np.intp)
    counts = np.bincount(target, minlength=len(train.classes))
    order = np.argsort(-counts, kind="stable")
    shown = [f"{train.classes[at]} {counts[at]} ({counts[at] / len(target):.1%})" for at in order[:MOST_CLASSES]]
    more = f" and {len(order) - MOST_CLASSES} more classes" if len(order) > MOST_CLASSES else ""
    return f"Classes of {train.target_name} and their rows: {', '.join(shown)}{more}."


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
    if distinct == len(known) > 20 and (column.type == "category" or _is_counted(column, known)):
        return "an identifier?"
    return "many values" if len(column.levels) > MANY_LEVELS else ""


def _is_counted(column: Column, known: Floats) -> bool:
    """Return whether a column has whole numbers in equal steps, such as numbers of rows."""
    return (
        column.type == "number"
        and np.array_equal(known, np.round(known))
        and len(np.unique(np.diff(np.sort(known)))) == 1
    )


def _few_rows(splits: Splits) -> list[str]:
    rows, columns = splits.train.rows, len(splits.train.columns)
    aside = "" if splits.validation is None else ", or leave them more with dataset.split.validation=0"
    sentences = []
    if rows < FEW_ROWS:
        sentences.append(
            f"there are {rows} training rows, so that scores are uncertain and the best of many trials is partly "
            f"chance: prefer few members and trials{aside}"
        )
    if columns > rows:
        sentences.append(
            f"there are more columns ({columns}) than training rows ({rows}), so that members learn chance from them: "
            f"leave columns out with dataset.drop, or add a member that shrinks, such as ridge{aside}"
        )
    return sentences


def _leaks(train: Table) -> list[str]:
    """Return a sentence about features that tell the target nearly by themselves."""
    fewest, most = LEAK_ROWS
    target = np.asarray(train.target[:most])
    if len(target) < fewest or len(np.unique(target)) < (2 if train.classes else fewest // 2):
        return []
    share_of = _share_of_classes if train.classes else _share_of_quantity
    found = [
        column.name
        for place, column in enumerate(train.columns)
        if share_of(column, np.asarray(train.features[:most, place]), target) >= LEAK
    ]
    if not found:
        return []
    one = len(found) == 1
    sentence = (
        f"{', '.join(found)}: {'it tells' if one else 'each of them tells'} the target nearly alone. If "
        f"{'it is' if one else 'they are'} not known when you predict, the scores are too good: "
        f"{as_argument('dataset.drop', found)}"
    )
    return [sentence]


def _share_of_quantity(column: Column, values: Floats, target: Floats) -> float:
    """Return how much of a quantity a feature tells by itself, from 0 to 1."""
    if column.type == "category":
        return _explained_by_levels(values, target)
    if np.isnan(values).any() or len(np.unique(values)) < LEAK_ROWS[0] // 2:
        return 0.0
    return abs(float(np.corrcoef(_ranks(values), _ranks(target))[0, 1]))


def _share_of_classes(column: Column, values: Floats, target: Floats) -> float:
    """Return how much of the classes a feature tells by itself, from 0 to 1.

    A feature of few values tells the share of the classes' variance between them (L. Goodman and W. Kruskal, "Measures
    of Association for Cross Classifications", 1954, tau), and any other one how well it puts two classes in order.
    """
    classes = np.unique(target)
    if len(np.unique(values)) <= len(target) / 5:
        within = sum(np.var(target == one) * (1 - _explained_by_levels(values, target == one)) for one in classes)
        return float(1 - within / sum(np.var(target == one) for one in classes))
    if column.type == "category" or np.isnan(values).any() or len(classes) > 2:
        return 0.0
    probabilities = np.column_stack([-values, values])
    return abs(2 * SCORES["auc"]((target == classes[1]).astype(np.float64), probabilities) - 1)


def _ranks(values: Floats) -> Floats:
    """Return the mean rank of each value."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _explained_by_levels(values: Floats, target: Floats) -> float:
    """Return the share of the target's variance between the levels of a category; 0 if most levels have few rows."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(counts) > len(target) / 5:
        return 0.0
    means = np.bincount(place, target) / counts
    return float(1 - np.mean((target - means[place]) ** 2) / np.var(target))


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
    squares = np.sort((target - np.mean(target)) ** 2)[::-1]
    if not squares.sum():
        return []
    furthest = float(np.sqrt(squares[0] / squares.mean()))
    few = max(1, len(squares) // 100)
    share = float(squares[:few].sum() / squares.sum())
    cure = "dominates the RMSE: consider its logarithm, or search.objective=cv_mae_blended"
    if furthest >= HEAVY_TAIL:
        return [f"the target's furthest value is {furthest:.0f} standard deviations from the mean, and {cure}"]
    rows = "one row has" if few == 1 else f"{few} rows have"
    return [f"{rows} {share:.0%} of the target's variance, and so {cure}"] if share > TAIL_SHARE else []
