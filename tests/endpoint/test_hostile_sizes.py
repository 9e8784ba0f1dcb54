"""Bodies that are long, deep, wide, empty or far larger when they are read, and bodies that would run code."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.endpoint.bodies import FORMS, structured, write_csv, write_json, write_npy
from tests.endpoint.choice import PROCESS, Choice
from tests.endpoint.target import Target

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("own_http", "still_right")]

TYPES = ["text/csv", "application/json", "application/jsonlines", "application/x-npy", "application/x-parquet"]
PARQUET = "application/x-parquet"
# Each bomb would take 400 MB to 4 GB if it were read; the largest refusal took 5 MB.
MOST_BYTES_FOR_A_BOMB = 100_000_000


class Trap:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self._path,)


def longest_body(target: Target) -> int:
    """Return the length limit of bodies, read from an error."""
    details = target.post(b"", "text/csv", Content_Length="999999999").refused(413, error="too_large")
    found = re.search(r"longer than ([\d,]+) bytes", details["message"])
    assert found
    return int(found[1].replace(",", ""))


def archive(**arrays: Any) -> bytes:
    """Return several arrays as a NumPy archive."""
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def declared(shape: str, kind: str = "'<f8'", rest: bytes = b"") -> bytes:
    """Return a .npy file with this header."""
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return write_npy([0.0])[:8] + len(header).to_bytes(2, "little") + header + rest


def pickled(array: Any) -> bytes:
    """Return a .npy file of objects."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("body", [b"", b" ", b"\n", b"\r\n\t \r\n", b" " * 100_000], ids=repr)
def test_a_body_of_nothing_is_refused(body: bytes, kind: str, target: Target) -> None:
    target.post(body, kind).refused(400, error="rows_do_not_fit", got="nothing")


