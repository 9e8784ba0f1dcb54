"""``mode=sagemaker`` when something fails or ends it: recorded trials stay, and byoe leaves nothing on the engine."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from experiments.docker.engine import connect, labels
from tests.conftest import QUICK, await_trials, run_command, running, until
from tests.support.docker import Forwarder, containers, left_behind
from tests.support.records import logged_trials, recorded_trials

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600), pytest.mark.usefixtures("image")]

# A user's member that does in a container what its parameter says: everything that can go wrong with a script.
FAULTY = """
import atexit, os, signal, sys
from ensemble.members.scikit import Ridge


class Faulty(Ridge):
    kind = "faulty:Faulty"

    def fit(self, features, target, weights=None):
        fault = int(self.params["alpha"])
        if fault == 2:
            os._exit(3)
        elif fault == 3:
            print("[metric] cv_rmse_blended=1.5;", flush=True)
        elif fault == 4:
            atexit.register(lambda: print("[metric] cv_rmse_blended=1.5;", flush=True))
        elif fault == 5:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        elif fault == 6:
            signal.pause()
        elif fault == 7:
            hoard = [bytearray(2**20) for _ in range(4000)]
        elif fault == 8:
            target = target * float("nan")
        super().fit(features, target, weights)
"""
FAULTY_ARGUMENTS = (
    "mode=sagemaker",
    "study=faulty",
    "entry.dependencies=[packages]",
    "ensemble.members=[{one: {kind: 'faulty:Faulty'}}]",
    "search=blank",
    "search.baseline=false",
    "search.sampler=grid",
    "search.max_failure_rate=1",
)


def write_faulty_member(project: Path) -> None:
    (project / "packages").mkdir()
    (project / "packages" / "faulty.py").write_text(FAULTY)


@pytest.mark.slow
@pytest.mark.parametrize("warm", ["true", "false"], ids=["warm", "cold"])
def test_everything_that_can_go_wrong_with_a_script_is_one_failed_trial(
    warm: str, project: Path, nothing_left: None
) -> None:
    write_faulty_member(project)
    faults = "[1, 2, 3, 4, 5, 6, 7, 8]" if warm == "true" else "[1, 2, 4, 6]"
    arguments = (*FAULTY_ARGUMENTS, f"search.space.one.alpha={{choices: {faults}}}", f"mode.warm_pool={warm}")
    ended = run_command(*arguments, "mode.max_runtime_seconds=12", "mode.memory_gb=1")
    assert ended.code == 0, ended.err
    trials = {int(trial["params"]["one__alpha"]): trial for trial in recorded_trials(project, "faulty")}
    complete = {fault for fault, trial in trials.items() if trial["state"] == "complete"}
    assert complete == {1, 3} & set(trials)
    failures = {fault: trial["failure"] for fault, trial in trials.items() if trial["state"] == "failed"}
    assert "exit code 3" in failures[2] or "ExitCode 3" in failures[2]
    assert "cannot be trusted: the log ends with 1.5, and metrics.json has 5" in failures[4]
    assert "it ran longer than mode.max_runtime_seconds=12 and was stopped" in failures[6]
    if warm == "true":
        assert "cannot be trusted: the log has none" in failures[5]
        assert "killed by signal 9; was there enough memory?" in failures[7]
        assert "member 'one' failed" in failures[8]
    log = project / "studies" / "faulty" / "trials" / "0001" / "log.txt"
    assert f"its output: {log}" in ended.out
    assert log.exists()


KILLED_ARGUMENTS = ("mode=sagemaker", "study=killed", "search.n_trials=8", "search.startup_trials=3", *QUICK)
# Ordered so that one study can be killed at all of them. Up to the last within the search, at most 6 trials have begun.
KILLS = ("study_created", "trials_asked:2", "trial_finished:2", "trial_recorded:2", "search_done")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, image: str) -> list[object]:
    """The results in ``mode=local`` of the study of the kill tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("undisturbed")
        shutil.copy(empty_store, folder / "mlflow.db")
        patch.chdir(folder)
        assert run_command("mode=local", *KILLED_ARGUMENTS[1:]).code == 0
        return [(trial["index"], trial["params"], trial["metrics"]) for trial in recorded_trials(folder, "killed")]


