"""A project folder with a finished study, made once and copied into the folders of tests."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path


def copy_project(made: Path, folder: Path) -> None:
    """Copy a project into an existing folder, and have its MLflow store and its ledgers name that folder.

    Args:
        made: The project, which is not changed.
        folder: The folder of the copy.
    """
    shutil.copytree(made, folder, dirs_exist_ok=True)
    for database in (folder / "mlflow.db", *folder.glob("studies/*/ledger.sqlite")):
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            _replace(connection, str(made), str(folder))


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if kind.startswith(("VARCHAR", "TEXT")):
                connection.execute(f'UPDATE {table} SET "{column}" = replace("{column}", ?, ?)', (old, new))
