"""The requests of a whole study, checked, and their record in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from experiments.errors import storage_errors
from experiments.sagemaker_requests.jobs import TRAINING, TUNING, training_job, tuning_job
from experiments.sagemaker_requests.placement import Placement
from experiments.sagemaker_requests.validation import check_request
from experiments.study.sampling import make_proposer
from experiments.study.spec import StudySpec

REQUEST_FILE = "request.json"


def study_requests(study: StudySpec, placement: Placement, *, local: bool) -> dict[str, list[dict[str, Any]]]:
    """Return a study's requests by operation: one tuning job for a search, one training job for each given point.

    Of a search that byoe proposes on SageMaker, only the first training job's request is known before it runs.

    Args:
        study: The study.
        placement: Where its jobs run.
        local: Whether SageMaker's local mode executes them.

    Raises:
        InvalidRequest: AWS would refuse one.
    """
    if study.points is None and (local or study.tuned_by_amt):
        requests = {TUNING: [tuning_job(study, placement)]}
    else:
        points = [make_proposer(study).ask(0, None)] if study.points is None else study.points
        jobs = [
            training_job(study, placement, index, study.hyperparameters(point)) for index, point in enumerate(points)
        ]
        requests = {TRAINING: jobs}
    for operation, documents in requests.items():
        for document in documents:
            check_request(operation, document, local=local)
    return requests


def write_requests(study: StudySpec, requests: Mapping[str, Any]) -> None:
    """Write the requests into the study's folder.

    Raises:
        StorageError: The file cannot be written.
    """
    path = study.folder / REQUEST_FILE
    with storage_errors(path):
        path.write_text(json.dumps(requests, indent=1))
