"""``action=tune``, ``action=train`` and ``backends/winner.py``: from a user's arguments to the files and MLflow."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from rich.console import Console

from experiments.actions.tune import show_data
from experiments.backends import winner
from experiments.comparison.recorded_study import read_study
from experiments.config.compose import compose
from experiments.planning.study import plan_study
from experiments.study.baseline import PARAMETERS
from experiments.study.explained_rows import ExplainedRows
from experiments.study.spec import ENDING_SECONDS
from experiments.tracking.views import STUDIES, runs_page
from tests.conftest import PROJECT, QUICK, Ended, environment, run_command
from tests.support.once import made_once
from tests.support.projects import copy_project
from tests.support.records import client_of, logged_runs, logged_trials, recorded_trials

Run = Callable[..., Ended]
COST = {
    "one_row_ms": 11.0,
    "bulk_row_ms": 0.1,
    "megabytes": 1.0,
    "members_ms": {"xgboost": 1.0, "catboost": 9.0, "ridge": 0.5},
}
TINY = ("mode=local", "study=tiny", "search.n_trials=3", *QUICK)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A folder with a ``project`` in which the tiny study is finished, and with its command's output in ``out.txt``."""

    def make(made: Path) -> None:
        (made / "project").mkdir()
        shutil.copy(empty_store, made / "project" / "mlflow.db")
        ended = run_command(*TINY, folder=made / "project")
        assert ended.code == 0, ended.err
        (made / "out.txt").write_text(ended.out)

    return made_once(tmp_path_factory, "tiny", make)


@pytest.fixture
def tiny(finished: Path, folder: Path) -> Path:
    """The working directory, in which the tiny study is finished."""
    copy_project(finished / "project", folder)
    return folder


def artifacts(project: Path, run_id: str) -> set[str]:
    return {path.name for path in (project / "mlartifacts" / run_id / "artifacts").iterdir()}


def test_new_folder_gets_a_study_a_store_and_nothing_else(folder: Path) -> None:
    ended = run_command(*TINY)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlartifacts", "studies"}
    assert {path.name for path in (folder / "studies").iterdir()} == {"_channels", "tiny"}


@pytest.mark.slow
def test_data_that_was_changed_on_disk_gives_the_numbers_of_the_data_given(tiny: Path) -> None:
    (train,) = (tiny / "studies" / "_channels").glob("*/train")
    target = np.load(train / "target.npy")
    np.save(train / "target.npy", target[::-1])
    ended = run_command(*TINY, "study=again")
    assert ended.code == 0, ended.err
    assert np.array_equal(np.load(train / "target.npy"), target)
    first, again = ([trial["metrics"] for trial in recorded_trials(tiny, name)] for name in ("tiny", "again"))
    assert first == again


