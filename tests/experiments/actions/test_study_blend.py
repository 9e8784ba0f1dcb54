"""The winner as a blend over the study: scored honestly, trained as one job, resumed, extended, and switched off."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble.bundle import load_bundle
from ensemble.channel import read_channel
from ensemble.parameters import encode
from tests.conftest import Ended
from tests.support.records import logged_runs, recorded_trials

# Two members whose best parameters are found in different trials.
ARGUMENTS = (
    *("mode=local", "study=over", "dataset=diabetes", "ensemble.members=[ridge,nearest_neighbors]"),
    *("ensemble.blend=weighted", "search=blank", "search.n_trials=3"),
    "search.space.ridge.alpha={choices: [0.01, 30000], first: [0.01, 30000, 30000]}",
    "search.space.nearest_neighbors.n_neighbors={low: 1, high: 8, first: [1, 8, 2]}",
)
BLENDED_OVER = (*ARGUMENTS, "ensemble.blend_over=study")


def fact(project: Path, key: str) -> Any:
    with contextlib.closing(sqlite3.connect(project / "studies" / "over" / "ledger.sqlite")) as connection:
        ((text,),) = connection.execute("SELECT value FROM study WHERE key = ?", (key,))
    return json.loads(text)


def error(predicted: Any, target: Any) -> float:
    return float(np.sqrt(np.mean((predicted - target) ** 2)))


def test_the_winner_is_a_blend_of_models_of_several_trials(project: Path, byoe: Callable[..., Ended]) -> None:
    ended = byoe(*BLENDED_OVER)
    assert ended.code == 0, ended.err
    trials = {trial["index"]: trial for trial in recorded_trials(project, "over")}
    final, blend = fact(project, "final"), fact(project, "study_blend")
    names = list(final["info"]["weights"])
    picked = {}
    for member in ("ridge", "nearest_neighbors"):
        picked[member] = min(trials, key=lambda index: (trials[index]["metrics"][f"cv_rmse_{member}"], index))
    assert names == [f"{member}_{trial}" for member, trial in picked.items()]
    assert list(picked.values()) == [0, 1]
    for member, trial in picked.items():  # the models are those that were scored in their trials
        for score in ("rmse", "mae", "r2"):
            expected = trials[trial]["metrics"][f"cv_{score}_{member}"]
            assert final["metrics"][f"cv_{score}_{member}_{trial}"] == expected

    best = min(trials.values(), key=lambda trial: trial["metrics"]["cv_rmse_blended"])
    value = final["metrics"]["cv_rmse_blended"]
    assert value == blend["metrics"]["cv_rmse_blended"] < best["metrics"]["cv_rmse_blended"]
    assert blend["trials"] == [0, 1, 2]
    assert set(final["info"]["scores_of_job"]) == set(blend["metrics"])
    with np.load(project / "studies" / "over" / "final" / "output" / "data" / "out_of_fold.npz") as arrays:
        assert error(arrays["blended"], arrays["target"]) == pytest.approx(value, rel=1e-12)
        assert arrays["names"].tolist() == names
        folds = [
            error(arrays["blended"][rows], arrays["target"][rows])
            for rows in arrays["fold"][:, 0] == np.arange(5)[:, None]
        ]
    assert [final["metrics"][f"cv_rmse_blended_fold_{number}"] for number in range(5)] == pytest.approx(folds)
    with np.load(project / "studies" / "over" / "final" / "test_predictions.npz") as arrays:
        assert final["metrics"]["test_rmse_blended"] == pytest.approx(error(arrays["blended"], arrays["target"]))

    served = load_bundle(project / "studies" / "over" / "final" / "model", 1).ensemble
    assert list(served.models) == names
    assert served.weights == final["info"]["weights"]
    (channels,) = (project / "studies" / "_channels").iterdir()
    assert final["info"]["rows_served"] == sum(read_channel(part).rows for part in channels.iterdir())

    assert f"winner: a blend over the study, cv_rmse_blended = {value:.6g}" in ended.out
    assert all(f"  {name}" in ended.out for name in names)
    (run,) = logged_runs(project, "byoe-diabetes", "final")
    assert run.data.metrics["cv_rmse_blended"] == value
    assert run.data.params["members"] == ",".join(f"{member}_{trial}:{member}" for member, trial in picked.items())
    assert json.loads(run.data.params[names[0]])["alpha"] == repr(
        float(trials[picked["ridge"]]["params"]["ridge__alpha"])
    )
    (study,) = logged_runs(project, "byoe-diabetes", "study")
    searched = {"ridge": "alpha", "nearest_neighbors": "n_neighbors"}
    assert final["params"] == {
        f"{member}_{trial}__{searched[member]}": trials[trial]["params"][f"{member}__{searched[member]}"]
        for member, trial in picked.items()
    }
    assert json.loads((project / "mlartifacts" / study.info.run_id / "artifacts" / "best_params.json").read_text()) == {
        name: encode(searched_value) for name, searched_value in final["params"].items()
    }
    assert study.data.metrics["cv_rmse_blended"] == value
    assert {"lift_mean", f"test_rmse_{names[0]}"} <= set(study.data.metrics)

    again = byoe(*BLENDED_OVER)
    assert "is finished; nothing was run" in again.out
    assert again.out.partition("\nstudy over")[2] == ended.out.partition("\nstudy over")[2]
    assert fact(project, "final") == final


@pytest.mark.slow
def test_the_winner_follows_the_key_and_the_trials(project: Path, byoe: Callable[..., Ended]) -> None:
    assert byoe(*ARGUMENTS).code == 0
    plain = fact(project, "final")
    over = byoe(*BLENDED_OVER)
    assert "3 of 3 trials are done" in over.out
    first = fact(project, "final")
    assert "study_blend" not in plain["info"]
    assert first["info"]["study_blend"]["trials"] == [0, 1, 2]
    assert byoe(*BLENDED_OVER, "search.n_trials=4").code == 0
    assert fact(project, "study_blend")["trials"] == [0, 1, 2, 3]
    final = fact(project, "final")
    assert final["info"]["study_blend"]["trials"] == [0, 1, 2, 3]
    for path in (project / "studies" / "over" / "final" / "model").iterdir():
        assert path.stat().st_mtime >= final["started"]
    assert byoe(*ARGUMENTS).code == 0  # the study has four trials now
    back = fact(project, "final")
    assert "study_blend" not in back["info"]
    best = min(recorded_trials(project, "over"), key=lambda trial: trial["metrics"]["cv_rmse_blended"])
    assert back["metrics"]["cv_rmse_blended"] == best["metrics"]["cv_rmse_blended"]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        (
            "search.objective=cv_rmse_ridge",
            "search.objective=cv_rmse_ridge is not a cross-validated score of the blend",
        ),
        ("search.objective=validation_rmse_blended", "is not a cross-validated score of the blend"),
        ("ensemble.blend=fixed ensemble.weights.ridge=1 ensemble.weights.nearest_neighbors=1", "ensemble.blend=fixed"),
    ],
)
def test_a_study_that_cannot_be_blended_says_so(folder: Path, argument: str, reason: str) -> None:
    from experiments.config.compose import compose
    from experiments.planning.study import plan_study

    plan = plan_study(compose([*BLENDED_OVER, *argument.split()]))
    assert plan.study.blend_over == "trial"
    (note,) = [note for note in plan.notes if "ensemble.blend_over" in note]
    assert reason in note
    assert note.startswith("the winner is the best trial, and not a blend over the study")


@pytest.mark.slow
def test_a_search_that_varies_one_member_fits_only_that_one_and_replays_to_the_bit(
    project: Path, byoe: Callable[..., Ended]
) -> None:
    found = byoe(*BLENDED_OVER, "search.vary=one_member", "search.parallel=1")
    assert found.code == 0, found.err
    trials = recorded_trials(project, "over")
    assert len({json.dumps(trial["params"]) for trial in trials}) == 3
    for trial in trials[1:]:
        own, other = ("ridge", "nearest_neighbors") if trial["index"] % 2 else ("nearest_neighbors", "ridge")
        assert trial["info"]["fit_seconds"][own] > 0
        assert trial["info"]["fit_seconds"][other] == 0
    again = byoe("mode=local", "action=replay", "replay.study=over", "replay.top=3", "study=again")
    assert again.code == 0, again.err
    assert "parity: PASS (3 of 3 trials equal)" in again.out
    assert "equal to the bit: 3 of 3" in again.out
    assert all(min(trial["info"]["fit_seconds"].values()) > 0 for trial in recorded_trials(project, "again"))
