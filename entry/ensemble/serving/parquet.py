"""Parquet files in requests, which may declare any size in a few bytes."""

from __future__ import annotations

import io
from typing import Any

from ensemble.serving.errors import TOO_LARGE, RequestError

# A million values take up to four seconds and 200 MB, as texts do, or numbers in the column of a category.
_MOST_VALUES, _MOST_BYTES = 1_000_000, 50_000_000


def read_table(body: bytes) -> Any:
    """Read a file as a ``pyarrow.Table``, unless it is far larger than its body suggests.

    Nested columns are not read. They have an empty struct in each row instead, which fits no column of a model.

    Raises:
        RequestError: The table is too large.
        Exception: pyarrow raises various types for a file that is not Parquet.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(io.BytesIO(body))
    _check_declared(file)
    # Text is read as a dictionary of distinct values, so that its full length is known before it is expanded.
    leaves = map(file.schema.column, range(len(file.schema)))
    text = [leaf.name for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    nested = [pa.types.is_nested(field.type) for field in file.schema_arrow]
    flat = [field.name for field, is_nested in zip(file.schema_arrow, nested, strict=True) if not is_nested]
    reader = ParquetFile(io.BytesIO(body), read_dictionary=text)
    found = reader.read(flat if any(nested) else None, use_pandas_metadata=False, use_threads=False)
    columns, size = [], 0
    for place, field in enumerate(file.schema_arrow):
        if nested[place]:
            columns.append(pa.array([{}] * file.metadata.num_rows, pa.struct([])))
            continue
        read = column = found.column(field.name if any(nested) else place)
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type):
            size += sum(map(_length, column.chunks))
            _check(size, _MOST_BYTES, "bytes")
            read = column.cast(column.type.value_type)
        columns.append(read)
    return pa.table(columns, names=[field.name for field in file.schema_arrow])


def _check_declared(file: Any) -> None:
    """Raise RequestError if the file's metadata declares too much.

    The metadata of a column in a row group is not read: pyarrow ends the process if it is broken.
    """
    leaves = [file.schema.column(place) for place in range(len(file.schema))]
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    fixed = sum(leaf.length for leaf in leaves if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY")
    _check(rows * len(leaves), _MOST_VALUES, "values")
    _check(rows * fixed + sum(group.total_byte_size for group in groups), _MOST_BYTES, "bytes")


def _check(found: int, most: int, what: str) -> None:
    if found > most:
        raise RequestError(
            TOO_LARGE,
            "too_large",
            f"the file holds more than {most:,} {what}: send fewer rows at a time.",
            expected=f"{most:,} {what} at most",
            got=f"{found:,} {what}",
        )


def _length(chunk: Any) -> int:
    """Return how many bytes a dictionary-encoded column of text has when it is expanded."""
    import pyarrow.compute as pc

    return pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
