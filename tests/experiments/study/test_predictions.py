"""Predictions survive writing and reading, without pickle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments.study.predictions import Predictions

KEPT = Predictions(
    target=np.array([1.0, 2.0, 3.0]),
    members=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    blended=np.array([1.5, 3.5, 5.5]),
    weights=None,
    names=("xgboost", "ridge"),
)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.5, 2.0])], ids=["equal", "weighted"])
def test_written_predictions_are_read_back(tmp_path: Path, weights: np.ndarray | None) -> None:  # type: ignore[type-arg]
    path = tmp_path / "predictions.npz"
    dataclasses.replace(KEPT, weights=weights).write(path)
    found = Predictions.read(path)
    assert found.names == KEPT.names
    for name in ("target", "members", "blended"):
        assert np.array_equal(getattr(found, name), getattr(KEPT, name))
    assert (found.weights is None) == (weights is None)
    assert weights is None or np.array_equal(found.weights, weights)  # type: ignore[arg-type]


def test_rows_without_a_prediction_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    gap = dataclasses.replace(KEPT, blended=np.array([1.5, np.nan, 5.5]), weights=np.array([1.0, 2.0, 3.0]))
    gap.write(path)
    found = Predictions.read(path)
    assert found.target.tolist() == [1.0, 3.0]
    assert found.members.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert found.weights is not None
    assert found.weights.tolist() == [1.0, 3.0]


def test_divisions_of_repeated_folds_are_one_below_the_other(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    random = np.random.RandomState(0)
    by_repeat, blended = random.uniform(size=(2, 3, 2)), random.uniform(size=(2, 3))
    blended[:, 0] = by_repeat[:, 0] = np.nan
    np.savez(
        path,
        target=KEPT.target,
        members=by_repeat.mean(axis=0),
        by_repeat=by_repeat,
        blended=blended.mean(axis=0),
        blended_by_repeat=blended,
        names=np.array(KEPT.names),
    )
    found = Predictions.read(path)
    assert found.target.tolist() == [2.0, 3.0, 2.0, 3.0]
    assert found.blended.tolist() == [*blended[0, 1:], *blended[1, 1:]]
    assert [part.members.tolist() for part in found.by_division()] == [each[1:].tolist() for each in by_repeat]


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    arrays = {"target": KEPT.target, "members": KEPT.members, "blended": KEPT.blended}
    np.savez(path, allow_pickle=True, names=np.array([object()], dtype=object), **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="allow_pickle"):
        Predictions.read(path)
