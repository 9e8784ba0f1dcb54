"""Faults of the double, each as plain data, and the register of the faults that are still to happen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

# Selects a training job or endpoint: by its number in order of creation, from 0, or by a part of its name.
Selector = int | str


@dataclass(frozen=True)
class Refusal:
    """Calls of an operation that get an error.

    Attributes:
        operation: Its name, such as ``CreateTrainingJob`` or ``PutObject``, or a pattern.
        code: The error's code.
        message: Its message.
        times: Number of calls; None for all.
    """

    operation: str
    code: str
    message: str
    times: int | None = 1


@dataclass(frozen=True)
class Expiry:
    """Credentials that expire.

    Attributes:
        operation: Its name, or a pattern.
        call: The number of the call, from 1. From this call on, all calls of all operations are refused until renewal.
    """

    operation: str
    call: int = 1


@dataclass(frozen=True)
class StorageFailure:
    """Transfers of objects that S3 answers with an internal error.

    Attributes:
        key: Pattern of the object's key.
        method: ``GET`` or ``PUT``.
        times: Number of times.
    """

    key: str
    method: str = "GET"
    times: int = 1


@dataclass(frozen=True)
class CutDownload:
    """Downloads that break off, although ``Content-Length`` announces the whole object.

    Attributes:
        key: Pattern of the object's key.
        times: Number of times.
    """

    key: str
    times: int = 1


@dataclass(frozen=True)
class JobFailure:
    """A training job that fails.

    Attributes:
        job: Selects the job.
        reason: Its ``FailureReason``.
        run: Whether its script runs first.
    """

    job: Selector
    reason: str
    run: bool = False


@dataclass(frozen=True)
class JobStop:
    """A training job that ends as ``Stopped``.

    Attributes:
        job: Selects the job.
        secondary: ``MaxRuntimeExceeded``, ``MaxWaitTimeExceeded``, or ``Stopped`` as by the tuner's early stopping.
        run: Whether its script runs first.
    """

    job: Selector
    secondary: str = "MaxRuntimeExceeded"
    run: bool = False


@dataclass(frozen=True)
class Interruption:
    """A training job whose spot instance is interrupted before its script starts; the job then starts again.

    Attributes:
        job: Selects the job.
        times: Number of times.
    """

    job: Selector
    times: int = 1


@dataclass(frozen=True)
class LateMetrics:
    """A training job whose metrics are not yet available when it has ended.

    Attributes:
        job: Selects the job.
        answers: Number of answers that leave them out.
    """

    job: Selector
    answers: int


@dataclass(frozen=True)
class Omission:
    """Answers of an operation that leave a field out, or give an empty list for it.

    Attributes:
        operation: Its name.
        field: The field, with dots if it is nested.
        times: Number of answers.
    """

    operation: str
    field: str
    times: int = 1


@dataclass(frozen=True)
class EndpointFailure:
    """Creations or updates of an endpoint that fail before its server is started.

    Attributes:
        endpoint: Selects the endpoint.
        reason: Its ``FailureReason``.
        times: Number of times.
    """

    endpoint: Selector
    reason: str = (
        "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
        "CloudWatch logs for this endpoint."
    )
    times: int = 1


JobFault = JobFailure | JobStop | Interruption | LateMetrics
Fault = Refusal | Expiry | StorageFailure | CutDownload | JobFault | EndpointFailure | Omission
F = TypeVar(
    "F",
    Refusal,
    StorageFailure,
    CutDownload,
    JobFailure,
    JobStop,
    Interruption,
    LateMetrics,
    EndpointFailure,
    Omission,
)


def throttled(operation: str, times: int = 1) -> Refusal:
    """Return a fault that throttles the next calls of an operation."""
    return Refusal(operation, "ThrottlingException", "Rate exceeded", times)


def limit_exceeded(
    operation: str, instance_type: str = "ml.m5.large", times: int = 1, usage: str = "training job"
) -> Refusal:
    """Return a fault that lets the next calls of an operation exceed the account's quota of instances."""
    message = (
        f"The account-level service limit '{instance_type} for {usage} usage' is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an "
        "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase "
        "for this quota."
    )
    return Refusal(operation, "ResourceLimitExceeded", message, times)


