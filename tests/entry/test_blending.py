"""Blenders: fitted weights, picks and stacking, and the user's own (``blending``, ``own_class``)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from ensemble.arrays import Floats
from ensemble.blending import STACKING_ALPHAS, Blend, Blender, Rows, make_blender
from ensemble.errors import InputError


def blender(kind: str, members: int = 2, **weights: float) -> Blender:
    return make_blender(kind, list("abcdef")[:members], weights, "ensemble.blend")


def weights_of(found: Blender, predictions: Floats, target: Floats) -> Floats:
    return np.array(found.fit(Rows(predictions, target, np.empty((len(target), 0)))).weights)


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
    weights = weights_of(blender("weighted", members), *noisy_members(seed, members, rows))
    assert weights.shape == (members,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_fitted_weights_are_no_worse_than_a_constrained_optimiser(seed: int) -> None:
    members = 2 + seed % 4
    predictions, target = noisy_members(seed, members)
    found = squared_error(predictions, target, weights_of(blender("weighted", members), predictions, target))
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
    weights = weights_of(blender("weighted", 3), predictions, target)
    grid = [np.array([a, b, 100 - a - b]) / 100 for a, b in itertools.product(range(101), repeat=2) if a + b <= 100]
    errors = [squared_error(predictions, target, point) for point in grid]
    assert squared_error(predictions, target, weights) <= min(errors)
    assert np.abs(weights - grid[int(np.argmin(errors))]).max() < 0.05


def test_a_perfect_member_gets_all_the_weight() -> None:
    predictions, target = noisy_members(0, 3)
    predictions[:, 1] = target
    assert weights_of(blender("weighted", 3), predictions, target).tolist() == pytest.approx([0, 1, 0], abs=1e-9)


def test_perfect_members_share_the_weight() -> None:
    target = np.arange(5.0)
    assert weights_of(blender("weighted"), np.column_stack([target, target]), target).tolist() == [0.5, 0.5]


def test_equal_members_blend_to_what_either_predicts() -> None:
    predictions, target = noisy_members(1, 1)
    twice = np.column_stack([predictions, predictions])
    weights = weights_of(blender("weighted"), twice, target)
    assert weights.sum() == pytest.approx(1)
    assert twice @ weights == pytest.approx(predictions[:, 0])


def test_opposite_errors_of_equal_size_get_equal_weights() -> None:
    target = np.arange(6.0)
    error = np.array([1.0, -2, 3, -1, 2, -3])
    predictions = np.column_stack([target + error, target - error])
    assert weights_of(blender("weighted"), predictions, target).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**-10, 2.0**10, 2.0**40])
def test_fitted_weights_do_not_depend_on_the_unit(scale: float) -> None:
    random = np.random.RandomState(0)
    target = random.normal(size=50)
    predictions = target[:, None] + random.normal(size=(50, 3)) * [1.0, 1.2, 1.4]
    expected = weights_of(blender("weighted", 3), predictions, target)
    assert (expected > 0.1).all()
    assert weights_of(blender("weighted", 3), predictions * scale, target * scale) == pytest.approx(expected, rel=1e-12)


def test_a_bad_member_does_not_change_the_weights_of_the_others() -> None:
    predictions, target = noisy_members(4, 2)
    expected = [*weights_of(blender("weighted"), predictions, target), 0]
    astray = np.column_stack([predictions, 1e8 * np.cos(np.arange(len(target)))])
    assert weights_of(blender("weighted", 3), astray, target) == pytest.approx(expected, abs=1e-3)


def test_the_mean_gives_every_member_equal_weight() -> None:
    predictions, target = noisy_members(0, 4)
    assert weights_of(blender("mean", 4), predictions, target).tolist() == [0.25] * 4


def test_fixed_weights_are_scaled_to_sum_to_one_in_the_members_order() -> None:
    predictions, target = noisy_members(0, 3)
    found = weights_of(blender("fixed", 3, c=1, a=6, b=1), predictions, target)
    assert found.tolist() == [0.75, 0.125, 0.125]


@pytest.mark.parametrize(("kind", "fitted"), [("mean", False), ("fixed", False), ("weighted", True)])
def test_only_weights_that_see_the_target_count_as_fitted(kind: str, fitted: bool) -> None:
    weights = {"a": 1.0, "b": 2.0} if kind == "fixed" else {}
    assert blender(kind, **weights).fitted is fitted


@pytest.mark.parametrize(
    ("kind", "weights", "words"),
    [
        (
            "weigthed",
            {},
            [
                "'weigthed'",
                "Did you mean 'weighted'?",
                "fixed, greedy, log_pool, mean, stacking, stacking_passthrough, vote, weighted",
            ],
        ),
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


LEAST_ERROR = """
import numpy as np
from ensemble.blending import Blend, Blender

class LeastError(Blender):
    def fit(self, rows):
        best = int(np.argmin(np.mean((rows.predictions - rows.target[:, None]) ** 2, axis=0)))
        return Blend(tuple(float(column == best) for column in range(rows.predictions.shape[1])))

class Choosy(LeastError):
    def __init__(self, taste):
        self.taste = taste

class Unfinished(Blender):
    pass

class Other:
    pass
