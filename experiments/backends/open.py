"""The backend of each mode: the one place that chooses it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from experiments.backends.base import Backend
from experiments.backends.local import LocalBackend
from experiments.backends.sagemaker import SageMakerBackend, sagemaker_settings
from experiments.backends.worker_pool import WorkerPool
from experiments.config.arguments import typed_command
from experiments.config.schema import ModeConfig, RemoteModeConfig, SageMakerModeConfig
from experiments.data.datasets import Splits
from experiments.docker.image import build_image_if_missing, configured_image
from experiments.errors import ConfigError, listed
from experiments.study.spec import StudySpec

if TYPE_CHECKING:
    from experiments.backends.planned_requests import PlannedRequests
    from experiments.backends.remote import RemoteBackend

# Returns the workers on this machine that score a study's winner; where trials have others, the first call starts them.
Scorers = Callable[[], WorkerPool]


def backend_type(mode: ModeConfig) -> type[Backend]:
    """Return the class of the mode's backend, which knows what can be done with its studies."""
    if isinstance(mode, SageMakerModeConfig):
        return SageMakerBackend
    if isinstance(mode, RemoteModeConfig):
        from experiments.backends.remote import RemoteBackend

        return RemoteBackend
    return LocalBackend


def open_backend(
    mode: ModeConfig, study: StudySpec, arguments: Sequence[str], console: Console
) -> AbstractContextManager[tuple[Backend, Scorers]]:
    """Open the study's backend. Builds what is missing, such as the image, and shows that.

    Args:
        mode: The mode.
        study: The study.
        arguments: The command as typed.
        console: Where the progress is shown.

    Raises:
        BackendUnavailable: Something that the mode needs is missing; the message has the command that fixes it.
        ConfigError: A setting of the mode is not possible, or of no use to the study.
    """
    if isinstance(mode, SageMakerModeConfig):
        return _open_sagemaker(mode, study, console)
    if isinstance(mode, RemoteModeConfig):
        return _open_remote(mode, study, arguments, console)
    return _open_local(study)


def plan_requests(mode: ModeConfig, study: StudySpec, splits: Splits, arguments: Sequence[str]) -> PlannedRequests:
    """Return the requests that the search comes to; starts and sends nothing.

    Args:
        mode: The mode.
        study: The search.
        splits: Its data.
        arguments: The command as typed.

    Raises:
        ConfigError: The mode makes no requests.
        InputError: A setting is not possible, or AWS would refuse a request.
    """
    from experiments.backends.planned_requests import plan_local_requests, plan_remote_requests

    if isinstance(mode, SageMakerModeConfig):
        return plan_local_requests(mode, study)
    if isinstance(mode, RemoteModeConfig):
        return plan_remote_requests(mode, study, splits, arguments)
    raise ConfigError(f"mode={mode.name} makes no requests: python run.py mode=sagemaker action=plan.")


def remote_backend(
    mode: RemoteModeConfig, arguments: Sequence[str], scorers: Scorers, console: Console
) -> RemoteBackend:
    """Return the backend of ``mode=remote``; nothing is sent yet.

    Args:
        mode: The configuration.
        arguments: The command as typed.
        scorers: Returns workers on this machine.
        console: Where a launch is shown.

    Raises:
        ConfigError: A value is missing or not possible.
    """
    from experiments.aws.settings import remote_settings
    from experiments.backends.launch import Launch
    from experiments.backends.remote import RemoteBackend
    from experiments.backends.remote_requests import RemoteRequests

    requests = RemoteRequests(mode, remote_settings(mode, typed_command(arguments)))
    return RemoteBackend(requests, Launch(requests, scorers, console))


@contextmanager
def _open_local(study: StudySpec) -> Iterator[tuple[Backend, Scorers]]:
    pool = WorkerPool(study.parallel, study.threads, study.dependencies)
    try:
        backend = LocalBackend(pool)
        backend.preflight(study)
        yield backend, lambda: pool
    finally:
        pool.close()


@contextmanager
def _open_sagemaker(mode: SageMakerModeConfig, study: StudySpec, console: Console) -> Iterator[tuple[Backend, Scorers]]:
    from experiments.docker.engine import connect

    backend = SageMakerBackend(sagemaker_settings(mode))
    backend.preflight(study)
    with closing(connect()) as client:
        build_image_if_missing(configured_image(mode.image), client, console)
    with _scorers(study) as scorers:
        yield backend, scorers


@contextmanager
def _open_remote(
    mode: RemoteModeConfig, study: StudySpec, arguments: Sequence[str], console: Console
) -> Iterator[tuple[Backend, Scorers]]:
    if mode.warm_start and study.points is not None:
        raise ConfigError(
            f"mode.warm_start={listed(mode.warm_start)} is for a search, and action={study.action} is not one: leave "
            "it out, or add mode.warm_start=[]."
        )
    with _scorers(study) as scorers:
        backend = remote_backend(mode, arguments, scorers, console)
        backend.preflight(study)
        yield backend, scorers


@contextmanager
def _scorers(study: StudySpec) -> Iterator[Scorers]:
    """Start workers on this machine at the first call."""
    with ExitStack() as stack:

        @functools.cache
        def scorers() -> WorkerPool:
            pool = WorkerPool(1, study.threads * study.parallel, study.dependencies)
            stack.callback(pool.close)
            return pool

        yield scorers
