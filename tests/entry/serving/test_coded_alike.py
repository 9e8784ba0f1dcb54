"""The cells of a request are coded as training codes the same cells when it reads them from a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ensemble.errors import InputError
from ensemble.reading import LARGEST, Roles, read_file
from ensemble.serving.formats import decode
from ensemble.table import MISSING, Table
from tests.entry.serving.bodies import (
    CSV,
    JSON,
    LINES,
    NPY,
    PARQUET,
    csv_body,
    json_body,
    lines_body,
    npy_body,
    parquet_body,
    records,
)
from tests.support.examples import examples

some = examples(200)
Cell = tuple[str, Any]


def truth(value: bool) -> SearchStrategy[Cell]:
    """Return the ways to write true or false."""
    word = str(value)
    return st.sampled_from([(word, value), (word.lower(), value), (word.upper(), value)])


# Each value as written in CSV, and in JSON and Parquet.
NUMBER = st.one_of(
    st.floats(-LARGEST, LARGEST).map(lambda value: (repr(value), value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: (str(value), value)),
    st.integers(-99, 99).map(lambda value: (f"{value / 4:+.3e}", value / 4)),
)
BOOLEAN = st.booleans().flatmap(truth)
DATE = st.one_of(
    st.dates().map(lambda day: (day.isoformat(), day.isoformat())),
    st.tuples(st.datetimes(), st.sampled_from("T ")).map(lambda pair: (pair[0].isoformat(pair[1]),) * 2),
)
CATEGORY = st.one_of(
    st.sampled_from(["Oslo", "ü, c", 'say "so"', "two\nlines", "trailing ", "tab\there", "v1.0", "☃🙂", "#x", "'q'"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8).map(lambda text: f"v{text}"),
).map(lambda text: (text, text))
KINDS = {"number": NUMBER, "boolean": BOOLEAN, "date": DATE, "category": CATEGORY}
GAP = st.sampled_from(sorted(MISSING)).map(lambda word: (word, None))


@st.composite
def tables(draw: DrawFn) -> tuple[list[str], list[list[Cell]]]:
    """Draw what each column is, and its cells."""
    rows = draw(st.integers(2, 6))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    cell = {kind: st.one_of(KINDS[kind], KINDS[kind], GAP) for kind in kinds}
    return kinds, [draw(st.lists(cell[kind], min_size=rows, max_size=rows)) for kind in kinds]


def trained(path: Path, columns: list[list[str]]) -> tuple[Table, list[str]]:
    """Write a table with these cells and a column that varies, and read it as training does."""
    names = ["first", *(f"c{place}" for place in range(len(columns))), "target"]
    numbers = [str(row) for row in range(len(columns[0]))]
    path.write_bytes(csv_body(list(zip(numbers, *columns, numbers, strict=True)), names))
    return read_file(path, Roles("target")), names[:-1]


def arrow(kind: str, values: list[Any]) -> Any:
    """Return a column as written in Parquet: dates as timestamps."""
    if kind == "number":
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if kind == "date":
        stamps = [None if value is None else dt.datetime.fromisoformat(value) for value in values]
        return pa.array(stamps, pa.timestamp("us"))
    return pa.array(values, pa.bool_() if kind == "boolean" else pa.string())


def assert_coded(body: bytes, content_type: str, table: Table, what: str) -> None:
    """Check that a request gives the features that training read."""
    found = decode(body, content_type).features(table.columns)
    assert found.dtype == np.float64
    assert np.array_equal(found, table.features, equal_nan=True), (what, found, table.features)


@some
@given(drawn=tables())
def test_every_kind_of_cell_is_coded_alike_in_every_form(
    drawn: tuple[list[str], list[list[Cell]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds, cells = drawn
    texts = [[text for text, _ in column] for column in cells]
    path = tmp_path_factory.mktemp("table") / "table.csv"
    table, names = trained(path, texts)
    for kind, column, values in zip(kinds, table.columns[1:], cells, strict=True):
        assert column.type == kind or all(value is None for _, value in values)
    numbers = list(range(table.rows))
    text_rows = [list(row) for row in zip(map(str, numbers), *texts, strict=True)]
    values = [[value for _, value in column] for column in cells]
    rows = [list(row) for row in zip(numbers, *values, strict=True)]
    assert_coded(path.read_bytes(), CSV, table, "the file itself, with its target")
    assert_coded(csv_body(text_rows), f"{CSV}; header=absent", table, "csv by position")
    assert_coded(json_body(rows), JSON, table, "json lists")
    assert_coded(json_body({"instances": records(rows, names)}), JSON, table, "json records")
    assert_coded(json_body({"columns": names, "data": rows}), JSON, table, "json split")
    assert_coded(json_body(text_rows), JSON, table, "json lists of text")
    assert_coded(lines_body(rows), LINES, table, "json lines")
    assert_coded(lines_body(records(rows, names)), LINES, table, "json lines of records")
    assert_coded(npy_body(np.array(text_rows)), NPY, table, "npy of text")
    # Training codes a column without any value as numbers.
    typed = {"first": pa.array(numbers)} | {
        column.name: arrow(column.type, given) for column, given in zip(table.columns[1:], values, strict=True)
    }
    assert_coded(parquet_body(typed), PARQUET, table, "parquet")


WORDS = [
    *["", "nan", "NA", "-nan", "NAN", "None", "1.#IND", "+nan", "inf", "-Infinity", "1e400", "1e-400", "-0", "0x1F"],
    *["007", "1_000", "1,000", "+3", ".5", "5.", "1e5", "1E-3", "1d5", "٣", "9007199254740993", "1 000", "1\t", "1e5 "],
    *["true", "False", "TRUE", "tRue", "0", "1", "1.0", "yes", "Oslo", "a,b", "a ", '"', "'", "x\ny", "x\ry", "\x85"],
    *["2024-01-01", "2024-02-30", "2024-01-01T10:00", "2024-01-01 10:00:00.5", "2024-01-01T10:00:00Z", "20240101"],
    *["2024-01-01T10:00+02:00", "0001-01-01", "9999-12-31", "2024-1-1", "2024-01", "1969-12-31", "2024-01-01T24:00"],
]
ANY_TEXT = st.one_of(
    st.sampled_from(WORDS),
    st.floats(-LARGEST, LARGEST).map(repr),
    st.integers().map(str),
    # A space at the start of a cell is dropped in CSV and kept in other formats.
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5).map(lambda text: text.lstrip(" ")),
)


@st.composite
def any_columns(draw: DrawFn) -> list[list[str]]:
    """Draw columns with a few texts each, so that some columns have a single type."""
    rows = draw(st.integers(2, 6))
    words = st.lists(ANY_TEXT, min_size=1, max_size=3).flatmap(
        lambda few: st.lists(st.sampled_from(few), min_size=rows, max_size=rows)
    )
    return draw(st.lists(words, min_size=1, max_size=3))


@some
@given(columns=any_columns())
def test_whatever_training_makes_of_text_a_request_makes_of_it_too(
    columns: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "table.csv"
    try:
        table, names = trained(path, columns)
    except InputError:
        assume(False)
    rows = [list(row) for row in zip(map(str, range(table.rows)), *columns, strict=True)]
    assert_coded(path.read_bytes(), CSV, table, "the file itself, with its target")
    assert_coded(csv_body(rows), f"{CSV};header=absent", table, "csv by position")
    assert_coded(json_body(rows), JSON, table, "json lists")
    assert_coded(lines_body(records(rows, names)), LINES, table, "json lines of records")
    assert_coded(npy_body(np.array(rows)), NPY, table, "npy of text")


@pytest.mark.parametrize("blank", [" Oslo", "  Oslo", ' "Oslo"'])
def test_blanks_at_the_start_of_a_cell_are_left_out_of_csv_as_in_training(blank: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"town,size,target\n{blank},1,1\nRome, 2,2\n")
    table = read_file(path, Roles("target"))
    assert table.columns[0].levels == ("Oslo", "Rome")
    assert_coded(path.read_bytes(), CSV, table, "the file itself")
    assert_coded(f"{blank},1\nRome, 2\n".encode(), CSV, table, "by position")


def first_column(table: Table) -> Callable[[str], float]:
    """Return how the first column codes one text."""
    return lambda text: float(decode(json_body([[text]]), JSON).features(table.columns[:1])[0, 0])


@pytest.mark.parametrize(
    ("column", "codes"),
    [
        (["1", "2", "10"], {"2": 2.0, "1e1": 10.0, "": np.nan}),
        (["v1", "v2", "10"], {"v1": 1.0, "10": 0.0, "1e1": np.nan}),
        (["true", "false", "NA"], {"TRUE": 1.0, "0": 0.0, "NA": np.nan}),
        (["1970-01-02", "1970-01-01T12:00", "null"], {"1970-01-03": 2.0, "1970-01-01 06:00": 0.25, "null": np.nan}),
    ],
)
def test_later_cells_are_read_by_what_the_column_was_in_training(
    column: list[str], codes: dict[str, float], tmp_path: Path
) -> None:
    table, _ = trained(tmp_path / "table.csv", [column])
    table = Table(table.columns[1:], "target", table.features[:, 1:], table.target)
    found = {text: first_column(table)(text) for text in codes}
    assert np.array_equal(list(found.values()), list(codes.values()), equal_nan=True)
