"""What byoe has created in an account, found by its tags: jobs, endpoints, parts of endpoints, and their cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.aws.account import Account, aws_errors, error_code, find_account
from experiments.aws.endpoint import Part, RemoteEndpoint, delete_part, find_parts
from experiments.aws.jobs import ENDED, SageMakerJobs
from experiments.aws.pricing import find_price
from experiments.aws.results import billed_seconds
from experiments.aws.settings import check_prefix
from experiments.config.schema import RemoteModeConfig
from experiments.errors import BackendUnavailable
from experiments.reporting.console import dollars
from experiments.sagemaker_requests.tags import TAG_PREFIX

# The status of a warm pool that waits for a job, and is billed.
_AVAILABLE = "Available"
# AWS's codes of an answer about something that does not exist.
_GONE = ("ResourceNotFound", "ValidationException")
# What AMT appends to a tuning job's name for a training job.
_OF_TUNING_JOB = re.compile(r"-\d{3,}-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Resource:
    """Something that byoe has created in the account.

    Attributes:
        kind: ``tuning job``, ``training job``, ``warm pool``, ``endpoint``, ``endpoint configuration`` or ``model``.
        name: Its name.
        status: SageMaker's status.
        detail: More about it, in a few words.
        usd: What a job has cost; None if the price is not known, and for everything else.
        part: The configuration or model, if its endpoint does not exist.
    """

    kind: str
    name: str
    status: str
    detail: str
    usd: float | None = None
    part: Part | None = None

    @property
    def line(self) -> str:
        """The resource as a line of text."""
        cost = "" if self.usd is None else f", {dollars(self.usd)}"
        return f"{self.kind} {self.name}  {self.status}, {self.detail}{cost}"

    @property
    def is_job(self) -> bool:
        """Whether it is a job."""
        return self.kind.endswith("job")

    @property
    def costs(self) -> bool:
        """Whether it still costs money."""
        return self.kind in ("endpoint", "warm pool") or self.status == "InProgress"


def open_inventory(mode: RemoteModeConfig) -> Inventory:
    """Return the inventory of the configured account; nothing is sent.

    Raises:
        ConfigError: ``mode.prefix`` is not possible, or there is no such profile.
        BackendUnavailable: No region is set.
    """
    check_prefix(mode.prefix)
    return Inventory(find_account(mode.region, mode.profile), mode.price_usd_per_hour, mode.poll_seconds)


class Inventory:
    """What byoe has created in an account."""

    def __init__(self, account: Account, price_usd_per_hour: float | None, poll_seconds: float) -> None:
        """Use the account; nothing is sent yet.

        Args:
            account: The account and region.
            price_usd_per_hour: Price of every instance; None to use the table of prices.
            poll_seconds: Time between two requests for an endpoint's status, while it is deleted.
        """
        self._account = account
        self._poll_seconds = poll_seconds
        self._price = price_usd_per_hour
        self._sagemaker = account.client("sagemaker")
        self._jobs = SageMakerJobs(account)

    def resources(self, *, ended: bool) -> Iterator[Resource]:
        """Yield tuning jobs, training jobs of no tuning job, warm pools and endpoints, the newest of each first.

        Configurations and models of endpoints that do not exist come last: interrupted commands leave them.

        Args:
            ended: Whether to include jobs that have ended, for their cost.

        Raises:
            BackendUnavailable: AWS refused.
        """
        running = {} if ended else {"StatusEquals": "InProgress"}
        for job in self._listed("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", **running):
            name = job["HyperParameterTuningJobName"]
            if self._is_owned(job["HyperParameterTuningJobArn"]):
                yield self._tuning_job(name, job["HyperParameterTuningJobStatus"])
        for job in self._listed("list_training_jobs", "TrainingJobSummaries", **running):
            name = job["TrainingJobName"]
            if _OF_TUNING_JOB.search(name) or not self._is_owned(job["TrainingJobArn"]):
                continue
            usd = self._cost(self._jobs.training_job(name) or {})
            yield Resource("training job", name, job["TrainingJobStatus"], "of no tuning job", usd)
        for job in self._listed("list_training_jobs", "TrainingJobSummaries", WarmPoolStatusEquals=_AVAILABLE):
            if self._is_owned(job["TrainingJobArn"]):
                yield Resource("warm pool", job["TrainingJobName"], _AVAILABLE, "an instance that waits for a job")
        endpoints = list(self._listed("list_endpoints", "Endpoints"))
        for endpoint in endpoints:
            if self._is_owned(endpoint["EndpointArn"]):
                since = f"since {endpoint['CreationTime']:%Y-%m-%d %H:%M}"
                yield Resource("endpoint", endpoint["EndpointName"], endpoint["EndpointStatus"], since)
        existing = {endpoint["EndpointName"] for endpoint in endpoints}
        for part in find_parts(self._account):
            if part.endpoint not in existing:
                yield Resource(part.kind, part.name, "left over", f"of endpoint {part.endpoint}", part=part)

    def remove(self, resource: Resource) -> None:
        """Stop a job, end a warm pool, or delete an endpoint with its parts, or a single configuration or model.

        Raises:
            BackendUnavailable: AWS refused.
        """
        if resource.kind == "tuning job":
            self._jobs.stop_tuning(resource.name)
        elif resource.kind == "warm pool":
            self._jobs.end_warm_pool(resource.name)
        elif resource.kind == "training job":
            self._jobs.stop_training(resource.name)
        elif resource.part is not None:
            delete_part(self._account, resource.part)
        else:
            RemoteEndpoint(self._account, resource.name, self._poll_seconds).delete(lambda _: None)

    def _tuning_job(self, name: str, status: str) -> Resource:
        jobs = self._jobs.training_jobs(name)
        costs = [self._cost(self._jobs.training_job(job.name) or {}) for job in jobs]
        known = [cost for cost in costs if cost is not None]
        done = sum(job.status in ENDED for job in jobs)
        detail = f"{done} of {len(jobs)} training jobs ended"
        return Resource("tuning job", name, status, detail, sum(known) if len(known) == len(costs) else None)

    def _cost(self, described: Mapping[str, Any]) -> float | None:
        """Return what a training job has cost so far, or None if the price of its instance is not known."""
        instance = described.get("ResourceConfig", {}).get("InstanceType", "")
        price = find_price(instance, self._account, self._price)
        return None if price is None else price.cost(billed_seconds(described) or 0)

    def _is_owned(self, arn: str) -> bool:
        try:
            tags = self._jobs.tags(arn)
        except BackendUnavailable as error:
            if error_code(error) in _GONE:  # since it was listed
                return False
            raise
        return any(key.startswith(TAG_PREFIX) for key in tags)

    def _listed(self, operation: str, key: str, **more: str) -> Iterator[dict[str, Any]]:
        action = "sagemaker:" + "".join(word.title() for word in operation.split("_"))
        with aws_errors(action, "list jobs and endpoints"):
            pages = self._sagemaker.get_paginator(operation).paginate(
                SortBy="CreationTime", SortOrder="Descending", **more
            )
            found = [entry for page in pages for entry in page[key]]
        yield from found
