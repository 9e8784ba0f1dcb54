"""The values of one column of a request, coded as the model's training data was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.column_encoding import coded
from ensemble.errors import CellError
from ensemble.reading import LARGEST
from ensemble.serving.errors import RequestError, first_line, unfit
from ensemble.serving.unseen import Unseen
from ensemble.table import Column

_BOOLEANS: Mapping[str, float] = {"true": 1.0, "false": 0.0}
_PLACE = Path("the request")


def column_numbers(column: Column, values: Any, *, text: bool, unseen: Unseen | None = None) -> Floats:
    """Code the values of one column as in training.

    Values of the expected types take a fast path. All others go through the code that reads tables for training, whose
    errors name column and row.

    Args:
        column: How the model codes the column.
        values: A list, an array or a pandas series.
        text: Whether all values are text, as in CSV.
        unseen: Counts the categories that the model does not have, if it is given.

    Returns:
        Shape (rows,), float64, NaN where missing. A category that the model does not have is missing.

    Raises:
        RequestError: A value does not fit the column.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu" and column.is_plain:
        return values.astype(np.float64)
    if column.type == "category":
        texts = values if isinstance(values, list) and set(map(type, values)) <= {str, type(None)} else None
        if texts is None:
            import pandas as pd

            texts = _level_names(column, pd.Series(values, dtype="object"))
        return _levels(column, texts, unseen)
    if not isinstance(values, list):
        return _code_any(column, values)
    kinds = set(map(type, values))
    fast = None
    if text:
        fast = _text_numbers(column, values)
    elif column.type == "number" and column.missing is None and kinds <= {int, float, type(None)}:
        fast = _floats(column, values)
    elif column.type == "boolean" and kinds <= {bool, type(None)}:
        fast = np.array(values, dtype=np.float64)
    return _code_any(column, values) if fast is None else fast


def check_numbers(features: Floats, columns: Sequence[Column]) -> None:
    """Check that features, shape (rows, columns), are within the range that libraries can use.

    Raises:
        RequestError: A number is infinite or beyond ``LARGEST``; the error names column and row.
    """
    with np.errstate(invalid="ignore"):
        wrong = np.abs(features) > LARGEST
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        got = f"{features[row, place]:g}"
        raise unfit(
            f"column {columns[place].name!r} is {got} in data row {row + 1}: numbers go up to {LARGEST:g}.",
            column=columns[place].name,
            row=int(row) + 1,
            expected=f"a number up to {LARGEST:g}",
            got=got,
        )


def _floats(column: Column, values: Sequence[Any]) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        row = next(number for number, value in enumerate(values) if isinstance(value, int) and abs(value) > LARGEST)
        raise unfit(
            f"column {column.name!r} is too large in data row {row + 1}: numbers go up to {LARGEST:g}.",
            column=column.name,
            row=row + 1,
            expected=f"a number up to {LARGEST:g}",
            got="a larger one",
        ) from None


def _text_numbers(column: Column, values: Sequence[str]) -> Floats | None:
    missing = column.missing_texts
    if column.is_plain:
        return _plain_numbers(values, missing)
    if column.type == "boolean":
        known = [np.nan if value in missing else _BOOLEANS.get(value.lower()) for value in values]
        return None if None in known else np.array(known, dtype=np.float64)
    return None


def _plain_numbers(values: Sequence[str], missing: frozenset[str]) -> Floats | None:
    # Python would also parse 1_000, +nan and digits of other scripts as numbers.
    if any("_" in value or not value.isascii() for value in values):
        return None
    try:
        numbers = np.array([np.nan if value in missing else float(value) for value in values])
    except ValueError:
        return None
    gaps = np.flatnonzero(np.isnan(numbers))
    return numbers if all(values[int(row)] in missing for row in gaps) else None


def _levels(column: Column, values: Sequence[str | None], unseen: Unseen | None) -> Floats:
    places: dict[str | None, float] = {level: float(place) for place, level in enumerate(column.levels)}
    codes = np.array([places.get(value, np.nan) for value in values], dtype=np.float64)
    if unseen is not None:
        for row in np.flatnonzero(np.isnan(codes)).tolist():
            value = values[row]
            if value is not None and value not in column.missing_texts:
                unseen.add(column.name, row, value)
    return codes


def _level_names(column: Column, series: Any) -> list[str | None]:
    """Return each value as text, None if it is missing: as its level, if it has one.

    A whole number may be written with or without a point.
    """
    levels = frozenset(column.levels)
    found: list[str | None] = []
    for row, (value, gone) in enumerate(zip(series, series.isna(), strict=True)):
        if isinstance(value, list | dict | bytes | np.ndarray):
            raise _cell(column, row + 1, "the text of a category", f"a {type(value).__name__}")
        texts = [str(value)]
        if isinstance(value, bool | np.bool_):
            texts.append(str(value).lower())
        elif isinstance(value, int | float) and abs(value) <= LARGEST and float(value).is_integer():
            texts += [str(int(value)), str(float(value))]
        found.append(None if gone else next((text for text in texts if text in levels), texts[0]))
    return found


def _code_any(column: Column, values: Any) -> Floats:
    import pandas as pd

    if isinstance(values, list):
        missing = column.missing_texts
        given = [None if isinstance(value, str) and value in missing else value for value in values]
        series = pd.Series(given, dtype="object")
    else:
        series = values if isinstance(values, pd.Series) else pd.Series(values)
    if column.type == "number":
        _check_no_booleans(column, series)
    try:
        return coded(series, _PLACE, column)
    except CellError as error:
        raise _cell(column, error.row, error.expected, error.got) from None
    except Exception as error:  # pandas, and pyarrow below it, raise many types of exception
        raise _cell(column, None, f"a {column.type}", f"something else ({first_line(error)})") from None


def _check_no_booleans(column: Column, series: Any) -> None:
    """Raise RequestError for true and false among numbers, which the code for training tables would accept."""
    if series.dtype.kind not in "bO":
        return
    for row, value in enumerate(series):
        if isinstance(value, bool | np.bool_):
            raise _cell(column, row + 1, "a number", str(value).lower())


def _cell(column: Column, row: int | None, expected: str, got: str) -> RequestError:
    got = got if len(got) <= 80 else got[:77] + "..."
    place = "" if row is None else f" in data row {row}"
    return unfit(
        f"column {column.name!r} has {got}{place}, where {expected} is expected.",
        column=column.name,
        row=row,
        expected=expected,
        got=got,
    )
