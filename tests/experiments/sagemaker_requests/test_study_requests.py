"""A study's requests by operation, and their file in its folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from experiments.errors import StorageError
from experiments.sagemaker_requests.study_requests import study_requests, write_requests
from experiments.sagemaker_requests.validation import InvalidRequest
from tests.support.studies import PLACEMENT, study


def test_a_search_is_one_tuning_job_and_points_are_training_jobs() -> None:
    search = study()
    assert [(name, len(found)) for name, found in study_requests(search, PLACEMENT, local=True).items()] == [
        ("CreateHyperParameterTuningJob", 1)
    ]
    points = dataclasses.replace(search, points=({"xgboost__max_depth": 3}, {"xgboost__max_depth": 4}))
    ((operation, jobs),) = study_requests(points, PLACEMENT, local=True).items()
    assert operation == "CreateTrainingJob"
    assert [job["TrainingJobName"] for job in jobs] == [f"{search.name}-001", f"{search.name}-002"]


def test_a_request_that_aws_would_refuse_is_not_returned() -> None:
    with pytest.raises(InvalidRequest):
        study_requests(study(), dataclasses.replace(PLACEMENT, role="nobody"), local=False)


def test_requests_are_written_into_the_studys_folder(tmp_path: Path) -> None:
    placed = dataclasses.replace(study(), folder=tmp_path)
    requests = study_requests(placed, PLACEMENT, local=True)
    write_requests(placed, requests)
    assert json.loads((tmp_path / "request.json").read_text()) == requests
    with pytest.raises(StorageError, match=r"request\.json cannot be written"):
        write_requests(dataclasses.replace(placed, folder=tmp_path / "missing"), requests)
