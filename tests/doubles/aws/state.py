"""The state of the double, which the threads that answer requests and those that run jobs share."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.aws.endpoints import Endpoint, EndpointConfig, Model
from tests.doubles.aws.faults import Selector, matches
from tests.doubles.aws.records import TrainingJob, TuningJob


@dataclass(frozen=True)
class Transfer:
    """A transfer of an S3 object, or of a part of one.

    Attributes:
        operation: ``GetObject`` or ``PutObject``.
        key: The object's key.
        size: Number of bytes.
        own: Whether a job or an endpoint requested it, and not the account's user.
    """

    operation: str
    key: str
    size: int
    own: bool


@dataclass(repr=False)
class State:
    """The state of the double. Hold ``changed`` to read or write it, and notify ``changed`` of every change.

    Attributes:
        changed: The lock of everything here.
        training: Training jobs by name, in order of creation.
        tuning: Tuning jobs by name.
        models: Models by name in lower case.
        endpoint_configs: Endpoint configurations by name in lower case.
        endpoints: Endpoints by name in lower case.
        endpoints_made: How many endpoints were ever created.
        tags: Tags by ARN.
        managed_mlflow: Version and status of managed MLflow servers by ARN.
        requests: Operation and document of every SageMaker call.
        transfers: Uploads to and downloads from S3.
        held: Training jobs that wait before their script starts.
        held_endpoints: Endpoints that stay in ``Creating``, ``Updating`` or ``Deleting``.
        points_taken: How many points the tuning jobs have taken.
        billable_seconds: Billable seconds of each training job that ends; None for its real duration.
        training_seconds: Training seconds of each training job that ends; None for its billable seconds.
        closing: Whether the double is closing.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    training: dict[str, TrainingJob] = field(default_factory=dict)
    tuning: dict[str, TuningJob] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    endpoint_configs: dict[str, EndpointConfig] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    endpoints_made: int = 0
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    managed_mlflow: dict[str, tuple[str, str]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    held: set[Selector] = field(default_factory=set)
    held_endpoints: set[Selector] = field(default_factory=set)
    points_taken: int = 0
    billable_seconds: int | None = None
    training_seconds: int | None = None
    closing: bool = False
    _indices: Iterator[int] = field(default_factory=itertools.count)

    def job(self, selector: Selector) -> TrainingJob | None:
        """Return the first training job that a selector matches, or None."""
        found = (job for job in self.training.values() if matches(selector, job.index, job.name))
        return next(found, None)

    def tag(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        """Add tags to a resource."""
        self.tags.setdefault(arn, {}).update({tag["Key"]: tag["Value"] for tag in tags})

    def is_held(self, job: TrainingJob) -> bool:
        """Return whether a training job is held."""
        return any(matches(selector, job.index, job.name) for selector in self.held)

    def is_endpoint_held(self, endpoint: Endpoint) -> bool:
        """Return whether an endpoint is held."""
        return any(matches(selector, endpoint.number, endpoint.name) for selector in self.held_endpoints)

    def next_index(self) -> int:
        """Return the number of the next model, endpoint configuration, endpoint or deployment."""
        return next(self._indices)

    def wait_until(self, happened: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait for a change.

        Raises:
            TimeoutError: It did not happen in time.
        """
        with self.changed:
            if not self.changed.wait_for(happened, timeout):
                jobs = ", ".join(f"{job.name} {job.status}/{job.secondary}" for job in self.training.values())
                ends = ", ".join(f"{end.name} {end.status} ({end.failure})" for end in self.endpoints.values())
                known = f"training jobs: {jobs or 'none'}; endpoints: {ends or 'none'}"
                raise TimeoutError(f"not within {timeout:g} s: {what}; {known}")
