"""A warm container gives each job the container contract and a fresh start, and ends with the process that holds it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.backends.container_runners import lay_out
from experiments.docker.engine import STUDY_LABEL, connect, labels, list_containers
from experiments.docker.warm_pool import ContainerSettings, WarmContainer, WarmPool
from experiments.errors import RunnerClosed
from experiments.study.source_dir import place_source, source_folder
from tests.conftest import PROJECT, until
from tests.support.docker import containers, require_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

STUDY = "warm-pool-test"
# The entry script of these tests does one thing per job, and prints what it found.
SCRIPT = """
import json, os, signal, socket, subprocess, sys, time

hyperparameters = json.load(open("/opt/ml/input/config/hyperparameters.json"))
behaviour = hyperparameters["behaviour"]

def can_connect():
    try:
        socket.create_connection(("1.1.1.1", 53), timeout=2).close()
    except OSError:
        return False
    return True

if behaviour == "look":
    found = {
        "files": sorted(os.path.join(at, name) for at, _, names in os.walk("/opt/ml/model") for name in names)
        + sorted(os.listdir("/opt/ml/output/data")) + sorted(os.listdir("/tmp")),
        "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
        "environ": dict(os.environ),
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "network": can_connect(),
        "user": [os.getuid(), os.getgid()],
        "module": "litter" in sys.modules,
    }
    json.dump(found, open("/opt/ml/output/data/found.json", "w"))
elif behaviour == "litter":
    open("/tmp/left", "w").write("x")
    os.mkdir("/tmp/folder")
    open("/opt/ml/model/left", "w").write("x")
    open("/opt/ml/left", "w").write("x")
    os.environ["LEFT"] = "x"
    sys.modules["litter"] = json
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
elif behaviour == "exit":
    sys.exit(int(hyperparameters["code"]))
elif behaviour == "raise":
    raise ValueError("no luck")
elif behaviour == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == "hang":
    signal.pause()
elif behaviour == "allocate":
    hoard = [bytearray(2**20) for _ in range(4000)]
print("behaviour done", flush=True)
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ContainerSettings:
    image = require_image().tag
    root = tmp_path_factory.mktemp("code")
    place_source((), root)
    code = root / "code"
    shutil.copytree(source_folder((), root), code)
    (code / "train.py").write_text(SCRIPT)
    channels = {}
    for name in ("train", "validation"):
        channels[name] = root / name
        channels[name].mkdir()
        (channels[name] / "data.csv").write_text("a\n1\n")
    user = f"{os.getuid()}:{os.getgid()}"
    return ContainerSettings(image, user, code, channels, labels("trial", study=STUDY))


@pytest.fixture
def container(settings: ContainerSettings, tmp_path: Path) -> Iterator[WarmContainer]:
    found = WarmContainer(settings, tmp_path / "container")
    yield found
    found.close()
    assert until(lambda: containers(STUDY) == [])


def job(behaviour: str, **hyperparameters: str) -> dict[str, Any]:
    return {
        "HyperParameters": {
            "behaviour": behaviour,
            **hyperparameters,
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": '"file:///somewhere"',
        },
        "InputDataConfig": [{"ChannelName": "train"}, {"ChannelName": "validation"}],
        "ResourceConfig": {"InstanceType": "local"},
    }


def run(container: WarmContainer, behaviour: str, seconds: float = 60, **hyperparameters: str) -> int | None:
    lay_out(container.ml, job(behaviour, **hyperparameters))
    return container.run(1, seconds, keep_model=True).exit_code


def look(container: WarmContainer) -> dict[str, Any]:
    assert run(container, "look", rate="0.5") == 0, container.log.read_text()
    found: dict[str, Any] = json.loads((container.ml / "output" / "data" / "found.json").read_text())
    return found


def test_a_job_finds_what_the_sagemaker_toolkit_provides(container: WarmContainer) -> None:
    found = look(container)
    environ = found["environ"]
    assert environ["SM_CHANNEL_TRAIN"] == "/opt/ml/input/data/train"
    assert environ["SM_CHANNEL_VALIDATION"] == "/opt/ml/input/data/validation"
    assert environ["SM_MODEL_DIR"] == "/opt/ml/model"
    assert environ["SM_OUTPUT_DATA_DIR"] == "/opt/ml/output/data"
    assert environ["SM_INPUT_CONFIG_DIR"] == "/opt/ml/input/config"
    assert environ["SM_HP_RATE"] == "0.5"
    assert environ["SM_CURRENT_HOST"] == "algo-1"
    assert environ["SM_NUM_CPUS"] == "1"
    assert found["argv"][1:] == ["--behaviour", "look", "--rate", "0.5"]
    assert found["cwd"] == "/opt/ml/code"
    assert found["user"] == [os.getuid(), os.getgid()]
    assert not found["network"]
    assert container.log.read_text() == "behaviour done\n"