def test_study_leaves_every_trial_its_winner_and_its_figures(project: Path) -> None:
    ended = run_command(*TINY, "ensemble.blend=weighted")
    assert ended.code == 0, ended.err
    trials = logged_trials(project, "byoe-diabetes")
    (study,) = logged_runs(project, "byoe-diabetes", "study")
    (final,) = logged_runs(project, "byoe-diabetes", "final")
    assert len(trials) == len(recorded_trials(project, "tiny")) == 3
    for run in [study, final, *trials]:
        tags = run.data.tags
        assert tags["byoe.study"] == "tiny"
        assert (tags["byoe.mode"], tags["byoe.action"]) == ("local", "tune")
        assert len(tags["byoe.data_hash"]) == len(tags["byoe.config_hash"]) == 64
    for run in trials:
        assert run.data.tags["mlflow.parentRunId"] == study.info.run_id
        assert len(run.data.tags["byoe.params_hash"]) == 64
        assert run.data.tags["byoe.version.xgboost"] == "3.2.0"
        assert run.data.params["blend"] == "weighted"
        weights = [run.data.metrics[f"weight_{name}"] for name in ("xgboost", "catboost")]
        assert sum(weights) == pytest.approx(1)
    best = min(trials, key=lambda run: run.data.metrics["cv_rmse_blended"])
    assert study.data.tags["byoe.best_trial"] == best.data.tags["byoe.trial"]
    assert final.data.metrics["cv_rmse_blended"] == best.data.metrics["cv_rmse_blended"]
    assert study.data.metrics["test_rmse_blended"] == final.data.metrics["test_rmse_blended"]
    assert 0.7 < final.data.metrics["coverage_90_low"] < final.data.metrics["coverage_90"] <= 1
    assert f"90% intervals hold {final.data.metrics['coverage_90']:.1%} of the test rows" in ended.out
    assert {"lift_mean", "lift_low", "lift_high", "validation_rmse_catboost"} <= set(study.data.metrics)
    bundle = project / "studies" / "tiny" / "final" / "model"
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file() and path.name != "card.md")
    assert study.data.metrics["bundle_mb"] == pytest.approx(size / 1e6)
    assert 0 < study.data.metrics["predict_ms_in_bulk"] < study.data.metrics["predict_ms"]
    assert study.data.metrics["predict_ms_catboost"] > 0
    assert not any("_ms" in name for trial in recorded_trials(project, "tiny") for name in trial["metrics"])
    assert artifacts(project, study.info.run_id) == {
        "best_params.json",
        "blend_weights.png",
        "config.yaml",
        "error_correlation.png",
        "leave_one_member_out.png",
        "member_and_blend_rmse.png",
        "optimisation_history.png",
        "summary.txt",
    }
    assert artifacts(project, final.info.run_id) == {
        "card.md",
        "explanation_dependence.png",
        "explanation_summary.png",
        "feature_importance.png",
        "metrics.json",
        "model_card.json",
        "predicted_against_actual.png",
        "residuals.png",
    }
    config = (project / "mlartifacts" / study.info.run_id / "artifacts" / "config.yaml").read_text()
    assert re.search(r"blend: weighted +# command line", config)
    with np.load(project / "studies" / "tiny" / "trials" / "0000" / "output" / "data" / "out_of_fold.npz") as arrays:
        assert arrays["members"].shape == (len(arrays["target"]), 2)
    with np.load(project / "studies" / "tiny" / "final" / "test_predictions.npz", allow_pickle=False) as arrays:
        error = np.sqrt(np.mean((arrays["target"] - arrays["blended"]) ** 2))
        assert error == pytest.approx(final.data.metrics["test_rmse_blended"])
        assert arrays["members"].shape == (len(arrays["target"]), 2)
    explained = ExplainedRows.read(project / "studies" / "tiny" / "final" / "explained_rows.npz")
    assert explained is not None
    assert explained.parts.shape[1] == len(explained.columns) == 10
    assert np.all(np.diff(explained.sizes) <= 0)


def test_mlflow_shows_parameters_folds_data_and_the_ranked_model(finished: Path, tiny: Path) -> None:
    trials = logged_trials(tiny, "byoe-diabetes")
    (study,), (final,) = (logged_runs(tiny, "byoe-diabetes", role) for role in ("study", "final"))
    for run in (study, final, *trials):
        (data,) = (given.dataset for given in run.inputs.dataset_inputs)
        assert (data.name, data.digest) == ("diabetes", run.data.tags["byoe.data_hash"][:16])
        assert run.info.status == "FINISHED"
    best = min(trials, key=lambda run: run.data.metrics["cv_rmse_blended"])
    assert {"n_trials": "3", "folds_k": "5", "members": "xgboost,catboost"}.items() <= study.data.params.items()
    assert study.data.params["xgboost__eta"] == best.data.params["xgboost__eta"]
    assert study.data.metrics["trials"] == 3
    assert "best: trial" in study.data.tags["mlflow.note.content"]
    experiment = study.info.experiment_id
    assert f"http://127.0.0.1:5000/{runs_page(experiment, STUDIES)}" in (finished / "out.txt").read_text()
    client = client_of(tiny)
    assert f"mlflow.sharedViewState.{STUDIES}" in client.get_experiment(experiment).tags
    folds = {step.step: step.value for step in client.get_metric_history(best.info.run_id, "cv_rmse_blended_fold")}
    metrics = recorded_trials(tiny, "tiny")[int(best.data.tags["byoe.trial"])]["metrics"]
    assert folds == {fold: metrics[f"cv_rmse_blended_fold_{fold}"] for fold in range(5)}
    (model,) = client.search_logged_models([experiment], order_by=[{"field_name": "metrics.test_rmse_catboost"}])
    scores = {score.key: score.value for score in model.metrics}
    assert scores["test_rmse_catboost"] == final.data.metrics["test_rmse_catboost"]
    assert (model.name, model.source_run_id) == ("tiny", final.info.run_id)
    assert model.params["xgboost__eta"] == best.data.params["xgboost__eta"]
    version = client.get_model_version_by_alias("tiny", "winner")
    assert float(version.tags["test_rmse_blended"]) == pytest.approx(scores["test_rmse_blended"], rel=1e-5)
    assert f"#/experiments/{experiment}/runs/{final.info.run_id}" in version.description


