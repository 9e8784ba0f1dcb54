"""``mlflow.uri=arn:aws:sagemaker:...``: runs in SageMaker's managed MLflow, whose requests AWS's signature protects."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.conftest import QUICK, Ended
from tests.doubles.aws.double import Double
from tests.doubles.aws.managed_mlflow import ManagedMlflow
from tests.support.records import logged_trials

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.timeout(120),
]
Run = Callable[..., Ended]
ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
SERVER, APP = f"{ARN}mlflow-tracking-server/team", f"{ARN}mlflow-app/app-ABC123"
TRAIN = ("mode=local", "action=train", "study=one", *QUICK)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("arn", "service"),
    [(SERVER, "sagemaker-mlflow"), pytest.param(APP, "sagemaker", marks=pytest.mark.slow)],
    ids=["server", "app"],
)
def test_runs_are_logged_with_signed_requests(
    arn: str, service: str, folder: Path, tmp_path: Path, empty_store: Path, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ManagedMlflow(tmp_path / "managed", empty_store, monkeypatch) as managed:
        ended = byoe(*TRAIN, f"mlflow.uri={arn}")
        with pytest.raises(HTTPError, match="403"):
            urlopen(f"{managed.url}/api/2.0/mlflow/experiments/search")
    assert ended.code == 0, ended.err
    assert "could not record" not in ended.out
    assert managed.services == {service}
    assert managed.arns == {arn}
    assert managed.refused == ["GET /api/2.0/mlflow/experiments/search"]
    assert "aws sagemaker create-presigned-mlflow-" in ended.out
    assert not (folder / "mlflow.db").exists()
    assert len(logged_trials(tmp_path / "managed", "byoe-diabetes")) == 1


@pytest.mark.parametrize(
    ("arn", "message"),
    [
        (f"{ARN}training-job/x", "is not the ARN of SageMaker's managed MLflow"),
        (SERVER.replace("arn:aws:", "arn:aws-cn:"), "is not the ARN of SageMaker's managed MLflow"),
        ("arn:aws:s3:::bucket", "arn:aws:sagemaker:<region>:<account>:mlflow-tracking-server/<name>"),
    ],
)
def test_another_arn_is_refused(arn: str, message: str, folder: Path, byoe: Run) -> None:
    ended = byoe(*TRAIN, f"mlflow.uri={arn}")
    assert ended.code == 2
    assert message in ended.err


def test_a_missing_plugin_is_named_with_its_pip_line(folder: Path, byoe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sagemaker_mlflow" else found(name))
    ended = byoe(*TRAIN, f"mlflow.uri={SERVER}")
    assert ended.code == 2
    assert "pip install sagemaker-mlflow" in ended.err


def test_the_doctor_checks_the_servers_version_and_state(
    project: Path, tmp_path: Path, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Double(tmp_path / "aws") as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        servers = double.state.managed_mlflow
        for arn in (SERVER, APP):
            servers[arn] = ("3.4", "Created")
            assert f"ok    MLflow store   {arn}: MLflow 3.4" in byoe("action=doctor", f"mlflow.uri={arn}").out
        servers[SERVER] = ("2.16", "Created")
        ended = byoe("action=doctor", f"mlflow.uri={SERVER}")
        assert ended.code == 1
        assert f"fails MLflow store   {SERVER} has MLflow 2.16, which is too old for MLflow 3" in ended.out
        servers[SERVER] = ("3.4", "Stopped")
        ended = byoe("action=doctor", f"mlflow.uri={SERVER}")
        assert "start-mlflow-tracking-server --region us-east-1 --tracking-server-name team" in ended.out
        del servers[SERVER]
        ended = byoe("action=doctor", f"mlflow.uri={SERVER}")
        assert "fails MLflow store   AWS refused to look at" in ended.out
