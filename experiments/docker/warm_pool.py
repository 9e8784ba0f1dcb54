"""Warm containers: each has the libraries imported, and runs one training job after another under SageMaker's contract.

They correspond to SageMaker's managed warm pools. A container ends with its standard input, which this process holds,
and the engine then removes it. So no container outlives this process, however it ends.
"""

from __future__ import annotations

import json
import queue
import shutil
import socket
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.docker.engine import EngineFailed, connect
from experiments.errors import RunnerClosed
from experiments.system.machine import openmp_environment

WORKER = ["python", "/opt/byoe/warm_worker.py"]
HOST = "algo-1"
# A container writes its log outside /opt/ml, which belongs to the job.
LOG_FOLDER = "/var/log/byoe"
LOG_FILE = "log.txt"
_STDOUT, _HEADER_BYTES = 1, 8
_MAX_PROCESSES = 4096
_INTERRUPT_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class ContainerSettings:
    """How containers are created.

    Attributes:
        image: The image.
        user: The user that it runs as, ``uid:gid``.
        code: The source directory on this machine.
        channels: Folders on this machine, by channel.
        labels: The containers' labels.
        network: ``none``, or the name of a network on the engine.
        memory_bytes: Limit of the memory; None for no limit.
        cpus: Limit of the cores; None for no limit.
        threads: OpenMP's threads, which are fixed when its first library is loaded.
    """

    image: str
    user: str
    code: Path
    channels: Mapping[str, Path]
    labels: Mapping[str, str]
    network: str = "none"
    memory_bytes: int | None = None
    cpus: float | None = None
    threads: int = 1


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        exit_code: The script's exit code, negative for a signal; None if the container ended too.
        timed_out: Whether it was stopped because of its time limit.
    """

    exit_code: int | None
    timed_out: bool = False


class WarmContainer:
    """One container, and the folder on this machine that is its ``/opt/ml``. Only one thread may use it at a time."""

    def __init__(self, settings: ContainerSettings, folder: Path) -> None:
        """Start the container; it imports the libraries in the background.

        Args:
            settings: How it is created.
            folder: A folder for this container alone, which is emptied first.

        Raises:
            EngineFailed: The engine could not run it.
        """
        shutil.rmtree(folder, ignore_errors=True)
        self.ml, logs = folder / "ml", folder / "log"
        self.log = logs / LOG_FILE
        logs.mkdir(parents=True)
        mounts = {self.ml: ("/opt/ml", "rw"), logs: (LOG_FOLDER, "rw"), settings.code: ("/opt/ml/code", "ro")}
        for channel, path in settings.channels.items():
            mounts[path] = (f"/opt/ml/input/data/{channel}", "ro")
        for place, _ in mounts.values():
            if place.startswith("/opt/ml"):
                (self.ml / Path(place).relative_to("/opt/ml")).mkdir(parents=True, exist_ok=True)
        self._ready = False
        self._lock = threading.Lock()
        self._killed = False
        try:
            self._client = connect()
            self._id, self._attached = self._start(settings, mounts)
        except Exception as error:  # of docker-py, or of the libraries below it
            raise EngineFailed(error) from error
        # docker-py returns a read-only file around the socket; sending needs the socket itself.
        self._stream: socket.socket = getattr(self._attached, "_sock", self._attached)
        self._output = _Output(self._stream)

    def run(self, threads: int, seconds: float, *, keep_model: bool) -> JobEnd:
        """Run the entry script on the contents of ``ml``; its output goes to ``log``.

        Args:
            threads: Number of cores that it is told to use.
            seconds: Time limit, after which the container is killed.
            keep_model: Whether it writes its model.
        """
        timer = threading.Timer(seconds, self.kill)
        timer.start()
        try:
            if not self._ready:
                self._ready = self._output.next_answer() is not None
            if not self._ready:
                return JobEnd(None, timed_out=self._killed)
            request = {"log": f"{LOG_FOLDER}/{LOG_FILE}", "threads": threads, "keep_model": keep_model}
            with suppress(OSError):  # it has ended; the answer will be missing
                self._stream.sendall(json.dumps(request).encode() + b"\n")
            answer = self._output.next_answer()
        finally:
            timer.cancel()
        if answer is None:
            return JobEnd(None, timed_out=self._killed)
        return JobEnd(int(answer["exit_code"]))

    @property
    def stray_output(self) -> str:
        """What the container printed besides answers, such as why it could not start."""
        return self._output.stray_output

    def kill(self) -> None:
        """Kill the container, which the engine then removes. Idempotent; callable from any thread."""
        with self._lock:
            if self._killed:
                return
            self._killed = True
        # With a separate connection, since the thread that runs a job may use the other one. Errors do not matter: a
        # container does not outlive its engine, and one that is being removed needs no second removal.
        with suppress(Exception), closing(connect()) as client:
            client.api.remove_container(self._id, force=True, v=True)

    def close(self) -> None:
        """Kill the container and close the connections to the engine."""
        self.kill()
        for part in (self._stream, self._attached):
            with suppress(OSError):
                part.close()
        self._client.close()

    def _start(self, settings: ContainerSettings, mounts: Mapping[Path, tuple[str, str]]) -> tuple[str, Any]:
        api = self._client.api
        limits: dict[str, Any] = {}
        if settings.memory_bytes is not None:
            limits |= {"mem_limit": settings.memory_bytes, "memswap_limit": settings.memory_bytes}
        if settings.cpus is not None:
            limits["nano_cpus"] = round(settings.cpus * 1e9)
        host = api.create_host_config(
            binds={str(path): {"bind": place, "mode": mode} for path, (place, mode) in mounts.items()},
            auto_remove=True,
            network_mode=settings.network,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=_MAX_PROCESSES,
            **limits,
        )
        created = api.create_container(
            settings.image,
            WORKER,
            user=settings.user,
            hostname=HOST,
            stdin_open=True,  # with detach=False: attached once, so the container ends with this input
            environment=openmp_environment(settings.threads),
            labels=dict(settings.labels),
            host_config=host,
        )
        container: str = created["Id"]
        try:
            stream = api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            api.start(container)
        except BaseException:
            with suppress(Exception):  # it may be removed already; the first error is what matters
                api.remove_container(container, force=True, v=True)
            raise
        return container, stream


class _Output:
    """The container's output, in the engine's frames. Answers are JSON lines on standard output."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._pending = b""
        self.stray_output = ""

    def next_answer(self) -> dict[str, Any] | None:
        """Return the next answer, or None when the container has ended."""
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                try:
                    answer = json.loads(line)
                except ValueError:
                    self.stray_output += line.decode(errors="replace") + "\n"
                else:
                    if isinstance(answer, dict):
                        return answer
                continue
            header = self._read(_HEADER_BYTES)
            if header is None:
                return None
            payload = self._read(int.from_bytes(header[4:], "big"))
            if payload is None:
                return None
            if header[0] == _STDOUT:
                self._pending += payload
            else:
                self.stray_output += payload.decode(errors="replace")

    def _read(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                part = self._stream.recv(count - len(data))
            except OSError:
                return None
            if not part:
                return None
            data += part
        return data


class WarmPool:
    """Up to ``size`` warm containers. Methods are safe in any thread."""

    def __init__(self, settings: ContainerSettings, folder: Path, size: int) -> None:
        """Start the containers in the background.

        Args:
            settings: How they are created.
            folder: The parent of the folder of each container.
            size: Number of containers.
        """
        self._settings = settings
        self._folder = folder
        self._lock = threading.Lock()
        self._closed = False
        self._busy: set[WarmContainer] = set()
        self._idle: queue.SimpleQueue[tuple[int, WarmContainer | None]] = queue.SimpleQueue()
        self._starters = [threading.Thread(target=self._warm, args=(number,), daemon=True) for number in range(size)]
        for starter in self._starters:
            starter.start()

    def acquire(self) -> tuple[int, WarmContainer]:
        """Wait for a free container.

        Raises:
            RunnerClosed: The pool was closed.
            EngineFailed: The engine could not run a container.
        """
        number, container = self._idle.get()
        try:
            if self._closed:
                raise RunnerClosed
            if container is None:
                container = WarmContainer(self._settings, self._folder / str(number))
        except BaseException:
            self._idle.put((number, container))
            raise
        with self._lock:
            self._busy.add(container)
        return number, container

    def release(self, number: int, container: WarmContainer, *, alive: bool) -> bool:
        """Return a container after its job; the next ``acquire`` replaces one that has ended.

        Returns:
            Whether the job ended by itself, which is False if the pool was closed or interrupted in the meantime.
        """
        with self._lock:
            own = container in self._busy
            self._busy.discard(container)
        if not alive or not own:
            container.close()
        self._idle.put((number, container if alive and own else None))
        return own

    def interrupt(self) -> None:
        """Kill the containers that run a job."""
        with self._lock:
            busy = list(self._busy)
            self._busy.clear()
        for container in busy:
            container.kill()

    def close(self) -> None:
        """Kill and remove every container, and their folders. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self.interrupt()
        numbers = [self._reclaim() for _ in self._starters]
        shutil.rmtree(self._folder, ignore_errors=True)
        for number in numbers:
            self._idle.put((number, None))

    def _reclaim(self) -> int:
        """Wait for a container to be released, close it, and return its number."""
        while True:
            try:
                number, container = self._idle.get(timeout=_INTERRUPT_EVERY_SECONDS)
            except queue.Empty:
                self.interrupt()  # one that was acquired while the pool was being closed
                continue
            if container is not None:
                container.close()
            return number

    def _warm(self, number: int) -> None:
        container = None
        with suppress(EngineFailed):  # the next acquire starts it again, and raises the error
            container = WarmContainer(self._settings, self._folder / str(number))
        self._idle.put((number, container))
