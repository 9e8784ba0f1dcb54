"""Intervals and sets: against definitions written here, on made-up residuals, and in a saved model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.arrays import Floats
from ensemble.bundle import INTERVALS, load_bundle, save_bundle
from ensemble.errors import InputError
from ensemble.intervals import Intervals, check_intervals, fit_intervals
from ensemble.table import Column, Table, numbers
from ensemble.training import fit_ensemble, with_intervals
from tests.entry.conftest import make_class_table, make_table, quick_recipe
from tests.support.examples import examples

FOLDS = 5


def folds_of(rows: int) -> np.ndarray:
    return (np.arange(rows, dtype=np.int32) % FOLDS)[:, None]


def table_of(target: Floats, features: Floats | None = None, weights: Floats | None = None, **more: object) -> Table:
    found = np.zeros((len(target), 1)) if features is None else features
    columns = numbers(*(f"x{place}" for place in range(found.shape[1])))
    return Table(columns, "y", found, target, weights, **more)  # type: ignore[arg-type]


def fitted(residuals: Floats, features: Floats | None = None, weights: Floats | None = None) -> Intervals:
    """Return the intervals of a blend that predicts 0."""
    found = fit_intervals(np.zeros(len(residuals)), folds_of(len(residuals)), table_of(residuals, features, weights), 0)
    assert found is not None
    return found


@examples(30)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(1, 3))
def test_equal_widths_are_the_quantile_of_the_definition(residuals: list[float], level: float, weight: int) -> None:
    rows = len(residuals)
    # The smallest residual that ceil(level * (rows + 1)) of the rows do not exceed.
    place = math.ceil(level * (rows + 1) - 1e-9) - 1
    expected = None if place >= rows else sorted(map(abs, residuals))[place]
    for weights in (None, np.full(rows, float(weight))):
        found = fitted(np.array(residuals), weights=weights)
        if expected is None:
            with pytest.raises(InputError, match="the training rows of this model allow a level up to"):
                found.score(level, "level")
        else:
            assert found.score(level, "level") == expected


def test_rows_of_weight_zero_are_not_there_and_heavy_rows_count_more() -> None:
    residuals = np.arange(1.0, 21.0)
    without = fitted(residuals[:10])
    found = fitted(residuals, weights=np.repeat([1.0, 0.0], 10))
    assert np.array_equal(found.shares, without.shares)
    assert np.array_equal(found.scores, without.scores)
    heavy = fitted(residuals, weights=np.where(residuals > 15, 9.0, 1.0))
    assert heavy.score(0.5, "level") > fitted(residuals).score(0.5, "level")


def test_thinned_scores_are_never_too_narrow() -> None:
    residuals = np.random.RandomState(0).exponential(size=4_000)
    found, whole = fitted(residuals), np.sort(residuals)
    assert len(found.scores) <= 2_000
    assert found.scale is None
    for level in (0.1, 0.5, 0.9, 0.99, 0.9996):
        place = math.ceil(level * 4_001) - 1
        assert whole[place] <= found.score(level, "level") <= whole[min(place + 3, 3_999)]


def test_widths_vary_where_errors_do_and_hold_as_many() -> None:
    random = np.random.RandomState(1)
    features = random.uniform(size=(4_000, 3))
    features[::7, 0] = np.nan
    unit = np.where(np.isnan(features[:, 0]), 3.0, 0.2 + features[:, 0])
    residuals = random.normal(size=4_000) * unit
    found, equal = fitted(residuals[:2_000], features[:2_000]), fitted(residuals[:2_000])
    assert found.scale is not None
    assert equal.scale is None
    half = found.half_widths(features[2_000:], np.zeros(2_000), 0.9, "level")
    held = np.abs(residuals[2_000:]) <= half
    assert 0.88 <= held.mean() <= 0.92
    # Both kinds of rows are held, and rows with small errors have narrow intervals.
    assert min(held[unit[2_000:] > 1].mean(), held[unit[2_000:] < 0.6].mean()) > 0.85
    assert half.mean() < equal.score(0.9, "level")
    # A row alone has the same bits as among others.
    alone = np.concatenate([found.half_widths(row[None], np.zeros(1), 0.9, "level") for row in features[:50]])
    assert np.array_equal(alone, found.half_widths(features[:50], np.zeros(50), 0.9, "level"))


def test_widths_are_equal_where_errors_are_and_where_there_are_few_rows() -> None:
    random = np.random.RandomState(2)
    features, residuals = random.uniform(size=(1_000, 3)), random.normal(size=1_000)
    assert fitted(residuals, features).scale is None
    assert fitted(residuals[:60] * features[:60, 0] ** 3, features[:60]).scale is None


@pytest.mark.parametrize("rows", [30, 300])
def test_a_blend_without_errors_has_intervals_without_width(rows: int) -> None:
    found = fitted(np.zeros(rows), np.random.RandomState(0).normal(size=(rows, 2)))
    assert not found.half_widths(np.ones((2, 2)), np.zeros(2), 0.9, "level").any()


def test_residuals_of_one_size_have_one_width() -> None:
    found = fitted(np.full(300, -2.0), np.random.RandomState(0).normal(size=(300, 2)))
    assert found.half_widths(np.ones((2, 2)), np.zeros(2), 0.9, "level").tolist() == [2.0, 2.0]


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, 90.0, math.nan, math.inf])
def test_a_level_is_between_0_and_1(level: float) -> None:
    with pytest.raises(InputError, match=r"serving.interval=.*: the level of an interval is above 0 and below 1"):
        fitted(np.ones(30)).score(level, "serving.interval")


def test_thirty_rows_allow_some_levels_and_no_intervals_none() -> None:
    found = fitted(np.arange(30.0))
    assert found.score(0.96, "level") == 29
    with pytest.raises(InputError, match=r"level=0.99: the training rows of this model allow a level up to 0.9677"):
        found.score(0.99, "level")
    with pytest.raises(InputError, match=r"level=0\.9: this model was saved without intervals"):
        check_intervals(None, 0.9, "level")


def test_a_set_has_the_likely_classes_and_always_the_label() -> None:
    random = np.random.RandomState(3)
    probabilities = random.dirichlet([1, 1, 1], size=500)
    truth = np.array([random.choice(3, p=row) for row in probabilities], dtype=np.float64)
    table = table_of(truth, classes=("a", "b", "c"))
    found = fit_intervals(probabilities, folds_of(500), table, 0)
    assert found is not None
    lacking = np.sort(1 - probabilities[np.arange(500), truth.astype(int)])
    cut = lacking[math.ceil(0.9 * 501) - 1]
    new = random.dirichlet([1, 1, 1], size=2_000)
    labels = np.zeros(2_000, dtype=np.intp)
    sets = found.sets(new, labels, 0.9, "level")
    assert sets[:, 0].all()
    assert np.array_equal(sets[:, 1:], 1 - new[:, 1:] <= cut)
    held = found.sets(probabilities, probabilities.argmax(axis=1), 0.9, "level")[np.arange(500), truth.astype(int)]
    assert 0.9 <= held.mean() <= 0.93


@pytest.mark.parametrize("classes", [0, 3])
def test_a_saved_model_has_the_same_intervals(classes: int, tmp_path: Path) -> None:
    table = make_class_table(classes=classes) if classes else make_table(rows=200)
    uneven = replace(table, target=table.target * (1 + 9 * (np.arange(table.rows) % 2))) if not classes else table
    recipe = quick_recipe("xgboost", **({"objective": "cv_logloss_blended"} if classes else {}))
    training = with_intervals(fit_ensemble(recipe, uneven, None, threads=1), uneven, recipe.seed)
    intervals = training.ensemble.intervals
    assert intervals is not None
    save_bundle(tmp_path, recipe, training, uneven, "hash")
    loaded = load_bundle(tmp_path).ensemble.intervals
    assert loaded is not None
    for name, array in intervals.as_arrays().items():
        assert np.array_equal(loaded.as_arrays()[name], array), name
    # A model without them leaves no file of an earlier one.
    save_bundle(
        tmp_path, recipe, replace(training, ensemble=replace(training.ensemble, intervals=None)), uneven, "hash"
    )
    assert not (tmp_path / INTERVALS).exists()
    assert load_bundle(tmp_path).ensemble.intervals is None


def test_a_forged_file_of_intervals_is_refused(tmp_path: Path) -> None:
    random = np.random.RandomState(1)
    features = random.uniform(size=(400, 2))
    arrays = fitted(random.normal(size=400) * features[:, 0] ** 2, features).as_arrays()
    assert Intervals.from_arrays(arrays, 2).scale is not None
    for wrong in (
        {"shares": arrays["shares"][::-1]},
        {"scores": arrays["scores"][:-1]},
        {"scores": np.full_like(arrays["scores"], np.nan)},
        {"scale_left": arrays["scale_left"] + 10**6},
        {"scale_roots": arrays["scale_roots"] - 1},
        {"scale_places": arrays["scale_places"] + 3},
        {"scale_values": arrays["scale_values"][:-1]},
        {"scale_floor": np.float64(0)},
    ):
        with pytest.raises(ValueError, match="its "):
            Intervals.from_arrays({**arrays, **wrong}, 2)


def test_categories_and_huge_numbers_have_widths() -> None:
    random = np.random.RandomState(1)
    features = np.column_stack([random.randint(3, size=300), random.uniform(size=300) * 1e300, np.full(300, np.nan)])
    columns = (Column("town", "category", ("a", "b", "c")), *numbers("size", "empty"))
    residuals = random.normal(size=300) * (1 + 4 * features[:, 0])
    found = fit_intervals(np.zeros(300), folds_of(300), Table(columns, "y", features, residuals), 0)
    assert found is not None
    assert found.scale is not None
    small, large = found.half_widths(np.array([[0, 1.0, np.nan], [2, -1e300, 5.0]]), np.zeros(2), 0.9, "level")
    assert small < large


def test_mapie_has_the_same_intervals_and_sets() -> None:
    mapie = pytest.importorskip("mapie", reason="pip install 'mapie>=1.6' compares with another implementation")
    assert mapie.__version__ >= "1.6"
    from mapie.classification import SplitConformalClassifier
    from mapie.regression import CrossConformalRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import KFold, cross_val_predict

    random = np.random.RandomState(0)
    features = random.normal(size=(500, 4))
    target, folds = features[:, 0] + random.normal(size=500), KFold(FOLDS)
    out_of_fold = cross_val_predict(Ridge(), features, target, cv=folds)
    found = fit_intervals(out_of_fold, np.repeat(np.arange(FOLDS, dtype=np.int32), 100)[:, None], table_of(target), 0)
    assert found is not None
    for level in (0.8, 0.9, 0.95):
        peer = CrossConformalRegressor(Ridge(), confidence_level=level, method="base", cv=folds)
        predicted, ends = peer.fit_conformalize(features, target).predict_interval(features[:20])
        half = found.half_widths(np.zeros((20, 1)), predicted, level, "level")
        assert np.array_equal(ends[:, :, 0], np.column_stack([predicted - half, predicted + half]))
    classes = (target > -1).astype(int) + (target > 1)
    fitted_on, calibrated_on, new = slice(0, 200), slice(200, 400), slice(400, 500)
    classifier = LogisticRegression().fit(features[fitted_on], classes[fitted_on])
    truth = table_of(classes[calibrated_on].astype(np.float64), classes=("a", "b", "c"))
    found = fit_intervals(classifier.predict_proba(features[calibrated_on]), folds_of(200), truth, 0)
    assert found is not None
    probabilities = classifier.predict_proba(features[new])
    for level in (0.8, 0.9, 0.95):
        split = SplitConformalClassifier(classifier, confidence_level=level, prefit=True, conformity_score="lac")
        split.conformalize(features[calibrated_on], classes[calibrated_on])
        wanted = split.predict_set(features[new])[1][:, :, 0]
        sets = found.sets(probabilities, probabilities.argmax(axis=1), level, "level")
        filled = wanted.any(axis=1)
        assert np.array_equal(sets[filled], wanted[filled])
