"""Sketches of the rows that a model learnt from, and the members' disagreement (``sketch``, ``disagreement``)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from ensemble.bundle import save_bundle
from ensemble.disagreement import Disagreement
from ensemble.errors import BundleError
from ensemble.sketch import LEAST_ROWS, MOST_LEVELS, read_sketch, sketch, write_sketch
from ensemble.table import Column, Table
from ensemble.training import fit_ensemble
from tests.entry.conftest import make_table, quick_recipe
from tests.support.damage import damaged_json
from tests.support.models import save_model_of_classes

COLUMNS = (Column("size"), Column("town", "category", ("a", "b", "c", "rare")), Column("new", "boolean"))


def table(rows: int = 400) -> Table:
    random = np.random.RandomState(0)
    town = random.choice(3, rows, p=[0.6, 0.3, 0.1]).astype(np.float64)
    town[:2] = 3
    features = np.column_stack([random.normal(size=rows), town, random.rand(rows) < 0.2])
    features[:40, 0] = np.nan
    return learnt_rows(features, COLUMNS)


def learnt_rows(features: np.ndarray, columns: tuple[Column, ...]) -> Table:
    return Table(columns, "y", features, np.zeros(len(features)))


def members(found: Table) -> np.ndarray:
    return np.random.RandomState(1).normal(size=(found.rows, 3))


@pytest.mark.parametrize("rows", [1, 12, 400])
def test_a_sketch_is_read_as_it_was_written_and_is_small(rows: int, tmp_path: Path) -> None:
    rows_learnt = table(rows)
    found = sketch(rows_learnt, members(rows_learnt), [0.5, 0.5, 0.0])
    write_sketch(tmp_path / "sketch.json", found)
    assert read_sketch(tmp_path / "sketch.json", COLUMNS) == found
    assert (tmp_path / "sketch.json").stat().st_size < 2_500
    counted = [column.counts(values) for column, values in zip(found.columns, rows_learnt.features.T, strict=True)]
    for column, counts in zip(found.columns, counted, strict=True):
        assert counts / max(counts.sum(), 1) == pytest.approx(column.shares, abs=1e-5)


def test_a_sketch_has_neither_the_extremes_nor_a_value_that_few_rows_have() -> None:
    rows_learnt = table()
    size, town, _ = sketch(rows_learnt, members(rows_learnt), [1.0, 0.0, 0.0]).columns
    values = rows_learnt.features[40:, 0]
    assert not set(size.edges) & set(values.tolist())
    assert np.count_nonzero(values < size.edges[0]) >= LEAST_ROWS
    assert np.count_nonzero(values > size.edges[-1]) >= LEAST_ROWS
    assert size.missing == 0.1
    assert town.levels == (0, 1, 2)
    many = Column("many", "category", tuple(map(str, range(200))))
    wide = learnt_rows(np.arange(4000.0)[:, None] % 200, (many,))
    (found,) = sketch(wide, np.zeros((4000, 1)), [1.0]).columns
    assert len(found.levels) <= MOST_LEVELS
    assert sum(found.shares) == pytest.approx(1.0)


def test_a_value_of_many_rows_is_apart_from_lower_ones() -> None:
    constant = learnt_rows(np.full((50, 1), -0.044641636506989), (Column("a"),))
    (found,) = sketch(constant, np.zeros((50, 1)), [1.0]).columns
    assert found.shares == (0.0, 1.0, 0.0)


def test_the_disagreement_is_the_distance_of_the_members_from_their_mean() -> None:
    apart = Disagreement.of_blend([0.5, -0.5, 0.0])
    assert apart is not None
    assert apart.of_rows(np.array([[1.0, 3.0, 99.0], [2.0, 2.0, 0.0]])).tolist() == [1.0, 0.0]
    probabilities = np.array([[[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]])
    assert apart.of_rows(probabilities) == pytest.approx([0.2])
    assert Disagreement.of_blend([0.0, 1.0]) is None


def test_a_model_reports_the_disagreement_as_a_multiple_of_that_out_of_fold(tmp_path: Path) -> None:
    from ensemble.serving.predictor import Predictor

    recipe, learnt = quick_recipe("ridge", "nearest_neighbors"), make_table()
    training = fit_ensemble(recipe, learnt, None, threads=1)
    save_bundle(tmp_path, recipe, training, learnt, learnt.content_hash())
    predictor = Predictor.load(tmp_path, threads=1)
    apart, known = predictor.disagreement, predictor.bundle.sketch
    assert apart is not None
    assert known is not None
    assert known.mean == pytest.approx(apart.of_rows(training.out_of_fold).mean(), rel=1e-5)
    found = predictor.predict(learnt.features)
    assert found.disagreement == pytest.approx(apart.of_rows(found.members).mean() / known.mean, abs=1e-3)
    assert found.take(slice(0, 1)).disagreement != found.disagreement


def test_a_bundle_of_an_earlier_version_loads_without_a_sketch(tmp_path: Path) -> None:
    from ensemble.serving.predictor import Predictor

    bundle = save_model_of_classes(tmp_path)
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["sketch.json"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "sketch.json").unlink()
    predictor = Predictor.load(bundle, threads=1)
    assert predictor.bundle.sketch is None
    assert predictor.predict(predictor.bundle.example()[0]).disagreement is None


_LEARNT = table(60)
_SKETCH = json.loads(json.dumps(sketch(_LEARNT, members(_LEARNT), [0.5, 0.5, 0.0]).as_dict()))


@given(damaged_json(_SKETCH))
def test_a_damaged_sketch_is_refused_or_usable(tmp_path_factory: pytest.TempPathFactory, document: object) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(json.dumps(document))
    try:
        found = read_sketch(path, COLUMNS)
    except BundleError:
        return
    for column in found.columns:
        assert column.counts(np.array([0.0, np.nan, 2.0])).sum() == 2
