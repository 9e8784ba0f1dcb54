"""The backend of each mode: the one place that chooses it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

from experiments.backends.base import Backend
from experiments.backends.local import LocalBackend
from experiments.backends.sagemaker import SageMakerBackend, sagemaker_settings
from experiments.backends.worker_pool import LocalWorkers, WorkerPool
from experiments.config.arguments import typed_command
from experiments.config.schema import ModeConfig, RemoteModeConfig, SageMakerModeConfig
from experiments.data.datasets import Splits
from experiments.docker.image import build_image_if_missing, configured_image
from experiments.errors import ConfigError
from experiments.study.spec import StudySpec
from experiments.system.project import COMMAND

if TYPE_CHECKING:
    from experiments.backends.attached import AttachedStudy
    from experiments.backends.planned_requests import PlannedRequests
    from experiments.backends.remote import RemoteBackend


def backend_type(mode: ModeConfig) -> type[Backend]:
    """Return the class of the mode's backend, which knows what can be done with its studies."""
    return _place(mode).backend_type()


@contextmanager
def open_backend(
    mode: ModeConfig, study: StudySpec, arguments: Sequence[str], console: Console
) -> Iterator[tuple[Backend, LocalWorkers]]:
    """Open the study's backend and check it. Builds what is missing, such as the image, and shows that.

    Args:
        mode: The mode.
        study: The study.
        arguments: The command as typed.
        console: Where the progress is shown.

    Raises:
        BackendUnavailable: Something that the mode needs is missing; the message has the command that fixes it.
        ConfigError: A setting of the mode is not possible.
    """
    place = _place(mode)
    with place.open(study, arguments, console) as (backend, local_workers):
        backend.preflight(study)
        place.prepare(console)
        yield backend, local_workers


def open_attached(mode: ModeConfig, job: str | None, studies: Path) -> AttachedStudy:
    """Return the study of a tuning job that any machine has launched.

    Args:
        mode: The mode.
        job: The tuning job's name.
        studies: The folder of all studies.

    Raises:
        ConfigError: The mode has no tuning jobs, there is no such tuning job, or it is not one of byoe's.
    """
    if mode.account is None:
        raise ConfigError(f"mode={mode.name} has no tuning jobs: {COMMAND} mode=remote action=attach job=<name>.")
    if job is None:
        raise ConfigError(
            f"action=attach needs the name of a tuning job: add job=<name>; {COMMAND} mode=remote action=status "
            "lists them."
        )
    from experiments.backends.attached import find_study

    return find_study(mode.account, job, studies)


def plan_requests(mode: ModeConfig, study: StudySpec, splits: Splits, arguments: Sequence[str]) -> PlannedRequests:
    """Return the requests of a search; start and send nothing.

    Args:
        mode: The mode.
        study: The search.
        splits: Its data.
        arguments: The command as typed.

    Raises:
        ConfigError: The mode makes no requests.
        InputError: A setting is not possible, or AWS would refuse a request.
    """
    return _place(mode).plan_requests(study, splits, arguments)


def remote_backend(
    mode: RemoteModeConfig, arguments: Sequence[str], local_workers: LocalWorkers, console: Console
) -> RemoteBackend:
    """Return the backend of ``mode=remote``; nothing is sent yet.

    Args:
        mode: The configuration.
        arguments: The command as typed.
        local_workers: Returns workers on this machine.
        console: Where a launch is shown.

    Raises:
        ConfigError: A value is missing or not possible.
    """
    from experiments.aws.settings import remote_settings
    from experiments.backends.launch import Launch
    from experiments.backends.remote import RemoteBackend
    from experiments.backends.remote_requests import RemoteRequests

    requests = RemoteRequests(mode, remote_settings(mode, typed_command(arguments)))
    return RemoteBackend(requests, Launch(requests, local_workers, console))


class _Place(Protocol):
    """What depends on the mode."""

    def backend_type(self) -> type[Backend]: ...

    def open(
        self, study: StudySpec, arguments: Sequence[str], console: Console
    ) -> AbstractContextManager[tuple[Backend, LocalWorkers]]: ...

    def prepare(self, console: Console) -> None:
        """Build what is missing; called when the study has passed the preflight."""

    def plan_requests(self, study: StudySpec, splits: Splits, arguments: Sequence[str]) -> PlannedRequests: ...


def _place(mode: ModeConfig) -> _Place:
    if isinstance(mode, SageMakerModeConfig):
        return _SageMaker(mode)
    if isinstance(mode, RemoteModeConfig):
        return _Remote(mode)
    return _Local(mode)


class _Local:
    def __init__(self, mode: ModeConfig) -> None:
        self._mode = mode

    def backend_type(self) -> type[Backend]:
        return LocalBackend

    @contextmanager
    def open(
        self, study: StudySpec, arguments: Sequence[str], console: Console
    ) -> Iterator[tuple[Backend, LocalWorkers]]:
        with closing(WorkerPool(study.parallel, study.threads, study.dependencies)) as pool:
            yield LocalBackend(pool), lambda: pool

    def prepare(self, console: Console) -> None:
        pass

    def plan_requests(self, study: StudySpec, splits: Splits, arguments: Sequence[str]) -> PlannedRequests:
        raise ConfigError(f"mode={self._mode.name} makes no requests: {COMMAND} mode=sagemaker action=plan.")


class _SageMaker:
    def __init__(self, mode: SageMakerModeConfig) -> None:
        self._mode = mode

    def backend_type(self) -> type[Backend]:
        return SageMakerBackend

    @contextmanager
    def open(
        self, study: StudySpec, arguments: Sequence[str], console: Console
    ) -> Iterator[tuple[Backend, LocalWorkers]]:
        with _local_workers(study) as local_workers:
            yield SageMakerBackend(sagemaker_settings(self._mode)), local_workers

    def prepare(self, console: Console) -> None:
        from experiments.docker.engine import open_engine

        with open_engine() as client:
            build_image_if_missing(configured_image(self._mode.image), client, console)

    def plan_requests(self, study: StudySpec, splits: Splits, arguments: Sequence[str]) -> PlannedRequests:
        from experiments.backends.planned_requests import plan_local_requests

        return plan_local_requests(self._mode, study)


class _Remote:
    def __init__(self, mode: RemoteModeConfig) -> None:
        self._mode = mode

    def backend_type(self) -> type[Backend]:
        from experiments.backends.remote import RemoteBackend

        return RemoteBackend

    @contextmanager
    def open(
        self, study: StudySpec, arguments: Sequence[str], console: Console
    ) -> Iterator[tuple[Backend, LocalWorkers]]:
        with _local_workers(study) as local_workers:
            yield remote_backend(self._mode, arguments, local_workers, console), local_workers

    def prepare(self, console: Console) -> None:
        pass

    def plan_requests(self, study: StudySpec, splits: Splits, arguments: Sequence[str]) -> PlannedRequests:
        from experiments.backends.planned_requests import plan_remote_requests

        return plan_remote_requests(self._mode, study, splits, arguments)


@contextmanager
def _local_workers(study: StudySpec) -> Iterator[LocalWorkers]:
    """Start workers on this machine at the first call."""
    with ExitStack() as stack:

        @functools.cache
        def local_workers() -> WorkerPool:
            pool = WorkerPool(1, study.threads * study.parallel, study.dependencies)
            stack.callback(pool.close)
            return pool

        yield local_workers
