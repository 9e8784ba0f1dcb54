"""Results of jobs that left no score; ``tests/experiments/actions/test_remote.py`` imports those of whole studies."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from experiments.aws.pricing import Price
from experiments.aws.results import ResultsImporter, artifact
from experiments.aws.storage import Storage
from experiments.study.folder import log_path, trial_folder
from experiments.study.search_space import Interval, SearchSpace
from experiments.study.spec import StudySpec
from tests.support.studies import study

START = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def job(**fields: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "mine-001-0123abcd",
        "TrainingJobStatus": "Stopped",
        "SecondaryStatus": "Stopped",
        "HyperParameters": {"xgboost__max_depth": "3", "_tuning_objective_metric": "cv_rmse_blended"},
        "CreationTime": START,
        "TrainingStartTime": START + dt.timedelta(seconds=5),
        "TrainingEndTime": START + dt.timedelta(seconds=65),
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
        "OutputDataConfig": {"S3OutputPath": "s3://rows/byoe/studies/mine/"},
        "BillableTimeInSeconds": 1800,
        **fields,
    }


@pytest.fixture(scope="module")
def planned() -> StudySpec:
    space = SearchSpace({"xgboost__max_depth": Interval(2, 9, log=False, whole=True)})
    return dataclasses.replace(study(), space=space)


@pytest.fixture
def importer(planned: StudySpec, tmp_path: Path) -> ResultsImporter:
    mine = dataclasses.replace(planned, folder=tmp_path / "mine")
    return ResultsImporter(mine, Storage(None), Price(2, "a test"))


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: x"}, "AlgorithmError: x"),
        ({"SecondaryStatus": "MaxRuntimeExceeded"}, "it ran longer than mode.max_runtime_seconds=60 and was stopped"),
        ({"SecondaryStatus": "MaxWaitTimeExceeded"}, "no spot instance was available within mode.max_wait_seconds=90"),
        ({}, "SageMaker ended it as Stopped (Stopped)"),
    ],
)
def test_a_job_without_a_score_is_a_failed_trial_with_its_reason_and_cost(
    fields: dict[str, Any], failure: str, importer: ResultsImporter
) -> None:
    folder = trial_folder(importer.study.folder, 0)
    result = importer.import_results(job(**fields), 0, folder, ["first line", "last line"], None)
    assert (result.state, result.failure) == ("failed", failure)
    assert result.params == {"xgboost__max_depth": 3}
    assert log_path(folder).read_text() == "first line\nlast line"
    assert (result.info["cloud"]["billable_seconds"], result.info["cloud"]["cost_usd"]) == (1800, 1.0)


def test_a_job_that_amt_stopped_early_is_pruned(importer: ResultsImporter) -> None:
    result = importer.import_results(job(), 0, trial_folder(importer.study.folder, 0), [], 0.5, "AMT stopped it early")
    assert result.state == "pruned"
    assert result.info["pruned"] == {"expected": 0.5}


def test_an_archive_is_below_the_output_of_its_job() -> None:
    assert artifact(job(), "output.tar.gz") == "s3://rows/byoe/studies/mine/mine-001-0123abcd/output/output.tar.gz"
