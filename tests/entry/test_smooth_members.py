"""The additive model and the network: what they learn where trees and straight lines do not."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble.members import REGISTRY, Member
from ensemble.members.hinges import Hinges

EVERY = pytest.mark.parametrize("kind", ["additive", "network", "gaussian_process"])


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features and a smooth target with noise."""
    random = np.random.default_rng(seed)
    features = random.uniform(-2, 2, size=(rows, 4))
    return features, np.abs(features[:, 0]) * 3 + np.sin(2 * features[:, 1]) + random.normal(scale=0.2, size=rows)


def fitted(kind: str, features: np.ndarray, target: np.ndarray, classes: int = 0, seed: int = 0) -> Member:
    more = {"classes": classes} if classes else {}
    member = REGISTRY[kind]({}, seed=seed, threads=1, **more)
    member.fit(features, target)
    return member


@EVERY
def test_a_bent_line_is_learnt(kind: str) -> None:
    (features, target), (elsewhere, truth) = drawn(400), drawn(200, 1)
    errors = {name: fitted(name, features, target).predict(elsewhere) - truth for name in (kind, "ridge")}
    rmse = {name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()}
    assert rmse[kind] < 0.35 * rmse["ridge"]


@EVERY
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_of_a_bent_line_are_learnt(kind: str, classes: int) -> None:
    (features, target), (elsewhere, truth) = drawn(400), drawn(200, 1)
    limits = np.quantile(target, np.arange(1, classes) / classes)
    codes, wanted = (np.searchsorted(limits, values) for values in (target, truth))
    losses = {}
    for name in (kind, "linear"):
        predicted = fitted(name, features, codes.astype(float), classes).predict(elsewhere)
        losses[name] = -float(np.mean(np.log(predicted[np.arange(200), wanted])))
    assert losses[kind] < 0.7 * losses["linear"]


def test_a_column_with_few_values_has_few_hinges() -> None:
    features = np.column_stack([np.arange(50) % 2, np.arange(50)]).astype(float)
    found = Hinges(6).fit(features).transform(features)
    assert found.shape == (50, 1 + 1 + 5)
    beyond = Hinges(6).fit(features).transform(np.array([[0.0, 60.0], [0.0, 70.0], [0.0, 80.0]]))
    assert np.diff(beyond, 2, axis=0) == pytest.approx(0.0)  # straight beyond the last knot


def test_the_parts_of_an_additive_model_are_those_of_its_columns() -> None:
    features, target = drawn(200)
    features[:, 3] = np.arange(200) % 3
    member = REGISTRY["additive"]({}, seed=0, threads=1, categories={3: 3})
    member.fit(features, target)
    parts = member.contributions(features, None)
    assert member.explained
    assert parts.sum(axis=1) == pytest.approx(member.predict(features))
    moved = features.copy()
    moved[:, 0] = 0.5
    changed = np.abs(member.contributions(moved, None) - parts).max(axis=0)
    assert changed[0] > 1
    assert changed[1:] == pytest.approx(0.0)


def test_the_penalty_of_an_additive_model_grows_with_the_noise() -> None:
    features, target = drawn(200)
    noisy = np.random.default_rng(2).normal(size=200)
    chosen = [fitted("additive", features, values)._estimator[-1].alpha_ for values in (target, noisy)]  # type: ignore[attr-defined]
    assert chosen[0] < chosen[1]


def test_a_network_repeats_and_depends_on_its_seed() -> None:
    features, target = drawn(150)
    first, same, other = (fitted("network", features, target, seed=seed).predict(features) for seed in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_network_weighs_rows() -> None:
    features, target = drawn(300)
    shifted, weights = np.concatenate([target, target + 5]), np.repeat([1.0, 1e-3], 300)
    network = REGISTRY["network"]({}, seed=0, threads=1)
    network.fit(np.concatenate([features, features]), shifted, weights)
    assert abs(float(np.mean(network.predict(features) - target))) < 0.3


@pytest.mark.parametrize("rows", [50, 72])
def test_a_network_learns_from_few_rows(rows: int) -> None:
    (features, target), (elsewhere, truth) = drawn(rows, 11), drawn(200, 1)
    network = fitted("network", features, target)
    assert np.var(network.predict(elsewhere) - truth) < 0.3 * np.var(truth)


@pytest.mark.parametrize(("rows", "params"), [(2, {"decay": 2.5e4}), (5, {"decay": 2.5e4}), (60, {"decay": 1e5})])
def test_a_network_that_decays_more_than_it_learns_predicts_the_mean(rows: int, params: dict[str, float]) -> None:
    features, target = drawn(rows)
    for classes, wanted in ((0, target), (2, (np.arange(rows) % 2).astype(float))):
        network = REGISTRY["network"](params, seed=0, threads=1, classes=classes)
        network.fit(features, wanted)
        predicted = network.predict(features)
        mean = [(wanted == 0).mean(), (wanted == 1).mean()] if classes else target.mean()
        assert predicted == pytest.approx(np.broadcast_to(mean, predicted.shape), abs=0.3 * target.std())


def test_a_process_of_classes_leaves_each_row_out_of_its_calibration() -> None:
    features, target = drawn(60)
    codes = (target > np.median(target)).astype(np.int64)
    random = np.random.default_rng(3).permutation(codes)
    predicted = fitted("gaussian_process", features, random.astype(float), 2).predict(drawn(300, 4)[0])
    assert np.abs(predicted[:, 1] - 0.5).max() < 0.45  # labels by chance tell nothing, whatever the process learnt
