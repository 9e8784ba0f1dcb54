"""Channels: folders that each hold one table, as a training job reads it.

A channel that byoe writes is ``schema.json`` with ``features.npy`` and ``target.npy``, and ``weights.npy`` and
``fold_keys.npy`` where the table has them. The arrays are mapped into memory, so that processes share them. Any other
channel is a folder of CSV or Parquet files, which ``ensemble.reading`` reads by the roles of their columns.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ensemble.documents import read_json
from ensemble.errors import InputError, listed
from ensemble.reading import Roles, read_folder
from ensemble.table import Column, Table

SCHEMA_FILE = "schema.json"
CHANNEL_VERSION = 2


def write_channel(table: Table, folder: Path) -> None:
    """Write ``table`` into ``folder``, which must exist: one ``.npy`` file per array, then ``schema.json``."""
    for name, array in table.arrays().items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    schema = {
        "version": CHANNEL_VERSION,
        "columns": [column.as_dict() for column in table.columns],
        "target": table.target_name,
        **table.classes_as_dict(),
        "rows": table.rows,
        "arrays": sorted(table.arrays()),
        "content_hash": table.content_hash(),
    }
    (folder / SCHEMA_FILE).write_text(json.dumps(schema, indent=1))


def read_channel(folder: Path, roles: Roles | None = None, like: Table | None = None) -> Table:
    """Read a channel.

    Args:
        folder: A folder that ``write_channel`` wrote, or one of CSV or Parquet files that together are one table.
        roles: The roles of the columns of such files; not used for a folder with ``schema.json``.
        like: A table with the same columns, whose coding and classes such files take over.

    Returns:
        The table. Its arrays are mapped from disk, read-only, if ``write_channel`` wrote them.

    Raises:
        InputError: The folder does not hold a table, or the table is damaged.
    """
    schema_path = folder / SCHEMA_FILE
    if schema_path.exists():
        try:
            return _read_arrays(folder, schema_path)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"channel {folder} is broken ({type(error).__name__}: {error}): write it again.") from None
    if roles is None:
        raise InputError(f"channel {folder} has no {SCHEMA_FILE}: for table files, give the target with --target.")
    return read_folder(folder, roles, like)


def channel_rows(folder: Path) -> int:
    """Return the number of rows of a channel that ``write_channel`` wrote."""
    return int(read_json(folder / SCHEMA_FILE)["rows"])


def _read_arrays(folder: Path, schema_path: Path) -> Table:
    schema = read_json(schema_path)
    if schema["version"] != CHANNEL_VERSION:
        raise InputError(f"{schema_path} has version {schema['version']}, not {CHANNEL_VERSION}: write it again.")
    names = [name for name in ("features", "target", "weights", "fold_keys") if name in schema["arrays"]]
    missing = [f"{name}.npy" for name in names if not (folder / f"{name}.npy").is_file()]
    if missing:
        raise InputError(f"channel {folder} has no file {listed(missing)}: write it again.")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    other = [name for name, array in arrays.items() if array.dtype != np.float64]
    if other:
        raise InputError(f"{listed(other)} in {folder} is not an array of float64: write it again.")
    columns = tuple(Column.from_dict(column) for column in schema["columns"])
    rows = schema["rows"]
    shapes = {"features": (rows, len(columns)), "target": (rows,), "weights": (rows,), "fold_keys": (rows,)}
    if any(array.shape != shapes[name] for name, array in arrays.items()):
        raise InputError(f"the arrays in {folder} do not have the shapes in {schema_path.name}: write it again.")
    classes = tuple(schema.get("classes", ()))
    if classes and not np.isin(arrays["target"], range(len(classes))).all():
        raise InputError(f"the target in {folder} is not one of the classes in {schema_path.name}: write it again.")
    return Table(columns, schema["target"], **arrays, classes=classes, positive=schema.get("positive"))
