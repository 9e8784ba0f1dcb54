"""Ranges become Optuna's distributions, and grids are listed whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.errors import ConfigError
from experiments.study.search_space import Choices, Interval, SearchSpace


def test_a_space_is_read_back_from_json() -> None:
    space = SearchSpace(
        {
            "eta": Interval(0.1, 0.3, log=True, whole=False, first=(0.2, 0.1)),
            "depth": Interval(2, 8, log=False, whole=True),
            "policy": Choices(("a", None, True, 2), first=("a",)),
        }
    )
    again = SearchSpace.from_dict(json.loads(json.dumps(space.as_dict())))
    assert again == space
    assert again.describe() == space.describe()


def test_earlier_records_have_one_first_value_or_none() -> None:
    recorded = {
        "eta": {"low": 0.1, "high": 0.3, "log": True, "whole": False, "first": 0.2},
        "policy": {"values": ["a", "b"], "first": None},
    }
    space = SearchSpace.from_dict(recorded)
    assert space.first() == {"eta": 0.2}
    assert space.describe() == {"eta": "float [0.1, 0.3] log, first 0.2", "policy": "{a, b}"}


@pytest.mark.parametrize("log", [False, True])
def test_distributions_have_the_same_ends(log: bool) -> None:
    space = SearchSpace(
        {"a": Interval(1, 9, log, whole=True), "b": Interval(0.5, 2.0, log, whole=False), "c": Choices((1, "x"))}
    )
    found = space.distributions()
    assert (found["a"].low, found["a"].high, found["a"].log) == (1, 9, log)
    assert (found["b"].low, found["b"].high, found["b"].log) == (0.5, 2.0, log)
    assert found["c"].choices == (1, "x")


@given(st.integers(1, 4), st.integers(1, 5))
def test_grid_has_every_point_once_and_its_size(choices: int, whole: int) -> None:
    space = SearchSpace({"a": Choices(tuple(range(choices))), "b": Interval(10, 10 + whole, log=False, whole=True)})
    points = [tuple(point.items()) for point in space.grid()]
    assert len(points) == len(set(points)) == space.grid_size() == choices * (whole + 1)


def test_grid_over_reals_is_refused_with_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"grid: b is a range of real numbers.*choices"):
        SearchSpace({"b": Interval(0.1, 0.2, log=False, whole=False)}).grid_size()
