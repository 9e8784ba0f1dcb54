"""Run trials as training jobs in containers on this machine: their folders are laid out, and results collected."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ensemble.wire import read_metric
from experiments.backends.worker_pool import WorkerDied, WorkerPool
from experiments.docker.engine import LABEL, check_engine, connect, remove_containers
from experiments.docker.sdk_job import PRELOAD, create_network, remove_run
from experiments.docker.warm_pool import HOST, ContainerSettings, JobEnd, WarmPool
from experiments.errors import EnsembleError, RunnerClosed, storage_errors
from experiments.sagemaker_requests.jobs import objective_regex, time_limit_failure
from experiments.study.folder import failure_path, log_path, model_dir, read_result
from experiments.study.spec import TrialResult, TrialSpec
from experiments.system.archives import MODEL_ARCHIVE, unpack
from experiments.system.files import remove
from experiments.system.machine import openmp_environment

# What compose puts around a container's lines: colours and, before each, the container's name.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m|\r")
_CONTAINER_NAME = re.compile(r"^\S+-algo-1-\S+ +\| ?", re.MULTILINE)
# Returns the request of a trial's training job.
MakeJob = Callable[[TrialSpec], dict[str, Any]]


class WarmRunner:
    """Runs trials in warm containers."""

    def __init__(self, settings: ContainerSettings, folder: Path, size: int, make_job: MakeJob) -> None:
        """Start the containers.

        Args:
            settings: How they are made.
            folder: Where their folders go; removed at the end.
            size: How many trials run at a time.
            make_job: Returns the request of a trial.
        """
        self._settings = settings
        self._pool = WarmPool(settings, folder, size)
        self._make_job = make_job

    def run(self, trial: TrialSpec) -> TrialResult:
        """Run one trial."""
        job = self._make_job(trial)
        number, container = self._pool.acquire()
        own, ended = False, JobEnd(None)
        try:
            with _writing(trial.folder):
                _begin(trial.folder)
                lay_out(container.ml, job)
            started = time.time()
            limit = job["StoppingCondition"]["MaxRuntimeInSeconds"]
            ended = container.run(trial.threads, limit, keep_model=trial.keep_model)
            finished = time.time()
            with _writing(trial.folder):
                collect(container.ml, container.log, trial)
                if ended.exit_code is None:
                    failure_path(trial.folder).write_text(
                        self._death(ended, job, container.stray_output), encoding="utf-8"
                    )
        finally:
            own = self._pool.release(number, container, alive=ended.exit_code is not None)
        if not own:
            raise RunnerClosed
        if ended.exit_code is None and not ended.timed_out:
            check_engine()
        return checked(read_result(trial, started, finished, ended.exit_code), trial, job)

    def interrupt(self) -> None:
        """Kill the containers that are at work."""
        self._pool.interrupt()

    def close(self) -> None:
        """Kill and remove every container."""
        self._pool.close()

    def _death(self, ended: JobEnd, job: Mapping[str, Any], output: str) -> str:
        if ended.timed_out:
            return time_limit_failure(job)
        memory = self._settings.memory_bytes
        limit = "" if memory is None else f" mode.memory_gb is {memory / 2**30:g}."
        return f"its container was killed; was there enough memory?{limit} {output}".strip()


class ColdRunner:
    """Runs each trial as a job of SageMaker's local mode, by the SDK, in a new container."""

    def __init__(self, settings: ContainerSettings, run: str, size: int, make_job: MakeJob) -> None:
        """Prepare; the SDK is imported when the first trial comes.

        Args:
            settings: How containers are made.
            run: Label of this run, by which its containers are found.
            size: How many trials run at a time.
            make_job: Returns the request of a trial.
        """
        self._settings = settings
        self._label = run
        self._size = size
        self._make_job = make_job
        self._lock = threading.Lock()
        self._closed = False
        self._pool: WorkerPool | None = None

    def run(self, trial: TrialSpec) -> TrialResult:
        """Run one trial; what it leaves is in its folder, ``model.tar.gz`` too if its model is wanted."""
        artifacts, root = trial.folder / "artifacts", trial.folder / "sdk"
        try:
            return self._run_job(trial, artifacts, root)
        finally:
            for folder in (artifacts, root):
                shutil.rmtree(folder, ignore_errors=True)

    def _run_job(self, trial: TrialSpec, artifacts: Path, root: Path) -> TrialResult:
        pool = self._workers()
        job = self._make_job(trial)
        job |= {
            "OutputDataConfig": {"S3OutputPath": f"file://{artifacts}"},
            "Environment": {**job.get("Environment", {}), **openmp_environment(trial.threads)},
        }
        with _writing(trial.folder):
            _begin(trial.folder)
            artifacts.mkdir()
            root.mkdir()
            config = trial.folder / "input" / "config"
            config.mkdir(parents=True)
            (config / "hyperparameters.json").write_text(json.dumps(job["HyperParameters"]))
        own_labels = {**self._settings.labels, f"{LABEL}.trial": str(trial.index)}
        too_long = threading.Event()
        seconds = job["StoppingCondition"]["MaxRuntimeInSeconds"]
        timer = threading.Timer(seconds, self._stop, (own_labels, too_long))
        timer.start()
        started = time.time()
        failure = None
        try:
            if job["EnableNetworkIsolation"]:
                with self._lock:  # the engine allows two of one name, and compose does not
                    create_network(self._label)
            kwargs = {"document": job, "root": str(root), "container": self._container(own_labels)}
            ended_well = pool.call("experiments.docker.sdk_job:run_job", kwargs, log_path(trial.folder))
            exit_code = 0 if ended_well else 1
        except WorkerDied as death:
            exit_code = death.exit_code
        except EnsembleError as error:  # of the SDK's own
            exit_code = 1
            failure = str(error)
        finally:
            timer.cancel()
        finished = time.time()
        if exit_code != 0:
            check_engine()
        with _writing(trial.folder):
            self._collect(trial, artifacts)
            if too_long.is_set():
                failure = time_limit_failure(job)
            if failure is not None:
                failure_path(trial.folder).parent.mkdir(exist_ok=True)
                failure_path(trial.folder).write_text(failure, encoding="utf-8")
        return checked(read_result(trial, started, finished, exit_code), trial, job)

    def interrupt(self) -> None:
        """Kill what runs, with its containers."""
        with self._lock:
            pool = self._pool
        if pool is not None:
            pool.interrupt()
            remove_run(self._label)

    def close(self) -> None:
        """Kill what runs, and remove containers and network."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
            remove_run(self._label)

    def _workers(self) -> WorkerPool:
        with self._lock:
            if self._closed:
                raise RunnerClosed
            if self._pool is None:
                at_end = {"call": "experiments.docker.sdk_job:remove_run", "kwargs": {"run": self._label}}
                self._pool = WorkerPool(self._size, 1, preload=PRELOAD, at_end=at_end)
            return self._pool

    def _container(self, own_labels: Mapping[str, str]) -> dict[str, Any]:
        """Return what the SDK's compose file says of the container besides what the SDK puts there."""
        found: dict[str, Any] = {"user": self._settings.user, "labels": dict(own_labels), "cap_drop": ["ALL"]}
        if self._settings.memory_bytes is not None:
            found |= {"mem_limit": self._settings.memory_bytes, "memswap_limit": self._settings.memory_bytes}
        if self._settings.cpus is not None:
            found["cpus"] = self._settings.cpus
        return found

    def _stop(self, own_labels: Mapping[str, str], too_long: threading.Event) -> None:
        too_long.set()
        with suppress(Exception), closing(connect()) as client:  # a dead engine has no containers
            remove_containers(client, own_labels)

    def _collect(self, trial: TrialSpec, artifacts: Path) -> None:
        """Unpack what the job has left, and move the model's archive to the trial's folder if it is wanted."""
        log = log_path(trial.folder)
        if log.exists():
            log.write_text(_CONTAINER_NAME.sub("", _COLOUR.sub("", log.read_text(errors="replace"))))
        output, model = artifacts / "output.tar.gz", artifacts / MODEL_ARCHIVE
        if output.exists():
            unpack(output, trial.folder / "output")
        if trial.keep_model and model.exists():
            unpack(model, model_dir(trial.folder))
            model.replace(trial.folder / MODEL_ARCHIVE)


