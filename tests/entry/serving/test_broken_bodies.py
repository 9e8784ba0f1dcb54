"""Bodies that are cut, declare a wrong size or contain code are refused without side effects (``serving.errors``)."""

from __future__ import annotations

import io
import pickle
import resource
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ensemble.serving.errors import RequestError
from ensemble.table import Column, numbers
from tests.entry.serving.answering import answer, features_of, refusal_of
from tests.entry.serving.bodies import (
    CODED,
    COLUMNS,
    NPY,
    PARQUET,
    WHOLE,
    npy_body,
    npy_header,
    npy_of,
    parquet_body,
)

AB = numbers("a", "b")


@pytest.mark.parametrize("name", WHOLE)
def test_a_body_cut_anywhere_is_refused_or_has_fewer_cells(name: str) -> None:
    body, kind = WHOLE[name]
    found = [answer(body[:length], kind, COLUMNS) for length in range(len(body))]
    if name in (
        "npy of text",
        "npy with fields",
        "parquet",
        "json lists",
        "json records",
        "json split",
        "json columns",
    ):
        assert all(isinstance(each, RequestError) for each in found)
    for each in found:
        if isinstance(each, np.ndarray):
            whole = each[:-1]
            assert np.array_equal(whole, CODED[: len(whole)], equal_nan=True)


@pytest.mark.parametrize("name", ["npy of text", "npy with fields", "parquet"])
def test_a_body_with_a_byte_less_or_another_anywhere_is_answered(name: str) -> None:
    body, kind = WHOLE[name]
    for place in range(0, len(body), 3):
        answer(body[:place] + body[place + 1 :], kind, COLUMNS)
        for byte in (0x00, 0xFF, body[place] ^ 0x40):
            answer(body[:place] + bytes([byte]) + body[place + 1 :], kind, COLUMNS)


