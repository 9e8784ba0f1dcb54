"""One table, however it is saved: training, batch, endpoint and pandas' frames read the same rows from it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from ensemble.arrays import Floats
from ensemble.errors import InputError
from ensemble.reading import Roles, read_file
from ensemble.serving.formats import decode
from ensemble.serving.media_types import CSV, JSON, JSON_LINES, PARQUET
from ensemble.serving.rows import Values
from ensemble.table import Column, Table
from experiments.serving import row_files
from tests.support.examples import examples

Rows = list[list[Any]]
KINDS: dict[str, list[Any]] = {
    "number": [1.5, -2.0, 3e-7, 12345.0, None],
    "boolean": [True, False, None],
    "date": ["2024-02-29", "1969-12-31T23:59:59", None],
    "town": ["Oslo", "ü, c", 'say "so"', "two\nlines", "-", None],
    "code": ["00100", "100", "7", None],
    "mixed": ["10", "20", "A7", None],
}
NESTED = "nested"
NAMES = {kind: kind for kind in KINDS} | {"number": "0", "code": "the, code", "target": "target"}


@st.composite
def tables(draw: DrawFn) -> tuple[list[str], Rows]:
    """Draw the kinds of the columns, and rows in which every value of each kind occurs."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4, unique=True))
    columns = []
    for kind in kinds:
        more = draw(st.lists(st.sampled_from(KINDS[kind]), min_size=2, max_size=2))
        values = [*KINDS[kind], *more, *KINDS[kind]][:8]
        columns.append(draw(st.permutations([*values, *[None] * (8 - len(values))])))
    return kinds, [list(row) for row in zip(*columns, strict=True)]


def csv_text(names: list[str], rows: Rows, end: str = "\n", quoting: Any = csv.QUOTE_MINIMAL) -> str:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator=end, quoting=quoting)
    writer.writerow(names)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return sink.getvalue()


def frame_of(kinds: list[str], rows: Rows) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[NAMES[kind] for kind in kinds])
    for kind in kinds:
        name = NAMES[kind]
        if kind == "date":
            frame[name] = pd.to_datetime(frame[name], format="ISO8601")
        elif kind == "number":
            frame[name] = frame[name].astype("float64")
        elif kind == "boolean":
            frame[name] = frame[name].astype("boolean")
        else:
            frame[name] = frame[name].astype("str")
    return frame


def saved(kinds: list[str], rows: Rows) -> dict[str, tuple[str, Callable[[Path], object]]]:
    """Return every way to save the rows: the content type and what writes the file, by name."""
    names = [NAMES[kind] for kind in kinds]
    plain, records = csv_text(names, rows), [dict(zip(names, row, strict=True)) for row in rows]
    frame = frame_of(kinds, rows)
    indexed = frame.set_index(pd.Index(range(100, 100 + len(rows))))
    lines = "".join(json.dumps(record) + "\n" for record in records)

    def write(text: str) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(text.encode())

    return {
        "csv": (CSV, write(plain)),
        "csv with CR LF": (CSV, write(csv_text(names, rows, "\r\n"))),
        "csv with CR and quotes": (CSV, write(csv_text(names, rows, "\r", csv.QUOTE_ALL))),
        "csv with blank lines": (CSV, write("\n\n  \n" + plain + "\n\n")),
        "csv with a mark": (CSV, write("\ufeff" + plain)),
        "csv with two marks": (CSV, write("\ufeff\ufeff" + plain)),
        "csv without a last line end": (CSV, write(plain.removesuffix("\n"))),
        "json lines": (JSON_LINES, write(lines)),
        "json lines with blank ones": (JSON_LINES, write("\n" + lines.replace("\n", "\n\n"))),
        "json records": (JSON, write(json.dumps(records))),
        "json over lines": (JSON, write(json.dumps(records, indent=1))),
        "json split": (JSON, write(json.dumps({"columns": names, "data": rows}))),
        "parquet": (PARQUET, frame.to_parquet),
        "parquet with row numbers": (PARQUET, indexed.to_parquet),
        "parquet with a named index": (PARQUET, frame.set_index(names[0]).to_parquet),
        "parquet with unused nested columns": (PARQUET, frame.assign(**{NESTED: [{"a": [1]}] * len(rows)}).to_parquet),
        "parquet of categories": (
            PARQUET,
            frame.astype({NAMES[kind]: "category" for kind in kinds if kind in ("town", "code")}).to_parquet,
        ),
    }


def batch(path: Path, columns: tuple[Column, ...], header: str | None = None) -> Floats:
    """Return the features that ``action=batch`` reads."""
    return np.concatenate([chunk.rows.features(columns) for chunk in row_files.open_rows(path, header).chunks(columns)])


def same(found: Floats, table: Table) -> bool:
    return np.array_equal(found, table.features, equal_nan=True)


