"""The example in a model's manifest, as a request, and the check of the predictions for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ensemble.bundle import EXAMPLE_TOLERANCE
from ensemble.column_encoding import date_text
from ensemble.table import Column


def example_rows(manifest: Mapping[str, Any]) -> list[list[Any]]:
    """Return the example's rows as a user writes them: categories and dates as text, missing values as None."""
    columns = manifest["columns"]
    return [
        [_written(value, column) for value, column in zip(row, columns, strict=True)]
        for row in manifest["example"]["features"]
    ]


def example_request(manifest: Mapping[str, Any], rows: int | None = None) -> tuple[bytes, list[float]]:
    """Return the example, or its first ``rows`` rows, as a JSON body, and the predictions from its training."""
    names = [column["name"] for column in manifest["columns"]]
    document = {"columns": names, "data": example_rows(manifest)[:rows]}
    return json.dumps(document).encode(), manifest["example"]["predictions"][:rows]


def check_predictions(document: Any, expected: Sequence[float]) -> str | None:
    """Return what is wrong with the predictions of an answer, or None."""
    found = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) != len(expected):
        return f"{len(expected)} predictions were expected, and the answer is {str(document)[:200]}"
    for row, (value, trained) in enumerate(zip(found, expected, strict=True)):
        if not isinstance(value, int | float) or not math.isclose(value, trained, rel_tol=EXAMPLE_TOLERANCE):
            return f"the prediction for row {row + 1} of its example is {value!r}, and was {trained!r} in training"
    return None


def _written(value: float | None, column: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if column["type"] == "category":
        return column["levels"][int(value)]
    if column["type"] == "date":
        return date_text(value, Column.from_dict(dict(column)))
    if column["type"] == "boolean":
        return bool(value)
    return value
