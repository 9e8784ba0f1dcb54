"""``action=deploy`` on this machine: the new container is proved before the endpoint is switched to it."""

from __future__ import annotations

import json
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.paths import endpoints_folder
from experiments.config.schema import SageMakerModeConfig
from experiments.docker.endpoint import SECONDS_TO_DRAIN, end, remove_strangers, start, state
from experiments.docker.engine import open_engine
from experiments.docker.image import build_image_if_missing, configured_image
from experiments.errors import ConfigError, storage_errors
from experiments.reporting.console import print_plain
from experiments.serving.memory import keep
from experiments.serving.models import Model, place_model
from experiments.serving.plan import check_serving, plan_endpoint
from experiments.serving.records import Endpoint, Records, check_name
from experiments.serving.rehearsal import rehearse
from experiments.serving.smoke_test import example_request, prove
from experiments.system.machine import check_folder

REQUESTS = "requests.json"


def deploy(composed: Composed, words: Sequence[str], console: Console) -> int:
    """Serve a model in a container on this machine and say where; return 0.

    Raises:
        InputError: A mistake in the configuration, or a model that is none.
        DeployFailed: The container did not answer, or not as the model did when it was trained.
    """
    config = composed.config
    mode, name = config.mode, config.endpoint
    if not isinstance(mode, SageMakerModeConfig):
        again = typed_command(["mode=sagemaker", *(word for word in words if not word.startswith("mode="))])
        raise ConfigError(f"mode={mode.name} has no endpoints: {again}")
    check_name(name)
    check_serving(config.serving)
    records = Records(endpoints_folder(config))
    check_folder(records.root)
    with records.alone(name) as folder, open_engine() as client:
        image = configured_image(mode.image)
        build_image_if_missing(image, client, console)
        old = records.find(name)
        remove_strangers(client, folder, old.container if old else None)
        if (
            old is not None
            and urlsplit(old.url).port == config.serving.port
            and state(client, old.container) == "running"
        ):
            raise ConfigError(
                f"serving.port={config.serving.port} is where endpoint {name} serves now, and a new one is proved "
                f"before the old one ends: take another port, or first python run.py action=delete endpoint={name}."
            )
        version = uuid.uuid4().hex[:8]
        with _new_folder(folder, version, old) as place:
            model = place_model(composed, place)
            plan = plan_endpoint(composed, mode, model, image.tag, version)
            _write(place / REQUESTS, plan.requests)
            print_plain(console, f"endpoint {name}: starting {model.origin} in {image.tag}.")
            began = time.monotonic()
            started = start(client, plan.requests, folder, model.folder, plan.limits)
            try:
                prove(client, started, model.manifest, model.bundle_hash)
                seconds = time.monotonic() - began
                endpoint = Endpoint(
                    name=name,
                    url=started.url,
                    container=started.container,
                    network=started.network,
                    folder=str(place),
                    model_dir=str(model.folder),
                    origin=model.origin,
                    bundle_hash=model.bundle_hash,
                    serving=config.serving.name,
                    since=time.time(),
                )
                records.put(endpoint)
            except BaseException:
                with suppress(Exception):  # the engine may be gone, and its containers with it
                    end(client, started.container, started.network, seconds=0)
                raise
        _show(endpoint, model, seconds, console)
        if old is not None:
            print_plain(console, f"draining {old.origin}, which served until now.")
            end(client, old.container, old.network, SECONDS_TO_DRAIN)
            shutil.rmtree(old.folder, ignore_errors=True)
        if config.serving.name == "serverless":
            keep(records.root, model.bundle_hash, rehearse(client, endpoint, plan, seconds, console))
    return 0


@contextmanager
def _new_folder(folder: Path, version: str, old: Endpoint | None) -> Iterator[Path]:
    """Make the folder of a new version, without those that a killed command has left; it goes again if this fails."""
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


def _write(path: Path, requests: Mapping[str, Any]) -> None:
    with storage_errors(path):
        path.write_text(json.dumps(requests, indent=1))


def _show(endpoint: Endpoint, model: Model, seconds: float, console: Console) -> None:
    columns = [column["name"] for column in model.manifest["columns"]]
    body, _ = example_request(model.manifest, rows=1)
    print_plain(
        console,
        f"endpoint {endpoint.name} serves {endpoint.origin} at {endpoint.url}, {seconds:.1f} s after its start; it "
        f"predicts {model.manifest['target']} from {len(columns)} columns, and goes on when this command ends.",
    )
    quoted = body.decode().replace("'", "'\\''")
    print_plain(console, f"\n  curl {endpoint.url}/invocations -H 'content-type: application/json' -d '{quoted}'\n")
    sys.stdout.flush()
