"""DataFrames and arrays as tables of Arrow, and as Parquet in the folder of studies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.column_types import canonical_text
from experiments.errors import ConfigError, brief, listed, storage_errors
from experiments.system.files import replace_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

# Below the folder of studies: a table for each content.
TABLES = "_tables"
_HASH_LENGTH = 16
_TARGET = "target"


def is_pandas(data: object) -> bool:
    """Whether something is a DataFrame of pandas, which is not imported for it."""
    kind = type(data)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"


def is_array(data: object) -> bool:
    """Whether something is an array of NumPy."""
    return type(data).__module__ == "numpy" and type(data).__name__ in ("ndarray", "memmap", "recarray")


def is_frame(data: object) -> bool:
    """Whether something is a table with named columns: of pandas, polars, pyarrow, or any library that gives Arrow."""
    return is_pandas(data) or (hasattr(data, "__arrow_c_stream__") and not hasattr(data, "dtype"))  # not a Series


def training_table(data: Any, target: Any) -> tuple[pa.Table, str | None]:
    """Return data to train on, and the name of the target if it is not in the configuration.

    Args:
        data: A frame, or an array of shape (rows, columns), whose columns get the names ``x0``, ``x1`` and so on.
        target: Name of the target column, for an array also its position, or the target's values; None if the
            configuration names it.

    Raises:
        ConfigError: It is not a table that can be read like a file.
    """
    if is_array(data):
        data, target = _frame_of_array(data, target)
    if not is_frame(data):
        raise ConfigError(
            f"the data is a {type(data).__module__}.{type(data).__qualname__}. Give the path of a CSV or Parquet file, "
            "a DataFrame of pandas or polars, or a NumPy array; collect a lazy frame first."
        )
    table = _of_pandas(data) if is_pandas(data) else _of_arrow(data)
    if target is not None and not isinstance(target, str):
        table, target = _with_target(table, data, target)
    if not table.num_columns or not table.num_rows:
        what = "no columns" if not table.num_columns else "no rows"
        raise ConfigError(f"the DataFrame is empty: it has {what}.")
    return table, target


def place_table(table: pa.Table, studies: Path) -> tuple[Path, bool]:
    """Write a table as Parquet below the folder of studies, unless it is there; return its file and whether it is new.

    Raises:
        ConfigError: Parquet cannot hold a column.
        StorageError: The file cannot be written.
    """
    import pyarrow as pa
    from pyarrow.parquet import write_table

    # Without what a library keeps beside the columns, so that the same table has the same content.
    buffer = pa.BufferOutputStream()
    try:
        write_table(table.replace_schema_metadata(None), buffer)
    except pa.ArrowException as error:
        raise ConfigError(f"the DataFrame cannot be written as Parquet: {str(error).splitlines()[0]}.") from None
    content = buffer.getvalue().to_pybytes()
    path = studies / TABLES / hashlib.sha256(content).hexdigest()[:_HASH_LENGTH] / "table.parquet"
    if path.exists():
        return path, False
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    return path, True


def columns_to_predict(data: Any, columns: Sequence[str]) -> tuple[list[str], list[Any]]:
    """Return the names of a frame's columns, and the values of those that a model has; None for the others.

    The values are those that a Parquet file of the frame would have.

    Raises:
        ConfigError: A column cannot be read.
    """
    if is_pandas(data):
        names = [str(name) for name in data.columns]
        places = [place for place, name in enumerate(names) if name in columns]
        frame = data.iloc[:, places]
        frame.columns = [f"{place}" for place in places]  # one of them may be there twice, which the model refuses
        table = _of_pandas(frame, check=False)
    else:
        whole = _of_arrow(data)
        names = list(whole.column_names)
        places = [place for place, name in enumerate(names) if name in columns]
        table = whole.select(places).rename_columns([f"{place}" for place in places])
    read = table.to_pandas(ignore_metadata=True)
    return names, [read[f"{place}"] if place in places else None for place in range(len(names))]


def _of_pandas(frame: pd.DataFrame, *, check: bool = True) -> pa.Table:
    import pyarrow as pa

    if check:
        _check_names(list(frame.columns), "frame.columns = frame.columns.map(str)")
        _check_index(frame)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        if frame.shape[1] > 1:  # which of the columns it is
            for place in range(frame.shape[1]):
                _of_pandas(frame.iloc[:, [place]], check=False)
        reason = " ".join("; ".join(str(part) for part in error.args).split()).rstrip(".") or type(error).__name__
        raise ConfigError(
            f"column {str(frame.columns[0])!r} of the DataFrame cannot be read: {reason}. Convert it to numbers, text, "
            "dates or true and false, or drop it from the DataFrame."
        ) from None
    _check_types(table)
    return _with_text_categories(table)


def _of_arrow(data: Any) -> pa.Table:
    import pyarrow as pa

    try:
        table = pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ConfigError(
            f"the DataFrame cannot be read as an Arrow table: {str(error).splitlines()[0].rstrip('.')}. Convert its "
            "columns to numbers, text, dates or true and false, or leave out those of other types."
        ) from None
    _check_names(table.column_names, "rename them")
    _check_types(table)
    return _with_text_categories(table)


def _with_text_categories(table: pa.Table) -> pa.Table:
    """Return the table with categories of text: Parquet keeps those of numbers as numbers, and refuses polars' own."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and not pa.types.is_string(field.type.value_type):
            values = [None if value is None else canonical_text(value) for value in table.column(place).to_pylist()]
            table = table.set_column(place, field.name, pa.array(values, pa.string()).dictionary_encode())
    return table


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _check_names(names: list[Any], fix: str) -> None:
    other = [name for name in names if not isinstance(name, str)]
    if other:
        raise ConfigError(
            f"the DataFrame has column names that are not text, such as {other[0]!r}: a model finds its columns by "
            f"name. Name them, or: {fix}."
        )
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ConfigError(f"the DataFrame has more than one column named {listed(map(repr, repeated))}: rename them.")


