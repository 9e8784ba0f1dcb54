"""Recognise the type of each column, check its values, and turn them into numbers and back."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ensemble.errors import CellError, InputError, listed
from ensemble.members.base import Floats
from ensemble.table import NUMBER, Column

if TYPE_CHECKING:
    import pandas as pd

FoldKey = Literal["group", "time"]
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_SECONDS_A_DAY = 86_400
# The Python types of Parquet's dates and decimals in pandas, and the dtypes that can hold their values.
_TYPED: dict[type, str] = {dt.date: "datetime64[s]", decimal.Decimal: "float64"}


def coded(values: pd.Series[Any], path: Path, name: str, known: Column | None) -> tuple[Column, Floats]:
    """Code one column.

    Args:
        values: The column, in any dtype that pandas reads.
        path: The file, for messages.
        name: The column's name.
        known: How the column must be coded; None to recognise its type.

    Returns:
        The column's description, and its values as float64, shape (rows,), NaN where missing. A category that
        ``known`` does not have is missing.

    Raises:
        CellError: A value does not fit the column.
    """
    import pandas as pd

    fix = f"convert it, or leave it out with dataset.drop=[{name}]"
    if known is not None and known.type == "category":
        return known, _codes(values, known.levels)
    if pd.api.types.is_bool_dtype(values.dtype) or (known is not None and known.type == "boolean"):
        return Column(name, "boolean"), _booleans(values, path, name, fix)
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _typed(values, name)
    present = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _category(values, name)
    for python_type, dtype in _TYPED.items():
        if len(present) and all(isinstance(value, python_type) for value in present):
            typed = pd.Series(np.array(present, dtype=dtype), index=present.index).reindex(values.index)
            return _typed(typed, name)
    wrong = present[[not isinstance(value, str | bool | int | float) for value in present]]
    if len(wrong):
        kind, row = type(wrong.iloc[0]).__name__, int(wrong.index[0]) + 1
        raise CellError(
            f"{path}: column {name!r} holds a {kind} in data row {row}: {fix}.",
            column=name,
            row=row,
            expected="a number, text, a date, true or false",
            got=kind,
        )
    return _text(values.astype("object"), present.astype(str), path, name, known, fix)


def _typed(values: pd.Series[Any], name: str) -> tuple[Column, Floats]:
    if values.dtype.kind == "M":
        return Column(name, "date"), _days(values)
    return Column(name), np.asarray(values, dtype=np.float64)


def _text(
    values: pd.Series[Any], present: pd.Series[str], path: Path, name: str, known: Column | None, fix: str
) -> tuple[Column, Floats]:
    """Recognise what a column of text holds, and code it."""
    import pandas as pd

    if set(present.str.lower()) <= {"true", "false"} and len(present):
        return Column(name, "boolean"), _booleans(values, path, name, fix)
    numbers = pd.to_numeric(present, errors="coerce")
    numeric = float(numbers.notna().mean()) if len(present) else 1.0
    if known is not None and known.type == "date":
        numeric = 0.0
    if numeric >= 0.5 or (known is not None and known.type == NUMBER):
        return Column(name), numbers_of(values, path, name, f"empty the cell, or {fix}")
    dated = present.str.fullmatch(_ISO_DATE.pattern)
    if float(dated.mean()) >= 0.5 or (known is not None and known.type == "date"):
        dates = pd.to_datetime(present.where(dated), format="ISO8601", errors="coerce", utc=True)
        if dates.isna().any():
            row = int(dates.index[dates.isna()][0])
            raise CellError(
                f"{path}: column {name!r} holds dates, but {present[row]!r} in data row {row + 1} is not a date "
                f"(dates are written 2024-12-31): {fix}.",
                column=name,
                row=row + 1,
                expected="a date, such as 2024-12-31",
                got=repr(present[row]),
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
        [
            np.nan if is_missing else places.get(str(value), np.nan)
            for value, is_missing in zip(texts, missing, strict=True)
        ],
        dtype=np.float64,
    )


def _booleans(values: pd.Series[Any], path: Path, name: str, fix: str) -> Floats:
    numbers = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    found = np.full(len(values), np.nan)
    for row, (value, is_missing) in enumerate(zip(values.astype("object"), np.asarray(values.isna()), strict=True)):
        if is_missing:
            continue
        if str(value).lower() not in numbers:
            raise CellError(
                f"{path}: column {name!r} holds true and false, but {str(value)!r} in data row {row + 1}: {fix}.",
                column=name,
                row=row + 1,
                expected="true or false",
                got=repr(str(value)),
            )
        found[row] = numbers[str(value).lower()]
    return found


def _days(values: pd.Series[Any]) -> Floats:
    import pandas as pd

    # Not with pandas' own difference, which is in nanoseconds and so ends in the year 2262.
    stamps = np.asarray(pd.to_datetime(values, utc=True).dt.tz_localize(None))
    since = stamps - np.zeros_like(stamps)
    return np.where(np.isnat(since), np.nan, since / np.timedelta64(_SECONDS_A_DAY, "s"))


def iso_date(days: float) -> str:
    """Return days since 1970-01-01 as an ISO date and time of day, with microseconds unless they are 0."""
    stamp = np.datetime64(round(days * _SECONDS_A_DAY * 1_000_000), "us")
    return str(stamp if stamp != stamp.astype("datetime64[s]") else stamp.astype("datetime64[s]"))


def numbers_of(column: pd.Series[Any], path: Path, name: str, fix: str) -> Floats:
    """Return a column of numbers as float64, shape (rows,), NaN where a value is missing.

    Raises:
        CellError: A value is not a number; the message names the row and ends with ``fix``.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        raise CellError(
            f"{path}: column {name!r} holds true and false, where numbers are expected: {fix}.",
            column=name,
            row=1,
            expected="a number",
            got=str(column.iloc[0]).lower(),
        )
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column, dtype=np.float64)
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = column[numbers.isna() & column.notna()]
    if len(wrong) == 0:
        return np.asarray(numbers, dtype=np.float64)
    row, got = int(wrong.index[0]) + 1, repr(str(wrong.iloc[0]))
    raise CellError(
        f"{path}: column {name!r} holds text in data row {row}: {got}, where numbers are expected: {fix}.",
        column=name,
        row=row,
        expected="a number",
        got=got,
    )


