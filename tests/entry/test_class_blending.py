"""Blends of probabilities, and the weights, biases and temperatures that are fitted (``blending``, ``log_linear``)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from sklearn.metrics import log_loss

from ensemble.arrays import Floats
from ensemble.blending import CALIBRATION_ROWS, LEAST, REGISTRY, Blend, Calibrated, Rows, make_blender
from ensemble.errors import InputError
from ensemble.log_linear import MOST_BIASES, PENALTIES, TEMPERATURES
from ensemble.simplex import PRIOR_ROWS

FOR_CLASSES = sorted(kind for kind, blender in REGISTRY.items() if "binary" in blender.tasks)


def drawn(seed: int, members: int, classes: int, rows: int = 80) -> Rows:
    """Return rows whose members differ in how much they know; some probabilities are exactly 0."""
    random = np.random.RandomState(seed)
    target = random.permutation(np.arange(rows) % classes)
    knowledge = random.uniform(0.2, 2.5, members)
    scores = random.normal(size=(rows, members, classes)) + 0.7 * random.normal(size=(rows, 1, classes))
    scores += knowledge[None, :, None] * np.eye(classes)[target][:, None, :]
    predictions = np.exp(scores)
    predictions[random.uniform(size=predictions.shape) < 0.05] = 0.0
    predictions += (predictions.sum(axis=2, keepdims=True) == 0) * 1.0
    predictions /= predictions.sum(axis=2, keepdims=True)
    return Rows(predictions, target.astype(float), np.empty((rows, 0)))


def fitted(kind: str, rows: Rows) -> Blend:
    members = list("abcdefgh")[: rows.predictions.shape[1]]
    given_weights = {name: 1.0 + place for place, name in enumerate(members)} if kind == "fixed" else None
    return make_blender(kind, members, given_weights, "ensemble.blend", "multiclass").fit(rows)


def loss_of(blend: Blend, rows: Rows) -> float:
    predicted = blend.predict(rows.predictions, rows.features)
    return float(log_loss(rows.target, predicted, sample_weight=rows.weights, labels=range(rows.classes)))


def best_on_simplex(loss: Callable[[Floats], float], members: int) -> float:
    starts = [np.full(members, 1 / members), *(0.9 * np.eye(members) + 0.1 / members)]
    constraint = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    options = {"ftol": 1e-14, "maxiter": 500}
    bounds = [(0, 1)] * members
    return min(
        minimize(loss, start, method="SLSQP", bounds=bounds, constraints=constraint, options=options).fun
        for start in starts
    )


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 5), st.booleans())
@settings(max_examples=25)
def test_fitted_weights_are_no_worse_than_a_constrained_optimiser(
    seed: int, members: int, classes: int, weighed: bool
) -> None:
    rows = drawn(seed, members, classes)
    weights = np.random.RandomState(seed).uniform(0.1, 2, len(rows.target)) if weighed else None
    rows = Rows(rows.predictions, rows.target, rows.features, weights)
    true = np.maximum(rows.predictions[np.arange(80), :, rows.target.astype(int)], 2.2e-16)

    def linear(point: Floats) -> float:
        return -float(np.average(np.log(np.maximum(true @ point, 1e-300)), weights=weights))

    found = np.array(fitted("weighted", rows).weights)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-12)
    with_prior = towards_equal_only(linear, members)
    assert with_prior(found) <= best_on_simplex(with_prior, members) + 1e-9

    logarithms = np.log(np.maximum(rows.predictions, LEAST))

    def pooled(point: Floats) -> float:
        scores = np.einsum("nmc,m->nc", logarithms, point)
        powers = np.exp(scores)
        own = scores[np.arange(80), rows.target.astype(int)]
        return float(np.average(np.log(powers.sum(axis=1)) - own, weights=weights))

    found = np.array(fitted("log_pool", rows).weights)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-12)
    with_prior = towards_equal_only(pooled, members)
    assert with_prior(found) <= best_on_simplex(with_prior, members) + 1e-9


def towards_equal_only(loss: Callable[[Floats], float], members: int) -> Callable[[Floats], float]:
    """Return the loss with the prior of the weights, for the rows of ``drawn``."""
    return lambda point: loss(point) + PRIOR_ROWS * members / 80 / 2 * float(((point - 1 / members) ** 2).sum())


def test_a_member_that_a_few_rows_favour_does_not_get_all_weight() -> None:
    # Two members that know the class, and err on other rows of 60. The second is better by one row only.
    truth = np.arange(60) % 2
    sure = np.where(truth[:, None] == [0, 1], 0.95, 0.05)
    members = np.stack([sure, sure], axis=1)
    members[:3, 0], members[3:5, 1] = members[:3, 0, ::-1], members[3:5, 1, ::-1]
    rows = Rows(members, truth.astype(float), np.zeros((60, 1)))
    for kind in ("weighted", "log_pool"):
        least, most = sorted(fitted(kind, rows).weights)
        assert 0.25 < least < most < 0.75
    many = rows.take(np.tile(np.arange(60), 100))
    assert max(fitted("weighted", many).weights) > max(fitted("weighted", rows).weights)


@pytest.mark.parametrize("kind", ["weighted", "log_pool", "stacking", "greedy"])
def test_equal_members_of_equal_worth_get_finite_weights(kind: str) -> None:
    rows = drawn(0, 1, 3)
    twice = Rows(np.repeat(rows.predictions, 2, axis=1), rows.target, rows.features)
    blend = fitted(kind, twice)
    if kind != "greedy":
        assert blend.weights[0] == pytest.approx(blend.weights[1], rel=1e-6)
    assert loss_of(blend, twice) <= loss_of(fitted("mean", twice), twice) + 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_greedy_picks_are_no_worse_than_the_best_member(seed: int) -> None:
    rows = drawn(seed, 4, 3)
    alone = min(loss_of(Blend(tuple(point)), rows) for point in np.eye(4))
    blend = fitted("greedy", rows)
    assert sum(blend.weights) == pytest.approx(1)
    assert loss_of(blend, rows) <= alone


@pytest.mark.parametrize("classes", [2, 4])
def test_stacking_is_where_the_penalised_log_loss_is_lowest(classes: int) -> None:
    rows = drawn(3, 3, classes, 200)
    blend = fitted("stacking", rows)
    pool = fitted("log_pool", rows)
    logarithms = np.log(np.maximum(rows.predictions, LEAST))
    centre = np.array([*pool.weights, *[0.0] * classes])
    centre[:3] /= temperature_of(np.einsum("nmc,m->nc", logarithms, pool.weights), rows.target)
    found = np.array([*blend.weights, *blend.biases])

    def penalised(point: Floats, penalty: float) -> float:
        scores = np.einsum("nmc,m->nc", logarithms, point[:3]) + point[3:]
        own = scores[np.arange(200), rows.target.astype(int)]
        return float(np.sum(np.log(np.exp(scores).sum(axis=1)) - own) + penalty / 2 * np.sum((point - centre) ** 2))

    lowest = [minimize(penalised, found, (penalty,), tol=1e-9).x for penalty in PENALTIES]
    assert min(np.abs(point - found).max() for point in lowest) < 1e-3


def test_stacking_of_many_classes_has_no_biases_and_is_no_worse_than_the_pool() -> None:
    """With a bias for each of 200 classes, 10,000 rows took a minute a blend, and there are several in a trial."""
    few, many = drawn(0, 3, MOST_BIASES, 600), drawn(0, 3, MOST_BIASES + 1, 600)
    assert len(fitted("stacking", few).biases) == MOST_BIASES
    blend = fitted("stacking", many)
    assert blend.biases == ()
    assert loss_of(blend, many) <= loss_of(fitted("log_pool", many), many)


def temperature_of(logarithms: Floats, target: Floats) -> float:
    """Return the temperature at which its posterior density is highest, by another optimiser."""

    def cost(logarithm: float) -> float:
        scores = logarithms * np.exp(-logarithm)
        scores = scores - scores.max(axis=1, keepdims=True)
        own = scores[np.arange(len(target)), target.astype(int)]
        return float(np.sum(np.log(np.exp(scores).sum(axis=1)) - own) + (logarithm / TEMPERATURES) ** 2 / 2)

    found = minimize_scalar(cost, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(found.x))


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.3, 2))
@settings(max_examples=15)
def test_a_temperature_is_the_most_probable_one(seed: int, classes: int, sharpness: float) -> None:
    rows = drawn(seed, 1, classes)
    sharp = (rows.predictions + 1e-6) ** sharpness
    rows = Rows(sharp / sharp.sum(axis=2, keepdims=True), rows.target, rows.features)
    blend = Calibrated(make_blender("mean", ["a"], None, "blend")).fit(rows)
    expected = temperature_of(np.log(rows.predictions[:, 0]), rows.target)
    assert blend.temperature == pytest.approx(expected, rel=1e-5)


def test_a_temperature_makes_overconfident_probabilities_right() -> None:
    random = np.random.RandomState(0)
    scores = random.normal(size=(4000, 3))
    right = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    target = np.array([random.choice(3, p=row) for row in right]).astype(float)
    sure = np.exp(3 * scores) / np.exp(3 * scores).sum(axis=1, keepdims=True)
    rows = Rows(sure[:, None], target, np.empty((4000, 0)))
    blend = Calibrated(make_blender("mean", ["a"], None, "blend")).fit(rows)
    assert blend.temperature == pytest.approx(3, rel=0.1)
    assert np.abs(blend.predict(rows.predictions, rows.features) - right).max() < 0.05


def test_rows_that_are_all_right_do_not_give_the_temperature_zero() -> None:
    target = np.arange(60.0) % 2
    sure = np.where(np.eye(2)[target.astype(int)] > 0, 0.8, 0.2)
    blend = Calibrated(make_blender("mean", ["a"], None, "blend")).fit(Rows(sure[:, None], target, np.empty((60, 0))))
    assert 0.2 < blend.temperature < 0.6


def test_few_rows_give_no_temperature() -> None:
    rows = drawn(0, 2, 2, CALIBRATION_ROWS - 1)
    assert Calibrated(make_blender("mean", ["a", "b"], None, "blend")).fit(rows).temperature == 1.0


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 5))
def test_a_vote_counts_members_and_ties_go_to_the_mean(seed: int, members: int, classes: int) -> None:
    rows = drawn(seed, members, classes)
    predicted = fitted("vote", rows).predict(rows.predictions, rows.features)
    for row, shares in zip(rows.predictions, predicted, strict=True):
        votes = Counter(int(choice) for choice in row.argmax(axis=1))
        most = max(votes.values())
        tied = [place for place, count in votes.items() if count == most]
        assert shares == pytest.approx(np.array([votes[place] / members for place in range(classes)]), abs=1e-8)
        assert shares.argmax() == max(tied, key=lambda place: (row[:, place].mean(), -place))


@pytest.mark.parametrize("kind", FOR_CLASSES)
@pytest.mark.parametrize("classes", [2, 5, 17])
@pytest.mark.parametrize("calibrated", [True, False])
def test_a_row_alone_has_the_same_probabilities_as_among_others(kind: str, classes: int, calibrated: bool) -> None:
    rows = drawn(1, 3, classes, 120)
    weights = {name: 1.0 + place for place, name in enumerate("abc")} if kind == "fixed" else None
    blender = make_blender(kind, list("abc"), weights, "blend", "multiclass")
    blend = (Calibrated(blender) if calibrated else blender).fit(rows)
    predicted = blend.predict(rows.predictions, rows.features)
    assert predicted.shape == (120, classes)
    assert predicted.min() >= 0
    assert predicted.sum(axis=1) == pytest.approx(np.ones(120), abs=1e-9)
    for row in (0, 7, 119):
        alone = blend.predict(rows.predictions[row : row + 1], rows.features[row : row + 1])
        assert np.array_equal(alone[0], predicted[row])
    assert Blend.from_dict(json.loads(json.dumps(blend.as_dict()))) == blend


@pytest.mark.parametrize("kind", ["weighted", "greedy", "stacking", "log_pool"])
def test_whole_weights_are_equal_to_repeated_rows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensemble.simplex.PRIOR_ROWS", 0.0)  # which counts rows
    rows = drawn(3, 3, 3)
    counts = np.random.RandomState(0).randint(0, 4, len(rows.target))
    twice = np.repeat(np.arange(len(rows.target)), counts)
    weighed = Rows(rows.predictions, rows.target, rows.features, counts.astype(float))
    repeated = Rows(rows.predictions[twice], rows.target[twice], rows.features[twice])
    found, expected = (fitted(kind, each).predict(rows.predictions, rows.features) for each in (weighed, repeated))
    assert np.abs(found - expected).max() < (0.05 if kind == "stacking" else 1e-6)


def test_a_blend_of_quantities_is_written_as_before() -> None:
    assert set(Blend((1.0,)).as_dict()) == {"weights", "intercept", "passed"}


@pytest.mark.parametrize(
    ("kind", "task", "words"),
    [
        (
            "vote",
            "regression",
            ["ensemble.blend=vote does not blend a quantity", "mean, stacking, stacking_passthrough"],
        ),
        ("log_pool", "regression", ["ensemble.blend=log_pool does not blend a quantity"]),
        ("stacking_passthrough", "binary", ["does not blend classes", "log_pool, mean, stacking, vote, weighted"]),
    ],
)
def test_a_blender_for_another_task_is_refused(kind: str, task: str, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        make_blender(kind, ["a", "b"], None, "ensemble.blend", task)  # type: ignore[arg-type]
    assert [word for word in words if word not in str(error.value)] == []
