"""The backend of each mode, with what it needs before a study begins."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from experiments.backends.base import Backend
from experiments.backends.local import LocalBackend
from experiments.backends.sagemaker import SageMakerBackend, SageMakerSettings
from experiments.backends.worker_pool import WorkerPool
from experiments.config.schema import Config, RemoteModeConfig, SageMakerModeConfig
from experiments.docker.image import build_image_if_missing, configured_image
from experiments.errors import ConfigError, listed
from experiments.study.spec import StudySpec

if TYPE_CHECKING:
    pass

# AWS's longest training job, in seconds; and what a container needs at least to import the libraries, in GB.
LONGEST_RUNTIME = 28 * 86_400
LEAST_MEMORY_GB = 0.5


# Returns the workers on this machine that score a study's winner; where trials have others, the first call starts them.
Scorers = Callable[[], WorkerPool]


@contextmanager
def open_backend(
    config: Config, study: StudySpec, arguments: Sequence[str], console: Console
) -> Iterator[tuple[Backend, Scorers]]:
    """Make the study's backend. Builds what is missing, such as the image, and shows that.

    Args:
        config: The configuration.
        study: The study.
        arguments: The command as typed.
        console: Where that is shown.

    Raises:
        BackendUnavailable: Something that the mode needs is missing; the message has the command that mends it.
        ConfigError: A setting of the mode is not possible, or of no use to the study.
    """
    mode = config.mode
    backend: Backend
    if isinstance(mode, SageMakerModeConfig):
        from experiments.docker.engine import connect

        backend = SageMakerBackend(sagemaker_settings(mode))
        backend.preflight(study)
        with closing(connect()) as client:
            build_image_if_missing(configured_image(mode.image), client, console)
        with _scorers(study) as scorers:
            yield backend, scorers
    elif isinstance(mode, RemoteModeConfig):
        from experiments.backends.launch import remote_backend

        if mode.warm_start and study.points is not None:
            raise ConfigError(
                f"mode.warm_start={listed(mode.warm_start)} is for a search, and action={config.action} is none: leave "
                "it out, or add mode.warm_start=[]."
            )
        with _scorers(study) as scorers:
            backend = remote_backend(mode, study, arguments, scorers, console)
            backend.preflight(study)
            yield backend, scorers
    else:
        pool = WorkerPool(study.parallel, study.threads, study.dependencies)
        try:
            backend = LocalBackend(pool)
            backend.preflight(study)
            yield backend, lambda: pool
        finally:
            pool.close()


@contextmanager
def _scorers(study: StudySpec) -> Iterator[Scorers]:
    """Start workers on this machine when they are first asked for."""
    with ExitStack() as stack:

        @functools.cache
        def scorers() -> WorkerPool:
            pool = WorkerPool(1, study.threads * study.parallel, study.dependencies)
            stack.callback(pool.close)
            return pool

        yield scorers


def sagemaker_settings(mode: SageMakerModeConfig) -> SageMakerSettings:
    """Return the checked settings of ``mode=sagemaker``.

    Raises:
        ConfigError: A value is not possible.
    """
    from experiments.docker.engine import NETWORKS

    if not 1 <= mode.max_runtime_seconds <= LONGEST_RUNTIME:
        raise ConfigError(
            f"mode.max_runtime_seconds={mode.max_runtime_seconds} is not from 1 to {LONGEST_RUNTIME} (28 days)."
        )
    cores = os.cpu_count() or 1
    if mode.cpus is not None and not 0.01 <= mode.cpus <= cores:
        raise ConfigError(f"mode.cpus={mode.cpus:g} is not from 0.01 to {cores}, the cores of this machine.")
    if mode.memory_gb is not None and not mode.memory_gb >= LEAST_MEMORY_GB:
        raise ConfigError(
            f"mode.memory_gb={mode.memory_gb:g}: a container needs {LEAST_MEMORY_GB:g} GB to import the libraries."
        )
    if not mode.network:
        raise ConfigError(f"mode.network is empty: it can be {', '.join(NETWORKS)}, or a network of the engine's.")
    return SageMakerSettings(
        image=configured_image(mode.image).tag,
        network=mode.network,
        max_runtime_seconds=mode.max_runtime_seconds,
        cpus=mode.cpus,
        memory_gb=mode.memory_gb,
    )
