"""A folder of rows that are split already, here and on S3: used as it is, or refused in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from ensemble.channel import read_channel
from ensemble.wire import decode_roles
from experiments.config.compose import compose
from experiments.data.channels import place_channels
from experiments.errors import InputError
from experiments.planning.study import StudyPlan, plan_study
from tests.conftest import QUICK, Ended
from tests.support.presplit import ROLES, rows, upload_rows, write_rows
from tests.support.records import logged_runs, recorded_trials

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # the server's own
Run = Callable[..., Ended]


@pytest.fixture
def bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with the rows below ``tables/rows/``, which AWS's default settings reach."""
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
    boto3.client("s3").create_bucket(Bucket="shelf")
    write_rows(folder / "rows")
    upload_rows(folder / "rows", boto3.client("s3"), "shelf", "tables/rows")
    yield "shelf"
    server.stop()


def planned(path: str, *more: str) -> StudyPlan:
    return plan_study(compose([*ROLES, f"dataset.path={path}", *more]))


def test_a_study_uses_the_rows_as_they_are_split(project: Path, byoe: Run) -> None:
    write_rows(project / "rows")
    ended = byoe("mode=local", *ROLES, "dataset.path=rows", "study=mine", "search.n_trials=2", *QUICK)
    assert ended.code == 0, ended.err
    printed = " ".join(ended.out.split())
    assert (
        "dataset.path=rows is split already and stays as it is: 60 rows in train/, 20 rows in validation/, 20 rows"
        in printed
    )
    (channels,) = (project / "studies" / "_channels").iterdir()
    for name, table in rows().items():
        found = read_channel(channels / name)
        assert found.target.tolist() == table["price"].tolist()
        assert found.names == ("town", "when", "garden", "size")
        assert found.weights is not None
        assert found.weights.tolist() == table["w"].tolist()
    towns = read_channel(channels / "train").columns[0].levels
    assert towns == ("Bern", "Oslo", "Rome, Italy")
    assert np.isnan(read_channel(channels / "validation").features[10, 0])
    assert [trial["state"] for trial in recorded_trials(project, "mine")] == ["complete"] * 2
    (winner,) = logged_runs(project, "byoe-rows", "final")
    assert winner.data.metrics["test_rmse_blended"] > 0


def test_the_same_rows_are_the_same_data_however_they_are_written(folder: Path, bucket: str) -> None:
    write_rows(folder / "one", parts=1)
    write_rows(folder / "columnar", "parquet", parts=3)
    upload_rows(folder / "columnar", boto3.client("s3"), bucket, "columnar")
    here = planned("rows")
    paths = (
        "one",
        "columnar",
        f"s3://{bucket}/tables/rows/",
        f"s3://{bucket}/tables//rows//",
        f"s3://{bucket}/columnar/",
    )
    for path in paths:
        there = planned(path)
        assert there.study.channels.data_hash == here.study.channels.data_hash, path
        assert there.study.identity() == here.study.identity()
    assert here.study.dataset == planned(f"s3://{bucket}/tables/rows/").study.dataset == "rows"
    assert here.study.channels.in_place is None
    in_place = planned(f"s3://{bucket}/tables//rows//").study.channels.in_place
    assert in_place is not None
    assert in_place.location == f"s3://{bucket}/tables/rows"


def write_classes(folder: Path, labels: dict[str, list[str]]) -> None:
    """Write tables of classes below a folder, one CSV file each."""
    for name, given in labels.items():
        (folder / name).mkdir(parents=True)
        lines = [f"{place},{place % 7},{label}" for place, label in enumerate(given)]
        (folder / name / "rows.csv").write_text("\n".join(["a,b,risk", *lines]) + "\n")


RISKS = {"train": ["low", "high"] * 20, "validation": ["high", "high"], "test": ["low"] * 5}
OF_RISK = ("dataset=file", "dataset.target=risk", "dataset.folds.k=3")


