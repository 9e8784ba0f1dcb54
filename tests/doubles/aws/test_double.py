"""The double itself, called with boto3, as byoe calls it."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError

from tests.conftest import until
from tests.doubles.aws.checks import code_of, raw_answer, wrong
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import (
    CutDownload,
    Expiry,
    Interruption,
    JobFailure,
    JobStop,
    StorageFailure,
    denied,
    limit_exceeded,
    throttled,
)
from tests.doubles.aws.jobs import members, training, tuning
from tests.doubles.aws.points import Point

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own
POINTS = [{"x": "0.5"}, {"x": "0.1"}, {"x": "0.30000000000000004"}]
SLEEP = "import time, signal; print('score=1;', flush=True); signal.pause()"
Make = Callable[..., Double]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a double that ends with the test."""
    made: list[Double] = []
    before = {*threading.enumerate()}

    def start(points: Sequence[Point] | None = POINTS, **settings: Any) -> Double:
        double = Double(tmp_path, points, **settings)
        made.append(double.__enter__())
        return double

    yield start
    for double in made:
        double.__exit__()
    assert list(tmp_path.iterdir()) == []
    assert not {*threading.enumerate()} - before


def test_a_tuning_job_runs_the_points_and_is_described_as_on_aws(make: Make) -> None:
    double = make()
    sagemaker = double.client("sagemaker")
    arn = sagemaker.create_hyper_parameter_tuning_job(**tuning(double, "search", 3))["HyperParameterTuningJobArn"]
    double.wait_for_tuning("search")

    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 3,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    assert job["HyperParameterTuningEndTime"] >= job["CreationTime"]
    best = job["BestTrainingJob"]
    assert best["TunedHyperParameters"] == {"x": "0.1"}
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Minimize",
        "MetricName": "score",
        "Value": 0.20000000298023224,
    }
    trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    assert [trial["TunedHyperParameters"] for trial in trials["TrainingJobSummaries"]] == POINTS
    assert {trial["ObjectiveStatus"] for trial in trials["TrainingJobSummaries"]} == {"Succeeded"}

    trial = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert trial["TrainingJobName"].startswith("search-002-")
    assert len(trial["TrainingJobName"]) == len("search-002-") + 8
    assert trial["TuningJobArn"] == arn
    assert trial["HyperParameters"]["x"] == "0.1"
    assert trial["HyperParameters"]["_tuning_objective_metric"] == "score"
    assert [step["Status"] for step in trial["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert trial["BillableTimeInSeconds"] == trial["TrainingTimeInSeconds"] >= 1
    assert [metric["Value"] for metric in trial["FinalMetricDataList"]] == [0.20000000298023224]
    location = trial["ModelArtifacts"]["S3ModelArtifacts"]
    assert location == f"s3://{double.bucket}/out/{trial['TrainingJobName']}/output/model.tar.gz"
    assert members(double, location) == {"model.txt": b"0.1"}
    assert members(double, location.replace("model.tar", "output.tar")) == {"metrics.json": b"{}"}
    events = double.client("logs").get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=f"{trial['TrainingJobName']}/algo-1-1700000000"
    )
    assert [event["message"] for event in events["events"]] == ["score=99;", "score=0.2;"]
    for tagged in (arn, trial["TrainingJobArn"]):
        assert sagemaker.list_tags(ResourceArn=tagged)["Tags"] == [{"Key": "byoe:study", "Value": "search"}]
    assert double.requests[0][0] == "CreateHyperParameterTuningJob"


def test_a_script_gets_the_environment_of_a_container_and_not_of_the_tests(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/work")
    double = make(cpus=3)
    script = (
        "import json, os, pathlib, sys; out = pathlib.Path(os.environ['SM_OUTPUT_DATA_DIR']);"
        "rows = pathlib.Path(os.environ['SM_CHANNEL_TRAIN'], 'rows.csv').read_text();"
        "(out / 'found.json').write_text(json.dumps([dict(os.environ), sys.argv[1:], rows, os.getcwd()]))"
    )
    request = training(double, "look", script, Environment={"MINE": "1"})
    double.client("sagemaker").create_training_job(**request)
    job = double.wait_for("look")
    environment, arguments, rows, folder = json.loads(members(double, f"{job.output}/output.tar.gz")["found.json"])
    assert rows == "a,b\n1,2\n"
    assert arguments == ["--x", "0.25"]
    assert [name for name in environment if name.startswith("AWS_")] == []
    assert environment["PYTHONPATH"] == folder
    assert environment["SM_NUM_CPUS"] == "3"
    assert environment["SM_HPS"] == '{"x":0.25}'
    assert environment["SM_CHANNELS"] == '["train"]'
    assert environment["TRAINING_JOB_NAME"] == "look"
    assert environment["MINE"] == "1"


def test_the_number_of_jobs_at_a_time_is_limited(make: Make) -> None:
    double = make([{"x": "0.5"}] * 4)
    for index in range(4):
        double.hold(index)
    double.client("sagemaker").create_hyper_parameter_tuning_job(**tuning(double, "search", 4, parallel=2))
    double.wait_for(0, "Training")
    double.wait_for(1, "Training")
    assert [job.status for job in double.jobs] == ["InProgress"] * 2
    double.release(1)
    double.wait_for(2, "Training")
    assert [job.status for job in double.jobs] == ["InProgress", "Completed", "InProgress"]
    double.release()
    double.wait_for_tuning("search")
    assert [job.status for job in double.jobs] == ["Completed"] * 4


def test_lists_are_paged_sorted_and_filtered(make: Make) -> None:
    double = make([{"x": str(index / 16)} for index in range(12)], faults=[JobFailure(3, "lost")])
    sagemaker = double.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**tuning(double, "search", 12, parallel=6))
    double.wait_for_tuning("search")
    listed = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job
    first = listed(HyperParameterTuningJobName="search")
    assert len(first["TrainingJobSummaries"]) == 10
    rest = listed(HyperParameterTuningJobName="search", NextToken=first["NextToken"])
    assert len(rest["TrainingJobSummaries"]) == 2
    assert "NextToken" not in rest
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName="search",
        SortBy="FinalObjectiveMetricValue",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 5},
    )
    values = [
        entry["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        for page in pages
        for entry in page["TrainingJobSummaries"]
    ]
    assert values == sorted(values, reverse=True)
    assert len(values) == 11
    failed = listed(HyperParameterTuningJobName="search", StatusEquals="Failed")["TrainingJobSummaries"]
    assert [entry["FailureReason"] for entry in failed] == ["lost"]
    names = [entry["TrainingJobName"] for entry in sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]]
    assert names == [job.name for job in double.jobs]
    assert len(sagemaker.list_training_jobs(NameContains="-007-")["TrainingJobSummaries"]) == 1
    tunings = sagemaker.list_hyper_parameter_tuning_jobs(NameContains="sear", StatusEquals="Completed")
    assert [entry["HyperParameterTuningJobName"] for entry in tunings["HyperParameterTuningJobSummaries"]] == ["search"]


