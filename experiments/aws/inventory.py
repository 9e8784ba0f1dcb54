"""What of ours is in an account, found by its tags: jobs, endpoints and what is left of such, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.aws.account import Account, aws_errors, find_account
from experiments.aws.endpoint import CloudEndpoint, Part, delete_part, find_parts
from experiments.aws.jobs import ENDED, SageMakerJobs
from experiments.aws.pricing import find_price
from experiments.aws.settings import check_prefix
from experiments.config.schema import RemoteModeConfig
from experiments.reporting.console import dollars

_OURS = "byoe:"
# What AMT puts behind its own name.
_OF_A_TUNING_JOB = re.compile(r"-\d{3,}-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Resource:
    """One thing of ours.

    Attributes:
        kind: ``tuning job``, ``training job``, ``endpoint``, ``endpoint configuration`` or ``model``.
        name: Its name.
        status: In SageMaker's words.
        detail: What else there is to say, in a line.
        usd: What it has cost, as far as that is known; None for what is no job.
        part: What it is, of a configuration or model whose endpoint is not there.
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
        """Whether it goes on costing money."""
        return self.kind == "endpoint" or self.status == "InProgress"


def open_inventory(mode: RemoteModeConfig) -> Inventory:
    """Return the inventory of the configured account; nothing is sent.

    Raises:
        ConfigError: ``mode.prefix`` is not possible, or there is no such profile.
        BackendUnavailable: No region is set.
    """
    check_prefix(mode.prefix)
    return Inventory(find_account(mode.region, mode.profile), mode.price_usd_per_hour, mode.poll_seconds)


class Inventory:
    """What of ours is in an account."""

    def __init__(self, account: Account, price_usd_per_hour: float | None, poll_seconds: float) -> None:
        """Use the account; nothing is sent yet.

        Args:
            account: The account and region.
            price_usd_per_hour: Of every instance, or None for those of the table.
            poll_seconds: How often AWS is asked whether an endpoint is gone.
        """
        self._account = account
        self._poll_seconds = poll_seconds
        self._price = price_usd_per_hour
        self._sagemaker = account.client("sagemaker")
        self._jobs = SageMakerJobs(account)

    def resources(self, *, ended: bool) -> Iterator[Resource]:
        """Yield tuning jobs, then training jobs that belong to none, then endpoints, the newest first.

        Then come configurations and models of endpoints that are not there, as interrupted commands leave them.

        Args:
            ended: Whether those that have ended are wanted too, for what they have cost.

        Raises:
            BackendUnavailable: AWS refused.
        """
        running = {} if ended else {"StatusEquals": "InProgress"}
        for job in self._listed("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", **running):
            name = job["HyperParameterTuningJobName"]
            if self._is_ours(job["HyperParameterTuningJobArn"]):
                yield self._tuning_job(name, job["HyperParameterTuningJobStatus"])
        for job in self._listed("list_training_jobs", "TrainingJobSummaries", **running):
            name = job["TrainingJobName"]
            if _OF_A_TUNING_JOB.search(name) or not self._is_ours(job["TrainingJobArn"]):
                continue
            usd = self._cost(self._jobs.training_job(name) or {})
            yield Resource("training job", name, job["TrainingJobStatus"], "of no tuning job", usd)
        endpoints = list(self._listed("list_endpoints", "Endpoints"))
        for endpoint in endpoints:
            if self._is_ours(endpoint["EndpointArn"]):
                since = f"since {endpoint['CreationTime']:%Y-%m-%d %H:%M}"
                yield Resource("endpoint", endpoint["EndpointName"], endpoint["EndpointStatus"], since)
        there = {endpoint["EndpointName"] for endpoint in endpoints}
        for part in find_parts(self._account):
            if part.endpoint not in there:
                yield Resource(part.kind, part.name, "left over", f"of endpoint {part.endpoint}", part=part)

    def remove(self, resource: Resource) -> None:
        """Stop a job, or delete an endpoint with its configuration and model, or what is left of one.

        Raises:
            BackendUnavailable: AWS refused.
        """
        if resource.kind == "tuning job":
            self._jobs.stop_tuning(resource.name)
        elif resource.kind == "training job":
            self._jobs.stop_training(resource.name)
        elif resource.part is not None:
            delete_part(self._account, resource.part)
        else:
            CloudEndpoint(self._account, resource.name, self._poll_seconds).delete(lambda _: None)

    def _tuning_job(self, name: str, status: str) -> Resource:
        seen = self._jobs.training_jobs(name)
        costs = [self._cost(self._jobs.training_job(job.name) or {}) for job in seen]
        known = [cost for cost in costs if cost is not None]
        done = sum(job.status in ENDED for job in seen)
        detail = f"{done} of {len(seen)} training jobs ended"
        return Resource("tuning job", name, status, detail, sum(known) if len(known) == len(costs) else None)

    def _cost(self, described: Mapping[str, Any]) -> float | None:
        """Return what a training job has been billed so far, or None where its instance's price is not known."""
        instance = described.get("ResourceConfig", {}).get("InstanceType", "")
        price = find_price(instance, self._account.region, self._price)
        return None if price is None else price.of(described.get("BillableTimeInSeconds", 0))

    def _is_ours(self, arn: str) -> bool:
        return any(key.startswith(_OURS) for key in self._jobs.tags(arn))

    def _listed(self, operation: str, key: str, **more: str) -> Iterator[dict[str, Any]]:
        action = "sagemaker:" + "".join(word.title() for word in operation.split("_"))
        with aws_errors(action, "list what there is"):
            pages = self._sagemaker.get_paginator(operation).paginate(
                SortBy="CreationTime", SortOrder="Descending", **more
            )
            found = [entry for page in pages for entry in page[key]]
        yield from found
