"""Numbers of boosting rounds that are found for classes, on the pooled log loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble.elementary import LEAST_PROBABILITY
from ensemble.members import REGISTRY, Member
from ensemble.members.growth import LOWER, MOST, PATIENCE, Growth, common_rounds
from ensemble.parameters import ParamValue
from tests.entry.test_class_members import CATEGORIES, rows_of_classes
from tests.entry.test_growth import GROWN

pytestmark = pytest.mark.usefixtures("one_thread")

every_grown = pytest.mark.parametrize("kind", [kind for kind in GROWN if "binary" in REGISTRY[kind].tasks])
every_number = pytest.mark.parametrize("classes", [2, 5])


def grown(
    kind: str, classes: int, *, rows: Any = slice(None), weights: Any = None, threads: int = 1
) -> tuple[Member, Growth]:
    features, target = rows_of_classes(150, classes)
    held_out, held_out_target = rows_of_classes(60, classes, seed=1)
    scored = None if weights is None else weights[:60]
    growth = Growth(held_out, held_out_target, scored, loss="log")
    member = REGISTRY[kind](GROWN[kind], seed=3, threads=threads, categories=CATEGORIES, classes=classes)
    member.grow(features[rows], target[rows], None if weights is None else weights[rows], growth)
    return member, growth


@every_grown
@every_number
def test_a_truncated_model_of_classes_is_the_model_of_so_many_rounds(kind: str, classes: int, tmp_path: Path) -> None:
    features, target = rows_of_classes(150, classes)
    weights = np.random.RandomState(0).uniform(0.1, 2, 150)
    member, growth = grown(kind, classes, weights=weights)
    whole, curve = member.predict(growth.features), growth.curve()
    for number in (1, 7, common_rounds([curve])):
        shorter = member.truncated(number)
        fixed = REGISTRY[kind](GROWN[kind], seed=3, threads=2, categories=CATEGORIES, classes=classes)
        fixed.fit_rounds(features, target, weights, number)
        predicted = shorter.predict(growth.features)
        assert np.array_equal(predicted, fixed.predict(growth.features))
        given = np.maximum(predicted[np.arange(60), growth.target.astype(int)], LEAST_PROBABILITY)
        assert curve[number - 1] == pytest.approx(-(weights[:60] * np.log(given)).sum(), rel=1e-9)
        assert np.array_equal(shorter.predict(growth.features[:1]), predicted[:1])
        path = tmp_path / f"model{shorter.suffix}"
        shorter.save(path)
        loaded = REGISTRY[kind].load(path, threads=1, categories=CATEGORIES, classes=classes)
        assert np.array_equal(loaded.predict(growth.features), predicted)
    assert np.array_equal(member.predict(growth.features), whole)


@every_number
def test_simple_leaves_of_catboost_take_one_step(classes: int) -> None:
    features, target = rows_of_classes(80, classes)
    models = []
    for more in ({}, {"leaf_estimation_iterations": 1}):
        params: dict[str, ParamValue] = {**GROWN["catboost"], "leaf_estimation_method": "Simple", **more}
        models.append(REGISTRY["catboost"](params, seed=0, threads=1, categories=CATEGORIES, classes=classes))
        models[-1].fit_rounds(features, target, None, 3)
    assert np.array_equal(*(model.predict(features) for model in models))


@every_grown
@every_number
def test_threads_find_the_same_rounds_of_classes(kind: str, classes: int) -> None:
    (one, first), (two, second) = (grown(kind, classes, threads=threads) for threads in (1, 2))
    assert np.array_equal(first.curve(), second.curve())
    assert np.array_equal(one.predict(first.features), two.predict(first.features))


@every_grown
def test_growth_on_classes_ends_soon_after_the_lowest_error(kind: str) -> None:
    curve = grown(kind, 2)[1].curve()
    assert 1 < len(curve) < MOST
    assert curve.min() < curve[0] < 60


@every_grown
@pytest.mark.parametrize("absent", [0, 4])
def test_a_class_of_the_score_rows_only_does_not_stop_growth(kind: str, absent: int) -> None:
    member, growth = grown(kind, 5, rows=rows_of_classes(150, 5)[1] != absent)
    curve = growth.curve()
    assert np.isfinite(curve).all()
    assert member.truncated(common_rounds([curve])).predict(growth.features).shape == (60, 5)


@every_grown
@every_number
def test_one_class_is_grown_to_any_number_of_rounds(kind: str, classes: int) -> None:
    member, growth = grown(kind, classes, rows=rows_of_classes(150, classes)[1] == 1)
    curve = growth.curve()
    assert np.isfinite(curve).all()
    assert (member.truncated(common_rounds([curve])).predict(growth.features).argmax(axis=1) == 1).all()


def test_the_error_of_a_row_is_the_logarithm_of_its_classs_probability() -> None:
    growth = Growth(np.zeros((3, 1)), np.array([0.0, 1.0, 1.0]), np.array([1.0, 2.0, 0.5]), loss="log", unit=7.0)
    growth.after(np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]))
    expected = np.log(4) + 2 * np.log(2) - 0.5 * np.log(LEAST_PROBABILITY)
    assert growth.curve() == pytest.approx(np.array([expected]))
    assert growth.goes_on(expected / 3.5)


def test_growth_ends_where_it_would_if_all_rounds_were_looked_at_again() -> None:
    random = np.random.default_rng(0)
    before = [np.cumsum(random.normal(-0.1, 1.0, 400)) + 100]
    growth = Growth(np.zeros((1, 1)), np.zeros(1), loss="absolute", before=before)
    errors: list[float] = []
    for error in 100 + np.cumsum(random.normal(0.0, 1.0, 400)):
        errors.append(float(error))
        pooled, done = before[0][: len(errors)] + np.array(errors), len(errors)
        earlier = pooled[:-PATIENCE].min(initial=np.inf)
        expected = done < 400 and (done < PATIENCE or pooled[-PATIENCE:].min() < earlier * (1 - LOWER))
        assert growth.goes_on(errors[-1]) == expected
