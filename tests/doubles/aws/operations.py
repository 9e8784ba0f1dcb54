"""The operations of SageMaker and of Service Quotas that the double answers itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tests.doubles.aws.answers import Answer, Document, Refused, is_wanted, page
from tests.doubles.aws.endpoint_operations import EndpointOperations
from tests.doubles.aws.points import Point, WrongPoints, drawn, scripted
from tests.doubles.aws.records import ACCOUNT, ENDED, REGION, TrainingJob, TuningJob, training_arn, tuning_arn
from tests.doubles.aws.scheduler import Scheduler
from tests.doubles.aws.state import State

# USD an hour, by instance type and what it is for; not AWS's.
PRICES: dict[tuple[str, Literal["Training", "Hosting"]], float] = {
    ("ml.m5.large", "Training"): 0.125,
    ("ml.m5.large", "Hosting"): 0.115,
}


class Operations:
    """Answers requests from the state of the double, and starts and stops jobs.

    Attributes:
        points: The script of tuned hyperparameters; None to draw them.
    """

    def __init__(
        self,
        state: State,
        scheduler: Scheduler,
        points: Sequence[Point] | None,
        seed: int,
        quotas: Mapping[str, float],
        can_assume: Callable[[str], bool],
        endpoints: EndpointOperations,
    ) -> None:
        """Take what is needed.

        Args:
            state: What the double knows.
            scheduler: Runs jobs.
            points: The script of tuned hyperparameters; None to draw them.
            seed: Of the draw.
            quotas: Values by name.
            can_assume: Whether SageMaker may take on a role.
            endpoints: Answers what is about models and endpoints.
        """
        self.points = points
        self._state = state
        self._scheduler = scheduler
        self._seed = seed
        self._quotas = quotas
        self._can_assume = can_assume
        self._endpoints = endpoints
        self._sagemaker: dict[str, Callable[[Document], Answer]] = {
            "CreateHyperParameterTuningJob": self._create_tuning,
            "DescribeHyperParameterTuningJob": lambda document: self._tuning(document).describe(),
            "StopHyperParameterTuningJob": self._stop_tuning,
            "DeleteHyperParameterTuningJob": self._delete_tuning,
            "ListHyperParameterTuningJobs": self._list_tuning,
            "ListTrainingJobsForHyperParameterTuningJob": self._list_trials,
            "CreateTrainingJob": self._create_training,
            "DescribeTrainingJob": lambda document: self._training(document).describe(),
            "StopTrainingJob": self._stop_training,
            "UpdateTrainingJob": self._update_training,
            "ListTrainingJobs": self._list_training,
            "DescribeMlflowTrackingServer": self._mlflow_tracking_server,
            "DescribeMlflowApp": self._mlflow_app,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            **endpoints.by_name,
        }

    def answers(self, operation: str, document: Document) -> bool:
        """Return whether this SageMaker request is answered here and not by moto."""
        if operation in ("AddTags", "ListTags"):
            return document.get("ResourceArn") in self._state.tags
        return operation in self._sagemaker

    def answer(self, operation: str, document: Document) -> Answer:
        """Answer a request of SageMaker.

        Raises:
            Refused: The answer is an error.
        """
        definition = document.get("TrainingJobDefinition", document)
        if "RoleArn" in definition:
            self._check_role(definition["RoleArn"])
            _check_spot(definition)
        self._endpoints.check(operation, document)
        with self._state.changed:
            return self._sagemaker[operation](document)

    def list_prices(self, document: Document) -> Answer:
        """Answer ``GetProducts`` of the price list, as AWS describes its answer."""
        wanted = {item["Field"]: item["Value"] for item in document["Filters"]}
        name, use = wanted["instanceName"], wanted["component"]
        usd = PRICES.get((name, use)) if wanted["regionCode"] == REGION else None
        if document["ServiceCode"] != "AmazonSageMaker" or usd is None:
            return {"FormatVersion": "aws_v1", "PriceList": []}
        dimension = {"unit": "Hrs", "pricePerUnit": {"USD": f"{usd:.10f}"}, "description": f"${usd} per {name}"}
        product = {
            "product": {"productFamily": "ML Instance", "attributes": {"instanceName": name, "component": use}},
            "serviceCode": "AmazonSageMaker",
            "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}},
        }
        return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product)]}

    def list_quotas(self, document: Document) -> Answer:
        """Answer ``ListServiceQuotas``.

        Raises:
            Refused: The answer is an error.
        """
        if document.get("ServiceCode") != "sagemaker":
            raise Refused("NoSuchResourceException", "The request failed because the specified service does not exist.")
        entries = []
        for name, value in self._quotas.items():
            code = f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
            entries.append(
                {
                    "ServiceCode": "sagemaker",
                    "ServiceName": "Amazon SageMaker",
                    "QuotaArn": f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:sagemaker/{code}",
                    "QuotaCode": code,
                    "QuotaName": name,
                    "Value": float(value),
                    "Unit": "None",
                    "Adjustable": True,
                    "GlobalQuota": False,
                    "QuotaAppliedAtLevel": "ACCOUNT",
                }
            )
        return page(document, entries, "Quotas")

    def _check_role(self, role: str) -> None:
        if not self._can_assume(role):
            raise Refused(
                "ValidationException",
                f"Could not assume role {role}. Please ensure that the role exists and allows principal "
                "'sagemaker.amazonaws.com' to assume the role.",
            )

    def _create_tuning(self, document: Document) -> Answer:
        name = document["HyperParameterTuningJobName"]
        arn = tuning_arn(name)
        if name in self._state.tuning:
            raise Refused(
                "ResourceInUse",
                f"Hyper parameter tuning job names must be unique within an AWS account and region, and a "
                f"hyper parameter tuning job with this name already exists ({arn})",
            )
        for parent in document.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", ()):
            _check_parent(self._tuning(parent), document)
        config, taken = document["HyperParameterTuningJobConfig"], self._state.points_taken
        try:
            points = drawn(config, self._seed, taken) if self.points is None else scripted(config, self.points, taken)
        except WrongPoints as error:
            raise Refused("WrongPoints", str(error)) from error
        self._state.points_taken += len(points)
        self._scheduler.tune(document, points)
        return {"HyperParameterTuningJobArn": arn}

    def _create_training(self, document: Document) -> Answer:
        name = document["TrainingJobName"]
        arn = training_arn(name)
        if name in self._state.training:
            raise Refused(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this "
                f"name already exists ({arn})",
            )
        self._scheduler.train(document)
        return {"TrainingJobArn": arn}

    def _stop_tuning(self, document: Document) -> Answer:
        tuning = self._tuning(document)
        if tuning.status in ENDED:
            raise Refused(
                "ValidationException",
                f"The request was rejected because the hyperparameter tuning job is in status {tuning.status}.",
            )
        self._scheduler.stop_tuning(tuning)
        return {}

    def _delete_tuning(self, document: Document) -> Answer:
        tuning = self._tuning(document)
        if tuning.status not in ENDED:
            raise Refused(
                "ValidationException",
                f"The request was rejected because the hyperparameter tuning job is in status {tuning.status}.",
            )
        del self._state.tuning[tuning.name], self._state.tags[tuning_arn(tuning.name)]
        return {}

    def _stop_training(self, document: Document) -> Answer:
        job = self._training(document)
        if job.has_ended:
            raise Refused(
                "ValidationException", f"The request was rejected because the training job is in status {job.status}."
            )
        self._scheduler.stop(job)
        return {}

    def _update_training(self, document: Document) -> Answer:
        job = self._training(document)
        if job.pool != "Available":
            raise Refused("ValidationException", f"The training job {job.name} has no warm pool that can be updated.")
        if not document["ResourceConfig"]["KeepAlivePeriodInSeconds"]:
            job.pool = "Terminated"
        return {"TrainingJobArn": training_arn(job.name)}

    def _list_tuning(self, document: Document) -> Answer:
        keys: dict[str, Callable[[TuningJob], Any]] = {
            "Name": lambda tuning: tuning.name,
            "Status": lambda tuning: tuning.status,
            "CreationTime": lambda tuning: tuning.created,
        }
        found = [tuning for tuning in self._state.tuning.values() if is_wanted(document, tuning)]
        found.sort(key=keys[document.get("SortBy", "Name")], reverse=document.get("SortOrder") == "Descending")
        return page(document, [tuning.summarise() for tuning in found], "HyperParameterTuningJobSummaries")

    def _list_training(self, document: Document) -> Answer:
        found = [job for job in self._state.training.values() if is_wanted(document, job)]
        if "WarmPoolStatusEquals" in document:
            found = [job for job in found if job.pool == document["WarmPoolStatusEquals"]]
        key = _JOB_KEYS[document.get("SortBy", "CreationTime")]
        found.sort(key=key, reverse=document.get("SortOrder") == "Descending")
        return page(document, [job.summarise() for job in found], "TrainingJobSummaries")

    def _list_trials(self, document: Document) -> Answer:
        by = document.get("SortBy", "Name")
        found = [trial for trial in self._tuning(document).trials if is_wanted(document, trial)]
        if by == "FinalObjectiveMetricValue":
            found = [trial for trial in found if trial.objective is not None]
        found.sort(key=_JOB_KEYS[by], reverse=document.get("SortOrder") == "Descending")
        return page(document, [trial.summarise_trial() for trial in found], "TrainingJobSummaries")

    def _mlflow_tracking_server(self, document: Document) -> Answer:
        name = document["TrackingServerName"]
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:mlflow-tracking-server/{name}"
        version, status = self._managed_mlflow(arn)
        known = {"TrackingServerArn": arn, "TrackingServerName": name}
        return {**known, "MlflowVersion": version, "TrackingServerStatus": status}

    def _mlflow_app(self, document: Document) -> Answer:
        version, status = self._managed_mlflow(document["Arn"])
        return {"Arn": document["Arn"], "MlflowVersion": version, "Status": status}

    def _managed_mlflow(self, arn: str) -> tuple[str, str]:
        if arn not in self._state.managed_mlflow:
            raise Refused("ResourceNotFound", f"{arn} does not exist.")
        return self._state.managed_mlflow[arn]

    def _add_tags(self, document: Document) -> Answer:
        self._state.tag(document["ResourceArn"], document["Tags"])
        return {"Tags": list(document["Tags"])}

    def _list_tags(self, document: Document) -> Answer:
        tags = self._state.tags[document["ResourceArn"]]
        return page(document, [{"Key": key, "Value": value} for key, value in tags.items()], "Tags")

    def _tuning(self, document: Document) -> TuningJob:
        name = document["HyperParameterTuningJobName"]
        if name not in self._state.tuning:
            raise Refused(
                "ResourceNotFound",
                f"Amazon SageMaker can't find a tuning job with the name {name}. Please ensure you are using the "
                "correct name and try again.",
            )
        return self._state.tuning[name]

    def _training(self, document: Document) -> TrainingJob:
        if document["TrainingJobName"] not in self._state.training:
            raise Refused("ValidationException", "Requested resource not found.")
        return self._state.training[document["TrainingJobName"]]


_JOB_KEYS: dict[str, Callable[[TrainingJob], Any]] = {
    "Name": lambda job: job.name,
    "Status": lambda job: job.status,
    "CreationTime": lambda job: job.index,
    "FinalObjectiveMetricValue": lambda job: job.objective,
}


def _check_parent(parent: TuningJob, document: Document) -> None:
    """Refuse an invalid warm start as AWS does."""
    wrong = None
    if parent.status not in ENDED:
        wrong = "has not ended"
    elif _objective(parent.document) != _objective(document):
        wrong = "has another objective metric"
    elif set(_hyperparameters(parent.document)) != set(_hyperparameters(document)):
        wrong = "has another set of tunable plus static hyperparameter names"
    else:
        kinds = _hyperparameters(parent.document)
        if any(
            {kind, kinds[name]} <= _RANGES and kind != kinds[name] for name, kind in _hyperparameters(document).items()
        ):
            wrong = "has a hyperparameter of another type"
    if wrong is not None:
        raise Refused("ValidationException", f"The parent tuning job {parent.name} {wrong}.")


def _objective(document: Document) -> str:
    return str(document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"])


def _hyperparameters(document: Document) -> dict[str, str]:
    """Return the kind of each hyperparameter that a request names."""
    ranges = document["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
    fixed = document["TrainingJobDefinition"].get("StaticHyperParameters", {})
    return dict.fromkeys(fixed, "FreeText") | {entry["Name"]: kind for kind in ranges for entry in ranges[kind]}


_RANGES = {"IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges"}


def _check_spot(definition: Document) -> None:
    limits = definition.get("StoppingCondition", {})
    if not definition.get("EnableManagedSpotTraining"):
        if "MaxWaitTimeInSeconds" in limits:
            raise Refused("ValidationException", "MaxWaitTimeInSeconds above 0 is not supported for this job.")
        return
    if limits.get("MaxWaitTimeInSeconds", 0) < limits.get("MaxRuntimeInSeconds", 86_400):
        raise Refused(
            "ValidationException",
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds",
        )
    if definition.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds"):
        raise Refused("ValidationException", "Managed spot training does not support KeepAlivePeriodInSeconds.")
