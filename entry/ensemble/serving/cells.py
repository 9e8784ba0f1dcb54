"""The values of one column of a request as the numbers that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.coding import coded
from ensemble.errors import CellError
from ensemble.members.base import Floats
from ensemble.reading import LARGEST
from ensemble.serving.errors import RequestError, first_line, unfit
from ensemble.table import Column

# What an empty cell may be written as: what pandas, which reads tables for training, takes for missing.
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
_TRUTH: Mapping[str, float] = {"true": 1.0, "false": 0.0}
_PLACE = Path("the request")


def column_numbers(column: Column, values: Any, *, text: bool) -> Floats:
    """Return one column's values as the model was trained on them, shape (rows,).

    The quick ways are for values that are what they should be; anything else goes by the code that reads tables for
    training, and is refused there by name and row.

    Raises:
        RequestError: A value that the column cannot hold.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu" and column.type in ("number", "date"):
        return values.astype(np.float64)
    if not isinstance(values, list):
        return _slowly(column, values)
    kinds = set(map(type, values))
    quick = None
    if text:
        quick = _text_numbers(column, values)
    elif column.type == "number" and kinds <= {int, float, type(None)}:
        quick = _floats(column, values)
    elif column.type == "boolean" and kinds <= {bool, type(None)}:
        quick = np.array(values, dtype=np.float64)
    elif column.type == "category" and kinds <= {str, type(None)}:
        quick = _levels(column, values)
    return _slowly(column, values) if quick is None else quick


def check_numbers(features: Floats, columns: Sequence[Column]) -> None:
    """Raise RequestError for a number that is infinite or beyond what libraries reckon with."""
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
    if column.type == "number":
        # Python itself would take 1_000, +nan and other scripts' digits for numbers.
        if any("_" in value or not value.isascii() for value in values):
            return None
        try:
            numbers = np.array([np.nan if value in MISSING else float(value) for value in values])
        except ValueError:
            return None
        gaps = np.flatnonzero(np.isnan(numbers))
        return numbers if all(values[int(row)] in MISSING for row in gaps) else None
    if column.type == "category":
        return _levels(column, values)
    if column.type == "boolean":
        known = [np.nan if value in MISSING else _TRUTH.get(value.lower()) for value in values]
        return None if None in known else np.array(known, dtype=np.float64)
    return None


def _levels(column: Column, values: Sequence[str | None]) -> Floats:
    places: dict[str | None, float] = {level: float(place) for place, level in enumerate(column.levels)}
    return np.array([places.get(value, np.nan) for value in values], dtype=np.float64)


def _as_levels(column: Column, series: Any) -> list[str | None]:
    """Return the levels that values are written as; a whole number may be one with a point or without."""
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
        found.append(None if gone else next((text for text in texts if text in levels), None))
    return found


def _slowly(column: Column, values: Any) -> Floats:
    import pandas as pd

    if column.type == "category":
        return _levels(column, _as_levels(column, pd.Series(values, dtype="object")))
    if isinstance(values, list):
        given = [None if isinstance(value, str) and value in MISSING else value for value in values]
        series = pd.Series(given, dtype="object")
    else:
        series = values if isinstance(values, pd.Series) else pd.Series(values)
    if column.type == "number":
        _refuse_truth(column, series)
    try:
        found, numbers = coded(series, _PLACE, column.name, column)
    except CellError as error:
        raise _cell(column, error.row, error.expected, error.got) from None
    except Exception as error:  # pandas, and pyarrow under it, raise whatever they run into
        raise _cell(column, None, f"a {column.type}", f"something else ({first_line(error)})") from None
    if found.type != column.type and not (found.type == "number" and column.type == "date"):
        raise _cell(column, None, f"a {column.type}", f"a {found.type}")
    return numbers


def _refuse_truth(column: Column, series: Any) -> None:
    """Raise RequestError for true and false among numbers, which a table for training would be read with."""
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
