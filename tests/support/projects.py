"""A project folder with a finished study, made once and copied into the folders of tests."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path


def copy_project(made: Path, folder: Path) -> None:
    """Copy a project into a folder that is there, and have its MLflow store name that folder.

    Args:
        made: The project, which stays as it is.
        folder: The copy's.
    """
    shutil.copytree(made, folder, dirs_exist_ok=True)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store, store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in store.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.startswith(("VARCHAR", "TEXT")):
                    store.execute(
                        f'UPDATE {table} SET "{column}" = replace("{column}", ?, ?)', (str(made), str(folder))
                    )
