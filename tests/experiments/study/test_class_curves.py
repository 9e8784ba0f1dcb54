"""Reliability and confusion of predicted classes, with weights and with several divisions into folds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from experiments.study.class_curves import BINS, confusion, reliability
from experiments.study.predictions import Predictions
from tests.experiments.reporting.builder import class_probabilities


def imperfect() -> Predictions:
    """Return predictions of 90 rows, every fifth of which is wrong."""
    found = class_probabilities(90)
    return dataclasses.replace(found, target=np.where(np.arange(90) % 5 == 0, 1 - found.target, found.target))


def repeated(found: Predictions, times: int, **changes: object) -> Predictions:
    """Return each row several times, one below the other."""

    def several(name: str) -> np.ndarray:
        return np.concatenate([getattr(found, name)] * times)

    arrays = {name: several(name) for name in ("target", "members", "blended", "labels")}
    return dataclasses.replace(found, **arrays, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("positive", [None, 1])
def test_a_row_of_weight_three_counts_as_three_rows(positive: int | None) -> None:
    found = imperfect()
    heavy = np.where(np.arange(90) < 30, 3.0, 1.0)
    weighted = dataclasses.replace(found, weights=heavy)
    rows = np.repeat(np.arange(90), heavy.astype(int))
    copied = Predictions(
        found.target[rows], found.members[rows], found.blended[rows], None, found.names, found.decided()[rows]
    )
    one, other = reliability(weighted, positive), reliability(copied, positive)
    for name in ("predicted", "observed"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))
    assert one.observed != pytest.approx(reliability(found, positive).observed)
    assert one.rows.sum() == 90
    assert confusion(weighted, 2).shares == pytest.approx(confusion(copied, 2).shares)
    assert confusion(weighted, 2).rows.tolist() == confusion(found, 2).rows.tolist()


def test_equal_weights_and_repeated_divisions_make_an_interval_neither_wider_nor_narrower() -> None:
    found = imperfect()
    plain = reliability(found, 1)
    assert len(plain.rows) <= BINS
    several = repeated(found, 5, divisions=5)
    for other in (dataclasses.replace(found, weights=np.full(90, 7.0)), several):
        for name, values in dataclasses.asdict(reliability(other, 1)).items():
            assert values == pytest.approx(getattr(plain, name))
    assert confusion(several, 2).rows.tolist() == confusion(found, 2).rows.tolist()


def test_rows_without_weight_do_not_count() -> None:
    found = imperfect()
    some = reliability(dataclasses.replace(found, weights=(np.arange(90) < 60).astype(float)), 1)
    assert some.rows.sum() == 60
    assert np.isfinite([some.predicted, some.observed, some.low, some.high]).all()
