"""Downloads from S3, over HTTP from a server that stands in for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from experiments.aws.storage import user_storage
from experiments.config.compose import compose
from experiments.config.schema import LocalModeConfig
from experiments.errors import InputError
from experiments.planning.study import plan_study
from experiments.serving.models import place_model
from tests.conftest import QUICK, Ended

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # the server's own


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="models")
    yield "models"
    server.stop()


@pytest.mark.slow
def test_a_model_on_s3_is_the_one_that_was_uploaded(project: Path, byoe: Callable[..., Ended], bucket: str) -> None:
    assert byoe("mode=local", "action=train", "study=mine", *QUICK).code == 0
    Path("here").mkdir()
    here = place_model(compose(["mode=local"]), Path("here"))
    boto3.client("s3").upload_file("here/model.tar.gz", bucket, "winners/1/model.tar.gz")
    shutil.rmtree("studies")
    Path("there").mkdir()
    there = place_model(compose(["mode=local", f"model=s3://{bucket}/winners/1/model.tar.gz"]), Path("there"))
    assert there.bundle_hash == here.bundle_hash
    assert there.origin == f"s3://{bucket}/winners/1/model.tar.gz"
    assert Path("there/model.tar.gz").read_bytes() == Path("here/model.tar.gz").read_bytes()


def test_a_table_on_s3_is_the_one_that_was_uploaded(folder: Path, bucket: str) -> None:
    rows = "\n".join(f"{x},{x % 5},{2 * x}" for x in range(40))
    Path("here.csv").write_text(f"a,b,y\n{rows}\n")
    boto3.client("s3").upload_file("here.csv", bucket, "tables/there.csv")
    arguments = ["dataset=file", "dataset.target=y"]
    here, there = (
        plan_study(compose([*arguments, f"dataset.path={path}"]))
        for path in ("here.csv", f"s3://{bucket}/tables/there.csv")
    )
    assert there.study.channels.data_hash == here.study.channels.data_hash
    assert there.study.dataset == "there"
    with pytest.raises(InputError, match=r"dataset.target=z: s3://models/tables/there.csv has no"):
        plan_study(compose(["dataset=file", "dataset.target=z", f"dataset.path=s3://{bucket}/tables/there.csv"]))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://models/none.tar.gz", r"refused to read s3://models/none.tar.gz.*NoSuchKey"),
        ("s3://nowhere/model.tar.gz", r"refused to read s3://nowhere/model.tar.gz.*NoSuchBucket"),
        ("s3://models", "does not name an object"),
        ("s3://models/folder/", "does not name an object"),
    ],
)
def test_a_missing_object_is_named(location: str, message: str, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        user_storage(LocalModeConfig()).download(location, tmp_path / "model.tar.gz")
    assert list(tmp_path.iterdir()) == []


def test_missing_credentials_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InputError, match=r"there are no AWS credentials: Unable to locate credentials.*aws configure"):
        user_storage(LocalModeConfig()).download("s3://models/model.tar.gz", tmp_path / "model.tar.gz")
