"""Turn the values of columns into numbers as the columns are described, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ensemble.arguments import as_argument
from ensemble.arrays import Floats
from ensemble.column_types import ISO_DATE, TYPED, Zone, canonical_text, check_cells, number_hint, zone_of, zones_of
from ensemble.errors import CellError, InputError
from ensemble.table import NUMBER, Column
from ensemble.written_numbers import written_number

if TYPE_CHECKING:
    import pandas as pd

FoldKey = Literal["group", "time"]
_SECONDS_A_DAY = 86_400


def coded(values: pd.Series[Any], path: Path, column: Column) -> Floats:
    """Code the values of a column.

    Args:
        values: The column, in any dtype that pandas reads, with row numbers from 0 as its index.
        path: The file, for messages.
        column: How the column is coded.

    Returns:
        The values as float64, shape (rows,), NaN where missing. A category that ``column`` does not have is missing.

    Raises:
        CellError: A value does not fit the column.
    """
    import pandas as pd

    fix = f"convert it, or leave it out with {as_argument('dataset.drop', [column.name])}"
    if column.type == "category":
        return _codes(values, column.levels)
    if values.dtype.kind == "O" and not isinstance(values.dtype, pd.CategoricalDtype):
        values = values.mask(values.isin(list(column.missing_texts)).fillna(False))
    if column.type == "boolean":
        return _booleans(values, path, column.name, fix)
    values = _of_one_type(values)
    if column.type == "number":
        return numbers_of(values, path, column, f"empty the cell, or {fix}")
    if values.dtype.kind in "iufb" and len(values.dropna()):
        row = int(np.argmax(np.asarray(values.notna())))
        raise _not_a_date(values.iloc[row], row, path, column.name, fix)
    return _dates(values, path, column, fix)


def _of_one_type(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return Python's dates and decimals, and categories of numbers or dates, as what they are."""
    import pandas as pd

    if values.dtype.kind != "O":
        return values
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(values.cat.categories.dtype if values.notna().all() else "object")
    present = values.dropna()
    for python_type, dtype in TYPED.items():
        if len(present) and all(isinstance(value, python_type) for value in present):
            return pd.Series(np.array(present, dtype=dtype), index=present.index).reindex(values.index)
    return values


def _without_missing(numbers: Floats, column: Column) -> Floats:
    """Return numbers without those that are declared as missing, such as -999."""
    for text in column.missing or ():
        try:
            marker = float(text)
        except ValueError:
            continue
        numbers = np.where(numbers == marker, np.nan, numbers)
    return numbers


def _not_a_date(value: Any, row: int, path: Path, name: str, fix: str) -> CellError:
    got = repr(value) if isinstance(value, str) else str(value)
    return CellError(
        f"{path}: column {name!r} holds dates, but {got} in data row {row + 1} is not a date "
        f"(dates are written 2024-12-31): {fix}.",
        column=name,
        row=row + 1,
        expected="a date, such as 2024-12-31",
        got=got,
    )


def _dates(values: pd.Series[Any], path: Path, column: Column, fix: str) -> Floats:
    """Return dates and times as days."""
    import pandas as pd

    if values.dtype.kind == "M" or isinstance(values.dtype, pd.DatetimeTZDtype):
        present = values.dropna()
        kinds = [zone_of(values.dt.tz)] * min(1, len(present))
        _check_zones(present, kinds, path, column)
        return _days(values)
    present = values.dropna().astype("object")
    check_cells(present, path, column.name)
    present = present.astype(str)
    dated = present.str.fullmatch(ISO_DATE.pattern).astype(bool)
    dates = pd.to_datetime(present.where(dated), format="ISO8601", errors="coerce", utc=True)
    if dates.isna().any():
        row = int(dates.index[dates.isna()][0])
        raise _not_a_date(present[row], row, path, column.name, fix)
    _check_zones(present, zones_of(list(present)), path, column)
    return _days(dates.reindex(values.index))


def _check_zones(present: pd.Series[Any], kinds: Sequence[Zone], path: Path, column: Column) -> None:
    """Raise CellError unless times have a zone where the column's have one; UTC is what a time without a zone is."""
    wrong: Zone = "" if column.zoned else "zoned"
    if wrong not in kinds:
        return
    place = kinds.index(wrong)
    row, got = int(present.index[place]) + 1, str(present.iloc[place])
    expected = "a time with its time zone" if column.zoned else "a time without a time zone, or in UTC"
    raise CellError(
        f"{path}: column {column.name!r} is {got!r} in data row {row}, where {expected} is expected, as in training: "
        f"write {'2024-12-31T12:00+01:00' if column.zoned else '2024-12-31T12:00'}.",
        column=column.name,
        row=row,
        expected=expected,
        got=repr(got),
    )


