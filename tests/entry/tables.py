"""Small CSV files, and the tables that they are read as."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from ensemble.reading import Roles, read_file
from ensemble.table import Table

MIXED = """when,at,town,garden,size,empty,price
2024-01-01,2024-01-01T12:00:00,Zürich,true,1.5,,1
2024-01-02,2024-01-01 18:00:00,,FALSE,,,2
,,Oslo,,3,,3
2023-12-31,1970-01-02T00:00:00,Zürich,True,-4,,5
"""


def write(folder: Path, content: str | bytes, name: str = "houses.csv") -> Path:
    """Write a file; return its path."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str, **roles: object) -> Table:
    """Return the table of CSV text whose target is ``price``."""
    path = folder / "table.csv"
    path.write_text(content)
    return read_file(path, Roles("price", **roles))  # type: ignore[arg-type]


def read_csv(path: Path, target: str, drop: Sequence[str] = ()) -> Table:
    """Return the table of a file."""
    return read_file(path, Roles(target, drop=drop))


def days(text: str) -> float:
    """Return the days from 1970-01-01 to an ISO date and time."""
    return (dt.datetime.fromisoformat(text) - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1)
