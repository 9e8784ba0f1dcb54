"""A table of classes from a user's arguments to the files, MLflow and the printed summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from experiments.study.predictions import Predictions
from tests.conftest import QUICK, Ended
from tests.support.records import logged_runs, logged_trials, recorded_trials

Run = Callable[..., Ended]
ROWS = 150
BASE = ("mode=local", "study=churn", "dataset=file", "dataset.path=table.csv", "dataset.target=churned")


def write_table(folder: Path, labels: Sequence[str]) -> None:
    random = np.random.RandomState(0)
    features = random.normal(size=(ROWS, 3)).round(3)
    place = np.digitize(features[:, 0] + random.normal(size=ROWS) * 0.4, np.linspace(-0.5, 0.5, len(labels) - 1))
    rows = [f"{a},{b},{c},{labels[at]}" for (a, b, c), at in zip(features, place, strict=True)]
    (folder / "table.csv").write_text("\n".join(["a,b,c,churned", *rows]) + "\n")


@pytest.mark.parametrize(
    "labels", [("no", "yes"), pytest.param(("low", "middle", "high"), marks=pytest.mark.slow)], ids=["two", "three"]
)
def test_a_text_target_is_searched_recorded_and_summed_up(labels: tuple[str, ...], project: Path, byoe: Run) -> None:
    """One study for each number of classes; with five trees a member it takes a few seconds."""
    write_table(project, labels)
    more = [argument for argument in QUICK if "baseline" not in argument]
    blend = ["ensemble.blend=weighted", "ensemble.blend_over=study", "ensemble.class_weight=balanced"]
    ended = byoe(*BASE, "search.n_trials=2", *more, *blend)
    assert ended.code == 0, ended.err
    text = " ".join(ended.out.split())
    ordered = sorted(labels)
    assert f"takes the target churned for {len(labels)} classes, {', '.join(ordered)}" in text
    for part in (
        "trial 0: cv_logloss_blended=",
        "CV log loss validation test CV AUC CV accuracy weight fit s",
        "class frequencies",
        "the blend's CV log loss is",
        "Plain CatBoost, with its own defaults on the same folds:",
        "The blend on the test rows: accuracy",
    ):
        assert part in text, part
    assert "RMSE" not in text
    trials = recorded_trials(project, "churn")
    assert all(trial["info"]["classes"] == ordered for trial in trials)
    final = project / "studies/churn/final"
    manifest = json.loads((final / "model/manifest.json").read_text())
    assert (manifest["classes"], manifest.get("positive")) == (ordered, "yes" if len(labels) == 2 else None)
    tested = Predictions.read(final / "test_predictions.npz")
    assert tested.members.shape == (30, 2, len(labels))
    assert tested.blended.sum(axis=1) == pytest.approx(1.0)
    (study,) = logged_runs(project, "byoe-table", "study")
    (winner,) = logged_runs(project, "byoe-table", "final")
    assert len(logged_trials(project, "byoe-table")) == 2
    assert {"lift_mean", "lift_over_catboost_mean", "cv_logloss_best_lone_member"} < set(study.data.metrics)
    assert study.data.metrics["cv_logloss_class_frequencies"] == pytest.approx(np.log(len(labels)), rel=0.01)
    for score in ("logloss", "auc", "accuracy", "balanced_accuracy", "f1", "brier"):
        for split in ("cv", "validation", "test"):
            assert f"{split}_{score}_blended" in winner.data.metrics
    assert study.data.params["objective"] == "cv_logloss_blended"
    figures = {path.name for path in (project / "mlartifacts" / winner.info.run_id / "artifacts").iterdir()}
    assert {"confusion_matrix.png", "roc.png", "precision_recall.png", "reliability.png"} < figures
    assert not {"residuals.png", "predicted_against_actual.png"} & figures


@pytest.mark.slow
def test_a_replay_of_classes_gives_the_same_numbers(project: Path, byoe: Run) -> None:
    """The threshold, the temperature and the weights of classes are the same, which no other test compares."""
    write_table(project, ("no", "yes"))
    more = ["ensemble.threshold=f1", "ensemble.class_weight=balanced", "search.objective=cv_auc_blended"]
    ended = byoe(*BASE, "search.n_trials=2", "search.vary=one_member", *QUICK, *more)
    assert ended.code == 0, ended.err
    assert "A row gets the label yes from a probability of" in ended.out
    ended = byoe("mode=local", "action=replay", "replay.study=churn", "replay.top=2", "study=again")
    assert ended.code == 0, ended.err
    assert "parity: PASS (2 of 2 trials equal)" in ended.out
    assert "equal to the bit: 2 of 2" in ended.out
