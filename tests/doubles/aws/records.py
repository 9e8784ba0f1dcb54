"""Training jobs and tuning jobs: how the double stores and how SageMaker describes them."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
REGION = "us-east-1"
OBJECTIVE = "_tuning_objective_metric"
ENDED = ("Completed", "Failed", "Stopped")
LONGEST_REASON = 1024
KEEP_ALIVE = "KeepAlivePeriodInSeconds"
# How long each warm pool has kept its instance so far.
SECONDS_RETAINED = 40
# The fields that the description of a training job repeats from its request.
_REPEATED = (
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "Environment",
    "RetryStrategy",
    "ExperimentConfig",
)
_FLAGS = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Spot instance was interrupted",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}


def now() -> float:
    """Return the seconds since the epoch, rounded to milliseconds as on AWS."""
    return round(time.time(), 3)


def training_arn(name: str) -> str:
    """Return the ARN of a training job."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"


def tuning_arn(name: str) -> str:
    """Return the ARN of a tuning job."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:hyper-parameter-tuning-job/{name}"


def single(value: float) -> float:
    """Return a value as AWS stores metrics: in single precision."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


@dataclass
class TrainingJob:
    """One training job.

    Attributes:
        document: Its request.
        index: Its number among the double's training jobs, in order of creation, from 0.
        tuning: The request of its tuning job, if it has one.
        tuned: Its tuned hyperparameters.
        status: ``TrainingJobStatus``.
        secondary: ``SecondaryStatus``.
        transitions: ``SecondaryStatusTransitions``.
        metrics: ``FinalMetricDataList``.
        late: How many more answers leave them out, so that the objective's status is still ``Pending``.
        pool: ``WarmPoolStatus`` without the seconds; None if it keeps no instance.
        failure: ``FailureReason``.
        stopping: Whether it was asked to stop.
        timed_out: Whether it exceeded its longest runtime.
        training_seconds: ``TrainingTimeInSeconds``, once it has ended.
        billable_seconds: ``BillableTimeInSeconds``, once it has ended.
    """

    document: Mapping[str, Any]
    index: int
    tuning: Mapping[str, Any] | None = None
    tuned: Mapping[str, str] = field(default_factory=dict)
    status: str = "InProgress"
    secondary: str = ""
    transitions: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    late: int = 0
    pool: str | None = None
    failure: str | None = None
    stopping: bool = False
    timed_out: bool = False
    training_seconds: int | None = None
    billable_seconds: int | None = None
    created: float = field(default_factory=now)
    started: float | None = None
    ended: float | None = None
    modified: float = 0.0

    def __post_init__(self) -> None:
        self.enter("Starting")

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["TrainingJobName"])

    @property
    def output(self) -> str:
        """Location of its artifacts."""
        return f"{self.document['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED

    @property
    def objective(self) -> float | None:
        """The value of its tuning job's objective that was found in its log."""
        if self.tuning is None:
            return None
        name = self.tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
        return next((entry["Value"] for entry in self.metrics if entry["MetricName"] == name), None)

    @property
    def objective_status(self) -> str:
        """Its ``ObjectiveStatus``."""
        if not self.has_ended or self.late > 0:
            return "Pending"
        return "Succeeded" if self.status != "Failed" and self.objective is not None else "Failed"

    def enter(self, secondary: str) -> None:
        """Change the secondary status."""
        at = now()
        if self.transitions:
            self.transitions[-1]["EndTime"] = at
        if secondary == "Downloading" and self.started is None:
            self.started = at
        self.transitions.append({"Status": secondary, "StartTime": at, "StatusMessage": _MESSAGES[secondary]})
        self.secondary, self.modified = secondary, at

    def end(self, status: str, secondary: str, failure: str | None = None) -> None:
        """End, as ``Completed``, ``Failed`` or ``Stopped``."""
        self.enter(secondary)
        self.ended = self.transitions[-1]["EndTime"] = self.modified
        seconds = 0 if self.started is None else max(1, math.ceil(self.ended - self.started))
        self.billable_seconds = seconds if self.billable_seconds is None else self.billable_seconds
        self.training_seconds = self.billable_seconds if self.training_seconds is None else self.training_seconds
        self.failure = None if failure is None else failure[:LONGEST_REASON]
        self.status = status
        if self.document["ResourceConfig"].get(KEEP_ALIVE) and status == "Completed":
            self.pool = "Available"

    @property
    def warm_pool(self) -> dict[str, Any] | None:
        """Its ``WarmPoolStatus``."""
        if self.pool is None:
            return None
        return {"Status": self.pool, "ResourceRetainedBillableTimeInSeconds": SECONDS_RETAINED}

    def describe(self) -> dict[str, Any]:
        """Return what ``DescribeTrainingJob`` answers."""
        answer = {
            "TrainingJobName": self.name,
            "TrainingJobArn": training_arn(self.name),
            "TuningJobArn": None if self.tuning is None else tuning_arn(self.tuning["HyperParameterTuningJobName"]),
            "ModelArtifacts": {"S3ModelArtifacts": f"{self.output}/model.tar.gz"},
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": [dict(entry) for entry in self.transitions],
            "FailureReason": self.failure,
            "CreationTime": self.created,
            "TrainingStartTime": self.started,
            "TrainingEndTime": self.ended,
            "LastModifiedTime": self.modified,
            "FinalMetricDataList": None if self._is_late() else list(self.metrics) or None,
            "TrainingTimeInSeconds": self.training_seconds,
            "BillableTimeInSeconds": self.billable_seconds,
            "WarmPoolStatus": self.warm_pool,
        }
        answer |= {name: self.document.get(name, False) for name in _FLAGS}
        answer |= {name: self.document.get(name) for name in _REPEATED}
        return present(answer)

    def summarise(self) -> dict[str, Any]:
        """Return its entry of ``ListTrainingJobs``."""
        return present(
            {
                "TrainingJobName": self.name,
                "TrainingJobArn": training_arn(self.name),
                "CreationTime": self.created,
                "TrainingEndTime": self.ended,
                "LastModifiedTime": self.modified,
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.secondary,
                "WarmPoolStatus": self.warm_pool,
            }
        )

    def _is_late(self) -> bool:
        """Return whether this answer leaves the metrics out."""
        late = self.has_ended and self.late > 0
        self.late -= late
        return late

    def summarise_trial(self) -> dict[str, Any]:
        """Return its entry of ``ListTrainingJobsForHyperParameterTuningJob``."""
        metric, status = None, self.objective_status
        if self.tuning is not None and self.objective is not None and not self._is_late():
            objective = self.tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
            metric = {**objective, "Value": self.objective}
        return present(
            {
                "TrainingJobName": self.name,
                "TrainingJobArn": training_arn(self.name),
                "CreationTime": self.created,
                "TrainingStartTime": self.started,
                "TrainingEndTime": self.ended,
                "TrainingJobStatus": self.status,
                "TunedHyperParameters": dict(self.tuned),
                "FailureReason": self.failure,
                "FinalHyperParameterTuningJobObjectiveMetric": metric,
                "ObjectiveStatus": status,
            }
        )