"""


def test_the_users_own_blender_is_found_and_scored_on_other_rows(own_module: Callable[[str], str]) -> None:
    found = blender(own_module(LEAST_ERROR) + ":LeastError", 3)
    predictions, target = noisy_members(0, 3)
    errors = [squared_error(predictions, target, weights) for weights in np.eye(3)]
    assert weights_of(found, predictions, target).tolist() == np.eye(3)[np.argmin(errors)].tolist()
    assert found.fitted


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("LeastError", {"a": 1, "b": 1}, "use ensemble.blend=fixed with weights"),
        ("Choosy", {}, "cannot be made without arguments"),
        ("Unfinished", {}, "does not define fit, which every blender needs"),
        ("Other", {}, "is not a subclass of ensemble.blending.Blender"),
        ("Absent", {}, "entry.dependencies"),
    ],
)
def test_an_invalid_blender_of_the_user_is_refused(
    name: str, weights: dict[str, float], message: str, own_module: Callable[[str], str]
) -> None:
    with pytest.raises(InputError, match=message) as error:
        blender(f"{own_module(LEAST_ERROR)}:{name}", **weights)
    assert "ensemble.blend" in str(error.value)


def fitted(kind: str, predictions: Floats, target: Floats, weights: Floats | None = None) -> Blend:
    members = predictions.shape[1]
    return blender(kind, members).fit(Rows(predictions, target, np.empty((len(target), 0)), weights))


@pytest.mark.parametrize("seed", range(6))
def test_greedy_picks_are_no_worse_than_the_best_member(seed: int) -> None:
    predictions, target = noisy_members(seed, 4)
    weights = np.array(fitted("greedy", predictions, target).weights)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    alone = [squared_error(predictions, target, point) for point in np.eye(4)]
    assert squared_error(predictions, target, weights) <= min(alone)


def test_greedy_picks_follow_the_rule_worked_out_by_hand() -> None:
    target = np.zeros(2)
    predictions = np.array([[1.0, -3.0], [1.0, 1.0]])
    # The first member alone errs by 1; with the second, the mean is (-1, 1), which errs by 1 too; then (-1/3, 1).
    weights = fitted("greedy", predictions, target).weights
    assert weights == pytest.approx((0.75, 0.25), abs=0.05)


def test_stacking_is_the_ridge_regression_of_its_penalty() -> None:
    predictions, target = noisy_members(2, 3)
    blend = fitted("stacking", predictions, target)
    start = predictions @ fitted("weighted", predictions, target).weights
    inputs = predictions / target.std()
    candidates = [Ridge(alpha).fit(inputs, target - start) for alpha in STACKING_ALPHAS]
    found = blend.predict(predictions, np.empty((len(target), 0)))
    assert min(np.abs(start + model.predict(inputs) - found).max() for model in candidates) < 1e-8


def test_stacking_of_equal_members_keeps_the_weights_with_sum_one() -> None:
    random = np.random.RandomState(0)
    target = random.normal(size=40)
    predictions = target[:, None] + random.normal(size=(40, 12))
    stacked, weighted = (fitted(kind, predictions, target) for kind in ("stacking", "weighted"))
    assert stacked.weights == pytest.approx(weighted.weights, abs=0.02)
    assert abs(stacked.intercept) < 0.05


def test_stacking_corrects_biased_members() -> None:
    random = np.random.RandomState(0)
    target = random.normal(size=200)
    predictions = 3 * target[:, None] + 7 + random.normal(size=(200, 2)) * 0.1
    blend = fitted("stacking", predictions, target)
    assert np.abs(blend.predict(predictions, np.empty((200, 0))) - target).max() < 0.2


def test_passthrough_learns_from_features_with_gaps_and_not_from_categories() -> None:
    random = np.random.RandomState(0)
    features = random.normal(size=(300, 3))
    target = features[:, 0] * 2 + random.normal(size=300) * 0.1
    features[::7, 0] = np.nan
    predictions = target[:, None] + random.normal(size=(300, 2)) * 3
    blend = blender("stacking_passthrough").fit(Rows(predictions, target, features, None, [0, 2]))
    assert [passed.place for passed in blend.passed] == [0, 2]
    assert blend.passed[0].weight > 1.5
    plain = fitted("stacking", predictions, target)
    known = ~np.isnan(features[:, 0])
    better = np.mean((blend.predict(predictions, features) - target)[known] ** 2)
    assert better < np.mean((plain.predict(predictions, features) - target)[known] ** 2) / 2
    assert Blend.from_dict(json.loads(json.dumps(blend.as_dict()))) == blend


@pytest.mark.parametrize("kind", ["weighted", "greedy", "stacking"])
def test_whole_weights_are_equal_to_repeated_rows(kind: str) -> None:
    predictions, target = noisy_members(3, 3)
    counts = np.random.RandomState(0).randint(0, 4, len(target))
    twice = np.repeat(np.arange(len(target)), counts)
    weighed = fitted(kind, predictions, target, counts.astype(float))
    repeated = fitted(kind, predictions[twice], target[twice])
    found, expected = (blend.predict(predictions, np.empty((len(target), 0))) for blend in (weighed, repeated))
    tolerance = 0.05 * target.std() if kind == "stacking" else 1e-6
    assert np.abs(found - expected).max() < tolerance
