"""Small request bodies, valid and unusual."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ensemble.table import Column

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
NPY, PARQUET = "application/x-npy", "application/x-parquet"

COLUMNS = (
    Column("size"),
    Column("garden", "boolean"),
    Column("built", "date"),
    Column("town", "category", ("1", "Oslo", "true", "Łódź, old town")),
)
NAMES = [column.name for column in COLUMNS]
ROWS: list[list[Any]] = [[1.5, True, "2024-02-29", "Oslo"], [None, None, None, None], [-3, False, "1969-12-31", "1"]]
nan = np.nan
CODED = np.array([[1.5, 1, 19782, 1], [nan, nan, nan, nan], [-3, 0, -1, 0]])


def csv_body(rows: Sequence[Sequence[Any]], names: Sequence[str] | None = None) -> bytes:
    """Return rows of text as CSV."""
    sink = io.StringIO(newline="")
    writer = csv.writer(sink)
    writer.writerows([*([names] if names else []), *rows])
    return sink.getvalue().encode()


def as_text(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Return rows as CSV."""
    return [["" if value is None else str(value) for value in row] for row in rows]


def json_body(document: Any) -> bytes:
    """Return a document."""
    return json.dumps(document).encode()


def records(rows: Sequence[Sequence[Any]], names: Sequence[str] = NAMES) -> list[dict[str, Any]]:
    """Return rows as records."""
    return [dict(zip(names, row, strict=True)) for row in rows]


def lines_body(documents: Sequence[Any]) -> bytes:
    """Return one document per line."""
    return b"".join(json_body(document) + b"\n" for document in documents)


def npy_body(array: Any, *, pickled: bool = False) -> bytes:
    """Return an array's file."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=pickled)
    return sink.getvalue()


def npy_header(header: str, data: bytes = b"") -> bytes:
    """Return a .npy file with any text as its header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npy_of(descr: str, shape: str, data: bytes = b"") -> bytes:
    """Return a .npy file that declares this type and shape, with any data."""
    return npy_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", data)


def parquet_body(columns: Mapping[str, Any], **options: Any) -> bytes:
    """Return a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink, **options)
    return sink.getvalue()


def fields_body(rows: Sequence[Sequence[Any]]) -> bytes:
    """Return an array with one field per column: the first of numbers, the others of text."""
    array = np.empty(len(rows), dtype=[(NAMES[0], "<f8"), *((name, "<U20") for name in NAMES[1:])])
    for number, row in enumerate(rows):
        array[number] = tuple(nan if place == 0 and value is None else value for place, value in enumerate(row))
    return npy_body(array)


def columns_of(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return rows of ``COLUMNS`` as Parquet's columns."""
    types = [pa.float64(), pa.bool_(), pa.string(), pa.string()]
    columns = zip(NAMES, zip(*rows, strict=True), types, strict=True)
    return {name: pa.array(list(values), kind) for name, values, kind in columns}


_BLANK = [["" if value is None else value for value in row] for row in as_text(ROWS)]
# A valid body of each content type; all contain ``ROWS``.
WHOLE: dict[str, tuple[bytes, str]] = {
    "csv": (csv_body(_BLANK), CSV),
    "csv with a header": (csv_body(_BLANK, NAMES), CSV),
    "json lists": (json_body(ROWS), JSON),
    "json records": (json_body({"instances": records(ROWS)}), JSON),
    "json split": (json_body({"dataframe_split": {"columns": NAMES, "data": ROWS}}), JSON),
    "json columns": (json_body({"inputs": dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))}), JSON),
    "json lines": (lines_body(ROWS), LINES),
    "json lines of records": (lines_body(records(ROWS)), LINES),
    "npy of text": (npy_body(np.array(_BLANK)), NPY),
    "npy with fields": (fields_body([[row[0], *_BLANK[number][1:]] for number, row in enumerate(ROWS)]), NPY),
    "parquet": (parquet_body(columns_of(ROWS), compression="none"), PARQUET),
}
