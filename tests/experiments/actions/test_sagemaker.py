"""``mode=sagemaker`` from the arguments that a user types to what is left in MLflow, on disk and on the engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.datasets import load_diabetes

from experiments.study.ledger import FILE, read
from tests.conftest import PROJECT, QUICK, Ended, environment, run_command
from tests.support.records import logged_runs, logged_trials, recorded_trials, winner_scores

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600), pytest.mark.usefixtures("image")]

TINY = ("mode=sagemaker", "study=containers", "search.n_trials=3", *QUICK)


def test_study_in_containers_is_recorded_like_one_of_mode_local(project: Path, nothing_left: None) -> None:
    local = run_command("mode=local", "study=laptop", "search.n_trials=3", *QUICK)
    sagemaker = run_command(*TINY)
    assert local.code == sagemaker.code == 0, sagemaker.err
    assert sagemaker.err == ""
    local_trials, container_trials = (
        [(trial["params"], trial["metrics"]) for trial in recorded_trials(project, study)]
        for study in ("laptop", "containers")
    )
    assert container_trials == local_trials
    trials = [run for run in logged_trials(project, "byoe-diabetes") if run.data.tags["byoe.mode"] == "sagemaker"]
    assert len(trials) == 3
    assert {run.data.tags["byoe.version.xgboost"] for run in trials} == {"3.2.0"}
    finals = {run.data.tags["byoe.mode"]: run for run in logged_runs(project, "byoe-diabetes", "final")}
    compared = {key for key in finals["local"].data.metrics if key.startswith(("cv_", "validation_", "test_"))}
    for key in compared:
        assert finals["sagemaker"].data.metrics[key] == pytest.approx(finals["local"].data.metrics[key], rel=1e-9), key
    there, here = (winner_scores(project, finals[mode]) for mode in ("sagemaker", "local"))
    assert len(here) > 20
    assert there == pytest.approx(here, rel=1e-9)
    folder = project / "studies" / "containers"
    assert {path.name for path in folder.iterdir()} == {"final", "ledger.sqlite", "lock", "request.json", "trials"}
    assert {path.name for path in (folder / "final").iterdir()} >= {"model", "model.tar.gz", "output", "log.txt"}
    assert "Reporting training SUCCESS" in (folder / "final" / "log.txt").read_text()
    sketch = json.loads((folder / "final" / "model" / "sketch.json").read_text())
    assert len(sketch["columns"]) == 10
    assert sketch["mean"] > 0
    (request,) = json.loads((folder / "request.json").read_text())["CreateHyperParameterTuningJob"]
    assert request["HyperParameterTuningJobName"] == "containers"
    hyperparameters = json.loads((folder / "trials" / "0001" / "input" / "config" / "hyperparameters.json").read_text())
    assert hyperparameters["_tuning_objective_metric"] == "cv_rmse_blended"
    assert hyperparameters["sagemaker_program"] == '"train.py"'
    again = run_command(*TINY)
    assert "is finished; nothing was run" in again.out
    assert again.code == 0


def test_single_training_is_one_job_of_local_mode(project: Path, nothing_left: None) -> None:
    ended = run_command("mode=sagemaker", "action=train", "study=one", *QUICK)
    assert ended.code == 0, ended.err
    log = (project / "studies" / "one" / "trials" / "0000" / "log.txt").read_text()
    assert "Reporting training SUCCESS" in log
    assert (project / "studies" / "one" / "final" / "model.tar.gz").exists()


@pytest.mark.slow  # up to three jobs
def test_a_model_of_a_container_is_described_watched_and_made_smaller(project: Path, nothing_left: None) -> None:
    assert run_command("mode=sagemaker", "action=train", "study=one", *QUICK).code == 0
    card = run_command("action=card", "model=one")
    written = (project / "studies/one/final/model/card.md").read_text()
    assert (card.code, card.out.strip()) == (0, written.strip())
    load_diabetes(as_frame=True).data.to_csv(project / "rows.csv", index=False)
    drift = run_command("action=drift", "model=one", "input=rows.csv")
    assert (drift.code, "drift: NO (10 columns)" in drift.out) == (0, True)
    ended = run_command("mode=sagemaker", "action=shrink", "model=one", *QUICK)
    assert ended.code in (0, 1), ended.err
    name, verdict = re.findall(r"shrink: (one-small[a-z-]*) is (WORSE|not worse) on the test rows", ended.out)[-1]
    assert verdict == ("WORSE" if ended.code else "not worse")
    assert "Reporting training SUCCESS" in (project / f"studies/{name}/final/log.txt").read_text()
    replay = run_command("mode=local", "action=replay", f"replay.study={name}", *QUICK)
    assert "parity: PASS (1 of 1 trials equal)" in replay.out, replay.err


def test_a_users_members_run_in_the_container(project: Path, nothing_left: None) -> None:
    (project / "packages" / "mine").mkdir(parents=True)
    (project / "packages" / "mine" / "__init__.py").write_text(
        "from ensemble.members.scikit import Ridge\n\n\nclass Own(Ridge):\n    kind = 'mine:Own'\n"
    )
    arguments = ("study=mine", "search.n_trials=2", "entry.dependencies=[packages]")
    ended = run_command(
        "mode=sagemaker",
        *arguments,
        "ensemble.members=[{own: {kind: 'mine:Own'}}, ridge]",
        "search.space.own.alpha={low: 0.1, high: 2}",
    )
    assert ended.code == 0, ended.err
    assert [trial["state"] for trial in recorded_trials(project, "mine")] == ["complete", "complete"]


SECRET = "wJalrXUtnFEMIsecretsecretEXAMPLEKEY"
PRINTS_ENVIRONMENT = """
import os
from ensemble.members.scikit import Ridge


