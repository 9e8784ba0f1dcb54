"""CSV and Parquet files to tables: the type of every column found out, checked and coded."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.base import Floats
from ensemble.table import NUMBER, Column, Table

if TYPE_CHECKING:
    import pandas as pd

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_SECONDS_A_DAY = 86_400
FoldKey = Literal["group", "time"]


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


def read_file(path: Path, roles: Roles) -> Table:
    """Read a table by its file name's ending: ``.parquet``, anything else as CSV.

    Numbers are read exactly; true and false become 1 and 0; dates the days since 1970, with their fraction; other text
    a category, coded by its place among the sorted values; empty cells and unknown categories NaN.

    Raises:
        InputError: No table with these columns; the message names file, column and row.
    """
    names, frame = _read_parquet(path, roles) if path.suffix == ".parquet" else _read_csv(path, roles)
    if len(frame) < 2:
        raise InputError(f"{path} has {len(frame)} data row{'' if len(frame) == 1 else 's'}: at least 2 are needed.")
    left_out = {*roles.used().values(), *roles.drop}
    kept = [name for name in names if name not in left_out]
    features = np.empty((len(frame), len(kept)), dtype=np.float64)
    columns = []
    for position, name in enumerate(kept):
        column, features[:, position] = _coded(frame[name], path, name, roles.columns.get(name))
        columns.append(column)
    _check_finite(features, kept, path)
    _check_varies(features, path)
    target = _numbers(frame[roles.target], path, roles.target, "give a numeric target")
    _check_target(target, path, roles.target)
    weights = fold_keys = None
    if roles.weights is not None:
        weights = _numbers(frame[roles.weights], path, roles.weights, "give numeric weights")
        _check_weights(weights, path, roles.weights)
    if roles.fold_key is not None:
        fold_keys = _fold_keys(frame[roles.fold_key], path, roles.fold_key, roles.fold_kind)
    return Table(tuple(columns), roles.target, features, target, weights, fold_keys)


def features_of(frame: pd.DataFrame, columns: Sequence[Column]) -> Floats:
    """Return the features of ``frame`` coded as ``columns`` say, shape (rows, columns).

    Raises:
        InputError: A column is missing, or holds what its description does not allow.
    """
    features = np.empty((len(frame), len(columns)), dtype=np.float64)
    for place, column in enumerate(columns):
        if column.name not in frame.columns:
            raise InputError(f"column {column.name!r} is missing; the columns are {listed(c.name for c in columns)}.")
        _, features[:, place] = _coded(frame[column.name], Path("the rows given"), column.name, column)
    return features


def frame_of(features: Floats, columns: Sequence[Column]) -> pd.DataFrame:
    """Return coded features as people write them, which ``features_of`` reads back: categories and dates as text."""
    import pandas as pd

    written: dict[str, Any] = {}
    for column, values in zip(columns, features.T, strict=True):
        if column.type == "category":
            written[column.name] = [None if np.isnan(code) else column.levels[int(code)] for code in values]
        elif column.type == "date":
            stamps = pd.to_datetime(values * _SECONDS_A_DAY, unit="s")
            written[column.name] = [None if pd.isna(stamp) else stamp.isoformat() for stamp in stamps]
        else:
            written[column.name] = values
    return pd.DataFrame(written)


def _read_csv(path: Path, roles: Roles) -> tuple[list[str], pd.DataFrame]:
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
    return names, frame


def _read_parquet(path: Path, roles: Roles) -> tuple[list[str], pd.DataFrame]:
    import pandas as pd

    _check_file(path)
    try:
        from pyarrow.lib import ArrowException
    except ImportError:
        raise InputError(f"{path} is Parquet, which needs pyarrow here: pip install pyarrow, or give CSV.") from None
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} is no Parquet file that can be read: {reason} Write it anew.") from None
    names = [str(name) for name in frame.columns]
    _check_names(path, names, roles)
    frame.columns = pd.Index(names)
    return names, frame.reset_index(drop=True)


def _check_file(path: Path) -> None:
    if not path.exists():
        near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise InputError(f"there is no file {path}.{did_you_mean(path.name, near)} Give dataset.path=<file>.")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the file in it as dataset.path.")
    try:
        path.open("rb").close()
    except PermissionError:
        raise InputError(f"{path} cannot be read by this user: change its permissions.") from None


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
        raise InputError(f"{path} has more than one column named {listed(repr(name) for name in repeated)}: rename.")
    if "" in names:
        raise InputError(f"{path} has a column without a name (number {names.index('') + 1}): name it in the header.")
    used = roles.used()
    for key, name in (*used.items(), *(("dataset.drop", name) for name in roles.drop)):
        if name not in names:
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


def _coded(values: pd.Series[Any], path: Path, name: str, known: Column | None) -> tuple[Column, Floats]:
    """Return the column's description and its values as numbers; as ``known`` describes it, where that is given."""
    import pandas as pd

    fix = f"convert it, or leave it out with dataset.drop=[{name}]"
    if known is not None and known.type == "category":
        return known, _codes(values, known.levels)
    if pd.api.types.is_bool_dtype(values.dtype) or (known is not None and known.type == "boolean"):
        return Column(name, "boolean"), _booleans(values, path, name, fix)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return Column(name), np.asarray(values, dtype=np.float64)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return Column(name, "date"), _days(values)
    present = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _category(values, name)
    wrong = present[[not isinstance(value, str | bool | int | float) for value in present]]
    if len(wrong):
        kind = type(wrong.iloc[0]).__name__
        raise InputError(f"{path}: column {name!r} holds a {kind} in data row {int(wrong.index[0]) + 1}: {fix}.")
    return _text(values.astype("object"), present.astype(str), path, name, known, fix)


