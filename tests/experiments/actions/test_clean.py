"""``action=clean`` on this machine's engine, with ``docker.leftovers``."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest

from experiments.docker.engine import connect, labels, list_containers
from experiments.serving.records import Endpoint, Records
from tests.conftest import QUICK, await_trials, run_command, running
from tests.support.docker import DEFAULT_BASE
from tests.support.records import recorded_trials

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600), pytest.mark.usefixtures("image")]


def test_clean_lists_and_removes_what_byoe_made_and_nothing_else(folder: Path, image: str) -> None:
    base, serving = os.environ.get("BASE_IMAGE", DEFAULT_BASE), folder / "endpoints" / "mine"
    serving.mkdir(parents=True)
    with closing(connect()) as client, contextlib.ExitStack() as after:
        other = client.containers.create(base, ["true"])
        after.callback(other.remove, force=True)
        old = other.commit("byoe", "old", changes="LABEL byoe=image")
        # Of a recorded endpoint, so it is kept, and with it byoe's image, which takes a minute to build.
        kept = client.containers.create(
            image, ["true"], labels=labels("endpoint", endpoint="mine", folder=str(serving))
        )
        after.callback(kept.remove, force=True)
        record = Endpoint("mine", "", kept.name or "", "", str(serving), "", "", "", "serverless", 0.0)
        Records(folder / "endpoints").put(record)
        forgotten = client.containers.create(old.id, ["true"], labels=labels("trial", study="forgotten"))
        network = client.networks.create("byoe-forgotten", labels={"byoe": "network"})
        ended = run_command("action=clean", "mode=sagemaker", "study=none")
        assert ended.code == 0, ended.err
        assert f"container {forgotten.name}  created, of study forgotten" in ended.out
        assert "network byoe-forgotten" in ended.out
        assert "image byoe:old" in ended.out
        assert f"image {image}" not in ended.out
        assert f"kept: container {kept.name}, endpoint mine is recorded, and its container is created" in ended.out
        names = {container.name for container in list_containers(client, [])}
        assert forgotten.name not in names
        assert {other.name, kept.name} <= names
        assert client.networks.list(names=[network.name]) == []
        assert client.images.list(filters={"reference": "byoe:old"}) == []
        assert client.images.list(filters={"reference": image}) != []


def test_clean_keeps_what_a_running_study_needs(project: Path, image: str, nothing_left: None) -> None:
    with running("mode=sagemaker", "study=alive", "search.n_trials=400", *QUICK) as harness:
        await_trials(harness, 2)
        ended = run_command("action=clean")
        await_trials(harness, 4)  # two of which may have been running
        harness.send_signal(signal.SIGINT)
        harness.communicate()
    assert harness.returncode == 130
    assert ended.code == 0, ended.err
    assert re.search(r"kept: container \S+, study alive is running", ended.out)
    assert f"image {image}" not in ended.out
    assert {trial["state"] for trial in recorded_trials(project, "alive")} == {"complete"}