@pytest.mark.parametrize(
    "form", ["json lists", "json records", "json split", "npy of text", "npy with fields", "parquet"]
)
def test_a_body_that_lacks_its_end_is_refused(form: str, target: Target) -> None:
    body = FORMS[form].write(target.more(3))
    for length in sorted({1, 2, 8, len(body) // 3, len(body) // 2, len(body) - 9, len(body) - 1}):
        target.post(body[:length], FORMS[form].type).refused(400)


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(target: Target) -> None:
    cells = target.more(5)
    limit = longest_body(target)
    body = write_json(cells.rows).ljust(limit)
    assert target.post(body, "application/json").numbers() == target.predict(cells)
    target.post(body + b" ", "application/json").refused(413, error="too_large")
    chunks = iter([body, b" "])
    target.ask("POST", "/invocations", chunks, {"Content-Type": "application/json"}).refused(413, error="too_large")


@pytest.mark.parametrize("opening", ["[", '{"instances":', '[{"a":', '{"dataframe_split":{"data":'])
def test_json_of_any_depth_is_refused(opening: str, target: Target) -> None:
    whole = opening * 100_000 + "1e999"
    closing = "".join({"[": "]", "{": "}"}[mark] for mark in reversed(opening) if mark in "[{") * 100_000
    for body in (whole, whole + closing):
        for kind in ("application/json", "application/jsonlines"):
            target.post(body.encode(), kind).refused(400, error="unreadable")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("byte", [b"1", b'"', b"[", b",", b"-", b"\x00", b"\xff"])
def test_a_very_long_line_is_refused(byte: bytes, kind: str, target: Target) -> None:
    target.post(byte * 1_000_000, kind).refused(400)


def test_a_table_of_a_hundred_thousand_columns_is_read_by_name(target: Target) -> None:
    cells = target.more(2)
    more = [f"more_{number}" for number in range(100_000 - len(cells.names))]
    header, *rows = write_csv(cells, header=True).decode().splitlines()
    empty = "," * len(more)
    lines = [",".join([*more[: len(more) // 2], header, *more[len(more) // 2 :]])]
    lines += [empty[: len(more) // 2] + row + empty[len(more) // 2 :] for row in rows]
    assert target.post("\n".join(lines).encode(), "text/csv").numbers() == target.predict(cells)
    details = target.post("\n".join(lines[1:]).encode(), "text/csv; header=absent").refused(400)
    assert details["got"] == "100000 values"


def test_text_that_is_not_utf_8_is_refused(target: Target) -> None:
    for form in ("csv with a header", "csv without", "json lists", "json lines of records"):
        text = FORMS[form].write(target.more(2)).decode()
        for body in (
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.encode("utf-32"),
            text.encode() + b"\xff\xfe",
        ):
            target.post(body, FORMS[form].type).refused(400)


def test_a_nul_in_a_number_is_refused(target: Target) -> None:
    place = next((place for place, column in enumerate(target.columns) if column.type == "number"), None)
    if place is None:
        pytest.skip("this model has no column of type number")
    cells = target.more(3).having(place, 1, "1\x002")
    csv = FORMS["csv with a header"]
    target.post(csv.write(cells), csv.type).refused(400)
    for form in ("json lists", "json columns", "npy of text"):
        target.post(FORMS[form].write(cells), FORMS[form].type).refused(400, column=target.columns[place].name, row=2)


def test_objects_are_refused_and_never_unpickled(target: Target, tmp_path: Path) -> None:
    width = len(target.columns)
    trap = Trap(tmp_path / "sprung")
    fields: Any = [(name, "O") for name in target.example.names]
    bodies = {
        "objects": pickled(np.array([[trap] * width], dtype=object)),
        "fields": pickled(np.array([(trap,) * width], dtype=fields)),
        "pickle": pickle.dumps(trap),
        "text pickle": pickle.dumps(trap, protocol=0),
        "archive": archive(a=np.array([trap], dtype=object)),
    }
    for name in ("objects", "fields", "pickle"):  # check that the trap works
        np.load(io.BytesIO(bodies[name]), allow_pickle=True)
        (tmp_path / "sprung").rmdir()
    for body in bodies.values():
        for kind in TYPES:
            target.post(body, kind).refused(400)
    for kind in ("application/x-pickle", "application/python-pickle", "application/octet-stream"):
        target.post(bodies["pickle"], kind).refused(415)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "body",
    [
        declared("(1000000000000, 10)"),
        declared("(1000000000, 1)"),
        declared("(4611686018427387904, 4)"),
        declared("(-1, 4)", rest=b"\0" * 64),
        declared("(100000000,)", "[('a', '<U0')]"),
        declared("(1000000000, 1)", "'<U0'"),
        declared("(1, 1)", "'<U250000000'"),
        declared("(1, 1)", "'-" + "'" * 9_000),
        declared("-" * 9_000 + "1"),
        archive(a=np.zeros((1, 1))),
        archive(),
    ],
    ids=range(11),
)
def test_a_broken_array_is_refused(body: bytes, target: Target) -> None:
    target.post(body, "application/x-npy").refused(400)


def test_an_archive_of_valid_arrays_is_refused(target: Target) -> None:
    target.post(archive(a=np.load(io.BytesIO(structured(target.example)))), "application/x-npy").refused(400)


def parquet(column: Any, name: str, *, times: int = 1, **options: Any) -> bytes:
    """Return a file that has a column several times over."""
    table = pa.table([column], names=[name])
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", **options) as writer:
        for _ in range(times):
            writer.write_table(table, row_group_size=1_000_000)
    return sink.getvalue()


def rows_of_nothing(name: str) -> bytes:
    """Return fifty million rows, all empty."""
    return parquet(pa.nulls(1_000_000, pa.float64()), name, times=50)


def one_text_many_times(name: str) -> bytes:
    """Return four thousand rows of one text of a million letters."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(4_000, np.int32)), pa.array(["x" * 1_000_000]))
    return parquet(texts, name, store_schema=False)


def long_text(name: str) -> bytes:
    """Return four hundred rows of different texts of a million letters."""
    return parquet(pa.array([f"{row}" + "x" * 1_000_000 for row in range(50)]), name, times=8, use_dictionary=False)


def wide_bytes(name: str) -> bytes:
    """Return four hundred rows of the same million bytes, in a type of fixed length."""
    return parquet(pa.array([b"x" * 1_000_000] * 50, pa.binary(1_000_000)), name, times=8)


def lists(name: str) -> bytes:
    """Return ten rows of five million numbers each."""
    return parquet(pa.array([np.zeros(5_000_000)]), name, times=10)


def many_short_texts(name: str) -> bytes:
    """Return nine million rows of a few short texts."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int32)), pa.array(["a"]))
    return parquet(texts, name, times=9, store_schema=False)


def many_dates(name: str) -> bytes:
    """Return two million dates."""
    return parquet(pa.array(np.zeros(1_000_000, np.int32), pa.date32()), name, times=2)


def many_numbers(name: str) -> bytes:
    """Return two million numbers."""
    return parquet(pa.array(np.zeros(1_000_000)), name, times=2)


BOMBS = [
    rows_of_nothing,
    one_text_many_times,
    long_text,
    wide_bytes,
    lists,
    many_short_texts,
    many_dates,
    many_numbers,
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_parquet_that_is_much_more_than_it_seems_is_refused(
    bomb: Callable[[str], bytes], target: Target, choice: Choice
) -> None:
    body = bomb(target.example.names[0])
    assert len(body) < 1_000_000
    with target.connected() as connection:
        right = FORMS["parquet"].write(target.example)
        assert connection.post(
            right, PARQUET
        ).numbers()  # libraries that the first file loads must not count as the bomb's memory
        worker = json.loads(connection.ask("GET", "/ping").body)["worker"]["pid"]
        seen = choice.name == PROCESS and Path("/proc/self/clear_refs").exists()
        if seen:
            peak_memory(worker)
            before = peak_memory(worker)
        answer = connection.post(body, PARQUET)
        answer.refused(answer.status)
        assert answer.status in (400, 413)
        if seen:
            assert peak_memory(worker) - before < MOST_BYTES_FOR_A_BOMB


def peak_memory(process: int) -> int:
    """Return the peak memory of a process since the last call."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return int(found[1]) * 1024
