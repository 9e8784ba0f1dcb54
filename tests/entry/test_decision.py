"""Decisions: labels, thresholds and the weights of classes (``decision``)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from sklearn.utils.class_weight import compute_class_weight

from ensemble.arrays import Floats
from ensemble.decision import (
    Costs,
    Decision,
    Threshold,
    class_weights,
    fit_threshold,
    read_class_weight,
    read_threshold,
)
from ensemble.errors import InputError

COSTS: Costs = ((0.0, 1.0), (5.0, 0.0))


def pairs(second: Floats) -> Floats:
    return np.column_stack([1 - second, second])


@pytest.mark.parametrize(
    ("positive", "threshold", "expected"),
    [
        (None, 0.5, [0, 0, 1, 1]),
        (1, 0.5, [0, 0, 1, 1]),
        (0, 0.5, [0, 0, 1, 1]),
        (1, 0.25, [0, 1, 1, 1]),
        (1, 0.75, [0, 0, 0, 1]),
        (0, 0.75, [0, 1, 1, 1]),
        (0, 0.25, [0, 0, 0, 1]),
    ],
)
def test_labels_follow_from_the_threshold_of_the_positive_class(
    positive: int | None, threshold: float, expected: list[int]
) -> None:
    decision = Decision(positive, threshold)
    assert decision.labels(pairs(np.array([0.1, 0.5, 0.6, 0.9]))).tolist() == expected


def test_each_row_may_have_a_threshold_of_its_own() -> None:
    found = Decision(1).labels(pairs(np.array([0.4, 0.4, 0.5])), np.array([0.3, 0.45, 0.5]))
    assert found.tolist() == [1, 0, 0]


def quality(rule: Threshold, target: Floats, labels: Floats, weights: Floats | None) -> float:
    if rule == "accuracy":
        return float(accuracy_score(target, labels, sample_weight=weights))
    if rule == "f1":
        return float(f1_score(target, labels, average="macro", sample_weight=weights, zero_division=0))
    counts = confusion_matrix(target, labels, labels=[0, 1], sample_weight=weights)
    return -float((counts * np.array(rule)).sum())


@given(
    st.integers(0, 10**6),
    st.sampled_from(["accuracy", "f1", COSTS]),
    st.sampled_from([0, 1]),
    st.booleans(),
    st.integers(1, 30),
)
def test_no_threshold_is_better_than_the_chosen_one(
    seed: int, rule: Threshold, positive: int, weighed: bool, rows: int
) -> None:
    random = np.random.RandomState(seed)
    target = random.randint(0, 2, rows).astype(float)
    predicted = pairs(np.round(np.clip(0.5 + 0.2 * (target - 0.5) + 0.3 * random.normal(size=rows), 0, 1), 1))
    weights = random.randint(1, 4, rows).astype(float) if weighed else None
    found = fit_threshold(rule, positive, predicted, target, weights)
    assert 0 < found < 1
    best = max(
        quality(rule, target, Decision(positive, limit).labels(predicted), weights)
        for limit in np.arange(0.05, 1, 0.1)  # between the values that a probability has here
    )
    assert quality(rule, target, Decision(positive, found).labels(predicted), weights) >= best - 1e-12


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_chosen() -> None:
    assert fit_threshold("accuracy", 1, pairs(np.array([0.1, 0.9])), np.array([0.0, 1.0])) == 0.5
    assert fit_threshold("accuracy", 1, pairs(np.array([0.1, 0.3])), np.array([0.0, 1.0])) == pytest.approx(0.2)
    assert fit_threshold(0.3, 1, pairs(np.array([0.1, 0.9])), np.array([0.0, 1.0])) == 0.3


def test_costs_move_the_threshold_towards_the_cheaper_mistake() -> None:
    random = np.random.RandomState(0)
    second = random.uniform(size=20_000)
    target = (random.uniform(size=20_000) < second).astype(float)
    # With calibrated probabilities the best threshold is 1 / (1 + 5), whichever class is the positive one.
    assert fit_threshold(COSTS, 1, pairs(second), target) == pytest.approx(1 / 6, abs=0.03)
    assert fit_threshold(COSTS, 0, pairs(second), target) == pytest.approx(5 / 6, abs=0.03)


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (0.25, 0.25),
        ("0.25", 0.25),
        (".25", 0.25),
        ("accuracy", "accuracy"),
        ("f1", "f1"),
        ([[0, 1], [5, 0]], COSTS),
        ("[[0, 1], [5, 0]]", COSTS),
    ],
)
def test_a_threshold_is_read(given_value: object, expected: Threshold) -> None:
    assert read_threshold(given_value, "threshold") == expected


@pytest.mark.parametrize(
    "value",
    [
        0,
        1,
        -0.5,
        1.5,
        "acuracy",
        "nan",
        True,
        None,
        [],
        [[0, 1]],
        [[0, 1], [5, -1]],
        [[1, 1], [5, 0]],
        [[0, 1], [5, 0], 3],
        {"a": 1},
    ],
)
def test_what_is_no_threshold_is_named(value: object) -> None:
    with pytest.raises(InputError, match=r"^ensemble\.threshold="):
        read_threshold(value, "ensemble.threshold")


def test_a_misspelt_threshold_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean 'accuracy'"):
        read_threshold("acuracy", "threshold")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("balanced", "balanced"),
        ({"no": 1, "yes": 2.5}, {"no": 1.0, "yes": 2.5}),
        ('{"no": 1}', {"no": 1.0}),
        ({0: 1, 1: 3}, {"0": 1.0, "1": 3.0}),
        ({0.0: 1, 1.5: 3}, {"0": 1.0, "1.5": 3.0}),
        ({False: 1, True: 3}, {"False": 1.0, "True": 3.0}),
    ],
)
def test_weights_of_classes_are_read(value: object, expected: object) -> None:
    assert read_class_weight(value, "class_weight") == expected


@pytest.mark.parametrize(
    "value", ["balance", 3, [1, 2], {"no": 0, "yes": 1}, {"no": -1}, {"no": "much"}, {"no": True}, {"no": float("nan")}]
)
def test_what_is_no_weight_of_classes_is_named(value: object) -> None:
    with pytest.raises(InputError, match=r"^ensemble\.class_weight="):
        read_class_weight(value, "ensemble.class_weight")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_balanced_weights_are_those_of_scikit_learn(target: list[int]) -> None:
    present = sorted(set(target))
    found = class_weights("balanced", list("abcde"), np.array(target, dtype=float))
    expected = compute_class_weight("balanced", classes=np.array(present), y=np.array(target))
    assert found[present] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"a": 1, "c": 1}, "'c' is not a class. Did you mean"),
        ({"a": 1}, "class 'b' has no weight"),
        ({"False": 1, "True": 1}, "'False' is not a class. Classes: a, b. Put the label in quotes in YAML."),
        ({"a": 1, "b": 1, "A": 1}, "'A' is not a class"),
    ],
)
def test_weights_that_do_not_fit_the_classes_are_named(rule: dict[str, float], words: str) -> None:
    with pytest.raises(InputError) as error:
        class_weights(rule, ["a", "b"], np.array([0.0, 1.0]), "ensemble.class_weight")
    assert "ensemble.class_weight: " in str(error.value)
    assert words.removesuffix(" Did you mean") in str(error.value)


@pytest.mark.parametrize("classes", [("false", "true"), ("FALSE", "TRUE"), ("False", "True")])
def test_weights_of_true_and_false_may_be_spelled_in_any_way(classes: tuple[str, str]) -> None:
    """YAML makes True of true, and a file may have TRUE."""
    for rule in ({"True": 3.0, "False": 1.0}, {"true": 3.0, "FALSE": 1.0}):
        assert class_weights(rule, classes, np.array([0.0, 1.0])).tolist() == [1.0, 3.0]
    with pytest.raises(InputError, match="has 3 weights for 2 classes: give one for each"):
        class_weights({"True": 3.0, "true": 3.0, "false": 1.0}, classes, np.array([0.0, 1.0]))