@dataclass
class TuningJob:
    """One tuning job.

    Attributes:
        document: Its request.
        points: The tuned hyperparameters of each of its training jobs.
        trials: The training jobs that it has started, in order.
        status: ``HyperParameterTuningJobStatus``.
        failure: ``FailureReason``.
        stopping: Whether it was asked to stop.
    """

    document: Mapping[str, Any]
    points: list[Mapping[str, str]]
    trials: list[TrainingJob] = field(default_factory=list)
    status: str = "InProgress"
    failure: str | None = None
    stopping: bool = False
    created: float = field(default_factory=now)
    ended: float | None = None
    modified: float = field(default_factory=now)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["HyperParameterTuningJobName"])

    @property
    def config(self) -> Mapping[str, Any]:
        """Its ``HyperParameterTuningJobConfig``."""
        config: Mapping[str, Any] = self.document["HyperParameterTuningJobConfig"]
        return config

    @property
    def running(self) -> list[TrainingJob]:
        """Its training jobs that have not ended."""
        return [trial for trial in self.trials if not trial.has_ended]

    def best(self) -> TrainingJob | None:
        """Return the best of its training jobs so far; the first of equal ones."""
        sign = -1 if self.config["HyperParameterTuningJobObjective"]["Type"] == "Maximize" else 1
        scored = [trial for trial in self.trials if trial.objective_status == "Succeeded"]
        return min(scored, key=lambda trial: sign * (trial.objective or 0.0), default=None)

    def next_document(self) -> dict[str, Any]:
        """Return the request of its next training job, without the name."""
        definition = dict(self.document["TrainingJobDefinition"])
        definition.pop("DefinitionName", None)
        static = definition.pop("StaticHyperParameters", {})
        objective = self.config["HyperParameterTuningJobObjective"]["MetricName"]
        tuned = self.points[len(self.trials)]
        definition["HyperParameters"] = {**static, **tuned, OBJECTIVE: objective}
        # AMT's jobs keep no instance ("SageMaker AI Managed Warm Pools" in AWS's guide).
        kept = {name: value for name, value in definition["ResourceConfig"].items() if name != KEEP_ALIVE}
        definition["ResourceConfig"] = kept
        return {**definition, "Tags": self.document.get("Tags", [])}

    def end(self, status: str, failure: str | None = None) -> None:
        """End, as ``Completed``, ``Failed`` or ``Stopped``."""
        self.ended = self.modified = now()
        self.failure, self.status = failure, status

    def describe(self) -> dict[str, Any]:
        """Return what ``DescribeHyperParameterTuningJob`` answers."""
        best = self.best()
        definition = dict(self.document["TrainingJobDefinition"])
        objective = self.config["HyperParameterTuningJobObjective"]["MetricName"]
        definition["StaticHyperParameters"] = {**definition.get("StaticHyperParameters", {}), OBJECTIVE: objective}
        summary = self.summarise()
        del summary["Strategy"], summary["ResourceLimits"]
        return summary | present(
            {
                "HyperParameterTuningJobConfig": self.config,
                "TrainingJobDefinition": definition,
                "BestTrainingJob": None if best is None else best.summarise_trial(),
                "WarmStartConfig": self.document.get("WarmStartConfig"),
                "FailureReason": self.failure,
                "ConsumedResources": {"RuntimeInSeconds": math.ceil((self.ended or now()) - self.created)},
            }
        )

    def summarise(self) -> dict[str, Any]:
        """Return its entry of ``ListHyperParameterTuningJobs``."""
        statuses = [trial.status for trial in self.trials]
        objectives = [trial.objective_status for trial in self.trials]
        return present(
            {
                "HyperParameterTuningJobName": self.name,
                "HyperParameterTuningJobArn": tuning_arn(self.name),
                "HyperParameterTuningJobStatus": self.status,
                "Strategy": self.config["Strategy"],
                "CreationTime": self.created,
                "HyperParameterTuningEndTime": self.ended,
                "LastModifiedTime": max([self.modified, *(trial.modified for trial in self.trials)]),
                "TrainingJobStatusCounters": {
                    "Completed": statuses.count("Completed"),
                    "InProgress": _count(statuses, ("InProgress", "Stopping")),
                    "RetryableError": 0,
                    "NonRetryableError": statuses.count("Failed"),
                    "Stopped": statuses.count("Stopped"),
                },
                "ObjectiveStatusCounters": {
                    kind: objectives.count(kind) for kind in ("Succeeded", "Pending", "Failed")
                },
                "ResourceLimits": self.config["ResourceLimits"],
            }
        )


def _count(texts: Iterable[str], wanted: tuple[str, ...]) -> int:
    return sum(text in wanted for text in texts)


def present(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer without the fields that have no value."""
    return {name: value for name, value in answer.items() if value is not None}
