"""Ranges become Optuna's distributions, and grids are listed whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.parameters import choice, integer, real
from experiments.errors import ConfigError
from experiments.study.search_space import Choices, Range, SearchSpace, read_dimension


def test_ints_between_ints_are_whole_and_reals_are_not() -> None:
    assert read_dimension({"low": 2, "high": 8}, integer(1), "p") == Range(2, 8, log=False, whole=True)
    assert read_dimension({"low": 1, "high": 2, "log": True}, real(0), "p") == Range(1.0, 2.0, log=True, whole=False)


def test_choices_take_the_declared_type() -> None:
    assert read_dimension({"choices": [1, 2]}, real(0), "p") == Choices((1.0, 2.0))
    assert read_dimension({"choices": ["a", "b"]}, choice("a", "b", "c"), "p") == Choices(("a", "b"))


def test_null_keys_of_a_merged_range_count_as_absent() -> None:
    merged = {"low": None, "high": None, "log": None, "choices": [3]}
    assert read_dimension(merged, integer(1), "p") == Choices((3,))


def test_first_value_is_in_the_range_and_of_its_type() -> None:
    assert read_dimension({"low": 1, "high": 9, "first": 3}, integer(1), "p").first == 3
    assert read_dimension({"choices": ["a", "b"], "first": "b"}, choice("a", "b"), "p").first == "b"
    with pytest.raises(ConfigError, match=r"p\.first=11 is not from 1 to 9"):
        read_dimension({"low": 1, "high": 9, "first": 11}, integer(1), "p")
    with pytest.raises(ConfigError, match=r"p\.first='c' is not one of the choices"):
        read_dimension({"choices": ["a", "b"], "first": "c"}, choice("a", "b", "c"), "p")


def test_a_space_is_read_back_from_json() -> None:
    space = SearchSpace(
        {
            "eta": Range(0.1, 0.3, log=True, whole=False, first=0.2),
            "depth": Range(2, 8, log=False, whole=True),
            "policy": Choices(("a", None, True, 2), first="a"),
        }
    )
    again = SearchSpace.from_dict(json.loads(json.dumps(space.as_dict())))
    assert again == space
    assert again.describe() == space.describe()


@pytest.mark.parametrize("log", [False, True])
def test_distributions_have_the_same_ends(log: bool) -> None:
    space = SearchSpace(
        {"a": Range(1, 9, log, whole=True), "b": Range(0.5, 2.0, log, whole=False), "c": Choices((1, "x"))}
    )
    found = space.distributions()
    assert (found["a"].low, found["a"].high, found["a"].log) == (1, 9, log)
    assert (found["b"].low, found["b"].high, found["b"].log) == (0.5, 2.0, log)
    assert found["c"].choices == (1, "x")


@given(st.integers(1, 4), st.integers(1, 5))
def test_grid_has_every_point_once_and_its_size(choices: int, whole: int) -> None:
    space = SearchSpace({"a": Choices(tuple(range(choices))), "b": Range(10, 10 + whole, log=False, whole=True)})
    points = [tuple(point.items()) for point in space.grid()]
    assert len(points) == len(set(points)) == space.grid_size() == choices * (whole + 1)


def test_grid_over_reals_is_refused_with_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"grid: b is a range of real numbers.*choices"):
        SearchSpace({"b": Range(0.1, 0.2, log=False, whole=False)}).grid_size()
