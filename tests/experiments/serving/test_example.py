"""What an endpoint must answer to its model's example."""

from __future__ import annotations

import json
from typing import Any

import pytest

from experiments.serving.example import check_predictions, example_request, example_rows

COLUMNS = [
    {"name": "size", "type": "number"},
    {"name": "kind", "type": "category", "levels": ["a", "b"]},
    {"name": "day", "type": "date"},
    {"name": "new", "type": "boolean"},
]
MANIFEST = {
    "columns": COLUMNS,
    "example": {"features": [[1.5, 1.0, 0.0, 1.0], [None, None, None, 0.0]], "predictions": [1.0, 2.0]},
}


def test_the_example_is_written_as_a_user_writes_rows() -> None:
    rows = example_rows(MANIFEST)
    assert rows == [[1.5, "b", "1970-01-01T00:00:00", True], [None, None, None, False]]
    body, expected = example_request(MANIFEST, rows=1)
    assert json.loads(body) == {"columns": ["size", "kind", "day", "new"], "data": rows[:1]}
    assert expected == [1.0]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"predictions": [1.0, 2.0 + 1e-12]}, None),
        ({"predictions": [1.0, 2.1]}, "the prediction for row 2 of its example is 2.1, and was 2.0 in training"),
        ({"predictions": [1.0, None]}, "the prediction for row 2 of its example is None, and was 2.0 in training"),
        ({"predictions": [1.0]}, "2 predictions were expected, and the answer is {'predictions': [1.0]}"),
        ({}, "2 predictions were expected, and the answer is {}"),
        ([1.0, 2.0], "2 predictions were expected, and the answer is [1.0, 2.0]"),
    ],
)
def test_other_predictions_than_in_training_are_a_problem(document: Any, problem: str | None) -> None:
    assert check_predictions(document, [1.0, 2.0]) == problem


PROBABILITIES = [[0.25, 0.75], [1e-15, 1.0]]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"probabilities": [[0.25, 0.75], [1e-12, 1.0]]}, None),
        (
            {"probabilities": [[0.25, 0.75], [0.1, 0.9]]},
            "the probabilities for row 2 of its example are [0.1, 0.9], and were [1e-15, 1.0] in training",
        ),
        (
            {"probabilities": [[0.25], [1e-15, 1.0]]},
            "the probabilities for row 1 of its example are [0.25], and were [0.25, 0.75] in training",
        ),
        (
            {"probabilities": [0.25, [1e-15, 1.0]]},
            "the probabilities for row 1 of its example are 0.25, and were [0.25, 0.75] in training",
        ),
        ({"predictions": [1.0, 2.0]}, "2 probabilities were expected, and the answer is {'predictions': [1.0, 2.0]}"),
    ],
)
def test_other_probabilities_than_in_training_are_a_problem(document: Any, problem: str | None) -> None:
    assert check_predictions(document, PROBABILITIES) == problem