def _check_index(frame: pd.DataFrame) -> None:
    """Raise ConfigError for an index that means something; row numbers, also those that a filter left, do not."""
    index = frame.index
    if index.nlevels == 1 and index.name is None and (index.dtype.kind in "iu" or not len(frame)):
        return
    named = listed(str(name) for name in index.names if name is not None)
    raise ConfigError(
        f"the DataFrame's index{f' ({named})' if named else ''} is not a column, so no model would see it. "
        "frame.reset_index() makes it a column, frame.reset_index(drop=True) leaves it out."
    )


def _check_types(table: pa.Table) -> None:
    import pyarrow as pa

    types = pa.types
    numbers = (types.is_integer, types.is_floating, types.is_boolean, types.is_null, types.is_decimal)
    readable = (*numbers, _is_text, types.is_date, types.is_timestamp)
    for field in table.schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if not any(is_kind(kind) for is_kind in readable):
            raise ConfigError(
                f"column {field.name!r} of the DataFrame holds {field.type}: convert it to numbers, text, dates or "
                "true and false, or drop it from the DataFrame."
            )


def _frame_of_array(array: np.ndarray[Any, Any], target: Any) -> tuple[pd.DataFrame, Any]:
    import pandas as pd

    if array.ndim != 2:
        raise ConfigError(f"the array has the shape {array.shape}: give one of shape (rows, columns).")
    names = [f"x{place}" for place in range(array.shape[1])]
    frame = pd.DataFrame(array, columns=names)
    if array.dtype.kind == "O":
        frame = frame.infer_objects()
    if isinstance(target, int) and not isinstance(target, bool):
        if not -len(names) <= target < len(names):
            raise ConfigError(f"target={target}: the array has {len(names)} columns.")
        target = names[target]
    return frame, target


def _with_target(table: pa.Table, data: Any, target: Any) -> tuple[pa.Table, str]:
    """Return the table with the values of the target as a further column, and its name."""
    import numpy as np
    import pyarrow as pa

    if isinstance(target, int | float | bytes | dict) or hasattr(target, "columns") or not hasattr(target, "__len__"):
        raise ConfigError(f"target={brief(target)}: give the name of the target column, or its values.")
    index = getattr(target, "index", None)
    if is_pandas(data) and hasattr(index, "equals") and not data.index.equals(index):
        raise ConfigError("the target's index is not that of the DataFrame: give both the rows in the same order.")
    name = getattr(target, "name", None)
    name = name if isinstance(name, str) and name else _TARGET
    try:
        values = pa.array(target, from_pandas=True) if hasattr(target, "dtype") else pa.array(np.asarray(target))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ConfigError(
            f"the values of the target cannot be read: {str(error).splitlines()[0].rstrip('.')}. Give a Series, an "
            "array or a list with a number, text, or true or false for each row."
        ) from None
    if len(values) != table.num_rows:
        raise ConfigError(f"the target has {len(values)} values, and the data {table.num_rows} rows.")
    if name in table.column_names:
        raise ConfigError(
            f"the DataFrame has a column {name!r} already. Give that name as the target, or the target's values "
            "another name."
        )
    return table.append_column(name, values), name