def test_a_script_that_fails_reports_why_and_leaves_its_output(make: Make) -> None:
    double = make()
    script = (
        "import os, pathlib, sys; pathlib.Path(os.environ['SM_OUTPUT_DATA_DIR'], 'half').write_text('x');"
        "pathlib.Path(os.environ['SM_OUTPUT_DIR'], 'failure').write_text('no such column'); sys.exit(3)"
    )
    double.client("sagemaker").create_training_job(**training(double, "bad", script))
    job = double.wait_for("bad")
    assert job.status == "Failed"
    assert job.failure == "AlgorithmError: no such column, exit code: 3"
    assert members(double, f"{job.output}/output.tar.gz") == {"half": b"x"}
    found = double.client("s3").list_objects_v2(Bucket=double.bucket, Prefix="out/bad/")["Contents"]
    assert [entry["Key"] for entry in found] == ["out/bad/output/output.tar.gz"]


def test_without_an_objective_a_job_completes_and_the_search_has_no_best(make: Make) -> None:
    double = make()
    double.client("sagemaker").create_hyper_parameter_tuning_job(**tuning(double, "mute", 2, "print('score=nan;')"))
    double.wait_for_tuning("mute")
    job = double.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="mute")
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 2}
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert "BestTrainingJob" not in job


def test_a_search_fails_if_all_its_jobs_fail(make: Make) -> None:
    double = make()
    double.client("sagemaker").create_hyper_parameter_tuning_job(**tuning(double, "bad", 2, "raise SystemExit(1)"))
    assert double.wait_for_tuning("bad").status == "Failed"
    job = double.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="bad")
    assert job["FailureReason"].startswith("All training jobs failed")
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 2


