"""Parquet files of senders, of which a few bytes may say that they hold any amount."""

from __future__ import annotations

import io
from typing import Any

from ensemble.serving.errors import TOO_LARGE, RequestError, unfit

# Many times what a text of 6 MB holds.
_MOST_VALUES, _MOST_BYTES = 10_000_000, 100_000_000


def read_table(body: bytes) -> Any:
    """Return the table of a file, unless it is out of all proportion.

    Raises:
        RequestError: It is, or its columns hold more than a value a row.
        Exception: Whatever pyarrow raises for a file that is none.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(io.BytesIO(body))
    _check_declared(file)
    # Text is read as the few texts that there are, so that it can be known how long it is before it is.
    leaves = map(file.schema.column, range(len(file.schema)))
    text = [leaf.name for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    found = ParquetFile(io.BytesIO(body), read_dictionary=text).read(use_pandas_metadata=False, use_threads=False)
    columns, size = [], 0
    for field, column in zip(file.schema_arrow, found.columns, strict=True):
        read = column
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type):
            size += sum(map(_length, column.chunks))
            _check(size, _MOST_BYTES, "bytes")
            read = column.cast(column.type.value_type)
        columns.append(read)
    return pa.table(columns, names=[field.name for field in file.schema_arrow])


def _check_declared(file: Any) -> None:
    """Raise RequestError for what the file says of itself.

    What it says of a column in a row group is not asked for: pyarrow ends the process when that is broken.
    """
    leaves = [file.schema.column(place) for place in range(len(file.schema))]
    for leaf in leaves:
        if leaf.path != leaf.name or leaf.max_repetition_level:
            name = leaf.path.split(".")[0]
            raise unfit(f"column {name!r} is nested.", column=name, expected="one value per row", got="a nested column")
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
    """Return how many bytes a column of text would have, of which each text is kept once."""
    import pyarrow.compute as pc

    return pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
