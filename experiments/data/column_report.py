"""What a table contains and what in it may mislead, reported before the first trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table as TextTable
from rich.text import Text

from ensemble.arguments import as_argument
from ensemble.arrays import Floats
from ensemble.column_types import DeclaredType, is_other_date
from ensemble.members import Member
from ensemble.table import Column, Table
from ensemble.targets import named_label, named_labels
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
# Columns that are shown.
MOST_COLUMNS = 40
# Classes that are shown, and the share of an equal share below which a class is rare.
MOST_CLASSES, RARE = 20, 0.1
# With fewer training rows the scores are mostly chance.
FEW_ROWS = 50
_NO_ISO_DATE = "dates?"


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
        rows: The number of rows of each part, by its name.
        classes: The rows of each class in all parts together, in the order of the classes; empty for a quantity.
        warnings: Sentences about the table, each with what to do.
    """

    columns: tuple[ColumnReport, ...]
    rows: Mapping[str, int]
    classes: Mapping[str, int]
    warnings: tuple[str, ...]

    def render(self) -> RenderableType:
        """Return the number of rows, the columns as a table, how one is read otherwise, and the rows of each class."""
        table = TextTable(box=None, pad_edge=False, padding=(0, 1))
        for title in ("column", "type", "missing", "distinct", ""):
            table.add_column(title, justify="right" if title in ("missing", "distinct") else "left")
        shown = self._shown()
        for column in shown:
            missing = f"{column.missing:.1%}" if column.missing else ""
            table.add_row(column.name, column.type, missing, str(column.distinct), column.remark)
        types = "|".join(get_args(DeclaredType))
        hint = Text(f"To read a column otherwise: dataset.columns.<name>={types}")
        others = [Text(self._others(shown))] if len(shown) < len(self.columns) else []
        return Group(Text(f"{self.described_rows}."), table, *others, hint, *self._rendered_classes())

    def _shown(self) -> list[ColumnReport]:
        """Return the columns to show, in order: of many those with a remark, other types than number, or gaps first."""
        ordered = sorted(self.columns, key=lambda one: (not one.remark, one.type == "number", not one.missing))
        shown = {one.name for one in ordered[:MOST_COLUMNS]}
        return [one for one in self.columns if one.name in shown]

    def _others(self, shown: Sequence[ColumnReport]) -> str:
        counts = Counter(one.type for one in self.columns)
        counts.subtract(one.type for one in shown)
        named = ", ".join(f"{count:,} of type {kind}" for kind, count in counts.items() if count)
        return f"and {len(self.columns) - len(shown):,} more columns ({named}), which the card of the model lists"

    @property
    def described_rows(self) -> str:
        """The number of rows in words, such as ``201 rows: 121 train, 40 validation, 40 test``."""
        parts = ", ".join(f"{rows} {name}" for name, rows in self.rows.items())
        return f"{sum(self.rows.values())} rows: {parts}"

    def _rendered_classes(self) -> list[RenderableType]:
        if not self.classes:
            return []
        table = TextTable(box=None, pad_edge=False, padding=(0, 1))
        for title in ("class", "rows", "share"):
            table.add_column(title, justify="left" if title == "class" else "right")
        rows = sum(self.classes.values())
        shown = sorted(self.classes, key=lambda label: -self.classes[label])[:MOST_CLASSES]
        for label, count in self.classes.items():
            if label in shown:
                table.add_row(named_label(label), str(count), f"{count / rows:.1%}")
        others = [count for label, count in self.classes.items() if label not in shown]
        if not others:
            return [table]
        counted = "1 class more" if len(others) == 1 else f"{len(others)} classes more"
        return [table, Text(f"and {counted}, with at most {max(others)} rows{' each' if len(others) > 1 else ''}")]


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
    ):
        named = [column.name for column in columns if column.remark == remark]
        if named:
            warnings.append(
                f"{', '.join(named)}: {remark.rstrip('?')}; {advice}. To leave out: "
                f"{as_argument('dataset.drop', named)}"
            )
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    classes = _class_sizes(splits)
    return DataReport(
        columns,
        {name: table.rows for name, table in splits.tables.items()},
        classes,
        (
            *notes,
            *warnings,
            *_few_rows(splits),
            *_leaks(splits.train),
            *_repeated(splits),
            *(_rare_classes(splits.train.target_name, classes) if classes else _heavy_tail(splits.train.target)),
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
    if column.levels and all(map(is_other_date, column.levels)):
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
    shrinking = "linear" if splits.train.classes else "ridge"
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
            f"leave columns out with dataset.drop, or add a member that shrinks, such as {shrinking}{aside}"
        )
    return sentences


def _leaks(train: Table) -> list[str]:
    """Return a sentence about features that tell the target nearly by themselves."""
    fewest, most = LEAK_ROWS
    target = np.asarray(train.target[:most])
    if len(target) < fewest or (not train.classes and len(np.unique(target)) < fewest // 2):
        return []
    found = []
    for place, column in enumerate(train.columns):
        values = np.asarray(train.features[:most, place])
        category = column.type == "category"
        if train.classes:
            share = _told_classes(values, target, category=category)
        elif category:
            share = _explained_by_levels(values, target)
        else:
            share = _correlation_of_ranks(values, target)
        if share >= LEAK:
            found.append(column.name)
    if not found:
        return []
    one = len(found) == 1
    sentence = (
        f"{', '.join(found)}: {'it tells' if one else 'each of them tells'} the target nearly alone. If "
        f"{'it is' if one else 'they are'} not known when you predict, the scores are too good: "
        f"{as_argument('dataset.drop', found)}"
    )
    return [sentence]


def _correlation_of_ranks(values: Floats, target: Floats) -> float:
    """Return the absolute rank correlation; 0 if a value is missing or there are few different ones."""
    if np.isnan(values).any() or len(np.unique(values)) < LEAK_ROWS[0] // 2:
        return 0.0
    return abs(float(np.corrcoef(_ranks(values), _ranks(target))[0, 1]))


def _told_classes(values: Floats, target: Floats, *, category: bool) -> float:
    """Return the share of the rows outside of the most frequent class whose class a feature tells by itself.

    A category tells the most frequent class of each of its levels, unless most levels have few rows. A number tells
    the class of each of a few intervals.
    """
    _, classes, counts = np.unique(target, return_inverse=True, return_counts=True)
    if len(counts) == 1 or len(counts) > MOST_CLASSES:
        return 0.0
    if category:
        level_of_row = np.unique(values, return_inverse=True)[1]
        levels = int(level_of_row.max()) + 1
        if levels > len(target) / 5:
            return 0.0
        rows = np.bincount(level_of_row * len(counts) + classes, minlength=levels * len(counts))
        right = int(rows.reshape(levels, -1).max(axis=1).sum())
    else:
        from sklearn.tree import DecisionTreeClassifier

        tree = DecisionTreeClassifier(max_leaf_nodes=2 * len(counts), min_samples_leaf=5, random_state=0)
        right = int((tree.fit(values[:, None], classes).predict(values[:, None]) == classes).sum())
    most = int(counts.max())
    return (right - most) / (len(target) - most)


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


def _class_sizes(splits: Splits) -> dict[str, int]:
    """Return the number of rows of each class in all parts together."""
    classes = splits.train.classes
    counts = np.zeros(len(classes), dtype=int)
    for table in splits.tables.values() if classes else ():
        counts += np.bincount(table.target.astype(np.intp), minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def _rare_classes(target: str, classes: Mapping[str, int]) -> list[str]:
    """Return a sentence about classes that are so rare that accuracy says little about them."""
    rows = sum(classes.values())
    rare = [label for label, count in classes.items() if count < RARE * rows / len(classes)]
    if not rare:
        return []
    share = sum(classes[label] for label in rare) / rows
    word = "class" if len(rare) == 1 else "classes"
    sentence = (
        f"the target {target}: {share:.1%} of the rows have the {word} {named_labels(rare)}, so that accuracy is high "
        "even if none of them is found: look at auc, balanced_accuracy or f1. ensemble.class_weight=balanced makes all "
        "classes count alike"
    )
    return [sentence]


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