@pytest.mark.parametrize("declared", [(), ("dataset.task=binary", "dataset.positive=high")])
def test_classes_are_the_same_here_and_in_a_job(declared: tuple[str, ...], folder: Path, bucket: str) -> None:
    write_classes(folder / "risks", RISKS)
    upload_rows(folder / "risks", boto3.client("s3"), bucket, "risks")
    here, there = (
        plan_study(compose([*OF_RISK, f"dataset.path={path}", *declared]))
        for path in ("risks", f"s3://{bucket}/risks/")
    )
    assert there.study.channels.data_hash == here.study.channels.data_hash
    assert here.splits.train.positive == ("high" if declared else "low")
    in_place = there.study.channels.in_place
    assert in_place is not None
    roles = decode_roles(in_place.hyperparameters)
    train = read_channel(folder / "risks" / "train", roles)
    for name, digest in here.splits.hashes.items():
        assert read_channel(folder / "risks" / name, roles, None if name == "train" else train).content_hash() == digest
    place_channels(here.splits, folder / "studies")
    (channels,) = (folder / "studies" / "_channels").iterdir()
    assert read_channel(channels / "test").classes == ("high", "low")


def test_a_class_that_only_other_rows_have_is_named_with_its_row(folder: Path) -> None:
    write_classes(folder / "risks", {**RISKS, "test": ["low", "lo", "high"]})
    with pytest.raises(InputError, match=r"rows.csv: target 'risk' is 'lo' in data row 2.*Did you mean 'low'"):
        plan_study(compose([*OF_RISK, "dataset.path=risks"]))


def test_a_folder_without_validation_and_test_rows_is_used_if_the_user_says_so(folder: Path, bucket: str) -> None:
    s3 = boto3.client("s3")
    shutil.rmtree(folder / "rows" / "validation")
    upload_rows(folder / "rows", s3, bucket, "some")
    places = ("rows", f"s3://{bucket}/some/")
    for path in places:
        plan = planned(path, "dataset.split.validation=0")
        assert list(plan.splits.tables) == ["train", "test"]
        assert "rows is split already" in " ".join(plan.notes) or path != "rows"
    shutil.rmtree(folder / "rows" / "test")
    alone = planned("rows", "dataset.split.validation=0", "dataset.split.test=0")
    assert list(alone.splits.tables) == ["train"]
    assert alone.study.final_rows == "train"


def text(folder: Path, path: str, old: str, new: str) -> None:
    (folder / path).write_text((folder / path).read_text().replace(old, new))


