"""After a kill at any point, the same command records every trial once, in the ledger and in MLflow, and cleans up."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from experiments.system.crash_points import CONTINUED_POINTS, LAUNCH_POINTS, POINTS
from tests.conftest import COLD_WORKERS, QUICK, run_command, running
from tests.support.records import ledger_rows, logged_runs, recorded_trials

TRIALS = 30
ARGUMENTS = ("mode=local", "study=crash", f"search.n_trials={TRIALS}", "ensemble.blend_over=study", *QUICK)
# Crash points and the pass to be killed at, in an order in which one study can be killed at all of them. Up to the last
# one within the search, at most 20 trials have begun.
KILLS = (
    "channels_written",
    "study_created",
    "trials_asked:5",
    "trial_finished:7",
    "trial_recorded:5",
    "mlflow_run_created:2",
    "mlflow_trial_logged:3",
    "search_done",
    "blend_chosen",
    "final_trained",
    "model_registered",
)
# The scores of a trial that MLflow has as metrics, besides those of each fold.
LOGGED = (
    *("cv_rmse_xgboost", "cv_rmse_catboost", "cv_rmse_blended"),
    *("cv_mae_blended", "cv_r2_blended", "validation_rmse_blended"),
)
# Creating a store takes as long as such a search.
STORE_MADE = "store_made"


def assert_nothing_is_left(mark: str) -> None:
    marked = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("BYOE_TEST") == mark]
    _, alive = psutil.wait_procs(marked, timeout=20)
    assert alive == []


def assert_complete(project: Path) -> None:
    results = recorded_trials(project, "crash")
    assert [result["index"] for result in results] == list(range(TRIALS))
    assert {result["state"] for result in results} == {"complete"}
    runs = logged_runs(project, "byoe-diabetes", "trial")
    assert sorted(int(run.data.tags["byoe.trial"]) for run in runs) == list(range(TRIALS))
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        metrics = results[int(run.data.tags["byoe.trial"])]["metrics"]
        logged = {key: value for key, value in run.data.metrics.items() if key.startswith(("cv_", "validation_"))}
        folds = {f"cv_rmse_{who}_fold": metrics[f"cv_rmse_{who}_fold_4"] for who in ("xgboost", "catboost", "blended")}
        assert logged == folds | {name: metrics[name] for name in LOGGED}
    (study,) = logged_runs(project, "byoe-diabetes", "study")
    assert study.info.status == "FINISHED"
    (final,) = logged_runs(project, "byoe-diabetes", "final")
    assert final.data.metrics["test_rmse_blended"] > 0
    assert {run.data.tags["mlflow.parentRunId"] for run in [*runs, final]} == {study.info.run_id}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> list[dict[str, object]]:
    """The results of the study when nothing kills it."""
    path = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_store, path / "mlflow.db")
    ended = run_command(*ARGUMENTS, folder=path)
    assert ended.code == 0, ended.err
    return [{key: result[key] for key in ("index", "params", "metrics")} for result in recorded_trials(path, "crash")]


def test_kills_are_at_every_point() -> None:
    assert {kill.partition(":")[0] for kill in (*KILLS, STORE_MADE)} == set(POINTS) - {
        *LAUNCH_POINTS,
        *CONTINUED_POINTS,
    }


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kills", [KILLS, (STORE_MADE,)], ids=["with a store", "while it is made"])
def test_killed_at_each_point_the_same_command_completes_the_study(
    kills: tuple[str, ...], project: Path, undisturbed: list[dict[str, object]], tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    if STORE_MADE in kills:
        (project / "mlflow.db").unlink()
    env = {"TMPDIR": str(temporary), "BYOE_TEST": str(os.getpid()), **COLD_WORKERS}
    for kill in kills:
        killed = run_command(*ARGUMENTS, **env, BYOE_KILL_AT=kill)
        assert killed.code == -signal.SIGKILL, (kill, killed.err)
        assert_nothing_is_left(env["BYOE_TEST"])
    resumed = run_command(*ARGUMENTS, **env)
    assert resumed.code == 0, resumed.err
    assert_complete(project)
    assert [
        {key: result[key] for key in ("index", "params", "metrics")} for result in recorded_trials(project, "crash")
    ] == undisturbed
    assert_nothing_is_left(env["BYOE_TEST"])
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_two_studies_started_at_once_in_an_empty_folder_are_both_recorded(folder: Path) -> None:
    arguments = ("mode=local", "search.n_trials=2", *QUICK)
    both = [running(*arguments, f"study={name}") for name in ("one", "two")]
    outputs = [process.communicate()[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [line for output in outputs for line in output.splitlines() if "MLflow could not" in line] == []
    assert len(logged_runs(folder, "byoe-diabetes", "trial")) == 4


def test_second_process_is_refused_while_the_first_runs(project: Path) -> None:
    arguments = ("mode=local", "study=crash", "search.n_trials=2000", *QUICK)
    with running(*arguments) as first:
        assert first.stdout is not None
        next(line for line in first.stdout if line.startswith(b"trial 0"))
        second = run_command(*arguments)
        first.send_signal(signal.SIGTERM)
        first.stdout.read()
    assert second.code == 2
    assert f"is being run by process {first.pid}" in second.err
    assert "study=<name>" in second.err


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, id="closed terminal", marks=pytest.mark.slow),
    ],
)
def test_interrupted_study_reports_how_to_resume_and_leaves_nothing(
    number: signal.Signals, project: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    mark = f"{os.getpid()}-{number}"
    arguments = ("mode=local", "study=crash", "search.n_trials=2000", *QUICK)
    with running(*arguments, TMPDIR=str(temporary), BYOE_TEST=mark, **COLD_WORKERS) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        next(line for line in process.stdout if line.startswith(b"trial 3"))
        process.send_signal(number)
        process.stdout.read()
        err = process.stderr.read().decode()
    assert process.returncode == 130
    assert "same command" in err
    assert "Traceback" not in err
    assert_nothing_is_left(mark)
    assert list(temporary.iterdir()) == []
    finished = [state for _, state, _ in ledger_rows(project, "crash") if state == "complete"]
    assert {run.info.status for run in logged_runs(project, "byoe-diabetes", "trial")} == {"FINISHED"}
    assert len(logged_runs(project, "byoe-diabetes", "trial")) == len(finished) >= 3
    (study,) = logged_runs(project, "byoe-diabetes", "study")
    assert study.info.status == "KILLED"