def test_registered_model_predicts_as_trained_from_another_folder(tiny: Path, tmp_path: Path) -> None:
    models = list((tiny / "mlartifacts" / "models").glob("*/artifacts"))
    assert len(models) == 1
    suffixes = {path.suffix for path in models[0].rglob("*") if path.is_file() and path.parent.name != "__pycache__"}
    assert suffixes == {"", ".md", ".npz", ".py", ".txt", ".yaml", ".json", ".ubj", ".cbm"}
    (tiny / "studies").rename(tiny / "elsewhere")
    script = f"""
import sys, json
sys.path[:] = [p for p in sys.path if p not in ("{PROJECT}", "{PROJECT}/entry")]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
from mlflow import pyfunc, set_tracking_uri, set_registry_uri
import pandas as pd
set_tracking_uri("sqlite:///{tiny}/mlflow.db"); set_registry_uri("sqlite:///{tiny}/mlflow.db")
model = pyfunc.load_model("models:/tiny@winner")
manifest = json.load(open(r"{models[0]}/artifacts/model/manifest.json"))
frame = pd.DataFrame(manifest["example"]["features"], columns=[c["name"] for c in manifest["columns"]])
print(json.dumps([list(model.predict(frame)["progression"]), manifest["example"]["predictions"]]))
model.predict(frame.round().astype("int64"))
print(sorted(column.name for column in model.metadata.signature.inputs))
import ensemble; print(ensemble.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment()
    )
    assert done.returncode == 0, done.stderr
    predicted, expected = json.loads(done.stdout.splitlines()[0])
    assert predicted == expected
    assert done.stdout.splitlines()[1] == "['age', 'bmi', 'bp', 's1', 's2', 's3', 's4', 's5', 's6', 'sex']"
    assert not done.stdout.splitlines()[2].startswith(f"{PROJECT}/entry")


@pytest.mark.slow  # pip installs the model's libraries; pyfunc in this environment is tested above
def test_registered_model_is_loaded_and_served_where_only_its_requirements_are(tiny: Path, tmp_path: Path) -> None:
    (artifacts,) = (tiny / "mlartifacts" / "models").glob("*/artifacts")
    python, programs = tmp_path / "fresh" / "bin" / "python", tmp_path / "fresh" / "bin"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "fresh"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", artifacts / "requirements.txt"], check=True)
    expected = json.loads((artifacts / "artifacts/model/manifest.json").read_text())["example"]["predictions"]
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{tiny}/mlflow.db", "PATH": f"{programs}:/usr/bin:/bin"}
    script = (
        "from mlflow import pyfunc\n"
        "model = pyfunc.load_model('models:/tiny@winner')\n"
        "print(list(model.predict(model.input_example)['progression']))\n"
    )
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False, cwd="/", env=variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [programs / "mlflow", "models", "serve", "-m", "models:/tiny@winner", "--env-manager", "local"]
    log = tmp_path / "log.txt"
    with (
        log.open("wb") as file,
        subprocess.Popen([*command, "--port", str(port)], env=variables, stdout=file, stderr=file) as server,
    ):
        try:
            while "Application startup complete" not in log.read_text():
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
            rows = (artifacts / "serving_input_example.json").read_bytes()
            answer = json.loads(_get(f"http://127.0.0.1:{port}/invocations", rows))
        finally:
            for process in [*psutil.Process(server.pid).children(recursive=True), server]:
                process.kill()
    assert [row["progression"] for row in answer["predictions"]] == expected


@pytest.mark.slow
def test_registered_model_with_a_users_member_loads_anywhere(project: Path, tmp_path: Path) -> None:
    (project / "packages" / "mine").mkdir(parents=True)
    (project / "packages" / "mine" / "__init__.py").write_text(
        "from ensemble.members.scikit import Ridge\n\n\nclass Own(Ridge):\n    kind = 'mine:Own'\n"
    )
    arguments = ("mode=local", "action=train", "study=mine", "entry.dependencies=[packages]", "mlflow.register=true")
    ended = run_command(*arguments, "ensemble.members=[{own: {kind: 'mine:Own'}}]")
    assert ended.code == 0, ended.err
    assert "could not record" not in ended.out, ended.out
    (project / "packages").rename(project / "renamed")
    script = f"""
