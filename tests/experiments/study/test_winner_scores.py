"""The importance of features; the scores themselves are tested where a study has a winner (``actions/test_tune``)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ensemble.channel import write_channel
from ensemble.errors import InputError
from ensemble.members import Floats
from ensemble.table import Table, numbers
from ensemble.training import FittedEnsemble
from experiments.study.winner_scores import permutation_importance, score_winner


def test_only_features_that_the_model_uses_are_important(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.RandomState(1).normal(size=(50, 3))
    seen: list[int] = []

    def predict(rows: Floats) -> Any:
        seen.append(len(rows))
        return 3 * rows[:, 0] + rows[:, 2]

    table = Table(numbers("much", "unused", "little"), "price", features, 3 * features[:, 0] + features[:, 2])
    ensemble = cast("FittedEnsemble", SimpleNamespace(predict=predict))
    found = permutation_importance(ensemble, table)
    assert list(found) == ["much", "unused", "little"]
    assert found["much"] > found["little"] > found["unused"] == 0.0
    assert found == permutation_importance(ensemble, table)
    monkeypatch.setattr("experiments.study.winner_scores.MOST_ROWS", 20)
    seen.clear()
    permutation_importance(ensemble, table)
    assert set(seen) == {20}


def test_rows_that_changed_during_the_study_are_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.RandomState(1).normal(size=(50, 3))
    table = Table(numbers("a", "b", "c"), "price", features, features[:, 0])
    folders = {name: tmp_path / name for name in ("test", "validation")}
    for folder in folders.values():
        folder.mkdir()
        write_channel(table, folder)
    monkeypatch.setattr("experiments.study.winner_scores.load_bundle", lambda *_: SimpleNamespace(ensemble=None))
    paths = {name: str(folder) for name, folder in folders.items()}
    for changed in folders:
        hashes = dict.fromkeys(folders, table.content_hash()) | {changed: "another"}
        with pytest.raises(InputError, match=f"the rows in .*{changed} are not those with which the study began"):
            score_winner(bundle="", **paths, hashes=hashes, threads=1, predictions=str(tmp_path / "scores.npz"))
