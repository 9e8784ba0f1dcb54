"""Endpoints in containers on this machine. A new container is tested before the endpoint is switched to it."""

from __future__ import annotations

import json
import shlex
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console

from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.schema import SageMakerModeConfig
from experiments.config.sources import COMMAND_LINE
from experiments.docker.endpoint import (
    SECONDS_TO_DRAIN,
    container_state,
    last_requests,
    remove_other_versions,
    start_container,
    stop_container,
)
from experiments.docker.engine import open_engine
from experiments.docker.image import build_image_if_missing, configured_image
from experiments.errors import BackendUnavailable, ConfigError, storage_errors
from experiments.reporting.console import print_plain
from experiments.serving.base import Deployment, Host, Status, StatusEntry
from experiments.serving.client import Answer, invoke, ping
from experiments.serving.example import example_request
from experiments.serving.memory import record_rehearsal
from experiments.serving.models import Model, place_model
from experiments.serving.plan import EndpointPlan, check_serving, plan_endpoint
from experiments.serving.records import RECORD, Endpoint, check_name, records_of
from experiments.serving.rehearsal import rehearse
from experiments.serving.smoke_test import check_container
from experiments.system.archives import MODEL_ARCHIVE
from experiments.system.files import remove
from experiments.system.machine import check_folder
from experiments.system.project import COMMAND

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient

REQUESTS = "requests.json"
_REQUESTS_SHOWN = 3


