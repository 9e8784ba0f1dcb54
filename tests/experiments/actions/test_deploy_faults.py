"""Failures of a deployment: the message names the fault, the old endpoint keeps serving, and nothing else is left."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.serving.client import ping
from experiments.serving.records import Records
from tests.conftest import environment, run_command, until
from tests.support import forked
from tests.support.docker import Forwarder, left_behind

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
DEPLOY = ("mode=sagemaker", "action=deploy", "serving=realtime")


def a_member(model: Path) -> Path:
    return next((model / "members").rglob("*.ubj"))


def cut(model: Path) -> None:
    member = a_member(model)
    member.write_bytes(member.read_bytes()[:-1])


def lose(model: Path) -> None:
    a_member(model).unlink()


def age(model: Path) -> None:
    """Have the bundle's manifest name another version of a library."""
    path = model / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["xgboost"] = "1.0.0"
    path.write_text(json.dumps(manifest))


def versions(folder: Path) -> list[str]:
    """Return the folders of the endpoint's versions."""
    return [path.name for path in (folder / "endpoints/local").iterdir() if path.is_dir()]


@pytest.fixture
def served(trained: Path) -> Path:
    """The folder, with an endpoint that serves."""
    ended = run_command(*DEPLOY, "model=one")
    assert ended.code == 0, ended.err
    return trained


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (cut, "is not the file that was saved"),
        (lose, "is missing"),
        (age, "xgboost==1.0.0"),
    ],
)
def test_a_broken_bundle_is_refused_and_the_old_one_keeps_serving(
    harm: Callable[[Path], None], reason: str, served: Path
) -> None:
    records = Records(served / "endpoints")
    first = records.get("local")
    shutil.copytree("studies/two", "studies/broken")
    harm(Path("studies/broken/final/model"))
    ended = run_command(*DEPLOY, "model=broken")
    assert ended.code == 1
    assert reason in ended.err
    assert "Traceback" not in ended.err
    assert records.get("local") == first
    assert ping(first.url)["bundle"] == first.bundle_hash
    assert left_behind() == [first.container, first.network]
    assert versions(served) == [Path(first.folder).name]


def test_a_port_that_is_taken_is_named(trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_command(*DEPLOY, "model=one", f"serving.port={port}")
    assert ended.code == 2
    assert f"serving.port={port} is taken" in ended.err
    assert left_behind() == []


def test_the_port_of_the_old_version_is_refused_for_the_next(served: Path) -> None:
    before = Records(served / "endpoints").get("local")
    ended = run_command(*DEPLOY, "model=two", f"serving.port={before.url.rpartition(':')[2]}")
    assert ended.code == 2
    assert "python run.py action=delete endpoint=local" in ended.err
    assert Records(served / "endpoints").get("local") == before
    assert ping(before.url) is not None


def test_a_full_disk_is_named_and_nothing_stays(trained: Path, tiny_disk: Callable[[str], Path]) -> None:
    disk = tiny_disk("size=64k")
    ended = run_command(*DEPLOY, "model=one", f"paths.endpoints={disk}/endpoints")
    assert ended.code == 2
    assert f"the disk of {disk} is full" in ended.err
    assert "Traceback" not in ended.err
    assert left_behind() == []
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("arguments", [DEPLOY, ("action=delete",)])
def test_an_engine_that_is_down_is_named_and_the_endpoint_is_kept(
    arguments: tuple[str, ...], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Records(served / "endpoints").get("local")
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{served}/none.sock")
        ended = run_command(*arguments)
    assert ended.code != 0
    assert "does not answer" in ended.err
    assert "Traceback" not in ended.err
    assert Records(served / "endpoints").get("local") == before
    assert ping(before.url) is not None


def test_an_engine_that_stops_during_a_deployment_is_named_and_the_next_deployment_cleans_up(
    served: Path, tmp_path: Path
) -> None:
    first = Records(served / "endpoints").get("local")
    with Forwarder(tmp_path / "engine.sock") as forwarder:
        process = forked.Popen(
            forked.command(*DEPLOY, "model=two"),
            env={**environment(), "DOCKER_HOST": f"unix://{forwarder.path}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert until(lambda: len(left_behind()) > 2)
    _, error = process.communicate()
    assert process.returncode not in (0, None)
    assert "Docker" in error
    assert "Traceback" not in error
    assert Records(served / "endpoints").get("local") == first
    assert ping(first.url) is not None

    assert run_command(*DEPLOY, "model=two").code == 0
    second = Records(served / "endpoints").get("local")
    assert left_behind() == [second.container, second.network]
    assert versions(served) == [Path(second.folder).name]
