"""Two thousand random bodies: each gets predictions or an error with a reason, and none makes the server fail.

They go over one connection, which an endpoint must keep open meanwhile.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoint.answer import Answer
from tests.endpoint.bodies import FORMS, lines, write_npy
from tests.endpoint.target import Connection, Target
from tests.support.examples import examples

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("still_right")]

TYPES = sorted({form.type for form in FORMS.values()})
KNOWN = ("instances", "inputs", "dataframe_records", "dataframe_split", "columns", "data", "index")
# Anything that a header may hold.
PRINTABLE = st.characters(codec="latin-1", exclude_categories=["Cc"], exclude_characters="/.")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["NaN", "1e999", "-inf", "2024-01-01", "9999-99-99", "0x1F", "1_0", "1,5", "١٢", "true", " 1 "])
    | st.sampled_from([10**19, -(10**400), 1e308, 5e-324, "9" * 400, "\x00", "\ud800", "\u202e", "x" * 2_000])
)


@pytest.fixture(scope="module")
def connection(target: Target) -> Iterator[Connection]:
    """The connection on which all bodies are sent."""
    with target.connected() as opened:
        yield opened


def check(answer: Answer, connection: Connection, target: Target) -> None:
    """Check that an answer has predictions, or an error with its reason, and that the connection stays open."""
    if answer.status == 200 and target.classes:
        labels = answer.labels()
        assert labels
        assert set(map(str, labels)) <= set(target.classes)
    elif answer.status == 200:
        numbers = answer.numbers()
        assert numbers
        assert all(map(math.isfinite, numbers))
    else:
        assert answer.status in (400, 406, 415), (answer.status, answer.body[:2000])
        answer.refused(answer.status)
    assert connection.http.sock is not None


@functools.cache
def documents(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Return documents of any shape, often with names that the model or the format uses."""
    keys = st.sampled_from([*KNOWN, *names]) | st.text(max_size=5)
    anything = st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=6),
        max_leaves=25,
    )
    rows = st.lists(st.lists(SCALARS, min_size=len(names), max_size=len(names)), min_size=1, max_size=3)
    records = st.lists(st.fixed_dictionaries(dict.fromkeys(names, SCALARS)), min_size=1, max_size=3)
    wrapped = st.builds(lambda key, value: {key: value}, st.sampled_from(KNOWN), anything | rows | records)
    split = st.builds(lambda value: {"columns": list(names), "data": value}, rows | anything)
    return anything | rows | records | wrapped | split


@functools.cache
def written(form: str, target: Target) -> bytes:
    """Return the example's first rows."""
    return FORMS[form].write(target.example.take(0, 1))


# The forms in which any cell may hold anything.
LOOSE = [name for name in FORMS if not name.startswith(("parquet", "npy with", "npy of numbers"))]
FITTING = sorted(name for name, form in FORMS.items() if not form.numbers_only)


@examples(200)
@given(body=st.binary(max_size=300), kind=st.sampled_from(TYPES))
def test_any_bytes(body: bytes, kind: str, target: Target, connection: Connection) -> None:
    check(connection.post(body, kind), connection, target)


@examples(200)
@given(body=st.text(max_size=200) | st.lists(SCALARS, max_size=8), kind=st.sampled_from(TYPES))
def test_any_text(body: str | list[Any], kind: str, target: Target, connection: Connection) -> None:
    given = body if isinstance(body, str) else ",".join(map(str, body)) + "\n"
    check(connection.post(given.encode("utf-8", "surrogatepass"), kind), connection, target)


@examples(400)
@given(data=st.data(), by_line=st.booleans())
def test_any_json(data: st.DataObject, by_line: bool, target: Target, connection: Connection) -> None:
    document = data.draw(documents(tuple(column.name for column in target.columns)))
    if by_line:
        check(connection.post(lines([document, document]), "application/jsonlines"), connection, target)
    else:
        check(connection.post(json.dumps(document), "application/json"), connection, target)


@examples(300)
@given(form=st.sampled_from(LOOSE), place=st.integers(0, 10**6), row=st.integers(0, 2), value=SCALARS)
def test_any_cell(form: str, place: int, row: int, value: Any, target: Target, connection: Connection) -> None:
    cells = target.example.take(0, 1, 0).having(place % len(target.columns), row, value)
    try:
        body = FORMS[form].write(cells)
    except UnicodeEncodeError:
        body = FORMS[form].write(cells.having(place % len(target.columns), row, ascii(value)))
    check(connection.post(body, FORMS[form].type), connection, target)


@examples(600)
@given(
    form=st.sampled_from(FITTING),
    other=st.none() | st.sampled_from(TYPES),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 12)), min_size=1, max_size=4),
    end=st.just(1.0) | st.floats(0, 1),
)
def test_any_damage_to_a_valid_body(
    form: str,
    other: str | None,
    changes: list[tuple[float, bytes, int]],
    end: float,
    target: Target,
    connection: Connection,
) -> None:
    body = written(form, target)
    for place, new, removed in changes:
        at = int(place * len(body))
        body = body[:at] + new + body[at + removed :]
    check(connection.post(body[: math.ceil(end * len(body))], other or FORMS[form].type), connection, target)


@examples(100)
@given(first=st.sampled_from(FITTING), second=st.sampled_from(FITTING), cut=st.floats(0, 1), resumed=st.floats(0, 1))
def test_any_two_bodies_in_one(
    first: str, second: str, cut: float, resumed: float, target: Target, connection: Connection
) -> None:
    one, two = written(first, target), written(second, target)
    body = one[: int(cut * len(one))] + two[int(resumed * len(two)) :]
    check(connection.post(body, FORMS[second].type), connection, target)


@examples(100)
@given(
    shape=st.lists(st.integers(-1, 2**63) | st.integers(0, 4), max_size=4),
    kind=st.sampled_from(
        ["<f8", ">f8", "<f2", "|b1", "|i1", "<u8", "<U3", "<U0", "|S2", "|V8", "|O", "<c16", "<M8[D]"]
    ),
    turned=st.booleans(),
    rest=st.binary(max_size=100),
)
def test_any_array_that_is_declared(
    shape: list[int], kind: str, turned: bool, rest: bytes, target: Target, connection: Connection
) -> None:
    header = repr({"descr": kind, "fortran_order": turned, "shape": tuple(shape)}).encode() + b"\n"
    body = write_npy([0.0])[:8] + len(header).to_bytes(2, "little") + header + rest
    check(connection.post(body, "application/x-npy"), connection, target)


@examples(100)
@given(
    kind=st.sampled_from([*TYPES, "", "text/csv;", ";", "text/csv;header=", 'text/csv;header="present', "a/b;c=d;c"])
    | st.text(PRINTABLE, max_size=30),
    accept=st.sampled_from(
        ["*/*;q=nan", "text/csv;q=-1", "text/csv;q=inf", ",", "*", ";detail=members", "text/*;q=1e999"]
    )
    | st.text(PRINTABLE, max_size=30),
)
def test_any_headers(kind: str, accept: str, target: Target, connection: Connection) -> None:
    check(connection.post(written("json lists", target), kind.strip(), accept.strip()), connection, target)
