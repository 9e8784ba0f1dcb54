"""Any body gives either features or an error that says why not."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ensemble.table import Column, numbers
from tests.entry.serving.answering import answer
from tests.entry.serving.bodies import (
    COLUMNS,
    CSV,
    JSON,
    LINES,
    NAMES,
    NPY,
    PARQUET,
    WHOLE,
    json_body,
    lines_body,
    npy_body,
    npy_of,
)
from tests.support.examples import examples

some = examples(200)
# Several models: of every type, of numbers, of one column each.
MODELS = [COLUMNS, numbers(*NAMES), *((column,) for column in COLUMNS), numbers("a", "b")]
MODEL = st.sampled_from(MODELS)


TYPES = st.sampled_from([CSV, f"{CSV};header=present", f"{CSV};header=absent", JSON, LINES, NPY, PARQUET])
WORDS = ["Oslo", "1", "true", "FALSE", "NaN", "NA", "", " ", "inf", "-1e400", "1e31", "2024-02-29", "2024-02-30"]
WORDS += [
    "2024-01-01T10:00:00.123456789+99:99",
    "9999-12-31T23:59:60",
    "0x1F",
    "1_0",
    "٣",
    "\x00",
    "\ud800",
    "☃🙂" * 60,
]
TEXT = st.one_of(st.sampled_from(WORDS), st.text(max_size=12))
VALUE: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**19, -(10**31), 10**400, -1, 0, 1, 2**63, 2**64]),
    st.floats(),
    TEXT,
)
NAME = st.one_of(st.sampled_from([*NAMES, "a", "b", "instances", "inputs", "columns", "data", "dataframe_split"]), TEXT)
DOCUMENT = st.recursive(
    VALUE, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAME, inner, max_size=5)), max_leaves=20
)
ROW = st.one_of(
    st.lists(VALUE, min_size=4, max_size=4),
    st.lists(DOCUMENT, max_size=5),
    st.fixed_dictionaries(dict.fromkeys(NAMES, VALUE)),
)
WRAPPED = st.one_of(
    DOCUMENT,
    st.lists(ROW, max_size=4),
    st.sampled_from(["instances", "inputs", "dataframe_records"]).flatmap(
        lambda name: st.fixed_dictionaries({name: st.lists(ROW, max_size=4)})
    ),
    st.fixed_dictionaries({"columns": st.lists(NAME, max_size=5), "data": st.lists(ROW, max_size=4)}),
    st.fixed_dictionaries({"columns": st.just(NAMES), "data": st.lists(st.lists(VALUE, min_size=4, max_size=4))}),
    st.fixed_dictionaries({"inputs": st.dictionaries(NAME, st.lists(VALUE, max_size=3), max_size=6)}),
)


@some
@given(body=st.one_of(st.binary(max_size=300), st.text(max_size=200)), kind=st.one_of(TYPES, TEXT), model=MODEL)
def test_any_bytes_and_any_text(body: bytes | str, kind: str, model: tuple[Column, ...]) -> None:
    answer(body, kind, model)


@some
@given(document=WRAPPED, model=MODEL)
def test_any_json(document: Any, model: tuple[Column, ...]) -> None:
    answer(json_body(document), JSON, model)
    answer(json_body(document).replace(b"NaN", b"null").replace(b"Infinity", b"1e999"), JSON, model)
    answer(lines_body(document if isinstance(document, list) else [document]), LINES, model)


@some
@given(
    rows=st.lists(st.lists(TEXT, max_size=6), max_size=5),
    names=st.one_of(st.none(), st.lists(NAME, max_size=6), st.just(NAMES)),
    marks=st.tuples(st.sampled_from([",", ", ", ";", ',"']), st.sampled_from(["\n", "\r\n", "\r", "\n\n"])),
    model=MODEL,
)
def test_any_csv(
    rows: list[list[str]], names: list[str] | None, marks: tuple[str, str], model: tuple[Column, ...]
) -> None:
    comma, end = marks
    text = end.join(comma.join(cells) for cells in ([names] if names else []) + rows)
    for header in ("", ";header=present", ";header=absent"):
        answer(text, CSV + header, model)


PLAIN = st.text("0123456789.,-+eE \n\r", max_size=40)


@some
@given(text=PLAIN, header=st.booleans(), model=st.sampled_from([numbers("a", "b"), numbers("a")]))
def test_any_digits_and_commas(text: str, header: bool, model: tuple[Column, ...]) -> None:
    names = ",".join(column.name for column in model) + "\n"
    answer(names + text if header else text, CSV, model)


@st.composite
def mutated(draw: DrawFn) -> tuple[bytes, str]:
    """Draw a valid body with some bytes changed, removed, doubled, or taken from another body."""
    name = draw(st.sampled_from(sorted(WHOLE)))
    body, kind = WHOLE[name]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        stop = min(len(body), start + draw(st.integers(0, 12)))
        other = WHOLE[draw(st.sampled_from(sorted(WHOLE)))][0]
        cut = draw(st.integers(0, len(other)))
        new = draw(
            st.one_of(
                st.binary(max_size=8),
                st.just(b""),
                st.just(body[start:stop] * 2),
                st.just(bytes(byte ^ 0xFF for byte in body[start:stop])),
                st.just(other[cut : cut + 20]),
            )
        )
        body = body[:start] + new + body[stop:]
    return body, draw(st.one_of(st.just(kind), TYPES))


@examples(600)
@given(drawn=mutated(), model=MODEL)
def test_a_body_that_was_whole(drawn: tuple[bytes, str], model: tuple[Column, ...]) -> None:
    body, kind = drawn
    answer(body, kind, model)


DESCR = st.one_of(
    st.sampled_from(
        ["'<f8'", "'>f2'", "'<f16'", "'|b1'", "'<u8'", "'<i1'", "'<U3'", "'>U1'", "'<U0'", "'<c8'", "'<m8'"]
    ),
    st.sampled_from(
        ["'<M8[ns]'", "'|S2'", "'|V3'", "'|O'", "[]", "[('size', '<f8'), ('town', '<U4')]", "[('a', 'O')]"]
    ),
    st.sampled_from(["[('a', '<f4'), ('b', '|b1')]", "[('a', '<U2'), ('b', '<f8', (2,))]", "[('a', [('b', '<f8')])]"]),
)
SHAPE = st.lists(st.integers(-1, 5), max_size=3).map(lambda sides: repr(tuple(sides)))


@some
@given(descr=DESCR, shape=SHAPE, data=st.binary(max_size=400), model=MODEL)
def test_any_array(descr: str, shape: str, data: bytes, model: tuple[Column, ...]) -> None:
    answer(npy_of(descr, shape, data), NPY, model)
    answer(npy_of(descr, shape, data * 30), NPY, model)


@some
@given(cells=st.lists(st.lists(TEXT.filter(lambda text: text.isprintable()), min_size=4, max_size=4), min_size=1))
def test_any_array_of_text(cells: list[list[str]]) -> None:
    answer(npy_body(np.array(cells)), NPY, COLUMNS)
