"""``mode=sagemaker`` from the words that a user types to what is left in MLflow, on disk and on the engine."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from experiments.aws.engine import connect, labels, list_containers
from tests.conftest import PROJECT, QUICK, Ended, environment, run_command, until
from tests.docker import DEFAULT_BASE, containers, left_behind, owners, require_image
from tests.experiments.records import logged_runs, logged_trials, recorded_trials

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

TINY = ("mode=sagemaker", "study=boxes", "search.n_trials=3", *QUICK)
# What a user's own member does in a container, by its parameter: everything that can go wrong with a script.
ODD = """
import atexit, os, signal, sys
from ensemble.members.scikit import Ridge


class Odd(Ridge):
    kind = "odd:Odd"

    def fit(self, features, target, weights=None):
        deed = int(self.params["alpha"])
        if deed == 2:
            os._exit(3)
        elif deed == 3:
            print("[metric] cv_rmse_blended=1.5;", flush=True)
        elif deed == 4:
            atexit.register(lambda: print("[metric] cv_rmse_blended=1.5;", flush=True))
        elif deed == 5:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        elif deed == 6:
            signal.pause()
        elif deed == 7:
            hoard = [bytearray(2**20) for _ in range(4000)]
        elif deed == 8:
            target = target * float("nan")
        super().fit(features, target, weights)