class LocalHost(Host):
    """This machine's Docker engine, with the records of the configured folder."""

    def __init__(self, composed: Composed, mode: SageMakerModeConfig | None, console: Console) -> None:
        """Use the configuration; nothing is started.

        Args:
            composed: The configuration.
            mode: How containers run; None if the configured mode has none, so that nothing can be deployed.
            console: Where progress is shown.
        """
        self.endpoint = composed.config.endpoint
        self._composed = composed
        self._mode = mode
        self._console = console
        self._records = records_of(composed)

    def deploy(self, announce: Callable[[Deployment], None]) -> None:
        """Serve the model in a new container, then drain and remove the previous one."""
        mode, serving = self._containers(), self._composed.config.serving
        check_name(self.endpoint)
        check_serving(serving)
        check_folder(self._records.root)
        with self._records.locked(self.endpoint) as folder, open_engine() as client:
            image = configured_image(mode.image)
            build_image_if_missing(image, client, self._console)
            old = self._records.find(self.endpoint)
            remove_other_versions(client, folder, old.container if old else None)
            self._check_port(client, old)
            version = uuid.uuid4().hex[:8]
            with _new_folder(folder, version, old) as place:
                model = place_model(self._composed, place)
                plan = plan_endpoint(self._composed, mode, model, image.tag, version)
                with storage_errors(place):
                    (place / REQUESTS).write_text(json.dumps(plan.requests, indent=1))
                print_plain(self._console, f"endpoint {self.endpoint}: starting {model.origin} in {image.tag}.")
                began = time.monotonic()
                new = self._start(client, plan, place)
                seconds = time.monotonic() - began
            announce(Deployment(model, _summary(new, model, seconds)))
            if old is not None:
                print_plain(self._console, f"draining {old.origin}, which was served until now.")
                stop_container(client, old.container, old.network, SECONDS_TO_DRAIN)
                if Path(old.folder).parent == folder:  # and not wherever a changed record says
                    remove(Path(old.folder))
            if serving.name == "serverless":
                record_rehearsal(
                    self._records.root, model.bundle_hash, rehearse(client, new, plan, seconds, self._console)
                )

    def next_commands(self, model: Model) -> tuple[str, ...]:
        """Return a request with one row of the model's example, by curl."""
        body, _ = example_request(model.manifest, rows=1)
        url = self._records.get(self.endpoint).url
        return (f"curl {url}/invocations -H 'content-type: application/json' -d {shlex.quote(body.decode())}",)

    def invoke(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Send one request to the endpoint, which may also be an address such as ``http://127.0.0.1:34567``."""
        return invoke(self._address(), body, content_type, accept)

    def status(self) -> Status:
        """Return the endpoint that was named, or every endpoint of the configured folder, with its last requests."""
        if self._composed.sources["endpoint"] == COMMAND_LINE:
            endpoints = [self._records.get(self.endpoint)]
        else:
            endpoints = self._records.all()
        damaged = tuple(self._records.damaged())
        if not endpoints:
            root = self._records.root
            text = f"there is no endpoint in {root}. {COMMAND} mode=sagemaker action=deploy creates one."
            return Status((), "" if damaged else text, damaged)
        with open_engine() as client:
            return Status(tuple(_entry(client, endpoint) for endpoint in endpoints), warnings=damaged)

    def delete(self) -> None:
        """Let the endpoint answer its last requests, then remove its container, network, model and record."""
        endpoint = self._records.get(self.endpoint)
        with open_engine() as client, self._records.locked(self.endpoint) as folder:
            stop_container(client, endpoint.container, endpoint.network, SECONDS_TO_DRAIN)
            remove_other_versions(client, folder, None)
            (folder / RECORD).unlink(missing_ok=True)

    def _containers(self) -> SageMakerModeConfig:
        if self._mode is None:
            kept = (argument for argument in self._composed.arguments if not argument.startswith("mode="))
            again = typed_command(["mode=sagemaker", *kept])
            raise ConfigError(f"mode={self._composed.config.mode.name} cannot deploy endpoints. Use {again}")
        return self._mode

    def _check_port(self, client: DockerClient, old: Endpoint | None) -> None:
        """Raise ConfigError if the version that serves has the port that the next one is to have."""
        port = self._composed.config.serving.port
        if old is not None and urlsplit(old.url).port == port and container_state(client, old.container) == "running":
            raise ConfigError(
                f"serving.port={port} is the port at which endpoint {self.endpoint} serves now, and a new version is "
                "tested before the old one ends. Choose another port, or first delete the endpoint: "
                + typed_command(["action=delete", f"endpoint={self.endpoint}"])
            )

    def _start(self, client: DockerClient, plan: EndpointPlan, place: Path) -> Endpoint:
        """Start a container of the plan, test it, and record it as the endpoint; remove it if that fails."""
        model = plan.model
        started = start_container(client, plan.requests, place.parent, model.folder, plan.limits)
        try:
            check_container(client, started, model.manifest, model.bundle_hash)
            endpoint = Endpoint(
                name=self.endpoint,
                url=started.url,
                container=started.container,
                network=started.network,
                folder=str(place),
                model_dir=str(model.folder),
                origin=model.origin,
                bundle_hash=model.bundle_hash,
                serving=self._composed.config.serving.name,
                since=time.time(),
            )
            self._records.put(endpoint)
        except BaseException:
            with suppress(Exception):  # the engine may have stopped, and its containers with it
                stop_container(client, started.container, started.network, seconds=0)
            raise
        return endpoint

    def _address(self) -> str:
        """Return the endpoint's address, after a check that it is the recorded model that answers there."""
        if self.endpoint.startswith("http://"):
            return self.endpoint.rstrip("/")
        endpoint = self._records.get(self.endpoint)
        answer = ping(endpoint.url)
        if answer is None:
            with open_engine() as client:
                found = container_state(client, endpoint.container)
            if found != "running":
                raise BackendUnavailable(
                    f"endpoint {endpoint.name} is not served: its container is {found}. Deploy it again: "
                    f"{_deploy_again(endpoint)}"
                )
        elif answer.get("bundle") != endpoint.bundle_hash:
            raise BackendUnavailable(
                f"another program answers at {endpoint.url}, the address of endpoint {endpoint.name}. Deploy it again: "
                f"{_deploy_again(endpoint)}"
            )
        return endpoint.url


def _summary(endpoint: Endpoint, model: Model, seconds: float) -> str:
    return (
        f"endpoint {endpoint.name} serves {endpoint.origin} at {endpoint.url}, {seconds:.1f} s after its start. It "
        f"predicts {model.target} from {len(model.manifest['columns'])} columns, and keeps running when this command "
        "ends."
    )


def _deploy_again(endpoint: Endpoint) -> str:
    """Return the command that serves the endpoint's model again."""
    archive = Path(endpoint.folder) / MODEL_ARCHIVE
    serving = [f"serving={endpoint.serving}"] if endpoint.serving != "serverless" else []
    return typed_command(["mode=sagemaker", "action=deploy", f"endpoint={endpoint.name}", f"model={archive}", *serving])


@contextmanager
def _new_folder(folder: Path, version: str, old: Endpoint | None) -> Iterator[Path]:
    """Create the folder of a new version, after those that killed commands left; remove it if the block fails."""
    place = folder / version
    with storage_errors(folder):
        for entry in folder.iterdir():
            if entry.is_dir() and (old is None or str(entry) != old.folder):
                shutil.rmtree(entry, ignore_errors=True)
        place.mkdir()
    try:
        yield place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _entry(client: DockerClient, endpoint: Endpoint) -> StatusEntry:
    health = _health(client, endpoint)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(endpoint.since))
    lines = [f"{endpoint.origin}, {endpoint.bundle_hash[:12]}; {endpoint.serving}, since {since}"]
    for entry in last_requests(client, endpoint.container, _REQUESTS_SHOWN):
        when = time.strftime("%H:%M:%S", time.localtime(entry["time"]))
        what = f"{entry['rows']} rows" if "rows" in entry else entry.get("error", "")
        what += f", disagreement {entry['disagreement']:g}" if "disagreement" in entry else ""
        lines.append(f"{when}  {entry['status']}  {what}, {entry['ms']} ms, request {entry['request_id']}")
    return StatusEntry(f"{endpoint.name}  {endpoint.url}  {health}", tuple(lines), health == "ok")


def _health(client: DockerClient, endpoint: Endpoint) -> str:
    """Return ``ok``, or why the endpoint does not serve its model."""
    found = container_state(client, endpoint.container)
    if found != "running":
        return found
    answer = ping(endpoint.url)
    if answer is None:
        return "does not answer"
    return "ok" if answer.get("bundle") == endpoint.bundle_hash else "another model answers"