MISTAKES: dict[str, tuple[Callable[[Path], object], list[str], list[str]]] = {
    "a part is missing": (
        lambda rows: (rows / "validation").rename(rows / "valid"),
        [],
        ["lacks validation/", "'valid/'", "To go without: dataset.split.validation=0"],
    ),
    "all parts are missing": (
        lambda rows: [shutil.rmtree(place) for place in rows.iterdir()],
        [],
        ["train/, validation/, test/"],
    ),
    "an empty part": (
        lambda rows: [path.unlink() for path in (rows / "test").iterdir()],
        [],
        ["/test holds no CSV or Parquet file"],
    ),
    "a file of another kind": (
        lambda rows: (rows / "test/notes.txt").write_text("see the wiki\n"),
        [],
        ["part-0.csv and notes.txt", "do not have the same columns", "'see the wiki' only in notes.txt"],
    ),
    "a folder in a part": (
        lambda rows: shutil.copytree(rows / "test", rows / "test/more"),
        [],
        ["/test holds a folder, more/"],
    ),
    "other columns": (
        lambda rows: [text(rows, f"test/part-{part}.csv", "town", "city") for part in range(2)],
        [],
        ["/test/*.csv", "columns of the training rows", "'town'", "'city'"],
    ),
    "other values": (lambda rows: text(rows, "test/part-1.csv", "2024-01-", "3"), [], ["/test/*.csv", "'when' holds"]),
    "no target": (
        lambda rows: [text(rows, f"test/part-{part}.csv", "price", "cost") for part in range(2)],
        [],
        ["dataset.target=price", "/test/*.csv has no such column"],
    ),
    "no weight": (
        lambda rows: [text(rows, f"test/part-{part}.csv", ",w,", ",v,") for part in range(2)],
        [],
        ["dataset.weights=w", "/test/*.csv has no such column"],
    ),
    "another split": (
        lambda rows: None,
        ["dataset.split.test=0.2", "dataset.split.seed=1"],
        ["dataset.split.test=0.2, dataset.split.seed=1", "split already", "Leave them out"],
    ),
    "a part that is said to be missing": (
        lambda rows: None,
        ["dataset.split.test=0"],
        ["dataset.split.test=0 says that there are no rows in test/", "leave the key out"],
    ),
    "more folds than rows": (
        lambda rows: None,
        ["dataset.folds.k=61"],
        ["dataset.folds.k=61: train/ has 60 rows only"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_folder_that_is_not_presplit_is_refused_in_one_line(case: str, folder: Path, byoe: Run) -> None:
    spoil, more, parts = MISTAKES[case]
    write_rows(folder / "rows")
    spoil(folder / "rows")
    ended = byoe("mode=local", *ROLES, "dataset.path=rows", *more)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert [part for part in ["rows", *parts] if part not in ended.err] == []
    assert [path.name for path in folder.iterdir()] == ["rows"]


def test_a_folder_on_s3_that_is_not_presplit_is_named_by_its_address(folder: Path, bucket: str) -> None:
    s3, place = boto3.client("s3"), f"s3://{bucket}/tables/rows/"
    with pytest.raises(InputError, match=rf"dataset.path={place[:-1]}: there is no such object.*a slash: {place}"):
        planned(place[:-1])
    with pytest.raises(InputError, match=r"dataset.path=s3:// names no bucket"):
        planned("s3://")
    with pytest.raises(InputError, match=rf"dataset.target=cost: {place}train/\*\.csv has no such column"):
        planned(place, "dataset.target=cost")
    s3.put_object(Bucket=bucket, Key="tables/rows/test/more.csv.gz", Body=b"\x1f\x8b")
    with pytest.raises(InputError, match=rf"{place}test/more\.csv\.gz is compressed with gzip: unpack it"):
        planned(place)
    for part in range(2):
        s3.delete_object(Bucket=bucket, Key=f"tables/rows/test/part-{part}.csv")
    s3.delete_object(Bucket=bucket, Key="tables/rows/test/more.csv.gz")
    with pytest.raises(InputError, match=f"{place}test holds no CSV or Parquet file"):
        planned(place)
    for name in ("", "_SUCCESS"):
        s3.delete_object(Bucket=bucket, Key=f"tables/rows/test/{name}")
    with pytest.raises(
        InputError, match=f"dataset.path={place} is a folder of rows .* lacks test/. It has: train/, val"
    ):
        planned(place)
    with pytest.raises(InputError, match=r"refused to list s3://nowhere/.*NoSuchBucket"):
        planned("s3://nowhere/")


@pytest.mark.parametrize("path", ["tables/rows/", "table.csv"])
def test_the_rows_are_read_by_the_profile_and_region_of_the_mode(
    path: str, folder: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key="table.csv", Body=(folder / "rows/train/part-0.csv").read_bytes())
    config = tmp_path / "config"
    config.write_text(
        f"[profile team]\naws_access_key_id = t\naws_secret_access_key = t\nendpoint_url = {s3.meta.endpoint_url}\n"
    )
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    remote = ["mode=remote", "mode.profile=team", "mode.region=eu-west-1"]
    assert planned(f"s3://{bucket}/{path}", *remote).study.mode == "remote"
    with pytest.raises(InputError, match="there are no AWS credentials"):
        planned(f"s3://{bucket}/{path}", "mode=local")
    with pytest.raises(InputError, match=r"mode\.profile=tea: ~/\.aws has no such profile. It has: team"):
        planned(f"s3://{bucket}/{path}", "mode=remote", "mode.profile=tea")
