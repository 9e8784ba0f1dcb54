"""Rows that are split already: tables for tests, as folders on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# The roles of the columns, as arguments of a command.
ROLES = (
    "dataset=file",
    "dataset.target=price",
    "dataset.weights=w",
    "dataset.drop=[id]",
    "dataset.folds.kind=group",
    "dataset.folds.column=who",
    "dataset.folds.k=3",
)


def rows() -> dict[str, pd.DataFrame]:
    """Return train, validation and test rows with every kind of column, gaps, and a category that training lacks."""
    random = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "id": [f"row {row}" for row in range(100)],
            "town": random.choice(["Oslo", "Bern", "Rome, Italy"], 100),
            "when": [f"2024-01-{1 + row % 28:02d}" for row in range(100)],
            "garden": random.rand(100) < 0.5,
            "size": np.where(random.rand(100) < 0.1, np.nan, random.rand(100)),
            "who": random.choice(list("abcdef"), 100),
            "w": random.randint(1, 4, 100),
            "price": random.rand(100),
        }
    )
    frame.loc[70, "town"] = "Nowhere"
    return {"train": frame[:60], "validation": frame[60:80], "test": frame[80:]}


def write_rows(folder: Path, kind: str = "csv", parts: int = 2) -> None:
    """Write the three tables below a folder."""
    for name, table in rows().items():
        place = folder / name
        place.mkdir(parents=True)
        for number, part in enumerate(np.array_split(np.arange(len(table)), parts)):
            path, found = place / f"part-{number}.{kind}", table.iloc[part]
            found.to_csv(path, index=False) if kind == "csv" else found.to_parquet(path, index=False)
        (place / "_SUCCESS").touch()


def upload_rows(folder: Path, storage: Any, bucket: str, prefix: str) -> None:
    """Copy a folder to S3, with the empty objects by which the console marks folders."""
    storage.put_object(Bucket=bucket, Key=f"{prefix}/", Body=b"")
    for path in sorted(folder.rglob("*")):
        key = f"{prefix}/{path.relative_to(folder).as_posix()}"
        storage.put_object(
            Bucket=bucket,
            Key=f"{key}/" if path.is_dir() else key,
            Body=b"" if path.is_dir() else path.read_bytes(),
        )