def test_jobs_and_searches_are_stopped(make: Make) -> None:
    double = make()
    sagemaker = double.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**tuning(double, "long", 3, SLEEP, parallel=2))
    double.hold(1)
    double.wait_for(0, "Training")
    double.wait_for(1, "Training")
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="long")
    assert double.wait_for_tuning("long").status == "Stopped"
    assert [(job.status, job.secondary) for job in double.jobs] == [("Stopped", "Stopped")] * 2
    assert code_of(sagemaker.stop_hyper_parameter_tuning_job, HyperParameterTuningJobName="long")[0] == (
        "ValidationException"
    )
    sagemaker.create_training_job(**training(double, "alone", SLEEP))
    double.wait_for("alone", "Training")
    sagemaker.stop_training_job(TrainingJobName="alone")
    steps = [step["Status"] for step in double.wait_for("alone").transitions]
    assert steps == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="long")
    assert sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []


def test_a_job_that_runs_too_long_is_stopped(make: Make) -> None:
    double = make()
    request = training(double, "long", SLEEP, StoppingCondition={"MaxRuntimeInSeconds": 1})
    double.client("sagemaker").create_training_job(**request)
    job = double.wait_for("long")
    assert (job.status, job.secondary) == ("Stopped", "MaxRuntimeExceeded")


def test_running_jobs_are_killed_when_the_double_closes(tmp_path: Path) -> None:
    with Double(tmp_path) as double:
        script = "import os, pathlib, time; print(os.getpid(), flush=True); time.sleep(100)"
        double.client("sagemaker").create_training_job(**training(double, "long", script))
        double.wait_for("long", "Training")
        log = tmp_path / "double" / "jobs" / "long" / "log.txt"
        assert until(lambda: log.exists() and log.read_text().endswith("\n"))
        number = int(log.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_requests_that_aws_refuses(make: Make) -> None:
    double = make()
    sagemaker = double.client("sagemaker")
    request = training(double, "one")
    sagemaker.create_training_job(**request)
    assert code_of(sagemaker.create_training_job, **request)[0] == "ResourceInUse"
    code, message = code_of(sagemaker.create_training_job, **request | {"TrainingJobName": "not_valid"})
    assert code == "ValidationException"
    assert "TrainingJobName" in message
    code, message = code_of(sagemaker.create_model, ModelName="no/slash", ExecutionRoleArn=double.role)
    assert code == "ValidationException"
    nobody = double.role.replace("byoe-test", "nobody")
    code, message = code_of(sagemaker.create_training_job, **request | {"TrainingJobName": "two", "RoleArn": nobody})
    assert code == "ValidationException"
    assert "Could not assume role" in message
    code, message = code_of(
        sagemaker.create_training_job, **request | {"TrainingJobName": "two", "EnableManagedSpotTraining": True}
    )
    assert code == "ValidationException"
    assert "MaxWaitTimeInSeconds" in message
    assert code_of(sagemaker.describe_training_job, TrainingJobName="none") == (
        "ValidationException",
        "Requested resource not found.",
    )
    assert code_of(sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName="none")[0] == (
        "ResourceNotFound"
    )
    search = tuning(double, "search", 4)
    code, message = code_of(sagemaker.create_hyper_parameter_tuning_job, **search)
    assert code == "WrongPoints"
    assert "was given 3 points" in message
    search = tuning(double, "search", 1)
    sagemaker.create_hyper_parameter_tuning_job(**search)
    assert code_of(sagemaker.create_hyper_parameter_tuning_job, **search)[0] == "ResourceInUse"


def test_a_missing_input_fails_the_job(make: Make) -> None:
    double = make()
    request = training(double, "one")
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{double.bucket}/nothing"
    double.client("sagemaker").create_training_job(**request)
    assert str(double.wait_for("one").failure).startswith("ClientError: Data download failed")
    double.client("sagemaker").create_training_job(**training(double, "two", EnableNetworkIsolation=True))
    assert "no network" in str(double.wait_for("two").failure)


def test_without_a_network_the_code_comes_as_a_channel(make: Make) -> None:
    double = make()
    request = training(double, "inside", EnableNetworkIsolation=True)
    request["InputDataConfig"].append(json.loads(json.dumps(request["InputDataConfig"][0])))
    request["InputDataConfig"][1]["ChannelName"] = "code"
    request["InputDataConfig"][1]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{double.bucket}/inside"
    place = json.dumps("/opt/ml/input/data/code/sourcedir.tar.gz")
    request["HyperParameters"]["sagemaker_submit_directory"] = place
    double.client("sagemaker").create_training_job(**request)
    assert double.wait_for("inside").status == "Completed"


def test_drawn_points_are_within_their_ranges_and_reproducible(make: Make) -> None:
    def run(double: Double) -> list[Mapping[str, str]]:
        request = tuning(double, "search", 3, "print('score=1;')", parallel=3)
        request["HyperParameterTuningJobConfig"]["ParameterRanges"] = {
            "ContinuousParameterRanges": [
                {"Name": "x", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
            ],
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "3", "MaxValue": "9"}],
            "CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "b"]}],
        }
        double.client("sagemaker").create_hyper_parameter_tuning_job(**request)
        double.wait_for_tuning("search")
        return [job.tuned for job in double.jobs]

    double = make(None, seed=7)
    points = run(double)
    double.__exit__()
    assert run(make(None, seed=7)) == points
    assert all(0.001 <= float(point["x"]) <= 0.1 and len(point["x"]) > 10 for point in points)
    assert all(point["depth"] in list("3456789") and point["kind"] in "ab" for point in points)
    assert points[0] != points[1]


