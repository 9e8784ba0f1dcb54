"""``mode=remote`` on rows that the user has split and put on S3: jobs read them in place."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.parameters import encode
from tests.conftest import QUICK, Ended
from tests.doubles.aws.double import Double
from tests.doubles.aws.resident import Resident
from tests.experiments.actions.test_remote import arguments, numbers, opened
from tests.support import forked
from tests.support.presplit import ROLES, upload_rows, write_rows
from tests.support.records import recorded_trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(300),
]
Run = Callable[..., Ended]


def place_rows(double: Double, folder: Path, kind: str = "csv") -> str:
    """Put the rows on S3, outside byoe's prefix, and return their address."""
    write_rows(folder, kind)
    upload_rows(folder, double.client("s3"), double.bucket, "theirs/rows")
    return f"s3://{double.bucket}/theirs/rows/"


def keys(double: Double) -> list[str]:
    return [entry["Key"] for entry in double.client("s3").list_objects_v2(Bucket=double.bucket)["Contents"]]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_jobs_read_the_rows_in_place_and_give_the_numbers_of_mode_local(
    kind: str, project: Path, tmp_path: Path, byoe: Run, resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "here", kind)
    two = ["search.n_trials=2", *QUICK, *ROLES]
    local = byoe("mode=local", "study=laptop", *two, f"dataset.path={tmp_path}/here")
    assert local.code == 0, local.err
    points = [
        {name: encode(value) for name, value in trial["params"].items()} for trial in recorded_trials(project, "laptop")
    ]
    with opened(Double(tmp_path / "aws", points, resident=resident), monkeypatch) as double:
        place = place_rows(double, tmp_path / "there", kind)
        remote = arguments(double, *two, f"dataset.path={place}", "mode.budget_usd=2")
        beside = json.loads(byoe(*remote, "action=plan").out)["beside the request"]
        assert beside["data in place"] == place
        assert [location.rpartition("/")[2] for location in beside["uploads, in bytes"]] == ["sourcedir.tar.gz"]
        ended = byoe(*remote)
        assert ended.code == 0, ended.err
        assert f"the data is read in place: {place}" in ended.out
        assert numbers(recorded_trials(project, "cloud")) == numbers(recorded_trials(project, "laptop"))
        (document,) = double.calls("CreateHyperParameterTuningJob")
        channels = document["TrainingJobDefinition"]["InputDataConfig"]
        assert [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in channels] == [
            f"{place}train/",
            f"{place}validation/",
        ]
        assert not any(key.startswith("byoe/data/") for key in keys(double))
        if kind == "csv":  # the rest does not depend on the format of the rows
            attached = byoe("mode=remote", "action=attach", "job=cloud", f"paths.root={tmp_path}/elsewhere")
            assert attached.code == 0, attached.err
            replay = ["action=replay", "replay.study=cloud", "replay.top=1", f"dataset.path={place}"]
            replayed = byoe("mode=local", *two, *replay)
            assert "parity: PASS (1 of 1 trials equal)\n  equal to the bit: 1 of 1" in replayed.out, replayed.err


def test_rows_that_change_under_a_study_fail_its_trials(
    project: Path, tmp_path: Path, byoe: Run, resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(Double(tmp_path / "aws", resident=resident), monkeypatch) as double:
        place = place_rows(double, tmp_path / "rows")
        remote = arguments(double, *ROLES, f"dataset.path={place}", "search.n_trials=2", "search.parallel=1")
        double.hold(0)
        command = forked.command(*remote, "mode.budget_usd=2", "search.max_failure_rate=1")
        with forked.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
            double.wait_for(0, "Training", timeout=60)
            changed = (tmp_path / "rows/validation/part-1.csv").read_bytes().replace(b"True", b"False")
            double.client("s3").put_object(Bucket=double.bucket, Key="theirs/rows/validation/part-1.csv", Body=changed)
            double.release()
            out, _ = running.communicate()
        assert running.returncode == 0, out
        first, second = recorded_trials(project, "cloud")
        assert (first["state"], second["state"]) == ("complete", "failed")
        assert f"its validation rows are not those of the study: the data at {place} has changed" in second["failure"]


def test_rows_in_another_region_are_refused_before_anything_is_uploaded(
    project: Path, tmp_path: Path, byoe: Run, resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(Double(tmp_path / "aws", resident=resident), monkeypatch) as double:
        write_rows(tmp_path / "rows")
        s3 = double.client("s3")
        s3.create_bucket(Bucket="afar", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        upload_rows(tmp_path / "rows", s3, "afar", "rows")
        ended = byoe(*arguments(double, *ROLES, "dataset.path=s3://afar/rows/", "mode.budget_usd=2"))
        assert ended.code == 2
        assert "dataset.path=s3://afar/rows/ is in eu-west-1, and jobs in us-east-1 can only read buckets" in ended.err
        assert double.jobs == []
        assert "Contents" not in s3.list_objects_v2(Bucket=double.bucket)
