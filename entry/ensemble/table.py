"""Tables of numbers: read from a channel or a CSV file, written as a channel, hashed by content.

A channel that the harness writes is ``schema.json`` with ``features.npy`` and ``target.npy``, which are mapped into
memory and so shared between processes. Any other channel is read as CSV files that name the target column.
"""

from __future__ import annotations

import csv
import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.base import Floats

SCHEMA_FILE = "schema.json"
CHANNEL_VERSION = 1


@dataclass(frozen=True)
class Table:
    """Rows of numeric features and a target.

    Attributes:
        columns: Feature names, unique, in order.
        target_name: Name of the target column.
        features: Shape (rows, columns), float64; NaN where a value is missing.
        target: Shape (rows,), float64, finite.
    """

    columns: tuple[str, ...]
    target_name: str
    features: Floats
    target: Floats

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    def take(self, index: Any) -> Table:
        """Return the rows of ``index``, in its order."""
        return Table(self.columns, self.target_name, self.features[index], self.target[index])

    def content_hash(self) -> str:
        """Return a SHA-256 over names and values: equal for tables that are equal, whatever file they came from."""
        digest = hashlib.sha256(json.dumps([self.target_name, *self.columns]).encode())
        for array in (self.features, self.target):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()


def write_channel(table: Table, folder: Path) -> None:
    """Write ``table`` into ``folder``, which must exist."""
    np.save(folder / "features.npy", table.features, allow_pickle=False)
    np.save(folder / "target.npy", table.target, allow_pickle=False)
    schema = {
        "version": CHANNEL_VERSION,
        "columns": [{"name": name, "type": "number"} for name in table.columns],
        "target": table.target_name,
        "rows": table.rows,
        "content_hash": table.content_hash(),
    }
    (folder / SCHEMA_FILE).write_text(json.dumps(schema, indent=1))


def read_channel(folder: Path, target: str | None = None) -> Table:
    """Read a channel.

    Args:
        folder: What ``write_channel`` wrote, or a folder of CSV files with a header row each.
        target: Name of the target column, for CSV files.

    Raises:
        InputError: The folder holds no table, or a broken one.
    """
    schema_path = folder / SCHEMA_FILE
    if schema_path.exists():
        try:
            return _read_arrays(folder, schema_path)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"channel {folder} is broken ({type(error).__name__}: {error}): write it anew.") from None
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise InputError(f"channel {folder} holds neither {SCHEMA_FILE} nor a .csv file.")
    if target is None:
        raise InputError(f"channel {folder} holds CSV files: give the target column with --target.")
    parts = [read_csv(path, target) for path in files]
    for path, part in zip(files, parts, strict=True):
        if part.columns != parts[0].columns:
            raise InputError(f"{path.name} and {files[0].name} in {folder} do not have the same columns.")
    return Table(
        parts[0].columns,
        target,
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.target for part in parts]),
    )


def _read_arrays(folder: Path, schema_path: Path) -> Table:
    schema = json.loads(schema_path.read_text())
    if schema["version"] != CHANNEL_VERSION:
        raise InputError(f"{schema_path} has version {schema['version']}, not {CHANNEL_VERSION}: write it anew.")
    features = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
    values = np.load(folder / "target.npy", mmap_mode="r", allow_pickle=False)
    names = tuple(column["name"] for column in schema["columns"])
    if features.shape != (schema["rows"], len(names)) or values.shape != (schema["rows"],):
        raise InputError(f"the arrays in {folder} do not have the shape that {schema_path.name} says: write it anew.")
    return Table(names, schema["target"], features, values)


def read_csv(path: Path, target: str, drop: Sequence[str] = ()) -> Table:
    """Read a CSV file with a header row; numbers exactly, true and false as 1 and 0, empty cells as missing.

    Args:
        path: The file.
        target: Name of the target column.
        drop: Columns to leave out.

    Raises:
        InputError: Not a table of numbers with that target; the message names file, column and row.
    """
    import pandas as pd

    names = _header(path)
    _check_columns(path, names, target, drop)
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
    if len(frame) < 2:
        raise InputError(f"{path} has {len(frame)} data row{'' if len(frame) == 1 else 's'}: at least 2 are needed.")
    frame.columns = pd.Index(names)
    kept = [name for name in names if name != target and name not in drop]
    features = np.empty((len(frame), len(kept)), dtype=np.float64)
    for position, name in enumerate(kept):
        features[:, position] = _numbers(frame[name], path, name)
    _check_finite(features, kept, path)
    values = _numbers(frame[target], path, target, is_target=True)
    _check_target(values, path, target)
    return Table(tuple(kept), target, features, values)


def _header(path: Path) -> list[str]:
    if not path.exists():
        near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise InputError(f"there is no file {path}.{did_you_mean(path.name, near)} Give dataset.path=<file.csv>.")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the CSV file in it as dataset.path.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((row for row in csv.reader(file, skipinitialspace=True) if row), None)
    except PermissionError:
        raise InputError(f"{path} cannot be read by this user: change its permissions.") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8.") from None
    if first is None:
        raise InputError(f"{path} is empty: a header row and data rows are needed.")
    return [name.strip() for name in first]


def _check_columns(path: Path, names: list[str], target: str, drop: Sequence[str]) -> None:
    if any("\0" in name for name in names):
        raise InputError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8.")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"{path} has more than one column named {listed(repr(name) for name in repeated)}: rename.")
    if "" in names:
        raise InputError(f"{path} has a column without a name (number {names.index('') + 1}): name it in the header.")
    for key, name in (("dataset.target", target), *(("dataset.drop", name) for name in drop)):
        if name not in names:
            raise InputError(
                f"{key}={name}: {path} has no such column.{did_you_mean(name, names)} It has: {', '.join(names)}."
            )
    if target in drop:
        raise InputError(f"dataset.drop names the target column {target!r}: take it out of dataset.drop.")
    if not set(names) - {target, *drop}:
        raise InputError(f"{path} has no column left besides the target {target!r}: at least one feature is needed.")


def _numbers(column: Any, path: Path, name: str, *, is_target: bool = False) -> Floats:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column, dtype=np.float64)
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = column[numbers.isna() & column.notna()]
    if len(wrong) == 0:
        return np.asarray(numbers, dtype=np.float64)
    if not is_target and set(wrong.unique()) <= {True, False}:
        return np.asarray(column.map({True: 1.0, False: 0.0}), dtype=np.float64)
    fix = "give a numeric target" if is_target else f"convert it, or leave it out with dataset.drop=[{name}]"
    raise InputError(
        f"{path}: column {name!r} holds text in data row {wrong.index[0] + 1}: {str(wrong.iloc[0])!r}. "
        f"Only numbers are read: {fix}."
    )


def _check_finite(features: Floats, names: Sequence[str], path: Path) -> None:
    infinite = np.isinf(features)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise InputError(
            f"{path}: column {names[column]!r} is infinite in data row {row + 1}: empty the cell or bound the value."
        )


def _check_target(values: Floats, path: Path, target: str) -> None:
    for wrong, word in ((np.isnan(values), "missing"), (np.isinf(values), "infinite")):
        if wrong.any():
            raise InputError(
                f"{path}: target {target!r} is {word} in {int(wrong.sum())} of {len(values)} rows, first in data row "
                f"{int(np.argmax(wrong)) + 1}: remove these rows."
            )
    if np.all(values == values[0]):
        raise InputError(f"{path}: target {target!r} is {values[0]:g} in every row: there is nothing to learn.")