def test_calls_fail_as_often_as_injected(make: Make) -> None:
    double = make()
    sagemaker = double.client("sagemaker")
    double.inject(throttled("DescribeTrainingJob"))
    second = training(double, "two")
    sagemaker.create_training_job(**training(double, "one"))
    sagemaker.describe_training_job(TrainingJobName="one")  # boto3 retries
    assert len(double.calls("DescribeTrainingJob")) == 2
    double.inject(limit_exceeded("CreateTrainingJob"), denied("ListTrainingJobs"), denied("GetCallerIdentity", "sts"))
    double.inject(denied("CreateBucket", "s3"), denied("PutObject", "s3"))
    storage = double.client("s3")
    assert code_of(sagemaker.create_training_job, **second)[0] == "ResourceLimitExceeded"
    sagemaker.create_training_job(**second)
    for _ in range(2):
        assert code_of(sagemaker.list_training_jobs)[0] == "AccessDeniedException"
        assert code_of(double.client("sts").get_caller_identity)[0] == "AccessDenied"
        assert code_of(storage.create_bucket, Bucket="more")[0] == "AccessDenied"
        assert code_of(storage.put_object, Bucket=double.bucket, Key="a/b", Body=b"")[0] == "AccessDenied"
    double.heal()
    sagemaker.list_training_jobs()
    assert double.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_credentials_expire_until_they_are_renewed(make: Make) -> None:
    double = make(faults=[Expiry("ListTrainingJobs", 2)])
    sagemaker, storage, identity = (double.client(name) for name in ("sagemaker", "s3", "sts"))
    sagemaker.list_training_jobs()
    assert code_of(sagemaker.list_training_jobs)[0] == "ExpiredTokenException"
    assert code_of(sagemaker.list_hyper_parameter_tuning_jobs)[0] == "ExpiredTokenException"
    assert code_of(storage.list_objects_v2, Bucket=double.bucket)[0] == "ExpiredToken"
    assert code_of(identity.get_caller_identity)[0] == "ExpiredToken"
    double.renew()
    sagemaker.list_training_jobs()
    storage.list_objects_v2(Bucket=double.bucket)