def fold_keys_of(values: pd.Series[Any], path: Path, name: str, kind: FoldKey) -> Floats:
    """Return what folds are divided by: the group or the moment of each row, shape (rows,), float64.

    A group is the position of its value among the sorted values. A moment is in days since 1970-01-01 for dates, and in
    the column's unit for numbers.

    Raises:
        InputError: A row has no value, or ``kind`` is ``time`` and the column holds text.
    """
    missing = np.asarray(values.isna())
    if missing.any():
        raise InputError(
            f"{path}: dataset.folds.column={name} is missing in {int(missing.sum())} of {len(values)} rows, first in "
            f"data row {int(np.argmax(missing)) + 1}: remove these rows or fill them."
        )
    if kind == "group":
        return _codes(values, sorted({str(value) for value in values.unique()}))
    column, keys = coded(values, path, name, None)
    if column.type not in (NUMBER, "date"):
        raise InputError(f"{path}: dataset.folds.column={name} is text: folds by time need dates or numbers.")
    return keys


def features_of(frame: pd.DataFrame, columns: Sequence[Column]) -> Floats:
    """Return the features of ``frame`` as ``columns`` code them: shape (rows, columns), float64, NaN where missing.

    Raises:
        CellError: A column is missing, or a value does not fit its description.
    """
    features = np.empty((len(frame), len(columns)), dtype=np.float64)
    for place, column in enumerate(columns):
        if column.name not in frame.columns:
            raise CellError(
                f"column {column.name!r} is missing; the columns are {listed(c.name for c in columns)}.",
                column=column.name,
                row=None,
                expected="a column",
                got="no column of that name",
            )
        _, features[:, place] = coded(frame[column.name], Path("the rows given"), column.name, column)
    return features


def frame_of(features: Floats, columns: Sequence[Column]) -> pd.DataFrame:
    """Return coded features in the form that people write: categories and dates as text.

    Args:
        features: Shape (rows, columns), float64.
        columns: How the features are coded.

    Returns:
        One column per feature. ``features_of`` turns it back into the same numbers.
    """
    import pandas as pd

    written: dict[str, Any] = {}
    for column, values in zip(columns, features.T, strict=True):
        if column.type == "category":
            written[column.name] = [None if np.isnan(code) else column.levels[int(code)] for code in values]
        elif column.type == "date":
            written[column.name] = [None if np.isnan(days) else iso_date(days) for days in values]
        else:
            written[column.name] = values
    return pd.DataFrame(written)
