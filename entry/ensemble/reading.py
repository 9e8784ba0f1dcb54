"""CSV and Parquet files to tables."""

from __future__ import annotations

import contextlib
import csv
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ensemble.coding import FoldKey, coded, fold_keys_of, numbers_of
from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.base import Floats
from ensemble.table import Column, Table

if TYPE_CHECKING:
    import pandas as pd


# Libraries have features and gradients as 32-bit numbers, which end at 3.4e38, and square the target.
LARGEST = 1e30
_OTHER_MARKS = (";", "\t", "|")
# How compressed files begin, and no header does.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh91AY&SY": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
}


@dataclass(frozen=True)
class Roles:
    """What columns are for.

    Attributes:
        target: The column to predict.
        weights: The column of row weights, which is no feature.
        fold_key: The column by which rows are divided into folds, which is no feature.
        fold_kind: How it divides: rows of a ``group`` stay together, or ``time`` runs on.
        drop: Columns to leave out.
        columns: Columns as an earlier table has them, to be coded alike; empty to find out.
    """

    target: str
    weights: str | None = None
    fold_key: str | None = None
    fold_kind: FoldKey = "group"
    drop: Sequence[str] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)

    def used(self) -> dict[str, str]:
        """Return by configuration key the columns that are named."""
        keys = {"dataset.target": self.target, "dataset.weights": self.weights, "dataset.folds.column": self.fold_key}
        return {key: name for key, name in keys.items() if name is not None}


@dataclass(frozen=True)
class _File:
    """An open table.

    Attributes:
        names: Its columns, in order.
        rows: How many it has.
        column: Returns one column by its name.
    """

    names: list[str]
    rows: int
    column: Callable[[str], pd.Series[Any]]


def read_file(path: Path, roles: Roles) -> Table:
    """Read a table by its file name's ending: ``.parquet``, anything else as CSV.

    Numbers are read exactly; true and false become 1 and 0; dates the days since 1970, with their fraction; other text
    a category, coded by its place among the sorted values; empty cells and unknown categories NaN.

    Raises:
        InputError: No table with these columns; the message names file, column and row.
    """
    file = _open_parquet(path, roles) if path.suffix == ".parquet" else _open_csv(path, roles)
    if file.rows < 2:
        raise InputError(f"{path} has {file.rows} data row{'' if file.rows == 1 else 's'}: at least 2 are needed.")
    left_out = {*roles.used().values(), *roles.drop}
    kept = [name for name in file.names if name not in left_out]
    features = np.empty((file.rows, len(kept)), dtype=np.float64)
    columns = []
    for position, name in enumerate(kept):
        column, features[:, position] = coded(file.column(name), path, name, roles.columns.get(name))
        columns.append(column)
    _check_finite(features, kept, path)
    _check_size(features, kept, path)
    _check_varies(features, path)
    target = numbers_of(file.column(roles.target), path, roles.target, "give a numeric target")
    _check_target(target, path, roles.target)
    _check_size(target[:, None], [roles.target], path)
    weights = fold_keys = None
    if roles.weights is not None:
        weights = numbers_of(file.column(roles.weights), path, roles.weights, "give numeric weights")
        _check_weights(weights, path, roles.weights)
    if roles.fold_key is not None:
        fold_keys = fold_keys_of(file.column(roles.fold_key), path, roles.fold_key, roles.fold_kind)
    return Table(tuple(columns), roles.target, features, target, weights, fold_keys)


def _open_csv(path: Path, roles: Roles) -> _File:
    import pandas as pd

    names = _header(path)
    _check_names(path, names, roles)
    # From 3.1 on pandas reads numbers exactly by itself, and warns when it is asked to.
    by_itself = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    precision: Literal["round_trip"] | None = None if by_itself else "round_trip"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Left to itself, pandas takes the first cell of longer rows for row names, and so shifts every column.
            frame = pd.read_csv(path, skipinitialspace=True, index_col=False, float_precision=precision)
    except pd.errors.ParserWarning:
        raise InputError(f"{path} has rows with more cells than its header has names ({len(names)}).") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path} is not a CSV table: {reason}. Give every row one cell for each name.") from None
    frame.columns = pd.Index(names)
    return _File(names, len(frame), frame.__getitem__)


