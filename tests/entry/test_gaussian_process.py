"""The Gaussian process of ``entry/ensemble/members``: against scikit-learn's, and where it should be the best member."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from ensemble.members import REGISTRY
from ensemble.members.matern_regression import MaternRegression, _negative_log_likelihood


def smooth(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, 3))
    return features, np.sin(2 * features[:, 0]) + 0.3 * features[:, 1] + draw.normal(scale=0.1, size=rows)


def scikit(features: np.ndarray, target: np.ndarray) -> GaussianProcessRegressor:
    kernel = ConstantKernel(1.0, (1e-3, 1e4)) * Matern(np.full(3, np.sqrt(3)), (0.05, 1e3), nu=2.5)
    return GaussianProcessRegressor(kernel + WhiteKernel(0.1, (1e-5, 3.0)), alpha=1e-8).fit(features, target)


@pytest.mark.filterwarnings("ignore:The optimal value:sklearn.exceptions.ConvergenceWarning")  # of the third column
def test_it_finds_and_predicts_what_scikit_learn_does() -> None:
    features, target = smooth(120)
    mine = MaternRegression(max_rows=500, tuned_rows=500, seed=0, max_iter=200).fit(features, target)
    theirs = scikit(features, target)
    found = theirs.kernel_.k1
    assert mine.variance_ == pytest.approx(found.k1.constant_value, rel=0.02)
    assert mine.scales_[:2] == pytest.approx(found.k2.length_scale[:2], rel=0.02)
    elsewhere, _ = smooth(40, seed=1)
    assert mine.predict(elsewhere) == pytest.approx(theirs.predict(elsewhere), abs=2e-3)


def test_the_gradient_is_that_of_the_likelihood() -> None:
    features, target = smooth(50)
    noises, groups = np.linspace(0.5, 2.0, 50), np.array([0, 1, 1])
    arguments = (features, target, noises, groups)
    place = np.array([0.2, -2.0, 0.3, 0.8])
    _, gradient = _negative_log_likelihood(place, *arguments)
    numeric = approx_fprime(place, lambda at: _negative_log_likelihood(at, *arguments)[0], 1e-6)
    assert gradient == pytest.approx(numeric, rel=1e-4)


def test_a_row_of_weight_two_has_half_the_noise() -> None:
    features, target = smooth(60)
    weights = np.repeat([1.0, 2.0], 30)
    mine = MaternRegression(max_rows=500, tuned_rows=500, seed=0).fit(features, target, weights)
    kernel = ConstantKernel(mine.variance_) * Matern(mine.scales_, nu=2.5)
    noise = mine.noise_ * weights.mean() / weights
    theirs = GaussianProcessRegressor(kernel, alpha=noise + 1e-8, optimizer=None).fit(features, target)
    elsewhere, _ = smooth(40, seed=1)
    assert mine.predict(elsewhere) == pytest.approx(theirs.predict(elsewhere), abs=1e-9)


def test_a_row_of_weight_zero_is_not_used() -> None:
    features, target = smooth(60)
    settings = {"max_rows": 500, "tuned_rows": 500, "seed": 0}
    weights = np.ones(60)
    weights[0] = 0.0
    without = MaternRegression(**settings).fit(features, target, weights)
    spoilt = target.copy()
    spoilt[0] = 1e6
    assert np.array_equal(
        MaternRegression(**settings).fit(features, spoilt, weights).predict(features), without.predict(features)
    )


def test_of_a_larger_table_it_uses_random_rows() -> None:
    features, target = smooth(90)
    fitted = MaternRegression(max_rows=40, tuned_rows=30, seed=1).fit(features, target)
    assert fitted.rows_.shape == (40, 3)
    assert len({tuple(row) for row in fitted.rows_}) == 40
    assert np.sqrt(np.mean((fitted.predict(features) - target) ** 2)) < 0.5 * target.std()


def test_one_row_predicts_as_among_many() -> None:
    features, target = smooth(90)
    fitted = MaternRegression(max_rows=500, tuned_rows=60, seed=1).fit(features, target)
    many, _ = smooth(2_500, seed=1)
    predicted = fitted.predict(many)
    assert [fitted.predict(row[None, :])[0] for row in many[::50]] == predicted[::50].tolist()


def test_the_columns_of_a_category_share_a_length_scale() -> None:
    draw = np.random.default_rng(0)
    features = np.column_stack([draw.normal(size=200), draw.integers(0, 4, 200), draw.integers(0, 60, 200)]).astype(
        float
    )
    target = features[:, 0] + np.array([0.0, 3.0, -2.0, 1.0])[features[:, 1].astype(int)]
    member = REGISTRY["gaussian_process"]({}, seed=0, threads=1, categories={1: 4, 2: 60})
    member.fit(features, target)
    scales = member._regressor().scales_  # type: ignore[attr-defined]
    assert len(scales) == 1 + 4 + 20
    assert len(set(scales[1:5])) == len(set(scales[5:])) == 1
    assert scales[1] < scales[5]


def test_it_learns_a_smooth_function_better_than_trees() -> None:
    features, target = smooth(300)
    elsewhere, there = smooth(300, seed=1)
    errors = {}
    for kind in ("gaussian_process", "extra_trees", "catboost"):
        member = REGISTRY[kind]({}, seed=0, threads=1)
        member.fit(features, target)
        errors[kind] = np.sqrt(np.mean((member.predict(elsewhere) - there) ** 2))
    assert errors["gaussian_process"] < 0.8 * min(errors["extra_trees"], errors["catboost"])
