"""A job of the SDK's local mode, kept from the user's account, from telemetry and from leaving things behind."""

from __future__ import annotations

import gc
import json
import os
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from experiments.docker import sdk_job
from experiments.docker.engine import connect, labels
from experiments.docker.sdk_job import NETWORK, create_network, find_network, remove_run, run_job
from experiments.errors import BackendUnavailable
from experiments.system.archives import unpack
from tests.support.docker import containers, left_behind, require_image

SECRET = "wJalrXUtnFEMIsecretsecretEXAMPLEKEY"
RUN = "localjobtest"
STUDY = "local-job-test"
SCRIPT = """
import json, os, socket
try:
    socket.create_connection(("1.1.1.1", 53), timeout=2).close()
    network = True
except OSError:
    network = False
found = {"environ": dict(os.environ), "network": network}
json.dump(found, open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "found.json"), "w"))
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w").write("a model")
if os.environ["SM_HP_BEHAVIOUR"] == "fail":
    raise SystemExit(4)
"""


def job(image: str, folder: Path, behaviour: str) -> dict[str, Any]:
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text(SCRIPT)
    (folder / "train").mkdir()
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"file://{folder / 'train'}",
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "TrainingJobName": "job",
        "HyperParameters": {
            "behaviour": behaviour,
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": json.dumps(f"file://{folder / 'code'}"),
        },
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::000000000000:role/byoe-local",
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"file://{folder / 'artifacts'}"},
        "ResourceConfig": {"InstanceType": "local", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "EnableNetworkIsolation": True,
    }


@pytest.mark.docker
@pytest.mark.timeout(600)
@pytest.mark.parametrize("behaviour", ["work", "fail"])
@pytest.mark.filterwarnings("ignore")  # the SDK's own
def test_job_sees_no_account_sends_no_telemetry_and_leaves_only_its_artifacts(
    behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = require_image().tag
    document = job(image, tmp_path, behaviour)
    for name in ("artifacts", "root"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "mars-north-1")
    kept: list[str] = []
    remove_tree = sdk_job.shutil.rmtree
    monkeypatch.setattr(sdk_job.shutil, "rmtree", lambda path, **more: kept.append(str(path)) or None)
    import sagemaker.core.telemetry.telemetry_logging as telemetry

    sent: list[object] = []
    monkeypatch.setattr(telemetry, "_send_telemetry_request", lambda *arguments: sent.append(arguments))
    create_network(RUN)
    container = {"labels": labels("trial", study=STUDY, run=RUN), "user": f"{os.getuid()}:{os.getgid()}"}
    try:
        assert run_job(document, str(tmp_path / "root"), container) is (behaviour == "work")
        with closing(connect()) as client:
            (network,) = client.networks.list(names=[NETWORK])
            assert network.attrs["Internal"]
        assert containers(STUDY) == []
    finally:
        remove_run(RUN)
    assert left_behind() == []
    assert sent == []
    assert os.environ["AWS_PROFILE"] == "nobody"
    assert str(tmp_path / "root") in kept
    (compose,) = (tmp_path / "root").rglob("docker-compose.yaml")
    # Created by this user and not by the engine, whose folders belong to root and have mode 755.
    made = [compose.parent / "model", *compose.parent.glob("algo-1-*/output/data")]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700, 0o700]
    assert SECRET not in compose.read_text()
    assert "AWS_ACCESS_KEY_ID=none" in compose.read_text()
    monkeypatch.setattr(sdk_job.shutil, "rmtree", remove_tree)
    unpack(tmp_path / "artifacts" / "output.tar.gz", tmp_path / "output")
    found = json.loads((tmp_path / "output" / "data" / "found.json").read_text())
    assert not found["network"]
    assert SECRET not in json.dumps(found)
    assert found["environ"]["AWS_REGION"] == "us-east-1"
    unpack(tmp_path / "artifacts" / "model.tar.gz", tmp_path / "model")
    assert (tmp_path / "model" / "model.txt").read_text() == "a model"
    gc.collect()  # of files that the SDK leaves open; their warnings are ignored


@pytest.mark.docker
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # the SDK's own
def test_job_whose_network_was_not_isolated_is_refused(tmp_path: Path) -> None:
    document = job(require_image().tag, tmp_path, "work")
    for name in ("artifacts", "root"):
        (tmp_path / name).mkdir()
    container = {"labels": labels("trial", study=STUDY, run=RUN), "user": f"{os.getuid()}:{os.getgid()}"}
    with closing(connect()) as client:
        network = client.networks.create(NETWORK, labels={"com.docker.compose.network": NETWORK})
        try:
            with pytest.raises(BackendUnavailable, match=r"mode\.network=none is not possible"):
                run_job(document, str(tmp_path / "root"), container)
        finally:
            network.remove()
    assert containers(STUDY) == []
    assert not (tmp_path / "root").exists()
    gc.collect()  # as above


@pytest.mark.docker
@pytest.mark.parametrize("isolated", [True, False])
def test_network_of_the_other_kind_is_refused_and_left_alone(isolated: bool) -> None:
    require_image()
    with closing(connect()) as client:
        network = client.networks.create(NETWORK, internal=not isolated)
        try:
            with pytest.raises(BackendUnavailable, match=f"docker network rm {NETWORK}"):
                find_network(client, isolated=isolated)
            assert find_network(client, isolated=not isolated)
        finally:
            network.remove()
        assert not find_network(client, isolated=isolated)
