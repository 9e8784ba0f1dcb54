"""``mode=sagemaker``: the tuner that SageMaker's local mode lacks, executing a tuning job's request on this machine."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble.parameters import encode
from ensemble.wire import JOB_PARAMETERS
from experiments.backends.base import Backend, StudyHandle, TrialRunner
from experiments.backends.container_runners import ColdRunner, MakeJob, WarmRunner
from experiments.backends.optuna_loop import LoopHandle
from experiments.config.schema import SageMakerModeConfig
from experiments.docker.engine import (
    FOLDER_LABEL,
    INSTALL_COMPOSE,
    NETWORKS,
    compose_version,
    container_user,
    labels,
    open_engine,
    remove_containers,
)
from experiments.docker.image import configured_image
from experiments.docker.sdk_job import find_network
from experiments.docker.warm_pool import ContainerSettings
from experiments.errors import BackendUnavailable, ConfigError
from experiments.sagemaker_requests.jobs import (
    LOCAL_INSTANCE,
    LOCAL_ROLE,
    TRAINING,
    TUNING,
    read_tuning_job,
    training_job,
    trial_job,
)
from experiments.sagemaker_requests.limits import LONGEST_RUNTIME
from experiments.sagemaker_requests.placement import Placement
from experiments.sagemaker_requests.study_requests import study_requests, write_requests
from experiments.sagemaker_requests.validation import check_request
from experiments.study.baseline import baseline_folder
from experiments.study.folder import final_folder, spot_check_folder
from experiments.study.ledger import Ledger
from experiments.study.source_dir import check_dependencies, source_folder
from experiments.study.spec import StudySpec, TrialSpec

FINAL_SUFFIX, BASELINE_SUFFIX, CHECK_SUFFIX = "-final", "-baseline", "-check"
# What a container needs at least to import the libraries, in GB.
LEAST_MEMORY_GB = 0.5


@dataclass(frozen=True)
class SageMakerSettings:
    """How containers run a study.

    Attributes:
        image: Tag of the image.
        network: ``none``, or a network of the engine.
        max_runtime_seconds: Longest time of a trial, which is stopped then.
        cpus: Most cores of a container; None for no limit.
        memory_gb: Most memory of a container; None for no limit.
    """

    image: str
    network: str
    max_runtime_seconds: int
    cpus: float | None
    memory_gb: float | None


def sagemaker_settings(mode: SageMakerModeConfig) -> SageMakerSettings:
    """Return the checked settings of ``mode=sagemaker``.

    Raises:
        ConfigError: A value is not possible.
    """
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
        raise ConfigError(f"mode.network is empty: it can be {', '.join(NETWORKS)}, or a network of the engine.")
    return SageMakerSettings(
        image=configured_image(mode.image).tag,
        network=mode.network,
        max_runtime_seconds=mode.max_runtime_seconds,
        cpus=mode.cpus,
        memory_gb=mode.memory_gb,
    )


class SageMakerBackend(Backend):
    """Executes the study's ``CreateHyperParameterTuningJob`` request, or its ``CreateTrainingJob`` requests."""

    def __init__(self, settings: SageMakerSettings) -> None:
        """Use an image that is there by the time of ``submit``."""
        self._settings = settings

    def preflight(self, study: StudySpec) -> None:
        """Check the requests, Docker and compose."""
        check_dependencies(study.dependencies)
        self.requests(study)
        network = self._settings.network
        with open_engine() as client:
            if network not in NETWORKS and not any(found.name == network for found in client.networks.list([network])):
                raise BackendUnavailable(
                    f"mode.network={network}: the Docker engine has no such network. docker network ls lists them."
                )
            find_network(client, isolated=network == "none")
        if compose_version() is None:
            raise BackendUnavailable(
                "docker compose is not installed, and SageMaker's local mode runs its containers by it. "
                f"Install it: {INSTALL_COMPOSE}"
            )

    def requests(self, study: StudySpec) -> dict[str, list[dict[str, Any]]]:
        """Return the study's requests by operation, checked.

        Raises:
            InvalidRequest: AWS would refuse one.
        """
        return study_requests(study, self._placement(study), local=True)

    def submit(self, study: StudySpec, ledger: Ledger) -> StudyHandle:
        """Write the request down, start the containers, and execute it."""
        requests = self.requests(study)
        write_requests(study, requests)
        document = None
        if study.points is None:
            (document,) = requests[TUNING]
            study = read_tuning_job(document, study)
        placement = self._placement(study)

        def make_job(trial: TrialSpec) -> dict[str, Any]:
            suffix = self._suffix(study, trial)
            if trial.own_recipe:
                recipe = {name: text for name, text in trial.hyperparameters.items() if name not in JOB_PARAMETERS}
                job = training_job(study.only(recipe), placement, trial.index, recipe, suffix)
                check_request(TRAINING, job, local=True)
            elif document is None:
                job = training_job(study, placement, trial.index, trial.hyperparameters, suffix)
            else:
                tuned = {name: encode(value) for name, value in trial.params.items()}
                job = trial_job(document, trial.index, tuned, suffix)
                # A time limit may have left members out of the trial, or shaped its rounds.
                of_recipe = {*study.static, *tuned}
                added = {name: text for name, text in job["HyperParameters"].items() if name not in of_recipe}
                job["HyperParameters"] = {**trial.hyperparameters, **added}
            return _of_rows(job, trial, study)

        run = uuid.uuid4().hex[:12]
        containers = self._containers(study, run)
        cold = ColdRunner(containers, run, study.parallel, make_job)
        runner: TrialRunner = cold
        # A single training is a job of local mode like any other.
        if not study.cold and study.n_trials > 1:
            runner = self._warm(study, containers, make_job)
        return LoopHandle(study, ledger, runner, final_runner=cold)

    def _warm(self, study: StudySpec, containers: ContainerSettings, make_job: MakeJob) -> WarmRunner:
        return WarmRunner(containers, study.folder / "containers", study.parallel, make_job)

    def _containers(self, study: StudySpec, run: str) -> ContainerSettings:
        memory = self._settings.memory_gb
        with open_engine() as client:
            user = container_user(client)
            # This process holds the study's lock, so any container of the study was left by a process that died.
            remove_containers(client, {FOLDER_LABEL: str(study.folder)})
        return ContainerSettings(
            image=self._settings.image,
            user=user,
            code=self._source(study),
            channels=study.channels.for_jobs(),
            labels=labels("trial", study=study.name, run=run, folder=str(study.folder)),
            network=self._settings.network,
            memory_bytes=None if memory is None else round(memory * 2**30),
            cpus=self._settings.cpus,
            threads=study.threads,
        )

    def _placement(self, study: StudySpec) -> Placement:
        return Placement(
            image=self._settings.image,
            role=LOCAL_ROLE,
            channels={name: f"file://{folder}" for name, folder in study.channels.for_jobs().items()},
            code=f"file://{self._source(study)}",
            output=f"file://{study.folder}",
            instance_type=LOCAL_INSTANCE,
            max_runtime_seconds=self._settings.max_runtime_seconds,
            isolated=self._settings.network == "none",
        )

    def _source(self, study: StudySpec) -> Path:
        return source_folder(study.dependencies, study.folder.parent)

    def _suffix(self, study: StudySpec, trial: TrialSpec) -> str:
        suffixes = {
            final_folder(study.folder): FINAL_SUFFIX,
            baseline_folder(study.folder): BASELINE_SUFFIX,
            spot_check_folder(study.folder, study.mode): CHECK_SUFFIX,
        }
        return suffixes.get(trial.folder, "")


def _of_rows(job: dict[str, Any], trial: TrialSpec, study: StudySpec) -> dict[str, Any]:
    """Return the request of a trial with the rows that its bundle's models are fitted on."""
    rows = trial.hyperparameters.get("final_rows")
    if rows is None:
        return job
    channels = list(job["InputDataConfig"])
    if rows == "all" and study.channels.test is not None:
        source = channels[0]["DataSource"]["S3DataSource"] | {"S3Uri": f"file://{study.channels.test}"}
        channels.append({"ChannelName": "test", "DataSource": {"S3DataSource": source}})
    return job | {"HyperParameters": job["HyperParameters"] | {"final_rows": rows}, "InputDataConfig": channels}
