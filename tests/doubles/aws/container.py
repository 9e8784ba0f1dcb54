"""What a container provides for a script: the folder ``/opt/ml``, an environment, and a process to wait for."""

from __future__ import annotations

import abc
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.doubles.aws.records import training_arn

if TYPE_CHECKING:
    from docker.models.containers import Container

    from tests.doubles.aws.resident import Resident

HOST = "algo-1"
# SageMaker gives a container 120 seconds between the two signals.
SECONDS_TO_STOP = 2


class Process(abc.ABC):
    """The process of a job or of an endpoint, or its container."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._killer: threading.Timer | None = None
        self._closed = False

    @abc.abstractmethod
    def wait(self, seconds: float) -> int | None:
        """Return its exit code, or None if it has not ended within ``seconds``."""

    @abc.abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is still running."""

    @abc.abstractmethod
    def remove(self) -> None:
        """Remove everything but its log, after it was killed."""

    def write_log(self) -> None:  # noqa: B027  # a process writes it itself
        """Write the output so far to the log file."""

    def stop(self) -> None:
        """Ask it to end, and kill it after SECONDS_TO_STOP."""
        with self._lock:
            if self._killer is None and not self._closed:
                self._killer = threading.Timer(SECONDS_TO_STOP, self.signal, (signal.SIGKILL,))
                self._killer.start()
                self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with all processes that it started."""
        with self._lock:
            if not self._closed:
                self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it and remove everything but its log."""
        self.kill()
        with self._lock:
            self._closed = True
        if self._killer is not None:
            self._killer.cancel()
            self._killer.join()
        self.remove()


class Script(Process):
    """A script as a process on this machine."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
        """Start it.

        Args:
            command: The command.
            folder: Its working directory.
            environment: Its complete environment.
            log: File of its output.
        """
        super().__init__()
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float) -> int | None:
        """Return its exit code, or None if it has not ended within ``seconds``."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to the processes that it started, if they still run."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def remove(self) -> None:
        """Wait for the process, so that no zombie is left."""
        self._process.wait()


class ImageRun(Process):
    """A container on this machine's engine, started as by SageMaker: with the command ``train`` or ``serve``."""

    def __init__(
        self,
        image: str,
        command: str,
        mounts: Mapping[str, Mapping[str, str]],
        environment: Mapping[str, str],
        log: Path,
        **more: Any,
    ) -> None:
        """Start it.

        Args:
            image: The image.
            command: ``train`` or ``serve``.
            mounts: Mounts, in the format of Docker's client.
            environment: Variables in addition to the image's own.
            log: File to which ``write_log`` and ``remove`` write its output.
            more: Further settings, in the format of Docker's client.
        """
        from experiments.docker.engine import connect, container_user, labels

        super().__init__()
        self._log = log
        self._client = connect()
        self._container: Container = self._client.containers.run(
            image,
            command,
            detach=True,
            user=container_user(self._client),
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            volumes={place: dict(mount) for place, mount in mounts.items()},
            environment=dict(environment),
            labels=labels("double"),
            **more,
        )

    def port(self, inside: str) -> int:
        """Return the host port that is published for a port of the container, or 0 if the container has ended."""
        self._container.reload()
        published = self._container.attrs["NetworkSettings"]["Ports"].get(inside)
        return int(published[0]["HostPort"]) if published else 0

    def wait(self, seconds: float) -> int | None:
        """Return its exit code, or None if it has not ended within ``seconds``."""
        from requests.exceptions import ConnectionError as Unanswered
        from requests.exceptions import ReadTimeout

        try:
            return int(self._container.wait(timeout=seconds)["StatusCode"])
        except (ReadTimeout, Unanswered):  # which of them depends on where in the answer the time is up
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process if the container runs."""
        from docker.errors import APIError

        with contextlib.suppress(APIError):  # it has ended
            self._container.kill(int(number))

    def write_log(self) -> None:
        """Write the output so far to the log file."""
        self._log.write_bytes(self._container.logs())

    def remove(self) -> None:
        """Write the log and remove the container."""
        from experiments.docker.engine import remove_container

        self.write_log()
        remove_container(self._container)
        self._client.close()


def start_image(image: str, ml: Path, job: Mapping[str, Any], cpus: int, log: Path) -> ImageRun:
    """Start a job's container. The arguments are those of ``start_script`` and the image."""
    return ImageRun(
        image,
        "train",
        {str(ml): {"bind": "/opt/ml", "mode": "rw"}},
        {**platform_variables(job), "OMP_NUM_THREADS": str(cpus), **job.get("Environment", {})},
        log,
        hostname=HOST,
        extra_hosts={HOST: "127.0.0.1"},  # the toolkit waits until its own host name resolves
        network_mode="none",
    )


