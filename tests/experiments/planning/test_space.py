"""An entry of ``search.space`` becomes a range of its parameter's type, or is refused with its place."""

from __future__ import annotations

import pytest

from ensemble.parameters import choice, integer, real
from experiments.errors import ConfigError
from experiments.planning.space import read_range
from experiments.study.search_space import Choices, Interval


def test_ints_between_ints_are_whole_and_reals_are_not() -> None:
    assert read_range({"low": 2, "high": 8}, integer(1), "p") == Interval(2, 8, log=False, whole=True)
    assert read_range({"low": 1, "high": 2, "log": True}, real(0), "p") == Interval(1.0, 2.0, log=True, whole=False)


def test_choices_take_the_declared_type() -> None:
    assert read_range({"choices": [1, 2]}, real(0), "p") == Choices((1.0, 2.0))
    assert read_range({"choices": ["a", "b"]}, choice("a", "b", "c"), "p") == Choices(("a", "b"))


def test_null_keys_of_a_merged_range_count_as_absent() -> None:
    merged = {"low": None, "high": None, "log": None, "choices": [3]}
    assert read_range(merged, integer(1), "p") == Choices((3,))


def test_first_value_is_in_the_range_and_of_its_type() -> None:
    assert read_range({"low": 1, "high": 9, "first": 3}, integer(1), "p").first == (3,)
    assert read_range({"choices": ["a", "b"], "first": "b"}, choice("a", "b"), "p").first == ("b",)
    with pytest.raises(ConfigError, match=r"p\.first=11 is not from 1 to 9"):
        read_range({"low": 1, "high": 9, "first": 11}, integer(1), "p")
    with pytest.raises(ConfigError, match=r"p\.first='c' is not one of the choices"):
        read_range({"choices": ["a", "b"], "first": "c"}, choice("a", "b", "c"), "p")


def test_first_may_be_a_list_of_values() -> None:
    assert read_range({"low": 0, "high": 1, "first": [1, 0.5]}, real(0), "p").first == (1.0, 0.5)
    assert read_range({"choices": ["a", "b"], "first": ["b", "a"]}, choice("a", "b"), "p").first == ("b", "a")
    with pytest.raises(ConfigError, match=r"p\.first=11 is not from 1 to 9"):
        read_range({"low": 1, "high": 9, "first": [3, 11]}, integer(1), "p")
    with pytest.raises(ConfigError, match=r"p\.first: 'deep' is not an integer"):
        read_range({"low": 1, "high": 9, "first": [3, "deep"]}, integer(1), "p")
    with pytest.raises(ConfigError, match=r"p\.first=\[\] has no value"):
        read_range({"low": 1, "high": 9, "first": []}, integer(1), "p")
