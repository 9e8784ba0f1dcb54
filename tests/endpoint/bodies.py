"""Rows as request bodies, in every form that an endpoint reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.endpoint.target import Cells


@dataclass(frozen=True)
class Form:
    """A way to write rows.

    Attributes:
        type: The content type.
        write: Returns the body.
        numbers_only: Whether it has place for nothing else.
    """

    type: str
    write: Callable[[Cells], bytes]
    numbers_only: bool = False


def text(value: Any) -> str:
    """Return a value as written in CSV."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_csv(cells: Cells, *, header: bool, quoting: Any = csv.QUOTE_MINIMAL, end: str = "\n") -> bytes:
    """Return rows as CSV."""
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator=end, quoting=quoting)
    if header:
        writer.writerow(cells.names)
    writer.writerows([text(value) for value in row] for row in cells.rows)
    return sink.getvalue().encode()


def write_json(document: Any) -> bytes:
    """Return a document."""
    return json.dumps(document).encode()


def lines(documents: list[Any]) -> bytes:
    """Return one document per line."""
    return "".join(json.dumps(document) + "\n" for document in documents).encode()


def write_npy(array: Any) -> bytes:
    """Return an array's file."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getvalue()


def structured(cells: Cells) -> bytes:
    """Return an array with one field per column: numbers as numbers, anything else as text."""
    fields: list[Any] = []
    for column, values in zip(cells.columns, cells.values, strict=True):
        number = column.type == "number"
        fields.append(np.array(values, dtype=np.float64) if number else np.array([text(value) for value in values]))
    array = np.empty(
        len(fields[0]), dtype=[(name, field.dtype) for name, field in zip(cells.names, fields, strict=True)]
    )
    for name, field in zip(cells.names, fields, strict=True):
        array[name] = field
    return write_npy(array)


def write_parquet(cells: Cells, *, typed: bool = False) -> bytes:
    """Return a Parquet file. With ``typed``, dates are timestamps and categories dictionaries; otherwise both are text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"number": pa.float64(), "boolean": pa.bool_()}
    arrays = []
    for column, values in zip(cells.columns, cells.values, strict=True):
        if typed and column.type == "date":
            arrays.append(pa.array([None if value is None else np.datetime64(value, "us") for value in values]))
        elif typed and column.type == "category":
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(values, types.get(column.type, pa.string())))
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, names=cells.names), sink)
    return sink.getvalue()


FORMS = {
    "csv with a header": Form("text/csv", lambda cells: write_csv(cells, header=True)),
    "csv without": Form("text/csv", lambda cells: write_csv(cells, header=False)),
    "csv header=present": Form("text/csv; header=present", lambda cells: write_csv(cells, header=True)),
    "csv header=absent": Form('Text/CSV;charset=utf-8;header="absent"', lambda cells: write_csv(cells, header=False)),
    "csv in quotes": Form("text/csv", lambda cells: write_csv(cells, header=True, quoting=csv.QUOTE_ALL)),
    "csv by Windows": Form("text/csv", lambda cells: b"\xef\xbb\xbf" + write_csv(cells, header=True, end="\r\n")),
    "json instances of lists": Form("application/json", lambda cells: write_json({"instances": cells.rows})),
    "json instances of records": Form("application/json", lambda cells: write_json({"instances": cells.records})),
    "json inputs": Form("application/json; charset=utf-8", lambda cells: write_json({"inputs": cells.rows})),
    "json records": Form("application/json", lambda cells: write_json(cells.records)),
    "json lists": Form("application/json", lambda cells: write_json(cells.rows)),
    "json dataframe_records": Form("application/json", lambda cells: write_json({"dataframe_records": cells.records})),
    "json split": Form("application/json", lambda cells: write_json({"columns": cells.names, "data": cells.rows})),
    "json dataframe_split": Form(
        "application/json", lambda cells: write_json({"dataframe_split": {"columns": cells.names, "data": cells.rows}})
    ),
    "json columns": Form(
        "application/json", lambda cells: write_json({"inputs": dict(zip(cells.names, cells.values, strict=True))})
    ),
    "json lines of lists": Form("application/jsonlines", lambda cells: lines(cells.rows)),
    "json lines of records": Form("application/jsonlines", lambda cells: lines(cells.records)),
    "jsonl": Form("application/jsonl", lambda cells: lines(cells.records)),
    "ndjson": Form("application/x-ndjson", lambda cells: b"\n" + lines(cells.rows)),
    "npy of numbers": Form(
        "application/x-npy", lambda cells: write_npy(np.array(cells.rows, dtype=np.float64)), numbers_only=True
    ),
    "npy of text": Form(
        "application/x-npy", lambda cells: write_npy(np.array([[text(value) for value in row] for row in cells.rows]))
    ),
    "npy with fields": Form("application/x-npy", structured),
    "parquet": Form("application/x-parquet", write_parquet),
    "parquet with types": Form("application/vnd.apache.parquet", lambda cells: write_parquet(cells, typed=True)),
}
