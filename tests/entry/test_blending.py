from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from ensemble.blending import Blender, make_blender
from ensemble.errors import InputError
from ensemble.members import Floats


def blender(kind: str, members: int = 2, **weights: float) -> Blender:
    return make_blender(kind, list("abcdef")[:members], weights, "ensemble.blend")


def squared_error(predictions: Floats, target: Floats, weights: Floats) -> float:
    return float(np.mean((predictions @ weights - target) ** 2))


def noisy_members(seed: int, members: int, rows: int = 40) -> tuple[Floats, Floats]:
    random = np.random.RandomState(seed)
    target = random.normal(100, 20, size=rows)
    shared = random.normal(size=rows)[:, None]
    spread = 10 ** random.uniform(-2, 2, size=members)
    noise = random.normal(size=(rows, members)) + random.uniform(0, 2, size=members) * shared
    return target[:, None] + spread * noise + random.normal(size=members), target


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 60))
def test_fitted_weights_are_on_the_simplex(seed: int, members: int, rows: int) -> None:
    weights = blender("weighted", members).weights(*noisy_members(seed, members, rows))
    assert weights.shape == (members,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_fitted_weights_are_no_worse_than_a_constrained_optimiser(seed: int) -> None:
    members = 2 + seed % 4
    predictions, target = noisy_members(seed, members)
    found = squared_error(predictions, target, blender("weighted", members).weights(predictions, target))
    starts = [np.full(members, 1 / members), *np.eye(members)]
    best = min(
        minimize(
            lambda weights: squared_error(predictions, target, weights),
            start,
            method="SLSQP",
            bounds=[(0, 1)] * members,
            constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        ).fun
        for start in starts
    )
    assert found <= best * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_fitted_weights_are_the_best_of_a_grid(seed: int) -> None:
    predictions, target = noisy_members(seed, 3)
    weights = blender("weighted", 3).weights(predictions, target)
    grid = [np.array([a, b, 100 - a - b]) / 100 for a, b in itertools.product(range(101), repeat=2) if a + b <= 100]
    errors = [squared_error(predictions, target, point) for point in grid]
    assert squared_error(predictions, target, weights) <= min(errors)
    assert np.abs(weights - grid[int(np.argmin(errors))]).max() < 0.05


def test_a_perfect_member_gets_all_the_weight() -> None:
    predictions, target = noisy_members(0, 3)
    predictions[:, 1] = target
    assert blender("weighted", 3).weights(predictions, target).tolist() == pytest.approx([0, 1, 0], abs=1e-9)


def test_perfect_members_share_the_weight() -> None:
    target = np.arange(5.0)
    assert blender("weighted").weights(np.column_stack([target, target]), target).tolist() == [0.5, 0.5]


def test_members_alike_blend_to_what_either_predicts() -> None:
    predictions, target = noisy_members(1, 1)
    twice = np.column_stack([predictions, predictions])
    weights = blender("weighted").weights(twice, target)
    assert weights.sum() == pytest.approx(1)
    assert twice @ weights == pytest.approx(predictions[:, 0])


def test_opposite_errors_of_equal_size_get_equal_weights() -> None:
    target = np.arange(6.0)
    error = np.array([1.0, -2, 3, -1, 2, -3])
    predictions = np.column_stack([target + error, target - error])
    assert blender("weighted").weights(predictions, target).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**-10, 2.0**10, 2.0**40])
def test_fitted_weights_do_not_depend_on_the_unit(scale: float) -> None:
    random = np.random.RandomState(0)
    target = random.normal(size=50)
    predictions = target[:, None] + random.normal(size=(50, 3)) * [1.0, 1.2, 1.4]
    expected = blender("weighted", 3).weights(predictions, target)
    assert (expected > 0.1).all()
    assert blender("weighted", 3).weights(predictions * scale, target * scale) == pytest.approx(expected, rel=1e-12)


def test_a_member_that_went_astray_leaves_the_others_weights_alone() -> None:
    predictions, target = noisy_members(4, 2)
    expected = [*blender("weighted").weights(predictions, target), 0]
    astray = np.column_stack([predictions, 1e8 * np.cos(np.arange(len(target)))])
    assert blender("weighted", 3).weights(astray, target) == pytest.approx(expected, abs=1e-3)


def test_the_mean_weighs_every_member_alike() -> None:
    predictions, target = noisy_members(0, 4)
    assert blender("mean", 4).weights(predictions, target).tolist() == [0.25] * 4


def test_fixed_weights_are_scaled_to_sum_to_one_in_the_members_order() -> None:
    predictions, target = noisy_members(0, 3)
    found = blender("fixed", 3, c=1, a=6, b=1).weights(predictions, target)
    assert found.tolist() == [0.75, 0.125, 0.125]


@pytest.mark.parametrize(("kind", "fitted"), [("mean", False), ("fixed", False), ("weighted", True)])
def test_only_weights_that_see_the_target_count_as_fitted(kind: str, fitted: bool) -> None:
    weights = {"a": 1.0, "b": 2.0} if kind == "fixed" else {}
    assert blender(kind, **weights).fitted is fitted


@pytest.mark.parametrize(
    ("kind", "weights", "words"),
    [
        ("weigthed", {}, ["'weigthed'", "Did you mean 'weighted'?", "fixed, mean, weighted"]),
        ("mean", {"a": 1, "b": 1}, ["'mean'", "ensemble.blend=fixed"]),
        ("fixed", {}, ["one weight for each of a, b", "none"]),
        ("fixed", {"a": 1}, ["one weight for each of a, b", "got a"]),
        ("fixed", {"a": 1, "b": 1, "c": 1}, ["one weight for each of a, b", "got a, b, c"]),
        ("fixed", {"a": 2, "b": -1}, ["not negative", "-1.0"]),
        ("fixed", {"a": 0, "b": 0}, ["not all zero", "0.0"]),
        ("fixed", {"a": float("nan"), "b": 1}, ["ensemble.blend=fixed", "nan"]),
        ("fixed", {"a": float("inf"), "b": 1}, ["ensemble.blend=fixed", "inf"]),
    ],
)
def test_a_blender_that_cannot_be_made_says_why(kind: str, weights: dict[str, float], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        blender(kind, **weights)
    assert [word for word in ["ensemble.blend", *words] if word not in str(error.value)] == []