"""


@pytest.fixture(scope="module", autouse=True)
def image() -> Iterator[str]:
    yield require_image().tag
    assert left_behind() == []


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After the test nothing of ours is on the engine, in the temporary folder, or another user's on disk."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    yield
    assert until(lambda: left_behind() == [])
    assert list(temporary.iterdir()) == []
    assert owners(tmp_path) <= {os.getuid()}


def running(*words: str, **variables: str) -> subprocess.Popen[bytes]:
    """A command that is started and not waited for."""
    command = [sys.executable, str(PROJECT / "run.py"), *words]
    return subprocess.Popen(command, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def await_trials(harness: subprocess.Popen[bytes], count: int) -> None:
    """Wait until a running command has shown so many more trials, which end in any order."""
    assert harness.stdout is not None
    shown = (line for line in harness.stdout if line.startswith(b"trial "))
    assert len(list(itertools.islice(shown, count))) == count


def odd(project: Path) -> None:
    (project / "packages").mkdir()
    (project / "packages" / "odd.py").write_text(ODD)


ODD_WORDS = (
    "mode=sagemaker",
    "study=odd",
    "entry.dependencies=[packages]",
    "ensemble.members=[{one: {kind: 'odd:Odd'}}]",
    "search=blank",
    "search.sampler=grid",
    "search.max_failure_rate=1",
)


def test_study_in_containers_is_recorded_as_one_at_home(project: Path, nothing_left: None) -> None:
    home = run_command("mode=local", "study=home", "search.n_trials=3", *QUICK)
    boxes = run_command(*TINY)
    assert home.code == boxes.code == 0, boxes.err
    assert boxes.err == ""
    there, here = (
        [(trial["params"], trial["metrics"]) for trial in recorded_trials(project, study)]
        for study in ("home", "boxes")
    )
    assert here == there
    trials = [run for run in logged_trials(project, "byoe-diabetes") if run.data.tags["byoe.mode"] == "sagemaker"]
    assert len(trials) == 3
    assert {run.data.tags["byoe.version.xgboost"] for run in trials} == {"3.2.0"}
    finals = {run.data.tags["byoe.mode"]: run for run in logged_runs(project, "byoe-diabetes", "final")}
    compared = {key for key in finals["local"].data.metrics if key.startswith(("cv_", "validation_", "test_"))}
    assert len(compared) > 20
    for key in compared:
        assert finals["sagemaker"].data.metrics[key] == pytest.approx(finals["local"].data.metrics[key], rel=1e-9), key
    folder = project / "studies" / "boxes"
    assert {path.name for path in folder.iterdir()} == {"final", "ledger.sqlite", "lock", "request.json", "trials"}
    assert {path.name for path in (folder / "final").iterdir()} >= {"model", "model.tar.gz", "output", "log.txt"}
    assert "Reporting training SUCCESS" in (folder / "final" / "log.txt").read_text()
    (request,) = json.loads((folder / "request.json").read_text())["CreateHyperParameterTuningJob"]
    assert request["HyperParameterTuningJobName"] == "boxes"
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


@pytest.mark.parametrize("warm", ["true", "false"], ids=["warm", "cold"])
def test_everything_that_can_go_wrong_with_a_script_is_one_failed_trial(
    warm: str, project: Path, nothing_left: None
) -> None:
    odd(project)
    deeds = "[1, 2, 3, 4, 5, 6, 7, 8]" if warm == "true" else "[1, 2, 4, 6]"
    words = (*ODD_WORDS, f"search.space.one.alpha={{choices: {deeds}}}", f"mode.warm_pool={warm}")
    ended = run_command(*words, "mode.max_runtime_seconds=12", "mode.memory_gb=1", timeout=250)
    assert ended.code == 0, ended.err
    trials = {int(trial["params"]["one__alpha"]): trial for trial in recorded_trials(project, "odd")}
    complete = {deed for deed, trial in trials.items() if trial["state"] == "complete"}
    assert complete == {1, 3} & set(trials)
    failures = {deed: trial["failure"] for deed, trial in trials.items() if trial["state"] == "failed"}
    assert "exit code 3" in failures[2] or "ExitCode 3" in failures[2]
    assert "cannot be trusted: the log ends with 1.5, and metrics.json has 5" in failures[4]
    assert "it ran longer than mode.max_runtime_seconds=12 and was stopped" in failures[6]
    if warm == "true":
        assert "cannot be trusted: the log has none" in failures[5]
        assert "killed by signal 9; was there enough memory?" in failures[7]
        assert "member 'one' failed" in failures[8]
    log = project / "studies" / "odd" / "trials" / "0001" / "log.txt"
    assert f"its output: {log}" in ended.out
    assert log.exists()


def test_members_of_ones_own_and_what_they_need_are_there(project: Path, nothing_left: None) -> None:
    (project / "packages" / "mine").mkdir(parents=True)
    (project / "packages" / "mine" / "__init__.py").write_text(
        "from ensemble.members.scikit import Ridge\n\n\nclass Own(Ridge):\n    kind = 'mine:Own'\n"
    )
    words = ("study=mine", "search.n_trials=2", "entry.dependencies=[packages]")
    ended = run_command(
        "mode=sagemaker",
        *words,
        "ensemble.members=[{own: {kind: 'mine:Own'}}, ridge]",
        "search.space.own.alpha={low: 0.1, high: 2}",
    )
    assert ended.code == 0, ended.err
    assert [trial["state"] for trial in recorded_trials(project, "mine")] == ["complete", "complete"]


SECRET = "wJalrXUtnFEMIsecretsecretEXAMPLEKEY"
TELL_ALL = """
import os
from ensemble.members.scikit import Ridge


class Telling(Ridge):
    kind = "telling:Telling"

    def fit(self, features, target, weights=None):
        print(sorted(os.environ.items()), flush=True)
        super().fit(features, target, weights)
"""


@pytest.mark.parametrize("warm", ["true", "false"], ids=["warm", "cold"])
def test_credentials_reach_no_container_and_no_file(
    warm: str, project: Path, nothing_left: None, tmp_path: Path
) -> None:
    (project / "packages").mkdir()
    (project / "packages" / "telling.py").write_text(TELL_ALL)
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key={SECRET}\n")
    ended = run_command(
        "mode=sagemaker",
        "study=telling",
        "search.n_trials=2",
        f"mode.warm_pool={warm}",
        "entry.dependencies=[packages]",
        "ensemble.members=[{one: {kind: 'telling:Telling'}}]",
        "search.space.one.alpha={low: 0.1, high: 2}",
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_SESSION_TOKEN=SECRET,
        AWS_PROFILE="nobody",
        AWS_SHARED_CREDENTIALS_FILE=str(credentials),
    )
    assert ended.code == 0, ended.err
    logs = list((project / "studies" / "telling").rglob("log.txt"))
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
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "tmp" / ".config", ignore_errors=True)
    for entry in (tmp_path / "tmp").iterdir():  # Docker's and matplotlib's own
        shutil.rmtree(entry)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, image: str) -> list[object]:
    """What the study of the kill tests gives when nothing kills it, at home."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("undisturbed")
        shutil.copy(empty_store, folder / "mlflow.db")
        patch.chdir(folder)
        assert run_command("mode=local", *KILLED_WORDS[1:]).code == 0
        return [(trial["index"], trial["params"], trial["metrics"]) for trial in recorded_trials(folder, "killed")]