def denied(operation: str, service: str = "sagemaker", times: int | None = None) -> Refusal:
    """Return a fault that denies an operation to the caller."""
    message = (
        f"User: arn:aws:sts::123456789012:assumed-role/tester/session is not authorized to perform: "
        f"{service}:{operation} because no identity-based policy allows the {service}:{operation} action"
    )
    return Refusal(operation, "AccessDeniedException", message, times)


def matches(selector: Selector, index: int, name: str) -> bool:
    """Return whether a selector matches this training job or endpoint."""
    return selector == index if isinstance(selector, int) else selector in name


class Faults:
    """The register of the faults that are still to happen; it is thread-safe."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """Start with some faults.

        Args:
            faults: Those to begin with.
        """
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []
        self._expired = False
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        times = fault.call if isinstance(fault, Expiry) else getattr(fault, "times", 1)
        with self._lock:
            self._left.append((fault, times))

    def clear(self) -> None:
        """Remove all faults and renew the credentials."""
        with self._lock:
            self._left.clear()
            self._expired = False

    def renew(self) -> None:
        """Renew expired credentials."""
        with self._lock:
            self._expired = False

    def refusal(self, operation: str) -> Refusal | None:
        """Return the error that this call of an operation gets, or None."""
        with self._lock:
            counting = self._position(
                lambda fault: isinstance(fault, Expiry) and fnmatchcase(operation, fault.operation)
            )
            if counting is not None:
                self._expired |= self._left[counting][1] == 1
                self._count_down(counting)
            if self._expired:
                message = "The security token included in the request is expired"
                return Refusal(operation, "ExpiredTokenException", message)
        return self._take(Refusal, lambda fault: fnmatchcase(operation, fault.operation))

    def omitted(self, operation: str) -> str | None:
        """Return the field that this answer of an operation leaves out, or None."""
        meant = self._take(Omission, lambda fault: fault.operation == operation)
        return None if meant is None else meant.field

    def storage_fails(self, method: str, key: str) -> bool:
        """Return whether S3 answers this transfer with an internal error."""
        meant = self._take(StorageFailure, lambda fault: fault.method == method and fnmatchcase(key, fault.key))
        return meant is not None

    def is_cut(self, key: str) -> bool:
        """Return whether this download breaks off."""
        return self._take(CutDownload, lambda fault: fnmatchcase(key, fault.key)) is not None

    def interrupts(self, index: int, name: str) -> bool:
        """Return whether this training job's spot instance is interrupted now."""
        return self._take(Interruption, lambda fault: matches(fault.job, index, name)) is not None

    def ending(self, index: int, name: str) -> JobFailure | JobStop | None:
        """Return the fault with which this training job ends, or None."""
        failure = self._take(JobFailure, lambda fault: matches(fault.job, index, name))
        return failure or self._take(JobStop, lambda fault: matches(fault.job, index, name))

    def late_metrics(self, index: int, name: str) -> int:
        """Return how many answers about this training job leave out its metrics after its end."""
        meant = self._take(LateMetrics, lambda fault: matches(fault.job, index, name))
        return 0 if meant is None else meant.answers

    def endpoint_failure(self, number: int, name: str) -> EndpointFailure | None:
        """Return the fault of this creation or update of an endpoint, or None."""
        return self._take(EndpointFailure, lambda fault: matches(fault.endpoint, number, name))

    def _take(self, kind: type[F], meant: Callable[[F], bool]) -> F | None:
        """Return the first matching fault of a kind, and count that it has happened once more."""
        with self._lock:
            position = self._position(lambda fault: isinstance(fault, kind) and meant(fault))
            if position is None:
                return None
            fault = self._left[position][0]
            self._count_down(position)
        assert isinstance(fault, kind)
        return fault

    def _position(self, meant: Callable[[Fault], bool]) -> int | None:
        return next((position for position, (fault, _) in enumerate(self._left) if meant(fault)), None)

    def _count_down(self, position: int) -> None:
        fault, times = self._left[position]
        if times == 1:
            del self._left[position]
        elif times is not None:
            self._left[position] = (fault, times - 1)
