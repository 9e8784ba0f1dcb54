"""``mode=remote action=plan``: everything that would be sent, without an account and without a network."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.aws.settings import planned_settings
from experiments.config.compose import compose
from experiments.config.schema import RemoteModeConfig
from experiments.docker.image import image_spec
from experiments.errors import ConfigError
from tests.conftest import PROJECT, QUICK, Ended

PLAN = ("mode=remote", "action=plan", *QUICK)
ROLE = "arn:aws:iam::123456789012:role/jobs"
SET = (f"mode.role={ROLE}", "mode.bucket=our-bucket", "mode.region=eu-west-1", "mode.price_usd_per_hour=0.2")


def tuning(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    document: dict[str, Any] = json.loads(ended.out)["CreateHyperParameterTuningJob"][0]
    return document


@pytest.fixture(autouse=True)
def no_settings_of_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_it_needs_no_network(folder: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-n", "true"], check=False).returncode != 0:
        pytest.skip("no network namespace can be made here. To run it: be root, with util-linux installed")
    ended = subprocess.run(
        ["unshare", "-n", sys.executable, str(PROJECT / "run.py"), *PLAN],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["CreateHyperParameterTuningJob"]
    assert list(folder.iterdir()) == []


def test_it_reports_what_a_launch_costs_and_still_needs(folder: Path, byoe: Callable[..., Ended]) -> None:
    ended = byoe(*PLAN, "search.n_trials=10", "mode.max_runtime_seconds=1800", "mode.price_usd_per_hour=0.115")
    beside = json.loads(ended.out)["beside the request"]
    assert beside["still to be set"] == ["mode.region", "mode.role", "mode.bucket"]
    assert beside["cost at most, in USD"] == pytest.approx(10 * 0.5 * 0.115)
    assert "at most $0.58: 10 jobs of at most 0.5 h on ml.m5.large at $0.115 an hour" in ended.err
    assert "Nothing was started" in ended.err


def test_the_uploads_are_the_rows_that_trials_see_and_the_code(folder: Path, byoe: Callable[..., Ended]) -> None:
    uploads = json.loads(byoe(*PLAN, *SET, "mode.prefix=team/byoe").out)["beside the request"]["uploads, in bytes"]
    assert {location.rpartition("/")[2] for location in uploads} == {
        "features.npy",
        "target.npy",
        "schema.json",
        "sourcedir.tar.gz",
    }
    assert all(location.startswith("s3://our-bucket/team/byoe/") for location in uploads)
    assert all(size > 0 for size in uploads.values())
    assert not any("/test/" in location for location in uploads)


def test_it_names_the_differences_from_mode_sagemaker(folder: Path, byoe: Callable[..., Ended]) -> None:
    differing = json.loads(byoe(*PLAN, *SET).out)["beside the request"]["differences from mode=sagemaker"]
    places = {place.removeprefix("TrainingJobDefinition.") for place in differing if not place.startswith("Tags")}
    assert places == {
        "StaticHyperParameters.sagemaker_submit_directory",
        "AlgorithmSpecification.TrainingImage",
        "RoleArn",
        "InputDataConfig[0].DataSource.S3DataSource.S3Uri",
        "InputDataConfig[1].DataSource.S3DataSource.S3Uri",
        "OutputDataConfig.S3OutputPath",
        "ResourceConfig.InstanceType",
        "EnableNetworkIsolation",
    }


def test_the_default_image_is_that_of_aws_with_the_pinned_scikit_learn(
    folder: Path, byoe: Callable[..., Ended]
) -> None:
    image = tuning(byoe(*PLAN, *SET))["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"]
    assert image.endswith(".dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3")


def test_every_option_of_mode_remote_is_in_the_request(folder: Path, byoe: Callable[..., Ended]) -> None:
    document = tuning(
        byoe(
            *PLAN,
            *SET,
            "study=whole",
            "mode.spot=true",
            "mode.max_runtime_seconds=600",
            "mode.early_stopping=true",
            "mode.warm_start=[before-1,before-2]",
            "mode.subnets=[subnet-1]",
            "mode.security_groups=[sg-1]",
            "mode.volume_kms_key=disk-key",
            "mode.output_kms_key=output-key",
            "mode.tags={team: risk}",
            "mode.image.uri=123456789012.dkr.ecr.eu-west-1.amazonaws.com/byoe:1",
            "mode.isolated=true",
            "search.parallel=2",
            "search.timeout=7200",
        )
    )
    job = document["TrainingJobDefinition"]
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200}
    assert "CheckpointConfig" not in job  # trainings write no checkpoints, and all of a search's jobs would share one
    assert job["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert job["ResourceConfig"]["VolumeKmsKeyId"] == "disk-key"
    assert job["OutputDataConfig"]["KmsKeyId"] == "output-key"
    assert job["EnableNetworkIsolation"] is True
    assert [channel["ChannelName"] for channel in job["InputDataConfig"]] == ["train", "validation", "code"]
    assert job["StaticHyperParameters"]["sagemaker_submit_directory"] == '"/opt/ml/input/data/code/sourcedir.tar.gz"'
    config = document["HyperParameterTuningJobConfig"]
    assert config["TrainingJobEarlyStoppingType"] == "Auto"
    assert config["ResourceLimits"] == {
        "MaxNumberOfTrainingJobs": 20,
        "MaxParallelTrainingJobs": 2,
        "MaxRuntimeInSeconds": 7200,
    }
    assert document["WarmStartConfig"] == {
        "ParentHyperParameterTuningJobs": [
            {"HyperParameterTuningJobName": "before-1"},
            {"HyperParameterTuningJobName": "before-2"},
        ],
        "WarmStartType": "TransferLearning",
    }
    assert {"Key": "team", "Value": "risk"} in document["Tags"]


def test_a_spot_job_waits_no_longer_than_aws_allows(folder: Path, byoe: Callable[..., Ended]) -> None:
    longest = 28 * 86_400
    ended = byoe(*PLAN, *SET, "mode.spot=true", f"mode.max_runtime_seconds={longest}")
    limits = tuning(ended)["TrainingJobDefinition"]["StoppingCondition"]
    assert limits == {"MaxRuntimeInSeconds": longest, "MaxWaitTimeInSeconds": longest}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mode.max_wait_seconds=99"], "mode.max_wait_seconds=99 needs mode.spot=true"),
        (["mode.spot=true", "mode.max_wait_seconds=99"], "mode.max_wait_seconds=99 includes the run itself"),
        (["mode.spot=true", "mode.keep_alive_seconds=60"], "exclude each other"),
        (["mode.subnets=[subnet-1]"], "mode.subnets and mode.security_groups belong together"),
        (["mode.isolated=true"], "mode.isolated=true: AWS's container installs packages"),
        (["mode.role=jobs"], "mode.role=jobs: use a role's ARN"),
        (["mode.bucket=s3://b"], "mode.bucket=s3://b: use a bucket's name"),
        (["mode.prefix=/byoe"], "mode.prefix=/byoe: use letters"),
        (["mode.prefix="], "mode.prefix is empty"),
        (["mode.tags={a: null}"], "mode.tags.a has no value: set one, or omit the tag"),
        (["search.n_trials=751"], "751; AWS allows 750: use search.n_trials=750 or less"),
        (["search.n_trials=10001", "search.sampler=random"], "10001; AWS allows 10000"),
        (
            ["search.parallel=101", "search.window=101", "search.n_trials=200"],
            "101; AWS allows 100: use search.parallel=100 or less",
        ),
        (
            ["mode.keep_alive_seconds=60"],
            "mode.keep_alive_seconds=60 has no effect on a search by SageMaker's tuner, which drops it",
        ),
        (
            ["mode.volume_kms_key=k", "mode.instance_type=ml.r5d.large"],
            "mode.volume_kms_key: ml.r5d.large has local disks",
        ),
        (["mode.image.push=true", "mode.image.uri=x"], "mode.image.push=true uses byoe's image, and mode.image.uri=x"),
        (["mode.budget_usd=-1"], "mode.budget_usd=-1: use a finite amount above 0"),
        (["mode.max_runtime_seconds=0"], "mode.max_runtime_seconds=0 is not between 1"),
        (["mode.region=eu-nowhere-1"], "is not available for mode.region=eu-nowhere-1"),
        (["mode.instance_type=ml.huge"], "ml.huge"),
        (["mode.profile=none"], "mode.profile=none: ~/.aws has no such profile"),
        (["mode.image.requirements=none.txt"], "mode.image.requirements=none.txt: No such file"),
        (["mode.warm_start=[a,b,c,d,e,f]"], "AMT takes at most 5"),
        (["search.timeout=60"], "a tuning job of SageMaker takes 120 seconds or more"),
    ],
)
def test_what_aws_would_refuse_is_refused_here(
    arguments: list[str], message: str, folder: Path, byoe: Callable[..., Ended]
) -> None:
    region = (
        []
        if any(argument.startswith(("mode.region", "mode.profile")) for argument in arguments)
        else ["mode.region=eu-west-1"]
    )
    ended = byoe(*PLAN, *region, *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_many_jobs_at_a_time_are_warned_of_and_are_not_the_default(folder: Path, byoe: Callable[..., Ended]) -> None:
    assert "search.parallel=2 gives it more results" in byoe(*PLAN, "search.n_trials=8", "search.parallel=4").err
    ended = byoe(*PLAN, "search.n_trials=8")
    assert "gives it more results" not in ended.err
    assert tuning(ended)["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] == 2


def test_a_tag_that_byoe_sets_is_refused() -> None:
    mode = compose(["mode=remote", *SET]).config.mode
    assert isinstance(mode, RemoteModeConfig)
    with pytest.raises(ConfigError, match="'byoe:study' begins with 'byoe:', which is reserved"):
        planned_settings(dataclasses.replace(mode, tags={"byoe:study": "x"}), "")


def test_more_jobs_at_a_time_than_a_new_account_has_are_noted(folder: Path, byoe: Callable[..., Ended]) -> None:
    note = "AMT permits 10 parallel training jobs"
    assert note in byoe(*PLAN, "search.n_trials=99", "search.window=11", "search.parallel=11").err
    assert note not in byoe(*PLAN, "search.n_trials=99", "search.parallel=10").err


def test_the_image_that_would_be_pushed_is_planned_with_its_address(folder: Path, byoe: Callable[..., Ended]) -> None:
    role = "mode.role=arn:aws-cn:iam::123456789012:role/jobs"
    ended = byoe(*PLAN, role, "mode.region=cn-north-1", "mode.image.push=true", "mode.image.base=python:3.12")
    image = tuning(ended)["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"]
    version = image_spec("python:3.12", None).version
    assert image == f"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/byoe:{version}"


def test_a_tuning_job_reads_at_most_twenty_metrics(folder: Path, byoe: Callable[..., Ended]) -> None:
    members = "{" + ", ".join(f"m{number}: {{kind: ridge}}" for number in range(12)) + "}"
    ended = byoe(*PLAN, f"ensemble.members={members}", "search.space.m0.alpha={low: 1, high: 2}")
    metrics = tuning(ended)["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert len(metrics) == 20
    assert metrics[0]["Name"] == "cv_rmse_blended"


@pytest.mark.slow
def test_the_time_limit_is_suggested_from_trials_on_this_machine(project: Path, byoe: Callable[..., Ended]) -> None:
    assert "search.n_trials=3 first" in byoe(*PLAN, *SET).err
    assert byoe("mode=local", "search.n_trials=1", "study=here", *QUICK).code == 0
    ended = byoe(*PLAN, *SET)
    found = re.search(
        r"the slowest trial of study here took ([\d.]+) s on this machine, so mode.max_runtime_seconds=(\d+) is enough: "
        r"10 times that and 5 minutes for a job's start\.",
        ended.err,
    )
    assert found is not None, ended.err
    assert int(found[2]) == pytest.approx(10 * float(found[1]) + 300, abs=61)
    assert int(found[2]) % 60 == 0
    short = byoe(*PLAN, *SET, "mode.max_runtime_seconds=60").err
    assert f"mode.max_runtime_seconds=60 may be too short: {found[2]} is 10 times that" in short
    assert "search.n_trials=3 first" in byoe(*PLAN, *SET, "dataset.folds.k=3").err
