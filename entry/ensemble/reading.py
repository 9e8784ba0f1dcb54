"""Read CSV and Parquet files as tables, by the roles of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.arguments import as_argument
from ensemble.arrays import Floats
from ensemble.classes import DeclaredTask, positive_of
from ensemble.column_encoding import FoldKey, coded, fold_keys_of, numbers_of
from ensemble.column_types import check_declared, column_key, described
from ensemble.errors import InputError, did_you_mean, listed
from ensemble.files import TableFile, column_names, difference, open_table, part_names
from ensemble.table import Column, ColumnType, Table, missing_texts
from ensemble.targets import QUANTITY_FIX, Target, TargetColumn, check_usable

if TYPE_CHECKING:
    import pandas as pd

# Libraries store features and gradients as 32-bit numbers, which end at 3.4e38, and they square the target.
LARGEST = 1e30
# What may be between columns instead of commas.
OTHER_MARKS = (";", "\t", "|")
_PLURALS: dict[ColumnType, str] = {
    "number": "numbers",
    "boolean": "true and false",
    "date": "dates",
    "category": "categories",
}


@dataclass(frozen=True)
class Roles:
    """The roles of the columns of a table; every other column is a feature.

    Attributes:
        target: The column to predict.
        weights: The column of row weights.
        fold_key: The column that divides the rows into folds.
        fold_kind: How it divides them: rows of one ``group`` stay together, or folds follow each other in ``time``.
        drop: Columns to leave out.
        types: By name, what columns hold (``column_types.DeclaredType``); the others are recognised.
        missing: The texts that mean a missing value besides the empty one; None for those of ``table.MISSING``.
        task: What the target is; ``auto`` finds out.
        positive: The positive class of two; None for the second in order.
    """

    target: str
    weights: str | None = None
    fold_key: str | None = None
    fold_kind: FoldKey = "group"
    drop: Sequence[str] = ()
    types: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] | None = None
    task: DeclaredTask = "auto"
    positive: str | None = None

    def used(self) -> dict[str, str]:
        """Return the columns that have a role, by the configuration key that names them; without ``drop``."""
        keys = {"dataset.target": self.target, "dataset.weights": self.weights, "dataset.folds.column": self.fold_key}
        return {key: name for key, name in keys.items() if name is not None}


def read_file(path: Path, roles: Roles) -> Table:
    """Read a table, Parquet or CSV as its first bytes say.

    Numbers are read exactly. True and false become 1 and 0. Dates become days since 1970-01-01, with a fraction; a time
    without a time zone is in UTC. Other text becomes a category, coded by its position among the sorted values. So do
    numbers that the file declares as text: strings in Parquet, and in CSV a column of digits with zeros in front, or
    one that is in quotes without need. Empty cells become NaN.

    Raises:
        InputError: The file is not a table with these columns; the message names the file, column and row.
    """
    return _read([path], path, roles, None)


def read_folder(folder: Path, roles: Roles, like: Table | None = None) -> Table:
    """Read the files of a folder as one table, in the order of their names.

    Args:
        folder: A folder of ``.csv`` files, or of ``.parquet`` files, with the same columns.
        roles: The roles of the columns.
        like: A table with the same columns, in any order, whose coding is taken over. A category that it does not have
            is missing (NaN) in the result. With ``like``, one row is enough.

    Raises:
        InputError: The files are not a table with these columns; the message names the file or folder, column and row.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    paths = [folder / name for name in part_names((p.name + "/" * p.is_dir() for p in found), folder)]
    where = paths[0] if len(paths) == 1 else folder / f"*{paths[0].suffix}"
    return _read(paths, where, roles, like)