def lay_out(ml: Path, job: Mapping[str, Any]) -> None:
    """Make ``ml`` what a training job finds at ``/opt/ml``; channels and code are mounted there already.

    Args:
        ml: The folder on this machine.
        job: The ``CreateTrainingJob`` request.
    """
    for entry in ml.iterdir():
        if entry.name not in ("input", "code"):
            remove(entry)
    for part in ("input/config", "output/data", "model"):
        shutil.rmtree(ml / part, ignore_errors=True)
        (ml / part).mkdir(parents=True)
    channels = [channel["ChannelName"] for channel in job["InputDataConfig"]]
    hyperparameters = job["HyperParameters"] | {"sagemaker_submit_directory": json.dumps("/opt/ml/code")}
    documents = {
        "hyperparameters": hyperparameters,  # with the place where the SDK mounts the code, too
        "inputdataconfig": {name: {"TrainingInputMode": "File"} for name in channels},
        "resourceconfig": {
            "current_host": HOST,
            "hosts": [HOST],
            "network_interface_name": "eth0",
            "current_instance_type": job["ResourceConfig"]["InstanceType"],
        },
    }
    for name, content in documents.items():
        (ml / "input" / "config" / f"{name}.json").write_text(json.dumps(content))


def collect(ml: Path, log: Path, trial: TrialSpec) -> None:
    """Move what a job has left at ``/opt/ml`` into the trial's folder."""
    (trial.folder / "input").mkdir()
    (ml / "input" / "config").replace(trial.folder / "input" / "config")
    if (ml / "output").is_dir():
        (ml / "output").replace(trial.folder / "output")
    if trial.keep_model and (ml / "model").is_dir():
        (ml / "model").replace(model_dir(trial.folder))
    if log.exists():
        log.replace(log_path(trial.folder))


def checked(result: TrialResult, trial: TrialSpec, job: Mapping[str, Any]) -> TrialResult:
    """Return the result, failed if its objective is not what the request's own expression reads in the log.

    AMT knows nothing else of a trial than that, and takes the last value that it finds.
    """
    if result.state != "complete":
        return result
    objective = str(result.info["objective"])
    log = log_path(trial.folder).read_text(errors="replace") if log_path(trial.folder).exists() else ""
    read = read_metric(objective_regex(job, objective), log)
    written = result.metrics.get(objective)
    if read is not None and read == written:
        return result
    return result.untrusted(objective, "the log has none" if read is None else f"the log ends with {read!r}")


def _begin(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raise an error of a folder that cannot be written as the study's, since it is not the trial's fault."""
    with storage_errors(folder):
        yield
