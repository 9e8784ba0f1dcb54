"""Create, describe, list and stop tuning and training jobs on SageMaker."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from experiments.aws.account import Account, aws_errors, refusals_ignored
from experiments.aws.logs import log_lines
from experiments.aws.visibility import created_when_visible, visible_tags

COMPLETED = "Completed"
STOPPED = "Stopped"
# DeleteFailed is a tuning job's status.
ENDED = (COMPLETED, "Failed", STOPPED, "DeleteFailed")
DELETING = "Deleting"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_PAGE = 100
_NOT_RUNNING = re.compile(r"is in status (Completed|Failed|Stopped|Stopping)")
_NOT_FOUND = re.compile(r"not found|does not exist|unable to find|could not find", re.IGNORECASE)


@dataclass(frozen=True)
class TrainingJobSummary:
    """A training job in a list of jobs.

    Attributes:
        index: The trial's index.
        name: The job's name.
        status: ``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``.
        objective: The objective that the tuner read from the log, in single precision; None if it has none yet.
        pending: Whether the tuner has yet to read the objective, which may be after the job has ended.
        tuned: The values that the tuner chose, as text by hyperparameter.
    """

    index: int
    name: str
    status: str
    objective: float | None
    pending: bool = False
    tuned: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the job has reached its final status."""
        return self.status in ENDED


class SageMakerJobs:
    """The jobs of one account."""

    def __init__(self, account: Account) -> None:
        """Use the account; nothing is sent yet."""
        self._account = account
        self._sagemaker = account.client("sagemaker")

    def tuning_job(self, name: str) -> dict[str, Any] | None:
        """Return AWS's description of a tuning job, or None if it does not exist."""
        return self._described(
            "sagemaker:DescribeHyperParameterTuningJob",
            lambda: self._sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
        )

    def training_job(self, name: str) -> dict[str, Any] | None:
        """Return AWS's description of a training job, or None if it does not exist."""
        return self._described(
            "sagemaker:DescribeTrainingJob", lambda: self._sagemaker.describe_training_job(TrainingJobName=name)
        )

    def create(self, operation: str, request: Mapping[str, Any], report: Callable[[str], None]) -> bool:
        """Send a request; return False if the job exists already, for example because an answer was lost.

        Args:
            operation: The operation's name.
            request: Its request.
            report: Called with a sentence if SageMaker does not see a new role or object yet, which is waited for.
        """
        from botocore.exceptions import ClientError

        call = {
            "CreateHyperParameterTuningJob": self._sagemaker.create_hyper_parameter_tuning_job,
            "CreateTrainingJob": self._sagemaker.create_training_job,
        }[operation]
        with aws_errors(f"sagemaker:{operation}", "start the job"):
            try:
                created_when_visible(lambda: call(**request), report)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ResourceInUse":
                    return False
                raise
        return True

    def training_jobs(self, tuning_job: str) -> list[TrainingJobSummary]:
        """Return the training jobs of a tuning job, by trial."""
        found = []
        with aws_errors("sagemaker:ListTrainingJobsForHyperParameterTuningJob", "list the jobs of the tuning job"):
            pages = self._sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
                HyperParameterTuningJobName=tuning_job, SortBy="Name", SortOrder="Ascending", MaxResults=_PAGE
            )
            for page in pages:
                for job in page["TrainingJobSummaries"]:
                    objective = job.get("FinalHyperParameterTuningJobObjectiveMetric")
                    found.append(
                        TrainingJobSummary(
                            index=trial_index(tuning_job, job["TrainingJobName"]),
                            name=job["TrainingJobName"],
                            status=job["TrainingJobStatus"],
                            objective=None if objective is None else float(objective["Value"]),
                            pending=job.get("ObjectiveStatus") == "Pending",
                            tuned=job.get("TunedHyperParameters", {}),
                        )
                    )
        return sorted(found, key=lambda job: job.index)

    def tags_when_visible(self, arn: str, created: datetime) -> dict[str, str]:
        """Return the tags of a job; those of a new one are waited for."""
        return visible_tags(lambda: self.tags(arn), created)

    def tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a job."""
        with aws_errors("sagemaker:ListTags", "read the job's tags"):
            pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
            return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def stop_tuning(self, name: str) -> None:
        """Stop a tuning job with its training jobs, unless it has ended."""
        with (
            aws_errors("sagemaker:StopHyperParameterTuningJob", f"stop tuning job {name}"),
            refusals_ignored(_NOT_RUNNING),
        ):
            self._sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    def stop_training(self, name: str) -> None:
        """Stop a training job, unless it has ended."""
        with aws_errors("sagemaker:StopTrainingJob", f"stop training job {name}"), refusals_ignored(_NOT_RUNNING):
            self._sagemaker.stop_training_job(TrainingJobName=name)

    def end_warm_pool(self, training_job: str) -> None:
        """End the warm pool that a training job has left."""
        with aws_errors("sagemaker:UpdateTrainingJob", f"end the warm pool of training job {training_job}"):
            self._sagemaker.update_training_job(
                TrainingJobName=training_job, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
            )

    def log(self, training_job: str) -> Iterator[str]:
        """Yield the lines of a training job's log."""
        return log_lines(self._account, LOG_GROUP, f"{training_job}/")

    def _described(self, action: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with aws_errors(action, "describe the job"):
            try:
                return call()
            except ClientError as error:
                answer = error.response["Error"]
                missing = answer["Code"] == "ResourceNotFound" or _NOT_FOUND.search(answer.get("Message", ""))
                if answer["Code"] in ("ResourceNotFound", "ValidationException") and missing:
                    return None
                raise


def trial_index(tuning_job: str, training_job: str) -> int:
    """Return the index of a training job's trial, from 0; the job's name has it, from 001.

    Raises:
        ValueError: The training job does not belong to the tuning job.
    """
    found = re.fullmatch(re.escape(tuning_job) + r"-(\d+)-\w+", training_job)
    if found is None:
        raise ValueError(f"{training_job} is not a training job of {tuning_job}")
    return int(found.group(1)) - 1