KILLED_WORDS = ("mode=sagemaker", "study=killed", "search.n_trials=8", "search.startup_trials=3", *QUICK)


@pytest.mark.parametrize(
    "point", ["study_created", "trials_asked:2", "trial_finished:3", "trial_recorded:5", "search_done"]
)
def test_killed_at_a_point_containers_end_and_the_same_command_completes_the_study(
    point: str, project: Path, nothing_left: None, undisturbed: list[object]
) -> None:
    killed = run_command(*KILLED_WORDS, BYOE_KILL_AT=point)
    assert killed.code == -signal.SIGKILL, killed.err
    assert until(lambda: containers("killed") == [])
    resumed = run_command(*KILLED_WORDS)
    assert resumed.code == 0, resumed.err
    assert [
        (trial["index"], trial["params"], trial["metrics"]) for trial in recorded_trials(project, "killed")
    ] == undisturbed
    assert len(logged_trials(project, "byoe-diabetes")) == 8
    assert not (project / "studies" / "killed" / "containers").exists()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_job_of_the_sdk_ends_with_the_harness(sign: int, project: Path, nothing_left: None) -> None:
    odd(project)
    words = (*ODD_WORDS, "search.space.one.alpha={choices: [6]}", "mode.warm_pool=false")
    with running(*words) as harness:
        assert until(lambda: containers("odd") != [], 60)
        harness.send_signal(sign)
        harness.communicate(timeout=60)
    assert harness.returncode == (-sign if sign == signal.SIGKILL else 130)
    assert until(lambda: left_behind() == [])


def test_interrupted_study_keeps_what_is_finished_and_leaves_no_container(project: Path, nothing_left: None) -> None:
    words = ("mode=sagemaker", "study=cut", "search.n_trials=400", *QUICK)
    with running(*words) as harness:
        await_trials(harness, 3)
        harness.send_signal(signal.SIGINT)
        _, err = harness.communicate(timeout=60)
    assert harness.returncode == 130
    assert b"Traceback" not in err
    assert len(recorded_trials(project, "cut")) >= 3
    assert len(logged_trials(project, "byoe-diabetes")) == len(recorded_trials(project, "cut"))