def test_a_job_starts_clean_after_any_other(container: WarmContainer) -> None:
    first = look(container)
    assert run(container, "litter") == 0
    second = look(container)
    assert second["files"] == first["files"] == []
    assert len(second["processes"]) == len(first["processes"]) == 2
    assert "LEFT" not in second["environ"]
    assert not second["module"]
    assert not (container.ml / "left").exists()


@pytest.mark.parametrize(
    ("behaviour", "code"), [("exit", 7), ("raise", 1), ("kill", -signal.SIGKILL)], ids=["exits", "raises", "is killed"]
)
def test_a_job_that_fails_does_not_end_its_container(behaviour: str, code: int, container: WarmContainer) -> None:
    assert run(container, behaviour, code="7") == code
    if behaviour == "raise":
        assert "ValueError: no luck" in container.log.read_text()
    assert look(container)["files"] == []


def test_a_job_that_takes_too_much_memory_is_killed_alone(settings: ContainerSettings, tmp_path: Path) -> None:
    container = WarmContainer(replace(settings, memory_bytes=700 * 2**20), tmp_path / "container")
    try:
        assert look(container)["files"] == []
        assert run(container, "allocate") == -signal.SIGKILL
        assert look(container)["files"] == []
    finally:
        container.close()


def test_a_job_that_runs_too_long_is_stopped_with_its_container(container: WarmContainer) -> None:
    look(container)
    lay_out(container.ml, job("hang"))
    ended = container.run(1, 0.5, keep_model=True)
    assert ended.exit_code is None
    assert ended.timed_out
    assert until(lambda: containers(STUDY) == [])


def test_a_container_that_is_killed_ends_its_job(container: WarmContainer) -> None:
    look(container)
    lay_out(container.ml, job("hang"))
    with closing(connect()) as client:
        (found,) = list_containers(client, [f"{STUDY_LABEL}={STUDY}"])
        killer = threading.Timer(0.2, found.kill)
        killer.start()
        ended = container.run(1, 60, keep_model=True)
        killer.join()
    assert ended.exit_code is None
    assert not ended.timed_out


def test_files_belong_to_the_user_of_the_container(settings: ContainerSettings, tmp_path: Path) -> None:
    folder = tmp_path / "container"
    container = WarmContainer(replace(settings, user="4321:4321"), folder)
    try:
        lay_out(container.ml, job("look"))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o777)
        assert container.run(1, 60, keep_model=True).exit_code == 0
        found = container.ml / "output" / "data" / "found.json"
        assert (found.stat().st_uid, found.stat().st_gid) == (4321, 4321)
        assert json.loads(found.read_text())["user"] == [4321, 4321]
    finally:
        container.close()


def test_containers_have_no_more_rights_than_they_need(container: WarmContainer) -> None:
    with closing(connect()) as client:
        (found,) = list_containers(client, [f"{STUDY_LABEL}={STUDY}"])
        host = found.attrs["HostConfig"]
        assert host["NetworkMode"] == "none"
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["AutoRemove"]
        writable = {mount["Destination"] for mount in found.attrs["Mounts"] if mount["RW"]}
        assert writable == {"/opt/ml", "/var/log/byoe"}
        assert not [entry for entry in found.attrs["Config"]["Env"] if entry.startswith("AWS")]


@pytest.mark.parametrize("behaviour", ["look", "hang"], ids=["idle", "at work"])
def test_containers_end_with_the_process_that_holds_them(
    behaviour: str, settings: ContainerSettings, tmp_path: Path
) -> None:
    code = f"""
import pathlib, sys, threading
from experiments.backends.container_runners import lay_out
from experiments.docker.warm_pool import *
settings = ContainerSettings({settings.image!r}, {settings.user!r}, pathlib.Path({str(settings.code)!r}), {{}},
                             {dict(settings.labels)!r})
container = WarmContainer(settings, pathlib.Path({str(tmp_path / "held")!r}))
lay_out(container.ml, {job(behaviour)!r})
thread = threading.Thread(target=container.run, args=(1, 600), kwargs={{"keep_model": False}}, daemon=True)
thread.start()
if {behaviour!r} == "look":
    thread.join()
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert len(containers(STUDY)) == 1
        assert until((tmp_path / "held" / "log" / "log.txt").exists)
        holder.kill()
    assert until(lambda: containers(STUDY) == [])


def test_a_closed_pool_leaves_nothing_and_refuses_jobs(settings: ContainerSettings, tmp_path: Path) -> None:
    pool = WarmPool(settings, tmp_path / "pool", 2)
    number, container = pool.acquire()
    thread_ended: list[bool] = []

    def work() -> None:
        lay_out(container.ml, job("hang"))
        ended = container.run(1, 60, keep_model=False)
        thread_ended.append(pool.release(number, container, alive=ended.exit_code is not None))

    thread = threading.Thread(target=work)
    thread.start()
    pool.close()
    thread.join()
    assert thread_ended == [False]
    with pytest.raises(RunnerClosed):
        pool.acquire()
    pool.close()
    assert until(lambda: containers(STUDY) == [])
    assert not (tmp_path / "pool").exists()