class Trap:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_pickles_are_refused_and_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "sprung"
    trap = Trap(path)
    array = np.array([[trap, 1.0]], dtype=object)
    named = np.array([(trap, 1.0)], dtype=[("a", "O"), ("b", "<f8")])
    archive = io.BytesIO()
    np.savez(archive, a=array)
    bodies = [
        npy_body(array, pickled=True),
        npy_body(named, pickled=True),
        pickle.dumps(trap),
        pickle.dumps(trap, protocol=0),
        archive.getvalue(),
        npy_of("'|O'", "(1, 2)", pickle.dumps(trap)),
        npy_of("[('a', '|O'), ('b', '<f8')]", "(1,)", pickle.dumps(trap)),
    ]
    for body in bodies:
        assert refusal_of(body, NPY, AB).details["error"] == "unreadable"
    assert not path.exists()
    pickle.loads(bodies[2]).close()
    assert path.exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_of_arrays_is_refused(save: Any) -> None:
    sink = io.BytesIO()
    save(sink, a=np.zeros((1, 2)), b=np.zeros((1, 2)))
    assert refusal_of(sink.getvalue(), NPY, AB).details["error"] == "unreadable"


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("'<f8'", "(10**12, 10)"),
        ("'<f8'", "(1000000000000, 10)"),
        ("'<f8'", "(100000000000000000000000, 2)"),
        ("'|u1'", "(1000000000, 2)"),
        ("'<f8'", "(0, 1000000000000)"),
        ("'<f8'", "(1000000000000, 0)"),
        ("'<U250000000'", "(1, 2)"),
        ("'<U0'", "(1000000000000, 2)"),
        ("'<U0'", "(1000000000, 2)"),
        ("'|V0'", "(1000000000, 2)"),
        ("[('a', '<U0'), ('b', '<U0')]", "(1000000000,)"),
        ("[('a', '<f8', (1000000000,)), ('b', '<f8')]", "(1000,)"),
        ("[('a', '<f8', (0,)), ('b', '<f8', (0,))]", "(1000000000,)"),
        ("[]", "(1000000000,)"),
        ("'<f8'", "(-1, 2)"),
        ("'<f8'", "(-2, -2)"),
        ("'<f8'", "(True, 2)"),
        ("'<f8'", "(1.0, 2)"),
        ("'<f8'", "2"),
        ("'<f8'", "()"),
        ("'<f8'", "(1, 1, 2)"),
        ("'<c16'", "(1, 1)"),
        ("'<M8[D]'", "(1, 2)"),
        ("'|S8'", "(1, 2)"),
        ("'nonsense'", "(1, 2)"),
        ("None", "(1, 2)"),
    ],
)
def test_an_array_that_declares_too_large_a_size_costs_nothing(descr: str, shape: str) -> None:
    body = npy_of(descr, shape, b"\0" * 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal_of(body, NPY, AB)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # in KB, or bytes on macOS


@pytest.mark.parametrize(
    "header",
    [
        "[" * 9_000,
        "(" * 3_000 + ")" * 3_000,
        "-" * 9_000 + "1",
        "",
        "{}",
        "1 +",
        "__import__('os')",
        "\0",
        "x" * 60_000,
    ],
)
def test_a_broken_npy_header_is_refused(header: str) -> None:
    assert refusal_of(npy_header(header), NPY, AB).details["error"] == "unreadable"


def test_text_with_invalid_code_points_is_refused() -> None:
    beyond = np.array([0x110000, 0xFFFFFFFF], dtype="<u4").tobytes()
    assert refusal_of(npy_of("'<U1'", "(1, 2)", beyond), NPY, AB).details["error"] == "unreadable"
    assert refusal_of(npy_of("[('a', '<U1'), ('b', '<U1')]", "(1,)", beyond), NPY, AB).details["error"] == "unreadable"
    for order in "<>":
        for code in (0xD800, 0xDFFF, 0x110000):
            half = np.array([0x41, code, 0x42, 0x43], dtype=f"{order}u4").tobytes()
            assert refusal_of(npy_of(f"'{order}U2'", "(1, 2)", half), NPY, AB).details["error"] == "unreadable"
        text = npy_body(np.array([["☃🙂", "\uffff"]]).astype(f"{order}U2"))
        columns = [Column("a", "category", ("x", "☃🙂")), Column("b", "category", ("x", "\uffff"))]
        assert np.array_equal(features_of(text, NPY, columns), [[1, 1]])


@pytest.mark.parametrize("dtype", [np.longdouble, np.float64, np.float32, np.float16])
def test_numbers_of_any_width_are_taken_or_refused_without_a_warning(dtype: Any) -> None:
    limit = np.finfo(dtype).max
    assert np.array_equal(
        features_of(npy_body(np.array([[1.5, np.nan]], dtype)), NPY, AB), [[1.5, np.nan]], equal_nan=True
    )
    for value in (limit, -limit, dtype(np.inf)):
        body = npy_body(np.array([[0, value]], dtype))
        if dtype is np.float16 and np.isfinite(value):
            assert features_of(body, NPY, AB)[0, 1] == float(value)
        else:
            assert refusal_of(body, NPY, AB).details["column"] == "b"
    anything = np.random.RandomState(0).bytes(64 * 2 * np.dtype(dtype).itemsize)
    answer(npy_of(repr(np.dtype(dtype).str), "(64, 2)", anything), NPY, AB)


def test_parquet_of_more_values_than_any_body_has_is_refused_before_it_is_read() -> None:
    zeros = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000_000, np.int8)), pa.array([0.0]))
    body = parquet_body({"a": zeros.cast(pa.float64()), "b": pa.nulls(len(zeros), pa.float64())})
    assert len(body) < 200_000
    tracemalloc.start()
    try:
        error = refusal_of(body, PARQUET, AB)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert error.status in (400, 413)
    assert "values" in error.details["expected"]
    many = parquet_body({"a": pa.nulls(500_000, pa.float64()), "b": pa.nulls(500_000, pa.float64())})
    assert np.isnan(features_of(many, PARQUET, AB)).all()
