"""Rows with the parts of their predictions, as figures have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensemble.bundle import Bundle, load_bundle, save_bundle
from ensemble.serving.predictor import Predictor
from ensemble.table import Column, Table, numbers
from ensemble.training import fit_ensemble
from experiments.reporting.explanation_figures import explanation_figures
from experiments.study.explained_rows import MOST_COLUMNS, MOST_ROWS, ExplainedRows, explain_rows
from tests.entry.conftest import make_table, quick_recipe


def bundle_of(table: Table, folder: Path, *kinds: str) -> Bundle:
    recipe = quick_recipe(*kinds, k=2)
    save_bundle(folder, recipe, fit_ensemble(recipe, table, None, threads=1), table, table.content_hash())
    return load_bundle(folder)


def test_the_largest_parts_of_rows_from_the_whole_table_are_kept(tmp_path: Path) -> None:
    table = make_table(300, columns=MOST_COLUMNS + 2, missing=0.05)
    bundle = bundle_of(table, tmp_path / "model", "ridge")
    found = explain_rows(bundle, table)
    assert found is not None
    assert found.parts.shape == found.values.shape == (MOST_ROWS, MOST_COLUMNS)
    assert found.columns[0].name == "x0"
    assert (np.diff(found.sizes) <= 0).all()
    found.write(tmp_path / "rows.npz")
    again = ExplainedRows.read(tmp_path / "rows.npz")
    assert again is not None
    assert again.columns == found.columns
    assert again.values.tobytes() == found.values.tobytes()
    whole = Predictor(bundle).predict(np.asarray(table.features)).explanation.parts[:, 0]
    assert set(found.parts[:, 0]) <= set(whole)
    hurried = explain_rows(bundle, table, seconds=0.0)
    assert hurried is not None
    assert len(hurried.parts) == 1


def test_what_cannot_be_explained_or_read_is_none(tmp_path: Path) -> None:
    table = make_table(60)
    old = replace(bundle_of(table, tmp_path / "model", "svr"), sketch=None)
    assert explain_rows(old, table) is None
    assert ExplainedRows.read(tmp_path / "none.npz") is None
    (tmp_path / "text.npz").write_text("text")
    assert ExplainedRows.read(tmp_path / "text.npz") is None


@pytest.mark.parametrize("rows", [1, 40])
def test_columns_of_every_type_are_drawn(rows: int) -> None:
    random = np.random.RandomState(0)
    town = Column("$town$", "category", tuple(f"place {number}" for number in range(12)))
    columns = (*numbers("size"), town, Column("built", "date"), Column("garden", "boolean"), *numbers("empty"))
    values = np.column_stack(
        [
            random.normal(size=rows),
            random.randint(0, 12, rows),
            random.randint(0, 9_000, rows),
            random.randint(0, 2, rows),
        ]
    ).astype(float)
    values = np.column_stack([values, np.full(rows, np.nan)])
    values[rows // 2 :, :4] = np.nan
    parts = random.normal(size=(rows, 5)) if rows > 1 else np.zeros((rows, 5))
    figures = explanation_figures(ExplainedRows(columns, values, parts, ""), "price")
    summary, dependence = figures["explanation_summary.png"], figures["explanation_dependence.png"]
    assert [text.get_text() for text in summary.axes[0].get_yticklabels()] == [column.name for column in columns]
    assert len(dependence.axes) == 4
    for figure in figures.values():
        figure.canvas.draw()
    if rows == 1:
        return
    labels = [text.get_text() for text in dependence.axes[1].get_xticklabels()]
    assert labels[-2:] == ["others", "missing"]
    points = dependence.axes[0].collections[0].get_offsets()
    assert np.allclose(np.asarray(points)[:, 1], parts[: rows // 2, 0])
    of_class = explanation_figures(ExplainedRows(columns, values, parts, "yes"), "price")["explanation_summary.png"]
    assert of_class.axes[0].get_xlabel().startswith("part of the probability of yes")
