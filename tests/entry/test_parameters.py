"""Declared hyperparameters: checked, written as text and read back (``parameters``)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.members import REGISTRY
from ensemble.parameters import Parameter, ParamValue, boolean, choice, encode, integer, real
from tests.entry.conftest import values

ANY_INTEGER = Parameter(("int",))
ANY_NUMBER = Parameter(("float",))
INTEGER_OR_NUMBER = Parameter(("int", "float"))

DECLARED = [
    pytest.param(parameter, id=f"{kind}-{name}")
    for kind, member in REGISTRY.items()
    for name, parameter in member.parameters.items()
]


def same(left: ParamValue, right: ParamValue) -> bool:
    return type(left) is type(right) and repr(left) == repr(right)


@pytest.mark.parametrize(
    "parameter",
    [
        ANY_INTEGER,
        ANY_NUMBER,
        INTEGER_OR_NUMBER,
        real(-1, 1, low_open=True),
        boolean(),
        choice(),
        choice("a", "B c"),
        integer(1, 9, optional=True),
        real(0, optional=True),
        choice("a", "b", optional=True),
    ],
    ids=Parameter.describe,
)
@given(data=st.data())
def test_a_value_is_read_back_as_it_was_written(parameter: Parameter, data: st.DataObject) -> None:
    value = data.draw(values(parameter))
    assert same(parameter.decode(encode(value)), value)
    assert same(parameter.check(value), value)


@pytest.mark.parametrize("parameter", DECLARED)
@given(data=st.data())
def test_every_declared_parameter_reads_back_its_domain(parameter: Parameter, data: st.DataObject) -> None:
    value = data.draw(values(parameter))
    assert same(parameter.decode(encode(value)), value)


@pytest.mark.parametrize("text", ["1.10", "4", "true", "1e3", "007", " a "])
def test_text_of_a_string_stays_as_it_is(text: str) -> None:
    assert choice().decode(text) == text


@pytest.mark.parametrize(("value", "text"), [(4, "4"), (0, "0"), (-3, "-3")])
def test_an_integer_for_a_number_becomes_one(value: int, text: str) -> None:
    assert same(ANY_NUMBER.check(value), float(value))
    assert same(ANY_NUMBER.decode(text), float(value))


def test_an_integer_stays_one_where_both_are_declared() -> None:
    assert same(INTEGER_OR_NUMBER.decode("4"), 4)
    assert same(INTEGER_OR_NUMBER.decode("4.0"), 4.0)


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_a_boolean_is_read_in_any_case(text: str) -> None:
    assert boolean().decode(text) is True


def test_a_numpy_number_is_written_as_a_number() -> None:
    assert encode(np.float64(0.1)) == "0.1"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400, -(10**400)], ids=str)
@pytest.mark.parametrize("parameter", [ANY_INTEGER, ANY_NUMBER, real(0, optional=True)], ids=Parameter.describe)
def test_a_value_that_is_not_finite_is_refused(parameter: Parameter, bad: float) -> None:
    with pytest.raises(ValueError, match="is not"):
        parameter.check(bad)
    with pytest.raises(ValueError, match="is not"):
        parameter.decode(str(bad))


@pytest.mark.parametrize(
    ("parameter", "text", "allowed"),
    [
        (integer(1, 16), "0", "an integer from 1 to 16"),
        (integer(1, 16), "17", "an integer from 1 to 16"),
        (integer(1), "2.0", "an integer of at least 1"),
        (integer(1), "two", "an integer of at least 1"),
        (integer(1), "", "an integer of at least 1"),
        (integer(1), "none", "an integer of at least 1"),
        (integer(1, optional=True), "0", "an integer of at least 1 or none"),
        (real(0, 1, low_open=True), "0", "a number above 0 and at most 1"),
        (real(0, 1), "1.0000001", "a number from 0 to 1"),
        (real(0), "-0.1", "a number of at least 0"),
        (boolean(), "1", "true or false"),
        (boolean(), "yes", "true or false"),
        (choice("gbtree", "dart"), "Dart", "one of gbtree, dart"),
        (choice("a", optional=True), "b", "one of a or none"),
    ],
)
def test_text_outside_the_domain_says_what_is_in_it(parameter: Parameter, text: str, allowed: str) -> None:
    with pytest.raises(ValueError, match="is not") as error:
        parameter.decode(text)
    assert str(error.value) == f"{text!r} is not {allowed}"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [(integer(0), True), (real(0), False), (boolean(), 1), (integer(0), 1.0), (integer(0), "1"), (choice(), 1)],
    ids=repr,
)
def test_a_value_of_another_type_is_refused(parameter: Parameter, value: object) -> None:
    with pytest.raises(ValueError, match="is not"):
        parameter.check(value)


@pytest.mark.parametrize(
    ("parameter", "edge"), [(integer(1, 16), "1"), (integer(1, 16), "16"), (real(0, 1), "0"), (real(0, 1), "1")]
)
def test_the_edges_belong_to_the_domain(parameter: Parameter, edge: str) -> None:
    assert parameter.decode(edge) == float(edge)
