"""A table: features as one matrix of numbers, with a description of what the numbers of each column mean."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ensemble.members.base import Floats

NUMBER: Literal["number"] = "number"
ColumnType = Literal["number", "boolean", "date", "category"]


@dataclass(frozen=True)
class Column:
    """One feature, and what its numbers mean.

    Attributes:
        name: Its name.
        type: A ``number`` is itself, a ``boolean`` is 0 or 1, a ``date`` is in days since 1970-01-01, and a
            ``category`` is the position of its value in ``levels``, from 0.
        levels: The values of a category, sorted.
    """

    name: str
    type: ColumnType = NUMBER
    levels: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        return {"name": self.name, "type": self.type} | ({"levels": list(self.levels)} if self.levels else {})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Column:
        """Read what ``as_dict`` wrote."""
        return cls(data["name"], data["type"], tuple(data.get("levels", ())))


def numbers(*names: str) -> tuple[Column, ...]:
    """Return one column of type ``number`` for each name."""
    return tuple(Column(name) for name in names)


@dataclass(frozen=True)
class Table:
    """Rows of features and a target.

    Attributes:
        columns: The features, names unique, in order.
        target_name: Name of the target column.
        features: Shape (rows, columns), float64, coded as in ``columns``; NaN where a value is missing.
        target: Shape (rows,), float64, finite.
        weights: Row weights, shape (rows,), float64, not negative and not all zero; None if all rows count equally.
        fold_keys: The group or the moment of each row, shape (rows,), float64; None if the folds do not need it.
    """

    columns: tuple[Column, ...]
    target_name: str
    features: Floats
    target: Floats
    weights: Floats | None = None
    fold_keys: Floats | None = None

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
        weights = None if self.weights is None else self.weights[index]
        keys = None if self.fold_keys is None else self.fold_keys[index]
        return Table(self.columns, self.target_name, self.features[index], self.target[index], weights, keys)

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

    def content_hash(self) -> str:
        """Return a SHA-256 over columns and values: equal tables have equal hashes, whichever files they came from."""
        names = [self.target_name, *(column.as_dict() for column in self.columns)]
        digest = hashlib.sha256(json.dumps(names, sort_keys=True).encode())
        for name, array in self.arrays().items():
            digest.update(f"{name} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").data)
        return digest.hexdigest()