def write_config(ml: Path, job: Mapping[str, Any]) -> None:
    """Write the files that SageMaker puts into ``/opt/ml/input/config``."""
    instance = job["ResourceConfig"].get("InstanceType", "ml.m5.large")
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    documents = {
        "hyperparameters": job.get("HyperParameters", {}),
        "inputdataconfig": {entry["ChannelName"]: channel for entry in job.get("InputDataConfig", ())},
        "resourceconfig": {
            "current_host": HOST,
            "current_instance_type": instance,
            "current_group_name": "homogeneousCluster",
            "hosts": [HOST],
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": [HOST]}
            ],
            "network_interface_name": "eth0",
        },
    }
    for name, content in documents.items():
        (ml / "input" / "config" / f"{name}.json").write_text(json.dumps(content))


def start_script(ml: Path, job: Mapping[str, Any], cpus: int, log: Path, resident: Resident | None = None) -> Process:
    """Start a job's script as SageMaker's training toolkit does, with its arguments and environment.

    Args:
        ml: The folder that stands for ``/opt/ml``, already filled.
        job: The ``CreateTrainingJob`` request.
        cpus: ``SM_NUM_CPUS``.
        log: File of its output.
        resident: The process to fork from; None for a new process.
    """
    program = str(json.loads(job["HyperParameters"]["sagemaker_program"]))
    read = {name: _read(text) for name, text in job["HyperParameters"].items() if not _is_sagemakers(name)}
    arguments = [word for name, value in sorted(read.items()) for word in (f"--{name}", _word(value))]
    home = ml.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ml / "code"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **platform_variables(job),
        **_toolkit_variables(ml, job, read, arguments, cpus),
        **job.get("Environment", {}),
    }
    if resident is not None:
        return resident.start([program, *arguments], ml / "code", environment, log)
    return Script([sys.executable, program, *arguments], ml / "code", environment, log)


def platform_variables(job: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that SageMaker itself sets in any container."""
    name = job["TrainingJobName"]
    return {"TRAINING_JOB_NAME": name, "TRAINING_JOB_ARN": training_arn(name)}


def _toolkit_variables(
    ml: Path, job: Mapping[str, Any], read: Mapping[str, Any], arguments: list[str], cpus: int
) -> dict[str, str]:
    config = {
        part: json.loads((ml / "input" / "config" / f"{part}.json").read_text())
        for part in ("inputdataconfig", "resourceconfig")
    }
    channels = sorted(config["inputdataconfig"])
    values: dict[str, Any] = {
        "hosts": [HOST],
        "network_interface_name": "eth0",
        "hps": read,
        "user_entry_point": json.loads(job["HyperParameters"]["sagemaker_program"]),
        "framework_params": {},
        "resource_config": config["resourceconfig"],
        "input_data_config": config["inputdataconfig"],
        "channels": channels,
        "current_host": HOST,
        "current_instance_type": config["resourceconfig"]["current_instance_type"],
        "module_name": Path(json.loads(job["HyperParameters"]["sagemaker_program"])).stem,
        "module_dir": json.loads(job["HyperParameters"]["sagemaker_submit_directory"]),
        "log_level": 20,
        "input_dir": str(ml / "input"),
        "input_config_dir": str(ml / "input" / "config"),
        "output_dir": str(ml / "output"),
        "output_data_dir": str(ml / "output" / "data"),
        "output_intermediate_dir": str(ml / "output" / "intermediate"),
        "model_dir": str(ml / "model"),
        "num_cpus": cpus,
        "num_gpus": 0,
        "user_args": arguments,
    }
    values |= {f"channel_{name}": str(ml / "input" / "data" / name) for name in channels}
    values |= {f"hp_{name}": value for name, value in read.items()}
    return {
        f"SM_{name.upper()}": value
        if isinstance(value, str)
        else json.dumps(value, sort_keys=True, separators=(",", ":"))
        for name, value in values.items()
    }


def _is_sagemakers(name: str) -> bool:
    return name.startswith("sagemaker_") or name == "_tuning_objective_metric"


def _read(text: str) -> Any:
    # As in the toolkit, which loses digits: 1.10 becomes 1.1.
    try:
        return json.loads(text)
    except ValueError:
        return text


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={entry}" for key, entry in sorted(value.items()))
    return "" if value is None else str(value)