@examples(20)
@given(drawn=tables(), chunk=st.sampled_from([7, 50, 2**22]))
def test_every_way_to_save_a_table_is_read_alike_by_training_batch_endpoint_and_frames(
    drawn: tuple[list[str], Rows], chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds, rows = drawn
    folder = tmp_path_factory.mktemp("alike")
    names = [NAMES[kind] for kind in kinds]
    train = folder / "train.csv"
    train.write_text(csv_text(["size", *names, "price"], [[n, *row, n] for n, row in enumerate(rows)]), newline="")
    whole = read_file(train, Roles("price"))
    for kind, column in zip(kinds, whole.columns[1:], strict=True):
        expected = "category" if kind in ("town", "code", "mixed") else kind
        assert column.type == expected, (kind, column)
    table = Table(whole.columns[1:], "price", whole.features[:, 1:], whole.target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_files, "CHUNK_BYTES", chunk)
        patch.setattr(row_files, "CHUNK_ROWS", min(chunk, 5))
        for way, (content_type, write) in saved(kinds, rows).items():
            path = folder / "rows"
            write(path)
            assert same(batch(path, table.columns), table), way
            assert same(decode(path.read_bytes(), content_type).features(table.columns), table), way
        bare = csv_text(names, rows).partition("\n")[2]
        path.write_bytes(bare.encode())
        assert same(batch(path, table.columns, "absent"), table)
    assert same(Values.of_frame(frame_of(kinds, rows)).features(table.columns), table)


@examples(20)
@given(drawn=tables())
def test_every_way_to_save_a_table_trains_alike(
    drawn: tuple[list[str], Rows], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds, rows = drawn
    kinds, rows = [*kinds, "target"], [[*row, float(number)] for number, row in enumerate(rows)]
    folder = tmp_path_factory.mktemp("trains")
    found: dict[str, Table] = {}
    for way, (content_type, write) in saved(kinds, rows).items():
        if content_type in (CSV, PARQUET):
            path = folder / "table"
            write(path)
            found[way] = read_file(path, Roles("target", drop=[NESTED] if "nested" in way else []))
    plain = found.pop("csv")
    for way, table in found.items():
        assert sorted(table.names) == sorted(plain.names), way
        order = [table.names.index(name) for name in plain.names]
        assert [table.columns[place] for place in order] == list(plain.columns), way
        assert np.array_equal(table.features[:, order], plain.features, equal_nan=True), way


# Cells of every kind that files have, and some that only look like these.
CELLS = [
    "", "NA", "nan", "null", "None", "none", "-", "?", ".", "n/a", " ", "\t", "0", "00", "007", "7", "1.0", ".5",
    "-0", "+1", "1e3", "1e400", "inf", "-inf", "9007199254740993", "12345678901234567890", "0x1F", "1_000", "5-",
    "true", "FALSE", "yes", "2024-01-02", "2024-01-02T03:04:05", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05+02:00",
    "2024-13-01", "2.1.2024", "1,250", "1.250,50", "$5", "5 \u20ac", "5%", "(5)", "\u22125", "\uff11\uff12", "\u0663",
    "\xa05", "5 kg", "\ufeff5", " x", "x ", "X", "\xe9", "e\u0301", 'a"b', "a\nb", "a\rb", "a\r\nb", "a,b", "a;b",
    "' '", "=1+1", "#x",
]  # fmt: skip


@examples(500)
@given(
    data=st.data(),
    width=st.integers(1, 3),
    height=st.integers(4, 9),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_cells_are_read_alike_in_any_order(
    data: st.DataObject, width: int, height: int, quoting: Any, end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pools = [data.draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=5)) for _ in range(width)]
    rows = [[data.draw(st.sampled_from(pool)) for pool in pools] for _ in range(height)]
    order = data.draw(st.permutations(range(height)))
    names = [f"c{place}" for place in range(width)]
    folder = tmp_path_factory.getbasetemp() / "cells"
    folder.mkdir(exist_ok=True)

    def written(name: str, header: list[str], lines: Rows) -> Path:
        (folder / name).write_bytes(csv_text(header, lines, end, quoting).encode())
        return folder / name

    whole = [[*row, place + 1.5] for place, row in enumerate(rows)]
    found: list[Table | str] = []
    for lines in (whole, [whole[place] for place in order]):
        try:
            found.append(read_file(written("train", [*names, "price"], lines), Roles("price")))
        except InputError as error:
            found.append(str(error))
    table, turned = found
    if isinstance(table, str) or isinstance(turned, str):
        assert isinstance(table, str)
        assert isinstance(turned, str)
        return
    assert table.columns == turned.columns
    assert np.array_equal(table.features[list(order)], turned.features, equal_nan=True)
    files = [written("rows", [*names, "price"], whole)]
    if width > 1:  # of one column, a row without a value may be a blank line
        files.append(written("features", names, rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_files, "CHUNK_BYTES", 64)
        for path in files:
            assert same(batch(path, table.columns), table)
            assert same(decode(path.read_bytes(), CSV).features(table.columns), table)


def test_the_order_of_rows_does_not_decide_what_a_column_is(tmp_path: Path) -> None:
    rows = [["00100"], ["100"], ["7"], ["-"], ["7"]]
    found = []
    for number in range(len(rows)):
        turned = [[*row, place] for place, row in enumerate(rows[number:] + rows[:number])]
        (tmp_path / "t.csv").write_text(csv_text(["code", "price"], turned))
        found.append(read_file(tmp_path / "t.csv", Roles("price")).columns)
    assert found == [found[0]] * len(rows)


def test_a_text_array_is_read_as_at_the_endpoint(tmp_path: Path) -> None:
    columns = (Column("a"), Column("b", "category", ("x", "y")))
    path = tmp_path / "rows"
    with path.open("wb") as file:
        np.save(file, np.array([["1", "y"], ["", "x"]]))
    assert np.array_equal(batch(path, columns), [[1, 1], [np.nan, 0]], equal_nan=True)
