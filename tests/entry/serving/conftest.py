"""A small bundle of a table that has columns of every type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ensemble.bundle import save_bundle
from ensemble.reading import Roles, read_file
from ensemble.training import fit_ensemble
from tests.entry.conftest import quick_recipe
from tests.entry.serving.bodies import csv_body


def write_table(path: Path, rows: int = 60) -> None:
    """Write a table whose columns have the names and types of ``bodies.COLUMNS``, each with gaps."""
    random = np.random.RandomState(0)
    size, garden = random.uniform(20, 200, rows), random.uniform(size=rows) < 0.4
    built = np.datetime64("1960-01-01") + random.randint(0, 20_000, rows)
    town = random.choice(["1", "Oslo", "true", "Łódź, old town"], rows)
    price = 3 * size + 40 * garden + 25 * (town == "Oslo") + random.normal(size=rows)
    cells = np.array(
        [list(map(repr, size.tolist())), list(map(str, garden)), list(map(str, built)), town], dtype=object
    ).T
    cells[random.uniform(size=cells.shape) < 0.1] = ""
    names = ["size", "garden", "built", "town", "price"]
    path.write_bytes(csv_body([[*row, repr(value)] for row, value in zip(cells, price.tolist(), strict=True)], names))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble as a training run saves it; a test that changes it does so in a copy."""
    folder = tmp_path_factory.mktemp("serving")
    write_table(folder / "houses.csv")
    table = read_file(folder / "houses.csv", Roles("price"))
    recipe = quick_recipe("xgboost", "catboost", "random_forest", "ridge", k=3, blend="weighted")
    save_bundle(folder / "model", recipe, fit_ensemble(recipe, table, None, threads=1), table, table.content_hash())
    return folder / "model"
