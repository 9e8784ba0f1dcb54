"""The importance of features; the scores themselves are tested where a study has a winner (``actions/test_tune``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ensemble.arrays import Floats
from ensemble.bundle import Bundle
from ensemble.channel import write_channel
from ensemble.errors import InputError
from ensemble.evaluation import default_objective, main_score, rmse
from ensemble.table import Table, numbers
from ensemble.training import FittedEnsemble, fit_ensemble
from experiments.study.importance import (
    MOST_CELLS,
    features_measured,
    permutation_importance,
    rows_in_time,
    rows_measured,
)
from experiments.study.winner_scores import score_winner
from tests.entry.conftest import make_class_table, make_table, quick_recipe


def test_only_features_that_the_model_uses_are_important(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.RandomState(1).normal(size=(50, 3))
    seen: list[int] = []

    def predict(rows: Floats) -> Any:
        seen.append(len(rows))
        return 3 * rows[:, 0] + rows[:, 2]

    table = Table(numbers("much", "unused", "little"), "price", features, 3 * features[:, 0] + features[:, 2])
    ensemble = cast("FittedEnsemble", SimpleNamespace(predict=predict, class_weights=()))
    found = permutation_importance(ensemble, table)
    assert list(found) == ["much", "unused", "little"]
    assert found["much"] > found["little"] > found["unused"] == 0.0
    assert found == permutation_importance(ensemble, table)
    assert seen == [50, 150] * 2
    monkeypatch.setattr("experiments.study.importance.MOST_ROWS", 20)
    seen.clear()
    permutation_importance(ensemble, table)
    assert seen == [20, 60]


def test_importance_is_found_in_parts_that_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(1)
    features, weights = random.normal(size=(50, 7)), random.uniform(size=50)
    table = Table(numbers(*"abcdefg"), "price", features, features @ np.arange(7.0), weights)
    ensemble = cast(
        "FittedEnsemble", SimpleNamespace(predict=lambda rows: (rows * np.arange(7.0)).sum(axis=1), class_weights=())
    )
    whole = permutation_importance(ensemble, table)
    monkeypatch.setattr("experiments.study.importance.PART_CELLS", 50 * 7 * 3)
    monkeypatch.setattr("experiments.study.importance.CALL_CELLS", 50 * 7 * 2)
    parts = [permutation_importance(ensemble, table, first) for first in (0, 3, 6)]
    assert [len(part) for part in parts] == [3, 3, 1]
    assert parts[0] | parts[1] | parts[2] == whole
    # One column after another, as a definition.
    order = np.random.RandomState(0)
    table = table.take(np.sort(order.permutation(50)))
    expected = {}
    for place, name in enumerate("abcdefg"):
        shuffled = table.features.copy()
        shuffled[:, place] = order.permutation(shuffled[:, place])
        expected[name] = rmse(table.target, ensemble.predict(shuffled), weights[:]) - rmse(
            table.target, ensemble.predict(table.features), weights
        )
    assert whole == expected


def test_the_cost_of_importance_is_bounded() -> None:
    assert rows_measured(10_000, 100) == 1000
    assert rows_measured(16, 2_000) == 16
    assert (rows_measured(10_000, 2_000), features_measured(10_000, 2_000)) == (100, 2_000)
    assert features_measured(10_000, 10_000) == 0
    for columns in (1, 10, 300, 1_000, 3_000, 10_000, 1_000_000):
        cells = rows_measured(10**6, columns) * columns * features_measured(10**6, columns)
        assert cells <= 2 * MOST_CELLS


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
            score_winner(bundle="", channels=paths, hashes=hashes, threads=1, predictions=str(tmp_path / "scores.npz"))


@pytest.mark.parametrize("classes", [0, 2])
def test_a_score_that_the_test_rows_do_not_allow_is_left_out(
    classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_class_table(classes=classes) if classes else make_table()
    ensemble = fit_ensemble(
        quick_recipe("extra_trees", objective=default_objective(table.task)), table, None, 1
    ).ensemble
    rows = replace(table.take(np.arange(9)), target=np.zeros(9))  # all of one class, or of one value
    write_channel(rows, tmp_path)
    described = {"columns": [column.as_dict() for column in table.columns]}
    monkeypatch.setattr("experiments.study.winner_scores.load_bundle", lambda *_: Bundle(ensemble, described, ""))
    found = score_winner("", {"test": str(tmp_path)}, {}, 1, str(tmp_path / "scores.npz"))["metrics"]
    assert all(np.isfinite(list(found.values())))
    assert f"test_{main_score(table.task)}_blended" in found
    assert f"test_{'auc' if classes else 'r2'}_blended" not in found


def test_importance_is_found_on_as_many_rows_as_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def predict(rows: Floats) -> Any:
        nonlocal now
        now += 0.01 * len(rows)  # a second for 100 rows, and with 3 columns four for all calls
        return rows[:, 0]

    monkeypatch.setattr("experiments.study.importance.time.perf_counter", lambda: now)
    table = Table(numbers(*"abc"), "price", np.zeros((200, 3)), np.zeros(200))
    ensemble = cast("FittedEnsemble", SimpleNamespace(predict=predict, class_weights=()))
    assert rows_in_time(ensemble, table, 100.0) == 200
    assert rows_in_time(ensemble, table, 4.0) == 100
    assert rows_in_time(ensemble, table, 1.0) == 0
    began = now
    assert len(permutation_importance(ensemble, table, most_rows=100)) == 3
    assert now - began == pytest.approx(4.0)