def _open_parquet(path: Path, roles: Roles) -> _File:
    _check_file(path)
    try:
        from pyarrow.lib import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(f"{path} is Parquet, which needs pyarrow here: pip install pyarrow, or give CSV.") from None

    @contextlib.contextmanager
    def explained() -> Iterator[None]:
        try:
            yield
        except (ArrowException, OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{path} is no Parquet file that can be read: {reason} Write it anew.") from None

    with explained():
        file = ParquetFile(path)
        # As pandas has them: without what it keeps as the rows' names.
        names = [str(name) for name in file.schema_arrow.empty_table().to_pandas().columns]

    def column(name: str) -> pd.Series[Any]:
        # One after another, so that the file is never in memory whole.
        with explained():
            values: pd.Series[Any] = file.read(columns=[name], use_pandas_metadata=False).to_pandas()[name]
        return values

    _check_names(path, names, roles)
    return _File(names, file.metadata.num_rows, column)


def _check_file(path: Path) -> None:
    if not path.exists():
        near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise InputError(f"there is no file {path}.{did_you_mean(path.name, near)} Give dataset.path=<file>.")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the file in it as dataset.path.")
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, _COMPRESSED)))
    except PermissionError:
        raise InputError(f"{path} cannot be read by this user: change its permissions.") from None
    for mark, packer in _COMPRESSED.items():
        if start.startswith(mark):
            raise InputError(f"{path} is compressed by {packer}: unpack it, and give the file that comes out.")


def _header(path: Path) -> list[str]:
    _check_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((row for row in csv.reader(file, skipinitialspace=True) if row), None)
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8.") from None
    if first is None:
        raise InputError(f"{path} is empty: a header row and data rows are needed.")
    if any("\0" in name for name in first):
        raise InputError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8.")
    return [name.strip() for name in first]


def _check_names(path: Path, names: list[str], roles: Roles) -> None:
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        no_header = all(_is_number(name) for name in names)
        fix = "its first row has numbers only: give it a header row with names" if no_header else "rename"
        raise InputError(f"{path} has more than one column named {listed(repr(name) for name in repeated)}: {fix}.")
    if "" in names:
        raise InputError(f"{path} has a column without a name (number {names.index('') + 1}): name it in the header.")
    used = roles.used()
    for key, name in (*used.items(), *(("dataset.drop", name) for name in roles.drop)):
        if name not in names:
            found = next((mark for mark in _OTHER_MARKS if len(names) == 1 and mark in names[0]), None)
            if found is not None:
                raise InputError(
                    f"{path} seems to be divided by {found!r}, and a CSV file has commas: save it with commas, and "
                    "with points in its numbers."
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
            raise InputError(f"{listed(others)} name one column twice ({name}): give each its own.")
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
            f"{path}: column {names[column]!r} holds {values[row, column]:g} in data row {row + 1}, and the libraries "
            f"reckon with numbers up to {LARGEST:g}: give it in a larger unit, or as its logarithm."
        )


def _check_varies(features: Floats, path: Path) -> None:
    if not any(len(np.unique(values[np.isfinite(values)])) > 1 for values in features.T):
        gaps = np.isnan(features)
        if not (gaps.any(axis=0) & ~gaps.all(axis=0)).any():
            raise InputError(f"{path}: no feature varies, so there is nothing to learn from: give other columns.")


def _check_target(values: Floats, path: Path, target: str) -> None:
    for wrong, word in ((np.isnan(values), "missing"), (np.isinf(values), "infinite")):
        if wrong.any():
            raise InputError(
                f"{path}: target {target!r} is {word} in {int(wrong.sum())} of {len(values)} rows, first in data row "
                f"{int(np.argmax(wrong)) + 1}: remove these rows."
            )
    if np.all(values == values[0]):
        raise InputError(f"{path}: target {target!r} is {values[0]:g} in every row: there is nothing to learn.")


def _check_weights(values: Floats, path: Path, name: str) -> None:
    for wrong, word in ((np.isnan(values), "missing"), (np.isinf(values), "infinite"), (values < 0, "negative")):
        if wrong.any():
            raise InputError(
                f"{path}: dataset.weights={name} is {word} in {int(wrong.sum())} of {len(values)} rows, first in data "
                f"row {int(np.argmax(wrong)) + 1}: a weight is a number from 0 up."
            )
    if not values.any():
        raise InputError(f"{path}: dataset.weights={name} is 0 in every row: there is nothing to learn from.")
