"""Exponential and logarithm (``elementary``)."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ensemble.elementary import exp, log


@given(st.lists(st.floats(-745, 709), min_size=1, max_size=20))
def test_exp_is_exact_to_a_unit_in_the_last_place(values: list[float]) -> None:
    expected = np.array([math.exp(value) for value in values])
    assert (np.abs(exp(np.array(values)) - expected) <= np.spacing(expected)).all()


@given(st.lists(st.floats(5e-324, 1.7e308), min_size=1, max_size=20))
def test_log_is_exact_to_a_unit_in_the_last_place(values: list[float]) -> None:
    expected = np.array([math.log(value) for value in values])
    assert (np.abs(log(np.array(values)) - expected) <= np.spacing(np.abs(expected))).all()


def test_what_float64_cannot_hold_is_zero_or_infinity() -> None:
    assert exp(np.array([-1e6, -800.0, 0.0, 800.0, 1e6])).tolist() == [0, 0, 1, np.inf, np.inf]


def test_a_value_alone_and_among_others_has_the_same_bits() -> None:
    values = np.random.RandomState(0).uniform(0.001, 1, (50, 7))
    for function in (exp, log):
        whole = function(values)
        assert np.array_equal(whole[:, 3], function(values[:, 3]))
        assert np.array_equal(whole[17:18], function(values[17:18]))
