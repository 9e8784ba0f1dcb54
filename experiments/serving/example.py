"""The example in a model's manifest, as a request, and the check of the predictions for it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ensemble.bundle import EXAMPLE_TOLERANCE
from ensemble.column_encoding import date_text
from ensemble.serving.media_types import JSON
from ensemble.table import Column
from experiments.sagemaker_requests.limits import SERVERLESS_BODY_BYTES

# The answer that is compared, whatever else the endpoint's environment selects.
EXAMPLE_ACCEPT = f"{JSON}; detail=blended"


def example_rows(manifest: Mapping[str, Any]) -> list[list[Any]]:
    """Return the example's rows as a user writes them: categories and dates as text, missing values as None."""
    columns = manifest["columns"]
    return [
        [_written(value, column) for value, column in zip(row, columns, strict=True)]
        for row in manifest["example"]["features"]
    ]


def example_request(manifest: Mapping[str, Any], rows: int | None = None) -> tuple[bytes, list[Any]]:
    """Return the example, or its first ``rows`` rows, as a JSON body, and the predictions from its training.

    The predictions are a number for each row, or the list of the probabilities of all classes.
    """
    names = [column["name"] for column in manifest["columns"]]
    document = {"columns": names, "data": example_rows(manifest)[:rows]}
    return json.dumps(document).encode(), manifest["example"]["predictions"][:rows]


def largest_body(manifest: Mapping[str, Any]) -> tuple[bytes, int]:
    """Return the largest request to a serverless endpoint, the example again and again, as CSV; and its rows."""
    example = example_rows(manifest)
    text = csv_of(example)
    times = max(1, SERVERLESS_BODY_BYTES // len(text.encode()))
    return (text * times).encode(), len(example) * times


def csv_of(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV without a header."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(["" if value is None else value for value in row] for row in rows)
    return sink.getvalue()


def check_predictions(document: Any, expected: Sequence[Any]) -> str | None:
    """Return what is wrong with the predictions of an answer to ``EXAMPLE_ACCEPT``, or None."""
    classes = any(isinstance(trained, list) for trained in expected)
    what = "probabilities" if classes else "predictions"
    found = document.get(what) if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) != len(expected):
        return f"{len(expected)} {what} were expected, and the answer is {str(document)[:200]}"
    for row, (value, trained) in enumerate(zip(found, expected, strict=True)):
        if not (_close_lists(value, trained) if classes else _close(value, trained)):
            subject, are, were = ("probabilities", "are", "were") if classes else ("prediction", "is", "was")
            return f"the {subject} for row {row + 1} of its example {are} {value!r}, and {were} {trained!r} in training"
    return None


def _close(value: Any, trained: float) -> bool:
    return isinstance(value, int | float) and math.isclose(value, trained, rel_tol=EXAMPLE_TOLERANCE)


def _close_lists(value: Any, trained: Sequence[float]) -> bool:
    """Compare probabilities, whose differences count as they are: a small one may be the rest of a large one."""
    return (
        isinstance(value, list)
        and len(value) == len(trained)
        and all(
            isinstance(one, int | float) and abs(one - other) <= EXAMPLE_TOLERANCE
            for one, other in zip(value, trained, strict=True)
        )
    )


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
