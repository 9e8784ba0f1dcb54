"""Parquet columns of every type: read as what they are, or refused by name (``serving.parquet``)."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble.arrays import Floats
from ensemble.serving.errors import RequestError
from ensemble.serving.formats import decode
from ensemble.table import Column, ColumnType
from tests.entry.serving.answering import answer
from tests.entry.serving.bodies import PARQUET, parquet_body

nan = np.nan
KINDS: tuple[ColumnType, ...] = ("number", "boolean", "date", "category")
COLUMNS = {
    **{kind: Column("x", kind, ("1", "2.5", "Oslo", "true") if kind == "category" else ()) for kind in KINDS},
    "zoned": Column("x", "date", zoned=True),
}
DAY = dt.date(1970, 1, 2)
NOON = dt.datetime(1970, 1, 2, 12)


def given(array: Any, kind: str) -> Floats | RequestError:
    """Return the features of one column, or its error."""
    return answer(parquet_body({"x": array}), PARQUET, [COLUMNS[kind]])


READ: list[tuple[Any, str, list[float]]] = [
    (pa.array([1, None], pa.int8()), "number", [1, nan]),
    (pa.array([2**64 - 1, None], pa.uint64()), "number", [2**64 - 1, nan]),
    (pa.array([2**53 + 1, -(2**63)], pa.int64()), "number", [2**53, -(2**63)]),
    (pa.array([1.5, None], pa.float32()), "number", [1.5, nan]),
    (pa.array([np.float16(1.5), None], pa.float16()), "number", [1.5, nan]),
    (pa.array([1.5, nan]), "number", [1.5, nan]),
    (pa.array([decimal.Decimal("1.50"), None]), "number", [1.5, nan]),
    (pa.array([decimal.Decimal("0.1"), None], pa.decimal256(60, 30)), "number", [0.1, nan]),
    (pa.array(["1.5", None, "-2e3"]), "number", [1.5, nan, -2000]),
    (pa.array([None, None]), "number", [nan, nan]),
    (pa.array([2.5, None]).dictionary_encode(), "number", [2.5, nan]),
    (pa.array([True, None, False]), "boolean", [1, nan, 0]),
    (pa.array([1, 0, None]), "boolean", [1, 0, nan]),
    (pa.array(["True", None, "false"]), "boolean", [1, nan, 0]),
    (pa.array([DAY, None]), "date", [1, nan]),
    (pa.array([DAY, None], pa.date64()), "date", [1, nan]),
    *[(pa.array([NOON, None], pa.timestamp(unit)), "date", [1.5, nan]) for unit in ("s", "ms", "us", "ns")],
    (pa.array([NOON, None], pa.timestamp("us", "UTC")), "date", [1.5, nan]),
    (pa.array([NOON, None], pa.timestamp("us", "Europe/Warsaw")), "zoned", [1.5, nan]),
    (pa.array([NOON, None], pa.timestamp("us", "+02:00")), "zoned", [1.5, nan]),
    (pa.array([dt.datetime(9999, 12, 31), dt.datetime(1, 1, 1)]), "date", [2932896, -719162]),
    (pa.array(["1970-01-02", None, "1970-01-02T12:00"]), "date", [1, nan, 1.5]),
    (pa.array([DAY, None]).dictionary_encode(), "date", [1, nan]),
    (pa.array(["Oslo", None, "Rome", "true"]), "category", [2, nan, nan, 3]),
    (pa.array(["Oslo", None], pa.large_string()), "category", [2, nan]),
    (pa.array(["Oslo", None], pa.string_view()), "category", [2, nan]),
    (pa.array(["Oslo", None, "1"]).dictionary_encode(), "category", [2, nan, 0]),
    (pa.array([1, None, 3]), "category", [0, nan, nan]),
    (pa.array([1.0, None, 2.5]), "category", [0, nan, 1]),
    (pa.array([1, None]).dictionary_encode(), "category", [0, nan]),
    (pa.array([True, None, False]), "category", [3, nan, nan]),
    (pa.array([None, None]), "category", [nan, nan]),
]


@pytest.mark.parametrize(("array", "kind", "expected"), READ, ids=[f"{array.type} {kind}" for array, kind, _ in READ])
def test_a_column_is_read_as_what_it_is(array: Any, kind: str, expected: list[float]) -> None:
    found = given(array, kind)
    assert isinstance(found, np.ndarray), found
    assert np.array_equal(found[:, 0], expected, equal_nan=True)


REFUSED: list[tuple[Any, tuple[str, ...]]] = [
    (pa.array([NOON, None], pa.timestamp("us", "Europe/Warsaw")), ("date",)),
    (pa.array([NOON, None], pa.timestamp("us")), ("zoned",)),
    (pa.array([1_704_067_200_000, None]), ("date",)),
    (pa.array([19723.5, None]), ("date",)),
    (pa.array([[1], [2]]), KINDS),
    (pa.array([["Oslo"], []]), KINDS),
    (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), KINDS),
    (pa.array([{"y": 1}, {"y": 2}]), KINDS),
    (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), KINDS),
    (pa.array([b"\xff\x00", b"1"]), KINDS),
    (pa.array([b"Oslo", b"true"]), KINDS),
    (pa.array([b"aa", b"bb"], pa.binary(2)), KINDS),
    (pa.array([dt.time(1, 2), None]), ("number", "boolean", "date")),
    (pa.array([5, None], pa.duration("us")), ("number", "boolean", "date")),
    (pa.array([np.inf, 1.0]), ("number", "date")),
    (pa.array([np.float16("inf")], pa.float16()), ("number", "date")),
    (pa.array([decimal.Decimal("1e50")], pa.decimal256(60, 2)), ("number",)),
    (pa.array([1e31]), ("number", "date")),
    (pa.array([True, None]), ("number", "date")),
    (pa.array([DAY, None]), ("number", "boolean")),
    (pa.array([NOON, None]), ("number", "boolean")),
    (pa.array(["Oslo", "1"]), ("number", "boolean", "date")),
    (pa.array(["Oslo", "1"]).dictionary_encode(), ("number", "boolean", "date")),
    (pa.array([2, 0.5]), ("boolean",)),
    (pa.array([1, 2], pa.timestamp("us", "Mars/Base")), KINDS),
]


@pytest.mark.parametrize(
    ("array", "kind"),
    [(array, kind) for array, kinds in REFUSED for kind in kinds],
    ids=[f"{array.type} {kind}" for array, kinds in REFUSED for kind in kinds],
)
def test_a_column_that_is_something_else_is_refused(array: Any, kind: str) -> None:
    found = given(array, kind)
    assert isinstance(found, RequestError), found
    assert found.status == 400


def test_text_that_is_not_utf_8_is_refused_in_parquet() -> None:
    broken = pa.StringArray.from_buffers(
        2, pa.py_buffer(np.array([0, 2, 4], "<i4").tobytes()), pa.py_buffer(b"\xff\xfeab")
    )
    for kind in KINDS:
        found = given(broken, kind)
        assert isinstance(found, RequestError), found


def test_the_index_that_pandas_stores_is_ignored() -> None:
    frame = pa.table({"x": [1.0, 2.0], "__index_level_0__": [7, 8]})
    table = frame.replace_schema_metadata(
        {"pandas": json.dumps({"index_columns": ["x"], "columns": [], "pandas": "1"})}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    found = decode(sink.getvalue().to_pybytes(), PARQUET).features([Column("x")])
    assert found.tolist() == [[1.0], [2.0]]


def test_rows_in_many_groups_stay_in_order() -> None:
    body = parquet_body({"x": pa.array(np.arange(100.0)), "y": pa.array([None] * 100)}, row_group_size=7)
    found = decode(body, PARQUET).features([Column("x"), Column("y", "category", ("a",))])
    assert found[:, 0].tolist() == list(range(100))
    assert np.isnan(found[:, 1]).all()


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_a_file_may_be_packed(compression: str) -> None:
    body = parquet_body({"x": pa.array(["Oslo", None, "1"] * 50)}, compression=compression)
    found = decode(body, PARQUET).features([COLUMNS["category"]])
    assert np.array_equal(found[:3, 0], [2, nan, 0], equal_nan=True)


def test_repeated_names_and_empty_tables_are_refused() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]), sink)
    for body in (sink.getvalue().to_pybytes(), parquet_body({}), parquet_body({"x": pa.array([], pa.float64())})):
        with pytest.raises(RequestError):
            decode(body, PARQUET).features([Column("x")])