def _read(paths: Sequence[Path], where: Path, roles: Roles, like: Table | None) -> Table:
    names = column_names(paths)
    _check_names(where, names, roles)
    kept = _features(names, where, roles, like)
    known = {} if like is None else {column.name: column for column in like.columns}
    declared = dict(roles.types)
    as_text = [name for name in names if name in declared or (name in known and known[name].type == "category")]
    file = open_table(paths, where, names, as_text, missing_texts(roles.missing))
    if file.rows < (2 if like is None else 1):
        least = "at least 2 are" if like is None else "at least 1 is"
        raise InputError(f"{where} has {file.rows} data row{'' if file.rows == 1 else 's'}: {least} needed.")
    opened = _Opened(file, where, roles, _header_note(names, where) if like is None else [])
    features = np.empty((file.rows, len(kept)), dtype=np.float64)
    columns, notes = [], opened.notes
    for position, name in enumerate(kept):
        column = known[name] if name in known else opened.described(name)
        if name in known:
            _check_type(file.column(name), where, column, declared.get(name))
        columns.append(column)
        features[:, position] = coded(file.column(name), where, column)
    _check_finite(features, kept, where)
    _check_size(features, kept, where)
    if like is None:
        _check_features_vary(features, where)
    target = opened.target(like)
    weights = fold_keys = None
    if roles.weights is not None:
        weights = opened.numbers(roles.weights, "give numeric weights")
        _check_weights(weights, where, roles.weights)
    if roles.fold_key is not None:
        by_time = roles.fold_kind == "time"
        key = opened.described(roles.fold_key) if by_time else Column(roles.fold_key)
        fold_keys = fold_keys_of(file.column(key.name), where, key, roles.fold_kind)
    return Table(
        tuple(columns),
        roles.target,
        features,
        target.values,
        weights,
        fold_keys,
        (*notes, *opened.words_note()),
        target.classes,
        target.positive,
    )


def _header_note(names: Sequence[str], where: Path) -> list[str]:
    """Return a sentence if the header may be a row of values: it has only numbers, which do not count the columns."""
    counted = (list(map(str, range(len(names)))), list(map(str, range(1, len(names) + 1))))
    if not all(map(_is_number, names)) or list(names) in counted:
        return []
    first = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    note = f"{where.name}: the first row ({first}) is read as the header, and has only numbers. "
    return [note + "If it is a row of values, give the file a header with names"]


@dataclass(frozen=True)
class _Opened:
    """An open table with the roles of its columns, and what was noted about them."""

    file: TableFile
    where: Path
    roles: Roles
    notes: list[str] = field(default_factory=list)
    words: dict[str, list[str]] = field(default_factory=dict)

    def described(self, name: str) -> Column:
        """Return a column's description."""
        declared, missing = dict(self.roles.types).get(name), self.roles.missing
        text = name in self.file.text
        column, notes = described(self.file.column(name), self.where, name, declared, missing, text=text)
        self.notes.extend(notes)
        if column.type == "category" and missing is None:
            for word in self.file.missing_words(name):
                self.words.setdefault(word, []).append(name)
        return column

    def words_note(self) -> list[str]:
        """Return a sentence about the words that are read as missing in categories."""
        return [
            f"{', '.join(names)}: {word!r} is read as missing. If it is a value: dataset.missing=[], or a list of the "
            "texts that mean a missing value"
            for word, names in self.words.items()
        ]

    def target(self, like: Table | None) -> Target:
        """Return the target: classes or a quantity, as in ``like`` if it is given."""
        roles, name = self.roles, self.roles.target
        declared = dict(roles.types).get(name)
        column = TargetColumn(self.file, self.where, name, declared, roles.missing, roles.task, roles.positive)
        if column.has_classes() if like is None else like.classes:
            found = column.labels(like)
            self.notes.extend(found.notes)
            return found
        if roles.task == "regression" and column.is_boolean():
            values = coded(self.file.column(name), self.where, Column(name, "boolean"))
        else:
            values = self.numbers(name, QUANTITY_FIX)
        check_usable(column.title, np.isnan(values), np.isinf(values))
        _check_size(values[:, None], [name], self.where)
        if like is None:
            _check_target_varies(values, self.where, name)
        return Target(values, (), positive_of((), roles.positive, column.title))

    def numbers(self, name: str, fix: str) -> Floats:
        """Return a column whose role needs numbers."""
        column = Column(name, missing=self.roles.missing)
        if name in dict(self.roles.types):
            column = self.described(name)
        if column.type != "number":
            raise InputError(f"dataset.columns: {name!r} must hold numbers, not a {column.type}: {fix}.")
        return numbers_of(self.file.column(name), self.where, column, fix)


def _features(names: Sequence[str], where: Path, roles: Roles, like: Table | None) -> list[str]:
    """Return the names of the features, in the order of the resulting table."""
    left_out = {*roles.used().values(), *roles.drop}
    kept = [name for name in names if name not in left_out]
    if like is None:
        return kept
    if set(kept) != set(like.names):
        raise InputError(
            f"{where} does not have the columns of the training rows: "
            f"{difference(like.names, kept, 'the training rows', where.name)}. Give both the same."
        )
    return list(like.names)


