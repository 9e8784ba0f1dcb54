"""Intervals of scores on test rows, and of the difference of two models on the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.study.predictions import Predictions
from experiments.study.row_intervals import difference_on_rows, score_of, score_on_rows


def drawn(rows: int, seed: int, shift: float = 0.0, *, classes: bool = False) -> Predictions:
    random = np.random.RandomState(seed)
    if classes:
        probabilities = np.clip(random.beta(2, 2, rows), 0.01, 0.99)
        target = (random.rand(rows) < probabilities).astype(float)
        blended = np.column_stack([1 - probabilities, probabilities])
        return Predictions(target, blended[:, None], blended, None, ("a",))
    target = random.normal(size=rows)
    blended = target + random.normal(size=rows)
    blended = blended + shift * np.sign(blended - target)
    return Predictions(target, blended[:, None], blended, None, ("a",))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_models_are_compared_on_the_same_rows(shift: float) -> None:
    one, other = drawn(300, 0), drawn(300, 0, shift)
    found = difference_on_rows(one, other)
    assert found is not None
    assert score_of(one) == pytest.approx(np.sqrt(np.mean((one.blended - one.target) ** 2)))
    assert found.value == score_of(other) - score_of(one)
    assert bool(found.low > 0) is (shift > 0)
    assert difference_on_rows(one, drawn(300, 1)) is None
    assert difference_on_rows(drawn(1, 0), drawn(1, 0)) is None


@pytest.mark.parametrize("classes", [False, True])
def test_an_interval_of_a_score_holds_the_true_score(classes: bool) -> None:
    true = score_of(drawn(400_000, 99, classes=classes))
    held = 0
    for seed in range(200):
        found = score_on_rows(drawn(120, seed, classes=classes))
        assert found is not None
        assert found.low < found.value < found.high
        held += found.low <= true <= found.high
    assert 180 <= held <= 198  # 95% of 200, within three standard errors
    assert score_on_rows(drawn(1, 0)) is None
