"""``action=deploy`` on this machine: the new container is proved before the endpoint is switched to it."""

from __future__ import annotations

import json
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.aws.documents import LOCAL_INSTANCE, LOCAL_ROLE, Serving, endpoint_requests
from experiments.aws.engine import answering
from experiments.aws.local_endpoint import (
    SECONDS_TO_DRAIN,
    check_network,
    end,
    remove_strangers,
    start,
)
from experiments.aws.validation import check_document
from experiments.config import Composed
from experiments.errors import ConfigError, StorageError
from experiments.modes import build_image_if_missing
from experiments.preflight import check_folder
from experiments.schema import SageMakerModeConfig, ServingConfig
from experiments.serving.examples import example_request
from experiments.serving.models import Model, place_model
from experiments.serving.proof import SECONDS_TO_ANSWER, prove
from experiments.serving.records import Endpoint, Records, check_name
from experiments.serving.rehearsal import SERVERLESS_BODY_BYTES, SERVERLESS_MEMORY, rehearse

REQUESTS = "requests.json"
# SageMaker's own limits.
BODY_BYTES = 6 * 2**20
MOST_CONCURRENCY = 200


@dataclass(frozen=True)
class _Deployment:
    """One command's endpoint: what is deployed, and from which requests."""

    name: str
    model: Model
    requests: Mapping[str, Any]
    limits: Mapping[str, Any]


def deploy(composed: Composed, words: Sequence[str], console: Console) -> int:
    """Serve a model in a container on this machine and say where; return 0.

    Raises:
        InputError: A mistake in the configuration, or a model that is none.
        DeployFailed: The container did not answer, or not as the model did when it was trained.
    """
    config = composed.config
    mode, name = config.mode, config.endpoint
    if not isinstance(mode, SageMakerModeConfig):
        raise ConfigError(f"mode={mode.name} has no endpoints: python run.py mode=sagemaker action=deploy.")
    check_name(name)
    check_serving(config.serving)
    records = Records(Path(config.paths.endpoints).expanduser().absolute())
    check_folder(records.root)
    with records.alone(name) as folder, answering() as client:
        image = build_image_if_missing(mode, client, console)
        old = records.find(name)
        remove_strangers(client, folder, old.container if old else None)
        version = uuid.uuid4().hex[:8]
        with _new_folder(folder, version, old) as place:
            model = place_model(composed, place)
            deployment = _plan(composed, mode, model, image, version)
            _write(place / REQUESTS, deployment.requests)
            console.print(f"endpoint {name}: starting {model.origin} in {image}.", highlight=False)
            began = time.monotonic()
            started = start(client, deployment.requests, folder, model.folder, deployment.limits)
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
            console.print(f"draining {old.origin}, which served until now.", highlight=False)
            end(client, old.container, old.network, SECONDS_TO_DRAIN)
            shutil.rmtree(old.folder, ignore_errors=True)
        if config.serving.name == "serverless":
            rehearse(client, endpoint, deployment.requests, model.manifest, seconds, console)
    return 0


def check_serving(serving: ServingConfig) -> None:
    """Raise ConfigError for a setting that no endpoint can have."""
    memory, concurrency = serving.memory_size_in_mb, serving.max_concurrency
    if serving.name == "serverless":
        if memory not in SERVERLESS_MEMORY:
            sizes = ", ".join(map(str, SERVERLESS_MEMORY))
            raise ConfigError(f"serving.memory_size_in_mb={memory}: a serverless endpoint has one of {sizes}.")
        if concurrency is None or not 1 <= concurrency <= MOST_CONCURRENCY:
            raise ConfigError(f"serving.max_concurrency={concurrency} is not from 1 to {MOST_CONCURRENCY}.")
        if serving.workers not in (None, 1):
            raise ConfigError(
                f"serving.workers={serving.workers}: a serverless endpoint has one; serving=realtime may have more."
            )
    if serving.port is not None and not 1 <= serving.port <= 65535:
        raise ConfigError(f"serving.port={serving.port} is not from 1 to 65535.")
    if serving.workers is not None and not 1 <= serving.workers <= 64:
        raise ConfigError(f"serving.workers={serving.workers} is not from 1 to 64.")
    if serving.instance_count is not None and serving.instance_count < 1:
        raise ConfigError(f"serving.instance_count={serving.instance_count} is below 1.")


def _plan(composed: Composed, mode: SageMakerModeConfig, model: Model, image: str, version: str) -> _Deployment:
    """Return the requests, checked as AWS would, and the limits of the container on this machine."""
    serving, name = composed.config.serving, composed.config.endpoint
    serverless = serving.name == "serverless"
    environment = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": str(SECONDS_TO_ANSWER),
        "BYOE_MODEL_NAME": f"{name}-{version}",
        "BYOE_MAX_BODY_BYTES": str(SERVERLESS_BODY_BYTES if serverless else BODY_BYTES),
    }
    if serverless:
        environment["BYOE_MAX_CONCURRENCY"] = str(serving.max_concurrency)
    if serving.workers is not None:
        environment["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(serving.workers)
    requests = endpoint_requests(
        Serving(
            name=name,
            version=version,
            image=image,
            role=LOCAL_ROLE,
            model=(model.folder.parent / "model.tar.gz").as_uri(),
            environment=environment,
            isolated=check_network(mode.network),
            memory_size_in_mb=serving.memory_size_in_mb if serverless else None,
            max_concurrency=serving.max_concurrency if serverless else None,
            instance_type=None if serverless else LOCAL_INSTANCE,
            instance_count=serving.instance_count or 1,
            tags={"mode": mode.name, "bundle_hash": model.bundle_hash},
        )
    )
    for operation, document in requests.items():
        check_document(operation, document, local=True)
    memory = None if mode.memory_gb is None else round(mode.memory_gb * 2**30)
    if serverless:
        memory = int(serving.memory_size_in_mb or 0) * 2**20
    limits = {"port": serving.port, "memory_bytes": memory, "cpus": mode.cpus, "read_only": serverless}
    return _Deployment(name, model, requests, limits)


@contextmanager
def _new_folder(folder: Path, version: str, old: Endpoint | None) -> Iterator[Path]:
    """Make the folder of a new version, without those that a killed command has left; it goes again if this fails."""
    place = folder / version
    try:
        for entry in folder.iterdir():
            if entry.is_dir() and (old is None or str(entry) != old.folder):
                shutil.rmtree(entry, ignore_errors=True)
        place.mkdir()
    except OSError as error:
        raise StorageError.at(folder, error.strerror or str(error)) from error
    try:
        yield place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _write(path: Path, requests: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(requests, indent=1))
    except OSError as error:
        raise StorageError.at(path, error.strerror or str(error)) from error


def _show(endpoint: Endpoint, model: Model, seconds: float, console: Console) -> None:
    columns = [column["name"] for column in model.manifest["columns"]]
    body, _ = example_request(model.manifest, rows=1)
    console.print(
        f"endpoint {endpoint.name} serves {endpoint.origin} at {endpoint.url}, {seconds:.1f} s after its start; it "
        f"predicts {model.manifest['target']} from {len(columns)} columns, and goes on when this command ends.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    quoted = body.decode().replace("'", "'\\''")
    console.print(
        f"\n  curl {endpoint.url}/invocations -H 'content-type: application/json' -d '{quoted}'\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    sys.stdout.flush()