def _codes(values: pd.Series[Any], levels: Sequence[str]) -> Floats:
    places = {level: float(place) for place, level in enumerate(levels)}
    missing = np.asarray(values.isna())
    texts = values.astype("object")
    return np.array(
        [
            np.nan if is_missing else places.get(canonical_text(value), np.nan)
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


def date_text(days: float, column: Column) -> str:
    """Return a coded date as an ISO date and time of day, with microseconds unless they are 0.

    It ends in Z if the times of ``column`` have a time zone.
    """
    stamp = np.datetime64(round(days * _SECONDS_A_DAY * 1_000_000), "us")
    return str(stamp if stamp != stamp.astype("datetime64[s]") else stamp.astype("datetime64[s]")) + "Z" * column.zoned


def numbers_of(values: pd.Series[Any], path: Path, column: Column, fix: str) -> Floats:
    """Return a column of numbers as float64, shape (rows,), NaN where a value is missing.

    Raises:
        CellError: A value is not a number; the message names the row and ends with ``fix``.
    """
    import pandas as pd

    name = column.name
    values = _of_one_type(values)
    if pd.api.types.is_bool_dtype(values.dtype):
        raise CellError(
            f"{path}: column {name!r} holds true and false, where numbers are expected: {fix}.",
            column=name,
            row=1,
            expected="a number",
            got=str(values.iloc[0]).lower(),
        )
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _without_missing(np.asarray(values, dtype=np.float64), column)
    present = values.dropna().astype("object")
    check_cells(present, path, name)
    if column.decimal:
        read = [_written(value, column.decimal) for value in present]
        numbers = pd.Series(read, present.index, dtype=float)
    else:
        numbers = pd.to_numeric(present, errors="coerce").astype(float)
    if not numbers.isna().any():
        return _without_missing(np.asarray(numbers.reindex(values.index), dtype=np.float64), column)
    row = int(numbers.index[numbers.isna()][0])
    got = repr(str(present[row]))
    hint = "" if column.decimal else number_hint([str(value) for value in present.unique()], name)
    raise CellError(
        f"{path}: column {name!r} holds text in data row {row + 1}: {got}, where numbers are expected: {fix}.{hint}",
        column=name,
        row=row + 1,
        expected="a number",
        got=got,
    )


def _written(value: Any, decimal: str) -> float:
    """Return a number that may be text in the column's notation, NaN if it is something else."""
    if not isinstance(value, str):
        return float(value)
    found = written_number(value, decimal)
    return np.nan if found is None else found[0]


def fold_keys_of(values: pd.Series[Any], path: Path, column: Column, kind: FoldKey) -> Floats:
    """Return what folds are divided by: the group or the moment of each row, shape (rows,), float64.

    A group is the position of its value among the sorted values. A moment is in days since 1970-01-01 for dates, and in
    the column's unit for numbers.

    Raises:
        InputError: A row has no value, or ``kind`` is ``time`` and the column holds text.
    """
    missing = np.asarray(values.isna())
    if missing.any():
        raise InputError(
            f"{path}: dataset.folds.column={column.name} is missing in {int(missing.sum())} of {len(values)} rows, "
            f"first in data row {int(np.argmax(missing)) + 1}: remove these rows or fill them."
        )
    if kind == "group":
        return _codes(values, sorted({canonical_text(value) for value in values.unique()}))
    if column.type not in (NUMBER, "date"):
        raise InputError(f"{path}: dataset.folds.column={column.name} is text: folds by time need dates or numbers.")
    return coded(values, path, column)


def frame_of(features: Floats, columns: Sequence[Column]) -> pd.DataFrame:
    """Return coded features in the form that people write: categories and dates as text.

    Args:
        features: Shape (rows, columns), float64.
        columns: How the features are coded.

    Returns:
        One column per feature. ``ensemble.serving.rows.Values`` turns them back into the same numbers.
    """
    import pandas as pd

    written: dict[str, Any] = {}
    for column, values in zip(columns, features.T, strict=True):
        if column.type == "category":
            written[column.name] = [None if np.isnan(code) else column.levels[int(code)] for code in values]
        elif column.type == "date":
            written[column.name] = [None if np.isnan(days) else date_text(days, column) for days in values]
        else:
            written[column.name] = values
    return pd.DataFrame(written)