def _text(
    values: pd.Series[Any], present: pd.Series[str], path: Path, name: str, known: Column | None, fix: str
) -> tuple[Column, Floats]:
    """Find out what a column of text is."""
    import pandas as pd

    if set(present.str.lower()) <= {"true", "false"} and len(present):
        return Column(name, "boolean"), _booleans(values, path, name, fix)
    numbers = pd.to_numeric(present, errors="coerce")
    numeric = float(numbers.notna().mean()) if len(present) else 1.0
    if numeric == 1.0 or (known is not None and known.type == NUMBER) or numeric >= 0.5:
        return Column(name), _numbers(values, path, name, f"empty the cell, or {fix}")
    dated = present.str.fullmatch(_ISO_DATE.pattern)
    if float(dated.mean()) >= 0.5 or (known is not None and known.type == "date"):
        dates = pd.to_datetime(present.where(dated), format="ISO8601", errors="coerce", utc=True)
        if dates.isna().any():
            row = int(dates.index[dates.isna()][0])
            raise InputError(
                f"{path}: column {name!r} holds dates, and in data row {row + 1} {present[row]!r}, which is none "
                f"(dates are written 2024-12-31): {fix}."
            )
        return Column(name, "date"), _days(dates.reindex(values.index))
    return _category(values, name)


def _category(values: pd.Series[Any], name: str) -> tuple[Column, Floats]:
    levels = tuple(sorted({str(value) for value in values.dropna().unique()}))
    return Column(name, "category", levels), _codes(values, levels)


def _codes(values: pd.Series[Any], levels: Sequence[str]) -> Floats:
    places = {level: float(place) for place, level in enumerate(levels)}
    missing = np.asarray(values.isna())
    texts = values.astype("object")
    return np.array(
        [np.nan if gone else places.get(str(value), np.nan) for value, gone in zip(texts, missing, strict=True)],
        dtype=np.float64,
    )


def _booleans(values: pd.Series[Any], path: Path, name: str, fix: str) -> Floats:
    numbers = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    found = np.full(len(values), np.nan)
    for row, (value, gone) in enumerate(zip(values.astype("object"), np.asarray(values.isna()), strict=True)):
        if gone:
            continue
        if str(value).lower() not in numbers:
            raise InputError(
                f"{path}: column {name!r} holds true and false, and in data row {row + 1} {str(value)!r}: {fix}."
            )
        found[row] = numbers[str(value).lower()]
    return found


def _days(values: pd.Series[Any]) -> Floats:
    import pandas as pd

    stamps = pd.to_datetime(values, utc=True)
    seconds = (stamps - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return np.asarray(seconds, dtype=np.float64) / _SECONDS_A_DAY


def _numbers(column: pd.Series[Any], path: Path, name: str, fix: str) -> Floats:
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        raise InputError(f"{path}: column {name!r} holds true and false, where numbers are expected: {fix}.")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column, dtype=np.float64)
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = column[numbers.isna() & column.notna()]
    if len(wrong) == 0:
        return np.asarray(numbers, dtype=np.float64)
    raise InputError(
        f"{path}: column {name!r} holds text in data row {int(wrong.index[0]) + 1}: {str(wrong.iloc[0])!r}, where "
        f"numbers are expected: {fix}."
    )


def _fold_keys(values: pd.Series[Any], path: Path, name: str, kind: FoldKey) -> Floats:
    missing = np.asarray(values.isna())
    if missing.any():
        raise InputError(
            f"{path}: dataset.folds.column={name} is missing in {int(missing.sum())} of {len(values)} rows, first in "
            f"data row {int(np.argmax(missing)) + 1}: remove these rows or fill them."
        )
    if kind == "group":
        return _codes(values, sorted({str(value) for value in values.unique()}))
    column, keys = _coded(values, path, name, None)
    if column.type not in (NUMBER, "date"):
        raise InputError(f"{path}: dataset.folds.column={name} is text: folds by time need dates or numbers.")
    return keys


def _check_finite(features: Floats, names: Sequence[str], path: Path) -> None:
    infinite = np.isinf(features)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise InputError(
            f"{path}: column {names[column]!r} is infinite in data row {row + 1}: empty the cell or bound the value."
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