from mlflow import pyfunc, set_tracking_uri
set_tracking_uri("sqlite:///{project}/mlflow.db")
model = pyfunc.load_model("models:/mine@winner")
print(len(model.predict(model.input_example)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "5"


@pytest.mark.slow
def test_study_of_changed_code_is_another_study(project: Path) -> None:
    (project / "packages").mkdir()
    module = project / "packages" / "mine.py"
    source = "from ensemble.members.scikit import Ridge\n\n\nclass Own(Ridge):\n    kind = 'mine:Own'\n"
    module.write_text(source)
    arguments = ("mode=local", "action=train", "study=mine", "entry.dependencies=[packages]")
    assert run_command(*arguments, "ensemble.members=[{own: {kind: 'mine:Own'}}]").code == 0
    module.write_text(source + "    scaled = False\n")
    ended = run_command(*arguments, "ensemble.members=[{own: {kind: 'mine:Own'}}]")
    assert ended.code == 2
    assert "entry.dependencies, the code in packages: another content" in ended.err


def test_finished_study_shows_its_summary_and_runs_nothing(finished: Path, tiny: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*") if path.is_file()}
    second = run_command(*TINY)
    assert second.code == 0
    assert "is finished; nothing was run" in second.out
    assert second.out.split("best: trial")[1] == (finished / "out.txt").read_text().split("best: trial")[1]
    assert "search.n_trials=6   # extend this study" in second.out
    assert "python run.py mode=sagemaker action=deploy model=tiny   # serve it" in second.out
    assert "search.seed=1   # start again" in second.out
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*") if path.is_file()} == before


def test_the_served_model_learns_from_all_rows_unless_told_otherwise(finished: Path, tiny: Path) -> None:
    def served() -> tuple[int, dict[str, float]]:
        manifest = json.loads((tiny / "studies" / "tiny" / "final" / "model" / "manifest.json").read_text())
        return manifest["rows"], manifest["metrics"]

    rows, metrics = served()
    assert rows == 442
    out = " ".join((finished / "out.txt").read_text().split())
    assert "The served model was then fitted on all 442 rows (ensemble.final_rows)." in out
    again = run_command(*TINY, "ensemble.final_rows=train")
    assert again.code == 0, again.err
    assert served() == (266, metrics)
    assert "The served model was then fitted" not in again.out
    assert "is finished" in run_command(*TINY, "ensemble.final_rows=train").out


def test_a_study_of_training_rows_alone_has_no_other_scores_and_says_so(project: Path, byoe: Run) -> None:
    ended = byoe(*TINY, "dataset.split.validation=0", "dataset.split.test=0")
    assert ended.code == 0, ended.err
    printed = " ".join(ended.out.split())
    assert "the importance of features is left out, because there are neither validation nor test rows" in printed
    assert "There are no test rows (dataset.split.test=0)." in printed
    assert "CV RMSE CV MAE CV R² weight fit s" in printed
    assert "The served model was then fitted" not in printed  # it is the one that was scored
    folder = project / "studies" / "tiny"
    (channels,) = (project / "studies" / "_channels").iterdir()
    assert [path.name for path in channels.iterdir()] == ["train"]
    assert {name[:3] for trial in recorded_trials(project, "tiny") for name in trial["metrics"]} == {"cv_"}
    assert not (folder / "final" / "test_predictions.npz").exists()
    assert json.loads((folder / "final" / "model" / "manifest.json").read_text())["rows"] == 442
    (final,) = logged_runs(project, "byoe-diabetes", "final")
    assert [name for name in final.data.metrics if name.startswith(("test_", "validation_"))] == []
    assert "is finished; nothing was run" in byoe(*TINY, "dataset.split.validation=0", "dataset.split.test=0").out
    report = byoe("action=compare", "compare.studies=[tiny,tiny]")
    assert "partial" not in report.out


@pytest.mark.slow
def test_plain_catboost_is_trained_once_beside_the_trials(
    project: Path, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARAMETERS, "iterations", 5)
    command = [*TINY, "search.baseline=true", "search.n_trials=1"]
    ended = byoe(*command)
    assert ended.code == 0, ended.err
    assert "Plain CatBoost, with its own defaults on the same folds" in " ".join(ended.out.split())
    assert len(recorded_trials(project, "tiny")) == len(logged_trials(project, "byoe-diabetes")) == 1
    (study,) = logged_runs(project, "byoe-diabetes", "study")
    metrics = json.loads((project / "studies/tiny/baseline/output/data/metrics.json").read_text())["metrics"]
    assert study.data.metrics["cv_rmse_catboost_default"] == metrics["cv_rmse_catboost"]
    assert study.data.metrics["cv_rmse_target_mean"] > 60
    assert {"lift_over_catboost_mean", "lift_over_catboost_low"} <= set(study.data.metrics)
    monkeypatch.setitem(PARAMETERS, "iterations", 7)
    (project / "studies/tiny/baseline/output/data/metrics.json").unlink()
    more = byoe(*command[:-1], "search.n_trials=2")
    assert more.code == 0, more.err
    assert f"on the same folds: {metrics['cv_rmse_catboost']:.6g}." in " ".join(more.out.split())  # not trained again


@pytest.mark.slow
def test_a_winner_within_milliseconds_leaves_out_what_is_too_slow(
    project: Path, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*TINY, "search.n_trials=2", "ensemble.members=[xgboost,catboost,ridge]", "ensemble.blend=weighted"]
    free = byoe(*command)
    assert free.code == 0, free.err
    with monkeypatch.context() as patch:
        patch.setattr(winner, "_measured", lambda *_: COST)  # what was measured decides, and not this machine
        limited = byoe(*command, "ensemble.max_ms=2")
    assert limited.code == 0, limited.err
    assert "without what is too slow for ensemble.max_ms=2: catboost (9 ms)" in " ".join(limited.out.split())
    manifest = json.loads((project / "studies/tiny/final/model/manifest.json").read_text())
    assert {member["kind"] for member in manifest["members"]} == {"xgboost", "ridge"}
    again = byoe(*command, "ensemble.max_ms=2")
    assert "is finished; nothing was run" in again.out
    assert "catboost (9 ms)" in " ".join(again.out.split())
    wide_enough = byoe(*command, "ensemble.max_ms=20")  # by the same measurement
    assert "all members together are fast enough for ensemble.max_ms=20" in " ".join(wide_enough.out.split())
    assert len(recorded_trials(project, "tiny")) == 2


def test_study_is_extended_by_more_trials(tiny: Path) -> None:
    ended = run_command(*TINY, "search.n_trials=6")
    assert ended.code == 0, ended.err
    assert "3 of 6 trials are done" in ended.out
    assert len(recorded_trials(tiny, "tiny")) == len(logged_trials(tiny, "byoe-diabetes")) == 6
    (study,) = logged_runs(tiny, "byoe-diabetes", "study")
    (final,) = logged_runs(tiny, "byoe-diabetes", "final")
    assert (study.data.params["n_trials"], study.data.metrics["trials"]) == ("6", 6)
    children = [*logged_trials(tiny, "byoe-diabetes"), final, *logged_runs(tiny, "byoe-diabetes", "superseded")]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {study.info.run_id}
    fewer = run_command(*TINY)
    assert fewer.code == 0
    assert "is finished; nothing was run" in fewer.out
    assert "6 trials" in fewer.out


def test_same_command_without_a_name_finds_its_study(project: Path) -> None:
    arguments = [argument for argument in TINY if not argument.startswith("study=")]
    first = run_command(*arguments)
    assert "is finished; nothing was run" in run_command(*arguments).out
    assert len(list((project / "studies").glob("diabetes-pair-*"))) == 1
    assert first.code == 0


def test_train_is_one_run_with_the_parameters_given_and_registers_its_model_when_asked(
    project: Path, byoe: Run
) -> None:
    ended = run_command("mode=local", "action=train", "study=one", *QUICK, "ensemble.params.xgboost.max_depth=4")
    assert ended.code == 0, ended.err
    (trial,) = recorded_trials(project, "one")
    assert trial["params"] == {}
    assert trial["info"]["recipe"]["members"][0]["params"] == {"max_depth": 4, "num_round": 5}
    assert "extend" not in ended.out
    final = json.loads((project / "studies" / "one" / "final" / "model" / "manifest.json").read_text())
    assert (final["metrics"], final["rows"]) == (trial["metrics"], 442)
    assert trial["info"]["final_rows"] == "all"  # it was not trained once more
    assert "mlflow.register=true" in ended.out
    client, (run,) = client_of(project), logged_runs(project, "byoe-diabetes", "final")
    assert client.search_registered_models() == []
    assert len(run.outputs.model_outputs) == 1
    again = ("mode=local", "action=train", "study=one", *QUICK, "ensemble.params.xgboost.max_depth=4")
    assert "models:/one@winner" in byoe(*again, "mlflow.register=true").out
    assert client.get_model_version_by_alias("one", "winner").run_id == run.info.run_id
    assert "is finished; nothing was run" in byoe(*again).out


def test_a_users_table(project: Path) -> None:
    random = np.random.RandomState(0)
    rows = random.normal(size=(90, 3))
    lines = [
        f"{a},{b},,{3 * a - b + c / 10}" if i % 9 == 0 else f"{a},{b},{c},{3 * a - b + c / 10}"
        for i, (a, b, c) in enumerate(rows)
    ]
    (project / "houses.csv").write_text("size,age,note,price\n" + "\n".join(lines) + "\n")
    arguments = ("mode=local", "dataset=file", "dataset.path=houses.csv", "dataset.target=price", "dataset.drop=[note]")
    few_trees = "ensemble.params.random_forest.n_estimators=5"
    ended = run_command(*arguments, "ensemble=quartet", few_trees, "search.n_trials=2", *QUICK, "study=own")
    assert ended.code == 0, ended.err
    assert len(logged_trials(project, "byoe-houses")) == 2
    manifest = json.loads((project / "studies" / "own" / "final" / "model" / "manifest.json").read_text())
    assert [column["name"] for column in manifest["columns"]] == ["size", "age"]
    assert manifest["target"] == "price"


MIXED = """
import numpy as np
import pandas as pd

random = np.random.RandomState(0)
rows = 160
town = random.choice(["Zürich", "Rome", "Oslo"], rows).astype(object)
town[::11] = None
frame = pd.DataFrame(
    {
        "town": town,
        "built": pd.Timestamp("1990-01-01") + pd.to_timedelta(random.randint(0, 9000, rows), "D"),
        "garden": random.rand(rows) < 0.5,
        "size": random.normal(100, 20, rows),
        "seller": random.randint(0, 12, rows),
        "weight": random.rand(rows),
    }
)
frame["price"] = frame["size"] + 30 * (town == "Oslo") + 10 * frame["garden"] + random.normal(0, 3, rows)
frame.to_parquet("houses.parquet")
"""


@pytest.mark.slow
def test_table_of_categories_dates_weights_and_groups_in_parquet(project: Path) -> None:
    exec(compile(MIXED, "mixed", "exec"), {})
    ended = run_command(
        "mode=local",
        "dataset=file",
        "dataset.path=houses.parquet",
        "dataset.target=price",
        "dataset.weights=weight",
        "dataset.folds.kind=group",
        "dataset.folds.column=seller",
        "dataset.folds.k=3",
        "ensemble.members=[xgboost,catboost,extra_trees,{huber: {kind: HuberRegressor}}]",
        "ensemble.blend=stacking_passthrough",
        "search.n_trials=2",
        "study=mixed",
        *QUICK,
    )
    assert ended.code == 0, ended.err
    assert "MLflow could not" not in ended.out
    assert [trial["state"] for trial in recorded_trials(project, "mixed")] == ["complete", "complete"]
    manifest = json.loads((project / "studies" / "mixed" / "final" / "model" / "manifest.json").read_text())
    assert [(column["name"], column["type"]) for column in manifest["columns"]] == [
        ("town", "category"),
        ("built", "date"),
        ("garden", "boolean"),
        ("size", "number"),
    ]
    assert manifest["columns"][0]["levels"] == ["Oslo", "Rome", "Zürich"]
    (final,) = logged_runs(project, "byoe-houses", "final")
    assert final.data.metrics["cv_rmse_blended"] < final.data.metrics["cv_rmse_extra_trees"]


@pytest.mark.slow
def test_broken_store_loses_no_trial_and_is_filled_by_the_next_run(project: Path, empty_store: Path) -> None:
    (project / "mlflow.db").write_bytes(b"this is no database at all, and SQLite says so" * 100)
    first = run_command(*TINY)
    assert first.code == 0, first.err
    assert "MLflow could not record everything" in first.out
    assert "same command" in first.out
    assert len(recorded_trials(project, "tiny")) == 3
    shutil.copy(empty_store, project / "mlflow.db")
    second = run_command(*TINY)
    assert second.code == 0, second.err
    assert "3 of 3 trials are done" in second.out
    assert len(logged_trials(project, "byoe-diabetes")) == 3
    assert len(logged_runs(project, "byoe-diabetes", "final")) == 1


@pytest.mark.slow
def test_store_that_refuses_writes_half_way_is_filled_by_the_next_run(project: Path) -> None:
    connection = sqlite3.connect(project / "mlflow.db")
    connection.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON runs WHEN NEW.name = 'trial-0002' "
        "BEGIN SELECT RAISE(ABORT, 'the store is broken'); END"
    )
    connection.commit()
    first = run_command(*TINY, "search.n_trials=5")
    assert first.code == 0, first.err
    assert "the store is broken" in " ".join(first.out.split())
    assert len(recorded_trials(project, "tiny")) == 5
    connection.execute("DROP TRIGGER broken")
    connection.commit()
    connection.close()
    second = run_command(*TINY, "search.n_trials=5")
    assert second.code == 0, second.err
    trials = logged_trials(project, "byoe-diabetes")
    assert sorted(int(run.data.tags["byoe.trial"]) for run in trials) == list(range(5))
    assert len(logged_runs(project, "byoe-diabetes", "study")) == 1


def test_failing_trials_are_recorded_and_the_others_run(project: Path) -> None:
    from tests.experiments.backends.contract import FAILING

    (project / "packages").mkdir()
    (project / "packages" / "failing.py").write_text(FAILING)
    ended = run_command(
        "mode=local",
        "study=some",
        "entry.dependencies=[packages]",
        "ensemble.members=[ridge, {bad: {kind: 'failing:Failing'}}]",
        "search=blank",
        "search.baseline=false",
        "search.sampler=grid",
        "search.space.bad.alpha={choices: [1, 2, 4, 5]}",
    )
    assert ended.code == 0, ended.err
    assert "trial 1 failed: member 'bad' failed (fit, fold 0): RuntimeError: alpha 2.0 will not do" in ended.out
    assert "4 trials, 1 failed" in ended.out
    (failed,) = [run for run in logged_trials(project, "byoe-diabetes") if run.info.status == "FAILED"]
    assert "alpha 2.0 will not do" in failed.data.tags["byoe.failure"]


def test_study_in_which_everything_fails_ends_with_the_reason(project: Path) -> None:
    from tests.experiments.backends.contract import FAILING

    (project / "packages").mkdir()
    (project / "packages" / "failing.py").write_text(FAILING)
    ended = run_command(
        "mode=local",
        "action=train",
        "study=none",
        "entry.dependencies=[packages]",
        "ensemble.members=[{bad: {kind: 'failing:Failing'}}]",
        "ensemble.params.bad.alpha=2",
    )
    assert ended.code == 1
    assert "alpha 2.0 will not do" in ended.err
    assert "Traceback" not in ended.err
    assert logged_runs(project, "byoe-diabetes", "study")[0].info.status == "FAILED"


@pytest.mark.slow
def test_trials_that_cannot_win_are_pruned_and_a_resumed_study_prunes_the_same(project: Path) -> None:
    arguments = (
        "mode=local",
        "search.n_trials=16",
        "search.prune=true",
        "search.baseline=false",
        "ensemble.members=[xgboost,ridge]",
        "ensemble.blend=mean",  # fitted weights would leave out the bad models that are to lose
        "search.space.xgboost.eta={low: 0.001, high: 1.0, log: true, first: 0.1}",
        "ensemble.params.xgboost.num_round=20",
    )
    whole = run_command(*arguments, "study=whole", "search.parallel=1")
    assert whole.code == 0, whole.err
    reference = recorded_trials(project, "whole")
    states = [trial["state"] for trial in reference]
    assert {"complete", "pruned"} == set(states)
    assert f"16 trials, {states.count('pruned')} pruned" in whole.out
    killed = run_command(*arguments, "study=parts", "search.parallel=2", BYOE_KILL_AT="trial_recorded:9")
    assert killed.code == -signal.SIGKILL
    assert run_command(*arguments, "study=parts", "search.parallel=2").code == 0
    parts = recorded_trials(project, "parts")
    assert [(t["state"], t["params"], t["metrics"]) for t in parts] == [
        (t["state"], t["params"], t["metrics"]) for t in reference
    ]
    runs = [run for run in logged_trials(project, "byoe-diabetes") if run.data.tags["byoe.study"] == "parts"]
    given_up = {int(run.data.tags["byoe.trial"]): run for run in runs if run.data.tags["byoe.state"] == "pruned"}
    assert sorted(given_up) == [index for index, state in enumerate(states) if state == "pruned"]
    for index, run in given_up.items():
        assert run.info.status == "FINISHED"  # MLflow shows the others that end in red
        assert run.data.tags["byoe.pruned_after_folds"] == str(parts[index]["info"]["pruned"]["folds"])
        assert "cv_rmse_blended" not in run.data.metrics


@pytest.mark.slow  # it waits for its limit twice; backends/test_optuna_loop.py moves a clock
def test_study_with_a_time_limit_ends_with_a_winner_and_resumes_with_the_same_command(project: Path) -> None:
    (project / "packages").mkdir()
    (project / "packages" / "lasting.py").write_text(
        "import signal\n"
        "from ensemble.members.scikit import Ridge\n\n\n"
        "class Lasting(Ridge):\n"
        "    kind = 'lasting:Lasting'\n\n"
        "    def fit(self, features, target, weights=None):\n"
        "        if self.params['alpha'] == 2:\n"
        "            signal.pause()\n"
        "        super().fit(features, target, weights)\n"
    )
    arguments = (
        "mode=local",
        "study=lasting",
        "entry.dependencies=[packages]",
        "ensemble.members=[{one: {kind: 'lasting:Lasting'}}]",
        "search=blank",
        "search.baseline=false",
        "search.sampler=grid",
        "search.space.one.alpha={choices: [1, 2, 3]}",
        "search.timeout=7",
    )
    for _ in range(2):
        ended = run_command(*arguments)
        assert ended.code == 0, ended.err
        assert "stopped by search.timeout=7" in ended.out
        assert "continue this study" in ended.out
        assert 1 not in [trial["index"] for trial in recorded_trials(project, "lasting")]
        assert len(logged_runs(project, "byoe-diabetes", "final")) == 1
        assert read_study(project / "studies" / "lasting").time_limit == 7


def test_worker_that_is_killed_fails_its_trial_only(project: Path) -> None:
    (project / "packages").mkdir()
    (project / "packages" / "greedy.py").write_text(
        "import os, signal\n"
        "from ensemble.members.scikit import Ridge\n\n\n"
        "class Greedy(Ridge):\n"
        "    kind = 'greedy:Greedy'\n\n"
        "    def fit(self, features, target, weights=None):\n"
        "        if self.params['alpha'] == 2:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        super().fit(features, target, weights)\n"
    )
    ended = run_command(
        "mode=local",
        "study=greedy",
        "entry.dependencies=[packages]",
        "ensemble.members=[{one: {kind: 'greedy:Greedy'}}]",
        "search=blank",
        "search.baseline=false",
        "search.sampler=grid",
        "search.space.one.alpha={choices: [1, 2, 3, 4, 5]}",
    )
    assert ended.code == 0, ended.err
    states = [(trial["state"], trial["failure"]) for trial in recorded_trials(project, "greedy")]
    assert [state for state, _ in states] == ["complete", "failed", "complete", "complete", "complete"]
    assert "killed by signal 9; was there enough memory?" in states[1][1]


@pytest.mark.slow
def test_mlflow_ui_without_flags_shows_the_study(tiny: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api/2.0/mlflow"
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as interface:
        try:
            assert interface.stdout is not None
            next(line for line in interface.stdout if b"running on http" in line)  # printed once it listens
            found = json.loads(_get(f"{address}/experiments/get-by-name?experiment_name=byoe-diabetes"))["experiment"]
            query = json.dumps({"experiment_ids": [found["experiment_id"]]}).encode()
            runs = json.loads(_get(f"{address}/runs/search", query))["runs"]
        finally:
            for process in [*psutil.Process(interface.pid).children(recursive=True), interface]:
                process.kill()
    assert sorted(run["info"]["run_name"] for run in runs) == [
        "tiny",
        "trial-0000",
        "trial-0001",
        "trial-0002",
        "winner",
    ]


def _get(address: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(address, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


def test_a_table_is_described_once_and_its_warnings_for_every_study(folder: Path) -> None:
    rows = "\n".join(f"{number},7,{number * number % 11}" for number in range(60))
    (folder / "rows.csv").write_text(f"size,odd,price\n{rows}\n")
    table = ("dataset=file", "dataset.path=rows.csv", "dataset.target=price")
    printed = []
    for members in ("ridge", "xgboost"):
        plan = plan_study(compose(["mode=local", "action=train", f"ensemble.members=[{members}]", *table]))
        console = Console(file=io.StringIO(), width=100)
        assert any("odd: constant" in warning for warning in show_data(plan, console))
        plan.place()
        printed.append(console.file.getvalue())  # type: ignore[attr-defined]
    assert "60 rows: 36 train, 12 validation, 12 test." in printed[0]
    assert "To read a column otherwise" in printed[0]
    assert printed[1].startswith("warning: ")
    assert "rows:" not in printed[1]


@pytest.mark.parametrize(
    ("mode", "seconds", "has", "what"),
    [
        ("local", 1, "0.5", "members for which there is no time are left out"),
        # A trial would end within the limit, but not within its own share.
        ("local", ENDING_SECONDS + 8, "[23].[0-9.]+", "members for which there is no time are left out"),
        ("sagemaker", 120, "120", "the command ends after its first trial"),
    ],
)
def test_a_time_limit_below_one_trial_is_noted_before_the_first_trial(
    mode: str, seconds: float, has: str, what: str, folder: Path
) -> None:
    base = (f"mode={mode}", "ensemble=wide", "ensemble.drop_slow=false", "dataset=diabetes")
    limit = f"search.timeout={seconds}"
    repeats = ("dataset.folds.kind=repeated", "dataset.folds.repeats=100") if mode == "sagemaker" else ()
    composed = replace(compose([*base, limit, *repeats]), began=time.monotonic())
    notes = [note for note in plan_study(composed).notes if "search.timeout" in note]
    begins = (
        rf"search\.timeout={seconds:g}: one trial takes about [\d.e+]+ s on one core, and the first one has {has} s"
    )
    assert re.fullmatch(rf"{begins}, so {what}.*\.", notes[0])
    assert len(notes) == (2 if seconds == 1 else 1)
    if seconds == 1:
        exceeded = re.search("search.timeout=1 will be exceeded: .* take about ([0-9]+) s on one core", notes[1])
        assert exceeded
        assert ENDING_SECONDS + 1 <= int(exceeded[1]) < ENDING_SECONDS + 20  # with planning, on a busy machine
    assert not [note for note in plan_study(compose([*base, "search.timeout=100000"])).notes if "timeout" in note]
