"""What can be made to go wrong with the double, each as plain data, and the register of what is still to go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

# A training job or an endpoint: its number in the order in which the double's were made, from 0, or a part of its name.
Selector = int | str


@dataclass(frozen=True)
class Refusal:
    """Calls of an operation that are answered with an error.

    Attributes:
        operation: Its name, such as ``CreateTrainingJob`` or ``PutObject``, or a pattern.
        code: The error's code.
        message: Its message.
        times: How many calls; None for all.
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
        call: The call of it, from 1, from which on every call of any operation is refused, until they are renewed.
    """

    operation: str
    call: int = 1


@dataclass(frozen=True)
class StorageFailure:
    """Transfers of objects that S3 answers with its own error.

    Attributes:
        key: Pattern of the object's key.
        method: ``GET`` or ``PUT``.
        times: How many.
    """

    key: str
    method: str = "GET"
    times: int = 1


@dataclass(frozen=True)
class CutDownload:
    """Downloads that end in the middle, under a ``Content-Length`` that promises all.

    Attributes:
        key: Pattern of the object's key.
        times: How many.
    """

    key: str
    times: int = 1


@dataclass(frozen=True)
class JobFailure:
    """A training job that fails.

    Attributes:
        job: Which.
        reason: Its ``FailureReason``.
        run: Whether its script is run first.
    """

    job: Selector
    reason: str
    run: bool = False


@dataclass(frozen=True)
class JobStop:
    """A training job that ends as ``Stopped``.

    Attributes:
        job: Which.
        secondary: ``MaxRuntimeExceeded``, ``MaxWaitTimeExceeded``, or ``Stopped`` as by the tuner's early stopping.
        run: Whether its script is run first.
    """

    job: Selector
    secondary: str = "MaxRuntimeExceeded"
    run: bool = False


@dataclass(frozen=True)
class Interruption:
    """A training job whose spot instance is taken away before its script has begun; then it starts again.

    Attributes:
        job: Which.
        times: How often.
    """

    job: Selector
    times: int = 1


@dataclass(frozen=True)
class LateMetrics:
    """A training job whose metrics are not there yet as it has ended.

    Attributes:
        job: Which.
        answers: How many answers about it leave them out.
    """

    job: Selector
    answers: int


@dataclass(frozen=True)
class EndpointFailure:
    """Creations or updates of an endpoint that fail, without its server being started.

    Attributes:
        endpoint: Which.
        reason: Its ``FailureReason``.
        times: How many.
    """

    endpoint: Selector
    reason: str = (
        "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
        "CloudWatch logs for this endpoint."
    )
    times: int = 1


JobFault = JobFailure | JobStop | Interruption | LateMetrics
Fault = Refusal | Expiry | StorageFailure | CutDownload | JobFault | EndpointFailure
F = TypeVar("F", Refusal, StorageFailure, CutDownload, JobFailure, JobStop, Interruption, LateMetrics, EndpointFailure)


def throttled(operation: str, times: int = 1) -> Refusal:
    """Return that the next calls of an operation are too many."""
    return Refusal(operation, "ThrottlingException", "Rate exceeded", times)


def limit_exceeded(
    operation: str, instance_type: str = "ml.m5.large", times: int = 1, usage: str = "training job"
) -> Refusal:
    """Return that the next calls of an operation want more instances than the account may have."""
    message = (
        f"The account-level service limit '{instance_type} for {usage} usage' is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an "
        "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase "
        "for this quota."
    )
    return Refusal(operation, "ResourceLimitExceeded", message, times)


def denied(operation: str, service: str = "sagemaker", times: int | None = None) -> Refusal:
    """Return that the caller may not do an operation."""
    message = (
        f"User: arn:aws:sts::123456789012:assumed-role/tester/session is not authorized to perform: "
        f"{service}:{operation} because no identity-based policy allows the {service}:{operation} action"
    )
    return Refusal(operation, "AccessDeniedException", message, times)


def matches(selector: Selector, index: int, name: str) -> bool:
    """Whether a selector means this training job or endpoint."""
    return selector == index if isinstance(selector, int) else selector in name


class Faults:
    """The register of what is still to go wrong; any thread may use it."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """Begin with some.

        Args:
            faults: Those to begin with.
        """
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []
        self._expired = False
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Add one."""
        times = fault.call if isinstance(fault, Expiry) else getattr(fault, "times", 1)
        with self._lock:
            self._left.append((fault, times))

    def clear(self) -> None:
        """Forget all, and renew the credentials."""
        with self._lock:
            self._left.clear()
            self._expired = False

    def renew(self) -> None:
        """Let expired credentials be good again."""
        with self._lock:
            self._expired = False

    def refusal(self, operation: str) -> Refusal | None:
        """Return the error that this call of an operation is answered with, if it is."""
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

    def storage_fails(self, method: str, key: str) -> bool:
        """Whether S3 answers this transfer with an error of its own."""
        meant = self._take(StorageFailure, lambda fault: fault.method == method and fnmatchcase(key, fault.key))
        return meant is not None

    def is_cut(self, key: str) -> bool:
        """Whether this download ends in the middle."""
        return self._take(CutDownload, lambda fault: fnmatchcase(key, fault.key)) is not None

    def interrupts(self, index: int, name: str) -> bool:
        """Whether this training job's instance is taken away now."""
        return self._take(Interruption, lambda fault: matches(fault.job, index, name)) is not None

    def ending(self, index: int, name: str) -> JobFailure | JobStop | None:
        """Return the end that this training job is to come to, if it is none of its own."""
        failure = self._take(JobFailure, lambda fault: matches(fault.job, index, name))
        return failure or self._take(JobStop, lambda fault: matches(fault.job, index, name))

    def late_metrics(self, index: int, name: str) -> int:
        """Return how many answers about this training job, once it has ended, leave out its metrics."""
        meant = self._take(LateMetrics, lambda fault: matches(fault.job, index, name))
        return 0 if meant is None else meant.answers

    def endpoint_failure(self, number: int, name: str) -> EndpointFailure | None:
        """Return how this creation or update of an endpoint fails, if it is to."""
        return self._take(EndpointFailure, lambda fault: matches(fault.endpoint, number, name))

    def _take(self, kind: type[F], meant: Callable[[F], bool]) -> F | None:
        """Return the first fault of a kind that is meant, which has happened once more with that."""
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
