"""A model's own example rows as requests, and its predictions for them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ensemble.coding import iso_date

TOLERANCE = 1e-9


def example_rows(manifest: Mapping[str, Any]) -> list[list[Any]]:
    """Return the example's rows as people write them: categories and dates as text, gaps as None."""
    columns = manifest["columns"]
    return [
        [_written(value, column) for value, column in zip(row, columns, strict=True)]
        for row in manifest["example"]["features"]
    ]


def example_request(manifest: Mapping[str, Any], rows: int | None = None) -> tuple[bytes, list[float]]:
    """Return the example, or so many rows of it, as a JSON body, and what the trained model predicted for it."""
    names = [column["name"] for column in manifest["columns"]]
    document = {"columns": names, "data": example_rows(manifest)[:rows]}
    return json.dumps(document).encode(), manifest["example"]["predictions"][:rows]


def check_predictions(document: Any, expected: Sequence[float]) -> str | None:
    """Return what is wrong with the predictions of an answer, or None."""
    found = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) != len(expected):
        return f"{len(expected)} predictions were expected, and it answered {str(document)[:200]}"
    for row, (value, wanted) in enumerate(zip(found, expected, strict=True)):
        if not isinstance(value, int | float) or not math.isclose(value, wanted, rel_tol=TOLERANCE):
            return f"row {row + 1} of its example is {value!r}, and was {wanted!r}"
    return None


def csv_of(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV without a header."""
    import csv
    import io

    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(["" if value is None else value for value in row] for row in rows)
    return sink.getvalue()


def _written(value: float | None, column: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if column["type"] == "category":
        return column["levels"][int(value)]
    if column["type"] == "date":
        return iso_date(value)
    if column["type"] == "boolean":
        return bool(value)
    return value
