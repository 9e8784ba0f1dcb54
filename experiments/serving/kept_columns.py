"""Columns of a file of rows that are written beside their predictions (``keep``), as they are in the file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.errors import ConfigError, did_you_mean, listed

ALL = "all"
# Names of columns by their place in a file, or ``ALL``.
Keep = Sequence[str] | str


def check_keep(keep: Any, suffix: str) -> Keep:
    """Return the value of ``keep``, checked.

    Args:
        keep: Names of columns, or ``all``.
        suffix: The end of the output's name.

    Raises:
        ConfigError: It is neither, or the output has no named columns.
    """
    if keep != ALL and (not isinstance(keep, list) or not all(isinstance(name, str | int) for name in keep)):
        raise ConfigError(f"keep={keep}: write keep=[<column>, ...], such as keep=[id], or keep=all.")
    if keep and suffix == ".npy":
        raise ConfigError(
            "keep: a .npy array has no named columns. Use an output that ends with .csv, .jsonl or .parquet."
        )
    return ALL if keep == ALL else [str(name) for name in keep]


def chosen_names(keep: Keep, names: Sequence[str] | None, taken: Sequence[str], path: object) -> list[str]:
    """Return the names of the columns to keep, in the order of ``keep`` or of the file.

    Args:
        keep: The value of the key.
        names: Names of the file's columns; None if they have none.
        taken: Names of the columns of predictions.
        path: The file, for messages.

    Raises:
        ConfigError: A column does not exist, or its name is not unique.
    """
    if names is None:
        raise ConfigError(f"keep: the columns of {path} have no names. Add a header row, or leave keep out.")
    chosen = list(dict.fromkeys(names)) if keep == ALL else list(dict.fromkeys(keep))
    for name in chosen:
        count = list(names).count(name)
        if count == 0:
            raise ConfigError(
                f"keep={name}: {path} has no such column.{did_you_mean(name, names)} Its columns: {listed(names)}."
            )
        if count > 1:
            raise ConfigError(f"keep={name}: {path} has {count} columns of this name. Rename all but one.")
        if name in taken:
            raise ConfigError(
                f"keep={name}: the predictions have a column of this name too. Rename the column of {path}, or name "
                f"the other columns: keep=[{','.join(other for other in chosen if other not in taken)}]."
            )
    return chosen


def picked(names: Sequence[str], columns: Sequence[Any], chosen: Sequence[str], rows: int) -> dict[str, Sequence[Any]]:
    """Return the chosen columns of a part of a file; one that this part lacks is empty."""
    places = {name: place for place, name in enumerate(names)}
    return {name: columns[places[name]] if name in places else [None] * rows for name in chosen}


def as_text(value: Any) -> str | None:
    """Return a kept value as text; None for a missing one."""
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)


def values_of(kept: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return kept columns as lists of Python's values."""
    return {name: column.to_pylist() if hasattr(column, "to_pylist") else list(column) for name, column in kept.items()}