class Printing(Ridge):
    kind = "printing:Printing"

    def fit(self, features, target, weights=None):
        print(sorted(os.environ.items()), flush=True)
        super().fit(features, target, weights)
"""


@pytest.mark.parametrize("warm", ["true", "false"], ids=["warm", "cold"])
def test_credentials_reach_no_container_and_no_file(
    warm: str, project: Path, nothing_left: None, tmp_path: Path
) -> None:
    (project / "packages").mkdir()
    (project / "packages" / "printing.py").write_text(PRINTS_ENVIRONMENT)
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key={SECRET}\n")
    ended = run_command(
        "mode=sagemaker",
        "study=printing",
        "search.n_trials=2",
        "search.baseline=false",
        f"mode.warm_pool={warm}",
        "entry.dependencies=[packages]",
        "ensemble.members=[{one: {kind: 'printing:Printing'}}]",
        "search.space.one.alpha={low: 0.1, high: 2}",
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_SESSION_TOKEN=SECRET,
        AWS_PROFILE="nobody",
        AWS_SHARED_CREDENTIALS_FILE=str(credentials),
    )
    assert ended.code == 0, ended.err
    logs = list((project / "studies" / "printing").rglob("log.txt"))
    assert len(logs) == 3
    for log in logs:
        assert "SM_CHANNEL_TRAIN" in log.read_text()
    for path in project.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
            assert b"AKIAIOSFODNN7EXAMPLE" not in path.read_bytes(), path
    assert SECRET not in ended.out + ended.err


def test_no_account_no_region_and_no_home_are_needed(project: Path, nothing_left: None, tmp_path: Path) -> None:
    bare = {name: text for name, text in environment().items() if not name.startswith("AWS")}
    bare["HOME"] = str(tmp_path / "tmp")
    done = subprocess.run(
        [sys.executable, str(PROJECT / "run.py"), *TINY],
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "tmp" / ".config", ignore_errors=True)
    for entry in (tmp_path / "tmp").iterdir():  # Docker's and matplotlib's own
        shutil.rmtree(entry)


NO_ENGINE: dict[str, tuple[Callable[[Path], dict[str, str]], list[str]]] = {
    "docker not on the path": (lambda folder: {"PATH": str(folder)}, ["docker is not on the PATH", "get.docker.com"]),
    "engine stopped": (
        lambda folder: {"DOCKER_HOST": f"unix://{folder}/none.sock"},
        ["the engine at DOCKER_HOST=unix://", "none.sock does not answer", "Start it:"],
    ),
    "no such context": (
        lambda folder: {"DOCKER_CONTEXT": "nowhere"},
        ["DOCKER_CONTEXT=nowhere: there is no such context", "docker context ls"],
    ),
    "compose missing": (
        lambda folder: {"PATH": str(folder / "docker-alone"), "DOCKER_CONFIG": str(folder)},
        ["docker compose is not installed", "apt-get install"],
    ),
}


@pytest.mark.parametrize("case", NO_ENGINE)
def test_a_missing_requirement_is_named_with_its_fix(case: str, project: Path, tmp_path: Path) -> None:
    alone = tmp_path / "docker-alone"
    alone.mkdir()
    (alone / "docker").symlink_to(shutil.which("docker") or "")
    change, parts = NO_ENGINE[case]
    ended = run_command(*TINY, **change(tmp_path))
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert [part for part in parts if part not in ended.err] == []
    assert not (project / "studies" / "containers").exists()


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["mode.image.base=nowhere.invalid/none:latest"], ["the image could not be built", "mode.image.base=nowhere"]),
        (["mode.image.base="], ["mode.image.base is empty"]),
        (["mode.image.requirements=none.txt"], ["mode.image.requirements=none.txt"]),
        (["mode.max_runtime_seconds=0"], ["mode.max_runtime_seconds=0"]),
        (["mode.memory_gb=0.1"], ["mode.memory_gb=0.1"]),
        (["mode.cpus=1000"], ["mode.cpus=1000"]),
        (["mode.network="], ["mode.network is empty"]),
        (["mode.network=nowhere"], ["mode.network=nowhere", "docker network ls"]),
        (["search.timeout=60"], ["search.timeout=60", "120"]),
        (["search.prune=true"], ["search.prune=true is for mode=local"]),
        (
            [f"search.space.xgboost.max_depth={{choices: {list(range(31))}}}"],
            ["xgboost__max_depth has 31 values", "search.portable=false"],
        ),
    ],
)
def test_wrong_argument_is_named_with_its_fix(arguments: list[str], fragments: list[str], project: Path) -> None:
    ended = run_command("mode=sagemaker", "study=wrong", *arguments)
    assert ended.code == 2, ended.out
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert [fragment for fragment in fragments if fragment not in ended.err] == []
    assert not (project / "studies" / "wrong" / "trials").exists()


def test_plan_prints_the_request_and_starts_nothing(folder: Path) -> None:
    ended = run_command("mode=sagemaker", "action=plan", "study=planned")
    assert ended.code == 0, ended.err
    printed = json.loads(ended.out)
    (request,) = printed["CreateHyperParameterTuningJob"]
    assert request["HyperParameterTuningJobName"] == "planned"
    assert printed["beside the request"]["first"]["xgboost__max_depth"] == 3
    (job,) = printed["CreateTrainingJob"]
    assert job["TrainingJobName"] == "planned-001"
    assert job["HyperParameters"]["xgboost__max_depth"] == "3"
    assert job["HyperParameters"]["_tuning_objective_metric"] == "cv_rmse_blended"
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert {entry["Name"] for kind in ranges.values() for entry in kind} <= set(job["HyperParameters"])
    assert "Nothing was started" in ended.err
    assert list(folder.iterdir()) == []


def test_doctor_checks_the_engine(folder: Path, tmp_path: Path) -> None:
    working = run_command("action=doctor", "mode=sagemaker")
    assert working.code == 0, working.out
    for subject in ("Docker", "architecture", "Docker's disk", "compose", "port"):
        assert re.search(rf"^ok +{subject} ", working.out, re.MULTILINE), working.out
    assert "mode=sagemaker can run." in working.out
    failing = run_command("action=doctor", "mode=sagemaker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert failing.code == 1
    assert re.search(r"^fails +Docker +is installed, but its engine does not answer\n +\S+", failing.out, re.MULTILINE)
    assert "mode=sagemaker cannot run yet" in failing.out
    local = run_command("action=doctor", "mode=local", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert local.code == 0
    assert re.search(r"^note +Docker ", local.out, re.MULTILINE)


def replayed(*arguments: str) -> Ended:
    return run_command("mode=sagemaker", "action=replay", "replay.study=laptop", *arguments)


@pytest.mark.parametrize(("ensemble", "trials"), [("pair", 2), pytest.param("wide", 1, marks=pytest.mark.slow)])
def test_the_same_points_give_the_same_numbers_in_mode_local_warm_and_cold(
    ensemble: str, trials: int, project: Path, nothing_left: None
) -> None:
    arguments = (f"ensemble={ensemble}", "ensemble.blend_over=study", "dataset.folds.k=3", *QUICK)
    assert run_command("mode=local", "study=laptop", f"search.n_trials={trials}", *arguments).code == 0
    for warm in ("true", "false"):
        ended = replayed(f"mode.warm_pool={warm}", f"study=replay-{warm}")
        assert ended.code == 0, ended.out
        assert f"parity: PASS ({trials} of {trials} trials equal)\n" in ended.out
    local = {json.dumps(trial["params"], sort_keys=True): trial for trial in recorded_trials(project, "laptop")}
    for warm in ("true", "false"):
        for trial in recorded_trials(project, f"replay-{warm}"):
            reference = local[json.dumps(trial["params"], sort_keys=True)]
            assert trial["info"]["recipe_hash"] == reference["info"]["recipe_hash"]
            assert set(trial["metrics"]) == set(reference["metrics"])
            for name, value in trial["metrics"].items():
                trees = any(tree in name for tree in ("xgboost", "catboost", "random_forest", "extra_trees", "hist_"))
                tolerance = 0.0 if trees or ensemble == "pair" else 1e-9
                assert value == pytest.approx(reference["metrics"][name], rel=tolerance, abs=0.0), name
        if trials > 1:  # the blend over the study is that of the same models, whose trials have other numbers there
            here, there = (read(project / "studies" / name / FILE).facts for name in ("laptop", f"replay-{warm}"))
            assert there["study_blend"]["metrics"] == here["study_blend"]["metrics"]
            assert there["study_blend"]["better"] == here["study_blend"]["better"]
            for name in ("cv_rmse_blended", "validation_rmse_blended", "test_rmse_blended"):
                assert there["final"]["metrics"][name] == here["final"]["metrics"][name]


def test_a_replay_of_something_else_is_refused(project: Path) -> None:
    assert run_command("mode=local", "study=laptop", "search.n_trials=2", *QUICK).code == 0
    other = replayed(*QUICK, "dataset.folds.k=4")
    assert other.code == 2
    assert "dataset.folds.k: 5 there, 4 here" in other.err
    unknown = run_command("mode=sagemaker", "action=replay", "replay.study=lptop", *QUICK)
    assert unknown.code == 2
    assert "Did you mean 'laptop'?" in unknown.err
    nameless = run_command("mode=sagemaker", "action=replay", *QUICK)
    assert nameless.code == 2
    assert "replay.study=" in nameless.err
