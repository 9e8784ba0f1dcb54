"""Tasks, and the order of classes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.classes import sorted_labels, task_of


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["yes", "no"], ("no", "yes")),
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["2.5", "1e2", "3"], ("2.5", "3", "1e2")),
        (["1", "01", "1.0"], ("01", "1", "1.0")),
        (["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
        (["nan", "2", "10"], ("10", "2", "nan")),
        (["é", "z", "a"], ("a", "z", "é")),
        (["a", "a"], ("a",)),
    ],
)
def test_labels_are_sorted_as_numbers_only_if_all_are_plain_numbers(
    labels: list[str], expected: tuple[str, ...]
) -> None:
    assert sorted_labels(labels) == expected


@given(st.lists(st.text() | st.integers().map(str) | st.floats().map(str)), st.randoms())
def test_the_order_of_labels_does_not_depend_on_the_order_in_which_they_are_found(
    labels: list[str], shuffled: random.Random
) -> None:
    other = list(labels)
    shuffled.shuffle(other)
    assert sorted_labels(labels) == sorted_labels(other)
    assert set(sorted_labels(labels)) == set(labels)


@pytest.mark.parametrize(
    ("classes", "task"), [((), "regression"), (("a", "b"), "binary"), (("a", "b", "c"), "multiclass")]
)
def test_the_number_of_classes_is_the_task(classes: tuple[str, ...], task: str) -> None:
    assert task_of(classes) == task