def _check_type(values: pd.Series[Any], where: Path, column: Column, declared: str | None) -> None:
    """Raise InputError if the file declares another type for a column than the training rows have."""
    if declared is not None or values.isna().all():
        return
    kind = values.dtype.kind
    kinds: dict[str, ColumnType] = {"b": "boolean", "i": "number", "u": "number", "f": "number", "M": "date"}
    found = kinds.get(kind, column.type)
    # The numbers 1 and 0 are true and false in CSV too.
    if found == column.type or (found == "number" and column.type == "boolean"):
        return
    raise InputError(
        f"{where}: column {column.name!r} holds {_PLURALS[found]}, but {_PLURALS[column.type]} in the training rows: "
        f"write both in the same way, declare it with {column_key(column.name, column.type)}, or leave it out with "
        f"{as_argument('dataset.drop', [column.name])}."
    )


def _check_names(path: Path, names: list[str], roles: Roles) -> None:
    types = dict(roles.types)
    check_declared(types)
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        no_header = all(_is_number(name) for name in names)
        fix = "its first row has numbers only: give it a header row with names" if no_header else "rename"
        raise InputError(f"{path} has more than one column named {listed(repr(name) for name in repeated)}: {fix}.")
    if "" in names:
        raise InputError(f"{path} has a column without a name (number {names.index('') + 1}): name it in the header.")
    used = roles.used()
    named = (
        *used.items(),
        *(("dataset.drop", name) for name in roles.drop),
        *(("dataset.columns", name) for name in types),
    )
    for key, name in named:
        if name not in names:
            found = next((mark for mark in OTHER_MARKS if len(names) == 1 and mark in names[0]), None)
            if found is not None:
                raise InputError(
                    f"{path} seems to be separated by {found!r}: save it as CSV with commas between the columns "
                    "and points in the numbers."
                )
            raise InputError(
                f"{key}={name}: {path} has no such column.{did_you_mean(name, names)} It has: {', '.join(names)}."
            )
    for key, name in used.items():
        if name in roles.drop:
            word = " target" if key == "dataset.target" else f" {key}"
            raise InputError(f"dataset.drop names the{word} column {name!r}: take it out of dataset.drop.")
    for name in used.values():
        others = [other for other, taken in used.items() if taken == name]
        if len(others) > 1:
            raise InputError(f"{listed(others)} name the same column ({name}): give each its own.")
    if not set(names) - {*used.values(), *roles.drop}:
        raise InputError(
            f"{path} has no column left besides the target {roles.target!r}: at least one feature is needed."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_finite(features: Floats, names: Sequence[str], path: Path) -> None:
    infinite = np.isinf(features)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise InputError(
            f"{path}: column {names[column]!r} is infinite in data row {row + 1}: empty the cell or bound the value."
        )


def _check_size(values: Floats, names: Sequence[str], path: Path) -> None:
    large = (values > LARGEST) | (values < -LARGEST)
    if large.any():
        row, column = np.argwhere(large)[0]
        raise InputError(
            f"{path}: column {names[column]!r} holds {values[row, column]:g} in data row {row + 1}, but the libraries "
            f"can only use numbers up to {LARGEST:g}: give it in a larger unit, or as its logarithm."
        )


def _check_features_vary(features: Floats, path: Path) -> None:
    if not any(len(np.unique(values[np.isfinite(values)])) > 1 for values in features.T):
        gaps = np.isnan(features)
        if not (gaps.any(axis=0) & ~gaps.all(axis=0)).any():
            raise InputError(f"{path}: no feature varies, so there is nothing to learn from: give other columns.")


def _check_target_varies(target: Floats, path: Path, target_name: str) -> None:
    if np.all(target == target[0]):
        raise InputError(f"{path}: target {target_name!r} is {target[0]:g} in every row: there is nothing to learn.")


def _check_weights(values: Floats, path: Path, name: str) -> None:
    for wrong, word in ((np.isnan(values), "missing"), (np.isinf(values), "infinite"), (values < 0, "negative")):
        if wrong.any():
            raise InputError(
                f"{path}: dataset.weights={name} is {word} in {int(wrong.sum())} of {len(values)} rows, first in data "
                f"row {int(np.argmax(wrong)) + 1}: weights must be finite and at least 0."
            )
    if not values.any():
        raise InputError(f"{path}: dataset.weights={name} is 0 in every row: there is nothing to learn from.")
