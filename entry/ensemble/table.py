"""A table: features as one matrix of numbers, with a description of what the numbers of each column mean."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ensemble.arrays import Floats
from ensemble.classes import Task, task_of

NUMBER: Literal["number"] = "number"
ColumnType = Literal["number", "boolean", "date", "category"]
# The texts that mean a missing value unless others are declared: those of pandas.
MISSING = frozenset(
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)


@dataclass(frozen=True)
class Column:
    """One feature, and what its numbers mean.

    Attributes:
        name: Its name.
        type: A ``number`` is itself, a ``boolean`` is 0 or 1, a ``date`` is in days since 1970-01-01, and a
            ``category`` is the position of its value in ``levels``, from 0.
        levels: The values of a category, sorted.
        missing: The texts that mean a missing value, besides the empty one; None for those of ``MISSING``.
        decimal: The decimal mark of a number that is written with thousands separators, a currency or per cent, or with
            a decimal comma; empty for a number as Python writes it.
        zoned: Whether the times of a date have a time zone other than UTC.
        optional: Whether rows to predict may lack it: in a model, a column in which training rows miss values. A table
            has no such column.
    """

    name: str
    type: ColumnType = NUMBER
    levels: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = None
    decimal: str = ""
    zoned: bool = False
    optional: bool = False

    @cached_property
    def missing_texts(self) -> frozenset[str]:
        """The texts that mean a missing value."""
        return missing_texts(self.missing)

    @cached_property
    def is_plain(self) -> bool:
        """Whether the column is a number as Python writes it, with the usual texts for missing values."""
        return self.type == NUMBER and self.missing is None and not self.decimal

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back.

        What a column does not need is left out: the hash of a table depends only on what decides its numbers.
        """
        written: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.levels:
            written["levels"] = list(self.levels)
        if self.missing is not None:
            written["missing"] = list(self.missing)
        if self.decimal:
            written["decimal"] = self.decimal
        if self.zoned:
            written["zoned"] = True
        if self.optional:
            written["optional"] = True
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Column:
        """Read what ``as_dict`` wrote."""
        missing = data.get("missing")
        return cls(
            data["name"],
            data["type"],
            tuple(data.get("levels", ())),
            None if missing is None else tuple(missing),
            data.get("decimal", ""),
            data.get("zoned", False),
            data.get("optional", False),
        )


def missing_texts(declared: tuple[str, ...] | None) -> frozenset[str]:
    """Return the texts that mean a missing value: the empty one, and the declared ones or those of pandas."""
    return MISSING if declared is None else frozenset(["", *declared])


def numbers(*names: str) -> tuple[Column, ...]:
    """Return one column of type ``number`` for each name."""
    return tuple(Column(name) for name in names)


def joined(tables: Sequence[Table]) -> Table:
    """Return the rows of several tables, which have the same columns and classes, one table after the other."""
    first, *_ = (arrays := [table.arrays() for table in tables])
    together: dict[str, Any] = {name: np.concatenate([each[name] for each in arrays]) for name in first}
    return replace(tables[0], **together)


@dataclass(frozen=True)
class Table:
    """Rows of features and a target.

    Attributes:
        columns: The features, names unique, in order.
        target_name: Name of the target column.
        features: Shape (rows, columns), float64, coded as in ``columns``; NaN where a value is missing.
        target: Shape (rows,), float64, finite: a quantity, or the position of the row's label in ``classes``.
        weights: Row weights, shape (rows,), float64, not negative and not all zero; None if all rows count equally.
        fold_keys: The group or the moment of each row, shape (rows,), float64; None if the folds do not need it.
        notes: Sentences about columns that could be read otherwise, each with the key that does so.
        classes: The labels of the classes, as ``classes.sorted_labels`` orders them; empty if the target is a quantity.
            Rows that are a part of a table keep all of its classes, even those that none of them has.
        positive: The positive class of two; None unless there are two.
    """

    columns: tuple[Column, ...]
    target_name: str
    features: Floats
    target: Floats
    weights: Floats | None = None
    fold_keys: Floats | None = None
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    positive: str | None = None

    @property
    def task(self) -> Task:
        """What is predicted."""
        return task_of(self.classes)

    @property
    def class_of_row(self) -> Floats | None:
        """The position of each row's class in ``classes``, shape (rows,); None if the target is a quantity."""
        return self.target if self.classes else None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def categories(self) -> dict[int, int]:
        """Number of levels of each category, by the column's position."""
        return {place: len(column.levels) for place, column in enumerate(self.columns) if column.type == "category"}

    def take(self, index: Any) -> Table:
        """Return the rows that ``index``, any NumPy index of the first axis, selects, in its order."""
        taken: dict[str, Any] = {name: array[index] for name, array in self.arrays().items()}
        return replace(self, **taken)

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays of this table by name."""
        named = {name: getattr(self, name) for name in ("features", "target", "weights", "fold_keys")}
        return {name: array for name, array in named.items() if array is not None}

    def column_types(self) -> dict[str, int]:
        """Return how many features are of each type."""
        return dict(Counter(column.type for column in self.columns))

    def dtypes(self) -> dict[str, str]:
        """Return each array's dtype by its name."""
        return {name: str(array.dtype) for name, array in self.arrays().items()}

    def classes_as_dict(self) -> dict[str, Any]:
        """Return ``classes`` and ``positive`` as JSON-ready data, without what is empty.

        What a quantity does not need is left out, so that the hash of its table does not depend on it.
        """
        written: dict[str, Any] = {"classes": list(self.classes)} if self.classes else {}
        return written if self.positive is None else {**written, "positive": self.positive}

    def content_hash(self) -> str:
        """Return a SHA-256 over columns and values: equal tables have equal hashes, whichever files they came from."""
        names = [self.target_name, *(column.as_dict() for column in self.columns)]
        if self.classes:
            names.append(self.classes_as_dict())
        digest = hashlib.sha256(json.dumps(names, sort_keys=True).encode())
        for name, array in self.arrays().items():
            digest.update(f"{name} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").data)
        return digest.hexdigest()


def weighted_by_class(table: Table, weights: Sequence[float]) -> Table:
    """Return a table whose row weights are multiplied by those of the rows' classes; the same table without these."""
    if not weights:
        return table
    factors = np.asarray(weights, dtype=np.float64)[np.asarray(table.target).astype(np.intp)]
    return replace(table, weights=factors if table.weights is None else table.weights * factors)
