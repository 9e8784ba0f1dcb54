"""One model server of an endpoint, from the download of its model to its end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.system.archives import DamagedArchive, unpack
from tests.doubles.aws.container import ImageRun, Process, Script
from tests.doubles.aws.endpoints import Deployment
from tests.doubles.aws.images import is_framework_container
from tests.doubles.aws.transfers import DownloadFailed, Site

LOG_GROUP = "/aws/sagemaker/Endpoints"
SERVE = Path(__file__).resolve().parents[3] / "container" / "serving" / "serve.py"
MODEL_PLACE = "/opt/ml/model"
# AWS's limits: how long a container may take until it answers, and how long an answer may take.
SECONDS_TO_START, SECONDS_TO_ANSWER = 480, 60
_LOOK_SECONDS, _FOLLOW_SECONDS = 0.05, 0.2


class NotServed(Exception):
    """A model cannot be served; the message is AWS's ``FailureReason``."""


class Unanswered(Exception):
    """A server has not answered."""


@dataclass(frozen=True)
class Reply:
    """What a server answered.

    Attributes:
        status: The HTTP status.
        headers: Its headers, named in lower case.
        body: The bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class ModelServer:
    """The model server of one deployment; one thread starts and follows it, others send requests and end it.

    Attributes:
        deployment: The deployment that it serves.
        ended: Set when it has ended and was removed.
    """

    def __init__(self, endpoint: str, deployment: Deployment, site: Site) -> None:
        """Prepare it.

        Args:
            endpoint: The endpoint's name.
            deployment: What it serves.
            site: Where it runs.
        """
        self.deployment = deployment
        self.ended = threading.Event()
        self._variant = str(deployment.config.variant["VariantName"])
        self._group = f"{LOG_GROUP}/{endpoint}"
        self._stream = f"{self._variant}/i-{deployment.index:017x}"
        self._site = site
        self._folder = site.folder / f"{endpoint}-{deployment.index}"
        self._log = self._folder / "log.txt"
        self._sent = 0
        self._lock = threading.Lock()
        self._killed = False
        self._process: Process | None = None
        self._address = ("127.0.0.1", 0)

    def start(self) -> None:
        """Start it; return when it answers.

        Raises:
            NotServed: It does not.
        """
        try:
            self._place_model()
            if self.deployment.config.is_serverless and is_framework_container(str(self.deployment.container["Image"])):
                self._fail_as_framework_container()
            self._begin()
            if not self._comes_up():
                raise NotServed(self._unhealthy)
        except NotServed:
            raise
        except Exception as error:  # a mistake in the double itself, which must fail the test
            raise NotServed(f"InternalServerError: {traceback.format_exc()[-900:]}") from error

    def follow(self) -> None:
        """Send its log to CloudWatch until it has ended, then remove it."""
        try:
            if self._process is not None:
                while self._process.wait(_FOLLOW_SECONDS) is None:
                    self._process.write_log()
                    self._send_log()
                self._process.close()  # which also writes the log
                self._send_log(whole=True)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self.ended.set()

    def stop(self) -> None:
        """Ask it to end, and leave it a moment to finish its answers."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Kill it now, or as soon as it is started."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], seconds: float = SECONDS_TO_ANSWER
    ) -> Reply:
        """Send it one request.

        Raises:
            Unanswered: There was no answer in time.
        """
        connection = http.client.HTTPConnection(*self._address, timeout=seconds)
        try:
            # The server does not read the body of a request that it refuses because of its headers.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            named = {name.lower(): text for name, text in response.getheaders()}
            return Reply(response.status, named, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _fail_as_framework_container(self) -> None:
        """Fail as AWS's scikit-learn container does where only ``/tmp`` can be written.

        Its server writes this file (aws/sagemaker-containers, ``src/sagemaker_containers/_server.py``).

        Raises:
            NotServed: Always.
        """
        self._log.write_text("PermissionError: [Errno 13] Permission denied: '/etc/sagemaker-nginx.conf'\n")
        self._send_log(whole=True)
        raise NotServed(self._unhealthy)

    @property
    def _unhealthy(self) -> str:
        return (
            f"The primary container for production variant {self._variant} did not pass the ping health check. Please "
            "check CloudWatch logs for this endpoint."
        )

    def _place_model(self) -> None:
        location = str(self.deployment.container["ModelDataUrl"])
        archive = self._folder / "model.tar.gz"
        self._folder.mkdir(parents=True)
        try:
            self._site.download(location, archive)
            unpack(archive, self._folder / "model")
        except DownloadFailed as error:
            raise NotServed(
                f'Failed to download model data for container "container_1" from URL: "{location}". Please ensure that '
                "there is an object located at the URL and that the role passed to CreateModel has permissions to "
                "download the object."
            ) from error
        except (DamagedArchive, OSError) as error:
            raise NotServed(
                f'Failed to extract model data archive for container "container_1" from URL "{location}". Please '
                "ensure that the object located at the URL is a valid tar.gz archive."
            ) from error
        archive.unlink()

    def _begin(self) -> None:
        given = dict(self.deployment.container.get("Environment", {}))
        model, image = self._folder / "model", self._site.image
        with self._lock:
            if self._killed:
                return
            if image is None and self._site.resident is not None:
                environment = self._environment(given)
                self._process = self._site.resident.start([str(SERVE)], self._folder, environment, self._log)
                return
            if image is None:
                self._process = Script([sys.executable, str(SERVE)], self._folder, self._environment(given), self._log)
                return
            mounts = {str(model): {"bind": MODEL_PLACE, "mode": "ro"}}
            ports = {"8080/tcp": ("127.0.0.1", None)}
            run = ImageRun(image, "serve", mounts, given, self._log, ports=ports)
            self._process = run
            self._address = (self._address[0], run.port("8080/tcp"))

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a process, in which the model is in another folder than in a container."""
        home = self._folder / "home"
        home.mkdir()
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SAGEMAKER_MODEL_SERVER_WORKERS": str(self._site.cpus),
            **given,
            "SM_MODEL_DIR": str(self._folder / "model"),
            "SAGEMAKER_BIND_TO_PORT": "0",
            "BYOE_HOST": "127.0.0.1",
        }
        code = environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
        if code.startswith(MODEL_PLACE):
            environment["SAGEMAKER_SUBMIT_DIRECTORY"] = str(self._folder / "model") + code.removeprefix(MODEL_PLACE)
        return environment

    def _comes_up(self) -> bool:
        """Return whether ``/ping`` answers 200 in time and before the process ends."""
        seconds = self.deployment.config.variant.get("ContainerStartupHealthCheckTimeoutInSeconds", SECONDS_TO_START)
        deadline = time.monotonic() + seconds
        while self._process is not None and self._process.wait(_LOOK_SECONDS) is None and time.monotonic() < deadline:
            self._process.write_log()
            self._send_log()
            if not self._address[1]:
                self._address = (self._address[0], self._printed_port())
                continue
            with contextlib.suppress(Unanswered):  # it does not listen yet
                return self.send("GET", "/ping", b"", {}, 5).status == 200
        return False

    def _printed_port(self) -> int:
        for line in self._log.read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return int(json.loads(line)["listening"])
        return 0

    def _send_log(self, *, whole: bool = False) -> None:
        """Send the new complete lines of the log."""
        with self._log.open("rb") as source:
            source.seek(self._sent)
            new = source.read()
        new = new if whole else new[: new.rfind(b"\n") + 1]
        self._sent += len(new)
        self._site.log(self._group, self._stream, new.decode(errors="replace").splitlines())