def test_jobs_end_as_injected(make: Make) -> None:
    double = make(
        [{"x": "0.5"}] * 4,
        faults=[
            JobFailure(0, "InternalServerError: We encountered an internal error."),
            JobFailure(1, "AlgorithmError: late", run=True),
            JobStop("-003-", "Stopped"),
            Interruption(3),
        ],
    )
    double.billable_seconds, double.training_seconds = 30, 100
    double.client("sagemaker").create_hyper_parameter_tuning_job(**tuning(double, "search", 4, parallel=4))
    double.wait_for_tuning("search")
    early, late, stopped, interrupted = double.jobs
    assert (early.status, early.metrics) == ("Failed", [])
    assert (late.status, late.failure, late.objective) == ("Failed", "AlgorithmError: late", 1.0)
    assert (stopped.status, stopped.secondary) == ("Stopped", "Stopped")
    assert interrupted.status == "Completed"
    assert [step["Status"] for step in interrupted.transitions] == [
        "Starting",
        "Downloading",
        "Training",
        "Interrupted",
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert {(job.training_seconds, job.billable_seconds) for job in double.jobs} == {(100, 30)}


def test_transfers_break_as_often_as_injected(make: Make) -> None:
    double = make()
    storage = double.client("s3")
    body = bytes(range(256)) * 40
    double.inject(StorageFailure("some/*", "PUT"), StorageFailure("some/*", "GET"), CutDownload("some/*", 2))
    # boto3 retries after an internal error of S3, but not after a download that broke off.
    put = storage.put_object(Bucket=double.bucket, Key="some/object", Body=body)
    assert put["ResponseMetadata"]["RetryAttempts"] == 1
    for attempts in (1, 0):
        answer = storage.get_object(Bucket=double.bucket, Key="some/object")
        assert answer["ResponseMetadata"]["RetryAttempts"] == attempts
        assert answer["ContentLength"] == len(body)
        with pytest.raises(ResponseStreamingError):
            answer["Body"].read()
    assert storage.get_object(Bucket=double.bucket, Key="some/object")["Body"].read() == body


def test_requests_and_transfers_are_recorded(make: Make) -> None:
    double = make()
    double.client("sagemaker").create_training_job(**training(double, "one"))
    double.wait_for("one")
    storage = double.client("s3")
    listed = storage.list_objects_v2(Bucket=double.bucket)["Contents"]
    sizes = {entry["Key"]: entry["Size"] for entry in listed}
    given = ["one/sourcedir.tar.gz", "data/train/rows.csv"]
    left = [f"out/one/output/{name}.tar.gz" for name in ("model", "output")]
    assert sorted(sizes) == sorted([*given, *left])
    members(double, f"s3://{double.bucket}/{left[0]}")
    noted = [(at.operation, at.key, at.size, at.own) for at in double.transfers]
    assert sorted(noted) == sorted(
        [
            *(("PutObject", key, sizes[key], False) for key in given),
            *(("GetObject", key, sizes[key], True) for key in given),
            *(("PutObject", key, sizes[key], True) for key in left),
            ("GetObject", left[0], sizes[left[0]], False),
        ]
    )


def test_quotas_are_paged(make: Make) -> None:
    double = make(quotas={f"ml.m5.{size}xlarge for training job usage": size for size in range(25)})
    pages = double.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    found = [[quota["QuotaName"] for quota in page["Quotas"]] for page in pages]
    assert [len(page) for page in found] == [10, 10, 5]
    assert list(itertools.chain(*found))[3] == "ml.m5.3xlarge for training job usage"


def test_answers_are_valid_by_the_service_model(make: Make) -> None:
    double = make(faults=[JobFailure(1, "lost")])
    sagemaker = double.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**tuning(double, "search", 3))
    name = double.wait_for_tuning("search").trials[0].name
    search, job = {"HyperParameterTuningJobName": "search"}, {"TrainingJobName": name}
    arn = {"ResourceArn": sagemaker.describe_training_job(**job)["TrainingJobArn"]}
    model = sagemaker.meta.service_model
    for operation, document in (
        ("DescribeHyperParameterTuningJob", search),
        ("ListTrainingJobsForHyperParameterTuningJob", {**search, "MaxResults": 2}),
        ("ListHyperParameterTuningJobs", {}),
        ("DescribeTrainingJob", job),
        ("DescribeTrainingJob", {"TrainingJobName": double.jobs[1].name}),
        ("ListTrainingJobs", {"MaxResults": 1}),
        ("CreateTrainingJob", training(double, "more")),
        ("AddTags", {**arn, "Tags": [{"Key": "a", "Value": "b"}]}),
        ("ListTags", arn),
    ):
        shape = model.operation_model(operation).output_shape
        assert list(wrong(shape, raw_answer(double, operation, document), operation)) == []
    parsed = sagemaker.describe_training_job(**job)
    for field in ("CreationTime", "TrainingStartTime", "TrainingEndTime", "LastModifiedTime"):
        assert parsed[field].tzinfo is not None