class EngineProxy:
    """A way to the engine that can be cut in the middle, as a stopped engine is."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for end in self._open:
            with closing(end):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect("/var/run/docker.sock")
            self._open += [client, engine]
            for one, other in ((client, engine), (engine, client)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass_on(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return


def test_engine_that_goes_away_in_the_middle_loses_no_trial(project: Path, nothing_left: None, tmp_path: Path) -> None:
    path = Path(f"/tmp/byoe-test-{os.getpid()}.sock")
    proxy = EngineProxy(path)
    words = ("mode=sagemaker", "study=gone", "search.n_trials=400", *QUICK)
    try:
        with running(*words, DOCKER_HOST=f"unix://{path}") as harness:
            await_trials(harness, 3)
            proxy.cut()
            _, err = harness.communicate(timeout=60)
    finally:
        path.unlink()
    assert harness.returncode == 1
    assert err.startswith(b"error: the Docker engine does not answer")
    assert b"action=doctor" in err
    assert b"Traceback" not in err
    finished = len(recorded_trials(project, "gone"))
    assert finished >= 3
    assert {trial["state"] for trial in recorded_trials(project, "gone")} == {"complete"}
    ended = run_command("mode=sagemaker", "study=gone", f"search.n_trials={finished}", *QUICK)
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
    words = (
        "mode=sagemaker",
        "study=filling",
        f"paths.studies={disk}/studies",
        "entry.dependencies=[packages]",
        "ensemble.members=[{one: {kind: 'filling:Filling'}}]",
        "search=blank",
        "search.sampler=grid",
        "search.parallel=1",
    )
    ended = run_command(*words, "search.space.one.alpha={choices: [1, 2, 3, 4]}")
    assert ended.code == 1
    assert "the disk is full" in ended.err
    assert "same command" in ended.err
    shutil.copytree(disk / "studies", project / "studies")
    assert [trial["state"] for trial in recorded_trials(project, "filling")] == ["complete", "complete"]


NO_ENGINE: dict[str, tuple[Callable[[Path], dict[str, str]], list[str]]] = {
    "docker not on the path": (lambda folder: {"PATH": str(folder)}, ["docker is not on the PATH", "get.docker.com"]),
    "engine stopped": (
        lambda folder: {"DOCKER_HOST": f"unix://{folder}/none.sock"},
        ["the engine at DOCKER_HOST=unix://", "none.sock does not answer", "Start it:"],
    ),
    "no such context": (
        lambda folder: {"DOCKER_CONTEXT": "nowhere"},
        ["DOCKER_CONTEXT=nowhere is none of Docker's contexts", "docker context ls"],
    ),
    "compose missing": (
        lambda folder: {"PATH": str(folder / "docker-alone"), "DOCKER_CONFIG": str(folder)},
        ["docker compose is not installed", "apt-get install"],
    ),
}


@pytest.mark.parametrize("case", NO_ENGINE)
def test_what_is_missing_is_named_with_its_remedy(case: str, project: Path, tmp_path: Path) -> None:
    alone = tmp_path / "docker-alone"
    alone.mkdir()
    (alone / "docker").symlink_to(shutil.which("docker") or "")
    change, words = NO_ENGINE[case]
    ended = run_command(*TINY, **change(tmp_path))
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert [word for word in words if word not in ended.err] == []
    assert not (project / "studies" / "boxes").exists()


@pytest.mark.parametrize(
    ("words", "fragments"),
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
def test_wrong_word_is_named_with_its_fix(words: list[str], fragments: list[str], project: Path) -> None:
    ended = run_command("mode=sagemaker", "study=wrong", *words)
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
    assert printed["beside the request"]["first"]["xgboost__max_depth"] == 6
    (job,) = printed["CreateTrainingJob"]
    assert job["TrainingJobName"] == "planned-001"
    assert job["HyperParameters"]["xgboost__max_depth"] == "6"
    assert job["HyperParameters"]["_tuning_objective_metric"] == "cv_rmse_blended"
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert {entry["Name"] for kind in ranges.values() for entry in kind} <= set(job["HyperParameters"])
    assert "Nothing was started" in ended.err
    assert list(folder.iterdir()) == []


def test_clean_lists_and_removes_what_is_ours_and_nothing_else(folder: Path, image: str) -> None:
    with closing(connect()) as client:
        ours = client.containers.create(image, ["true"], labels={"byoe": "trial", "byoe.study": "forgotten"})
        other = client.containers.create(os.environ.get("BASE_IMAGE", DEFAULT_BASE), ["true"])
        network = client.networks.create("byoe-forgotten", labels={"byoe": "network"})
        try:
            ended = run_command("action=clean", "mode=sagemaker", "study=none")
            assert ended.code == 0, ended.err
            assert re.search(rf"container {ours.name}  created, of study forgotten", ended.out)
            assert "network byoe-forgotten" in ended.out
            assert f"image {image}" in ended.out
            names = {container.name for container in list_containers(client, [])}
            assert ours.name not in names
            assert other.name in names
            assert client.networks.list(names=[network.name]) == []
        finally:
            other.remove(force=True)
    require_image()


def test_clean_keeps_what_a_running_study_needs(project: Path, image: str, nothing_left: None) -> None:
    with running("mode=sagemaker", "study=alive", "search.n_trials=400", *QUICK) as harness:
        await_trials(harness, 2)
        ended = run_command("action=clean")
        await_trials(harness, 4)  # two of which may have been on their way
        harness.send_signal(signal.SIGINT)
        harness.communicate(timeout=60)
    assert harness.returncode == 130
    assert ended.code == 0, ended.err
    assert re.search(r"kept: container \S+, study alive is running", ended.out)
    assert f"image {image}" not in ended.out
    assert {trial["state"] for trial in recorded_trials(project, "alive")} == {"complete"}


def test_containers_whose_harness_is_gone_are_removed_when_the_study_goes_on(
    project: Path, image: str, nothing_left: None
) -> None:
    found = labels("trial", study="boxes", folder=str(project / "studies" / "boxes"))
    with closing(connect()) as client:
        orphan = client.containers.run(image, ["sleep", "1000"], detach=True, auto_remove=True, labels=found)
    ended = run_command(*TINY)
    assert ended.code == 0, ended.err
    assert orphan.name not in containers("boxes")


def test_doctor_looks_at_the_engine(folder: Path, tmp_path: Path) -> None:
    well = run_command("action=doctor", "mode=sagemaker")
    assert well.code == 0, well.out
    for subject in ("Docker", "architecture", "Docker's disk", "compose", "port"):
        assert re.search(rf"^ok +{subject} ", well.out, re.MULTILINE), well.out
    assert "mode=sagemaker can run." in well.out
    ill = run_command("action=doctor", "mode=sagemaker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert ill.code == 1
    assert re.search(r"^fails +Docker +is installed, and its engine does not answer\n +\S+", ill.out, re.MULTILINE)
    assert "mode=sagemaker cannot run yet" in ill.out
    home = run_command("action=doctor", "mode=local", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert home.code == 0
    assert re.search(r"^note +Docker ", home.out, re.MULTILINE)


def replayed(*words: str) -> Ended:
    return run_command("mode=sagemaker", "action=replay", "replay.study=home", "replay.top=2", *words)


@pytest.mark.parametrize("ensemble", ["pair", "wide"])
def test_the_same_points_give_the_same_numbers_at_home_warm_and_cold(
    ensemble: str, project: Path, nothing_left: None
) -> None:
    words = (f"ensemble={ensemble}", *QUICK)
    assert run_command("mode=local", "study=home", "search.n_trials=4", *words).code == 0
    for warm in ("true", "false"):
        ended = replayed(*words, f"mode.warm_pool={warm}", f"study=replay-{warm}")
        assert ended.code == 0, ended.out
        assert "parity: PASS (2 of 2 trials equal)\n" in ended.out
    home = {json.dumps(trial["params"], sort_keys=True): trial for trial in recorded_trials(project, "home")}
    for warm in ("true", "false"):
        for trial in recorded_trials(project, f"replay-{warm}"):
            reference = home[json.dumps(trial["params"], sort_keys=True)]
            assert trial["info"]["recipe_hash"] == reference["info"]["recipe_hash"]
            assert set(trial["metrics"]) == set(reference["metrics"])
            for name, value in trial["metrics"].items():
                trees = any(tree in name for tree in ("xgboost", "catboost", "random_forest", "extra_trees", "hist_"))
                tolerance = 0.0 if trees or ensemble == "pair" else 1e-9
                assert value == pytest.approx(reference["metrics"][name], rel=tolerance, abs=0.0), name


def test_a_replay_of_something_else_is_refused(project: Path) -> None:
    assert run_command("mode=local", "study=home", "search.n_trials=2", *QUICK).code == 0
    other = replayed(*QUICK, "dataset.folds.k=4")
    assert other.code == 2
    assert "fixed.folds_k: 5 there, 4 here" in other.err
    unknown = run_command("mode=sagemaker", "action=replay", "replay.study=hme", *QUICK)
    assert unknown.code == 2
    assert "Did you mean 'home'?" in unknown.err
    nameless = run_command("mode=sagemaker", "action=replay", *QUICK)
    assert nameless.code == 2
    assert "replay.study=" in nameless.err