@pytest.mark.slow
def test_killed_at_each_point_containers_end_and_the_same_command_completes_the_study(
    project: Path, nothing_left: None, undisturbed: list[object]
) -> None:
    for kill in KILLS:
        killed = run_command(*KILLED_ARGUMENTS, BYOE_KILL_AT=kill)
        assert killed.code == -signal.SIGKILL, (kill, killed.err)
        assert until(lambda: containers("killed") == [])
    resumed = run_command(*KILLED_ARGUMENTS)
    assert resumed.code == 0, resumed.err
    assert [
        (trial["index"], trial["params"], trial["metrics"]) for trial in recorded_trials(project, "killed")
    ] == undisturbed
    assert len(logged_trials(project, "byoe-diabetes")) == 8
    assert not (project / "studies" / "killed" / "containers").exists()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_job_of_the_sdk_ends_with_the_harness(sign: int, project: Path, nothing_left: None) -> None:
    write_faulty_member(project)
    arguments = (*FAULTY_ARGUMENTS, "search.space.one.alpha={choices: [6]}", "mode.warm_pool=false")
    with running(*arguments) as harness:
        assert until(lambda: containers("faulty") != [], 60)
        harness.send_signal(sign)
        harness.communicate()
    assert harness.returncode == (-sign if sign == signal.SIGKILL else 130)
    assert until(lambda: left_behind() == [])
    assert run_command("action=status").code == 0  # the next command removes the temporary files of a killed one


def test_interrupted_study_keeps_finished_trials_and_leaves_no_container(project: Path, nothing_left: None) -> None:
    arguments = ("mode=sagemaker", "study=cut", "search.n_trials=400", *QUICK)
    with running(*arguments) as harness:
        await_trials(harness, 3)
        harness.send_signal(signal.SIGINT)
        _, err = harness.communicate()
    assert harness.returncode == 130
    assert b"Traceback" not in err
    assert len(recorded_trials(project, "cut")) >= 3
    assert len(logged_trials(project, "byoe-diabetes")) == len(recorded_trials(project, "cut"))


def test_engine_that_stops_in_the_middle_loses_no_trial(project: Path, nothing_left: None) -> None:
    arguments = ("mode=sagemaker", "study=stopped", "search.n_trials=400", *QUICK)
    with (
        Forwarder(Path(f"/tmp/byoe-test-{os.getpid()}.sock")) as way,
        running(*arguments, DOCKER_HOST=f"unix://{way.path}") as harness,
    ):
        await_trials(harness, 3)
        way.cut()
        _, err = harness.communicate()
    assert harness.returncode == 1
    assert err.startswith(b"error: the Docker engine does not answer")
    assert b"action=doctor" in err
    assert b"Traceback" not in err
    finished = len(recorded_trials(project, "stopped"))
    assert finished >= 3
    assert {trial["state"] for trial in recorded_trials(project, "stopped")} == {"complete"}
    ended = run_command("mode=sagemaker", "study=stopped", f"search.n_trials={finished}", *QUICK)
    assert ended.code == 0, ended.err


def test_disk_that_fills_up_stops_the_study_and_fails_no_trial(
    project: Path, nothing_left: None, tiny_disk: Callable[[str], Path]
) -> None:
    (project / "packages").mkdir()
    (project / "packages" / "filling.py").write_text(
        "from ensemble.members.scikit import Ridge\n\n\n"
        "class Filling(Ridge):\n"
        "    kind = 'filling:Filling'\n\n"
        "    def fit(self, features, target, weights=None):\n"
        "        if self.params['alpha'] == 3:\n"
        "            with open('/opt/ml/output/data/big', 'wb') as file:\n"
        "                while True:\n"
        "                    file.write(bytes(2**20))\n"
        "        super().fit(features, target, weights)\n"
    )
    disk = tiny_disk("size=60m")
    arguments = (
        "mode=sagemaker",
        "study=filling",
        f"paths.studies={disk}/studies",
        "entry.dependencies=[packages]",
        "ensemble.members=[{one: {kind: 'filling:Filling'}}]",
        "search=blank",
        "search.baseline=false",
        "search.sampler=grid",
        "search.parallel=1",
    )
    ended = run_command(*arguments, "search.space.one.alpha={choices: [1, 2, 3, 4]}")
    assert ended.code == 1
    assert "the disk is full" in ended.err
    assert "same command" in ended.err
    shutil.copytree(disk / "studies", project / "studies")
    assert [trial["state"] for trial in recorded_trials(project, "filling")] == ["complete", "complete"]


def test_containers_of_a_killed_harness_are_removed_when_the_study_resumes(
    project: Path, image: str, nothing_left: None
) -> None:
    found = labels("trial", study="containers", folder=str(project / "studies" / "containers"))
    with closing(connect()) as client:
        orphan = client.containers.run(image, ["sleep", "1000"], detach=True, auto_remove=True, labels=found)
    ended = run_command("mode=sagemaker", "study=containers", "search.n_trials=1", *QUICK)
    assert ended.code == 0, ended.err
    assert orphan.name not in containers("containers")
