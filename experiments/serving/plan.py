"""The requests that create an endpoint on SageMaker, and the limits of its container on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ensemble.bundle import read_intervals
from ensemble.intervals import check_intervals, check_level
from ensemble.serving.selected import INTERVAL, KEYS, OUTPUT, check_selected
from experiments.config.compose import Composed
from experiments.config.schema import SageMakerModeConfig, ServingConfig
from experiments.docker.endpoint import Limits, check_network
from experiments.errors import ConfigError, one_of
from experiments.sagemaker_requests.endpoints import Serving, endpoint_requests
from experiments.sagemaker_requests.jobs import LOCAL_INSTANCE, LOCAL_ROLE
from experiments.sagemaker_requests.limits import (
    BODY_BYTES,
    MOST_CONCURRENCY,
    SECONDS_TO_ANSWER,
    SERVERLESS_BODY_BYTES,
    SERVERLESS_MEMORY,
)
from experiments.sagemaker_requests.validation import check_request
from experiments.serving.memory import DEFAULT_MEMORY
from experiments.serving.models import Model
from experiments.system.archives import MODEL_ARCHIVE

_KEYS_OF_OTHER_KIND = {
    "serverless": dict.fromkeys(("instance_type", "instance_count"), "realtime"),
    "realtime": dict.fromkeys(("memory_size_in_mb", "max_concurrency"), "serverless"),
}


@dataclass(frozen=True)
class EndpointPlan:
    """An endpoint that can be started.

    Attributes:
        model: What it serves.
        requests: By operation, as SageMaker would get them.
        limits: The limits of its container on this machine.
    """

    model: Model
    requests: Mapping[str, Any]
    limits: Limits


def check_serving(serving: ServingConfig) -> None:
    """Raise ConfigError for a setting that an endpoint cannot have."""
    memory, concurrency = serving.memory_size_in_mb, serving.max_concurrency
    for key, kind in _KEYS_OF_OTHER_KIND.get(serving.name, {}).items():
        if getattr(serving, key) is not None:
            raise ConfigError(f"serving.{key} is for serving={kind}: add serving={kind}, or leave serving.{key} out.")
    _check_output(serving)
    if serving.name == "serverless":
        if memory is not None and memory not in SERVERLESS_MEMORY:
            sizes = ", ".join(map(str, SERVERLESS_MEMORY))
            raise ConfigError(f"serving.memory_size_in_mb={memory}: a serverless endpoint has one of {sizes} MB.")
        if concurrency is None or not 1 <= concurrency <= MOST_CONCURRENCY:
            raise ConfigError(f"serving.max_concurrency={concurrency} is not from 1 to {MOST_CONCURRENCY}.")
        if serving.workers not in (None, 1):
            raise ConfigError(
                f"serving.workers={serving.workers}: a serverless endpoint has one. Use serving=realtime for more."
            )
    if serving.port is not None and not 1 <= serving.port <= 65535:
        raise ConfigError(f"serving.port={serving.port} is not from 1 to 65535.")
    if serving.workers is not None and not 1 <= serving.workers <= 64:
        raise ConfigError(f"serving.workers={serving.workers} is not from 1 to 64.")
    if serving.instance_count is not None and serving.instance_count < 1:
        raise ConfigError(f"serving.instance_count={serving.instance_count} is below 1.")


def _check_output(serving: ServingConfig) -> None:
    for key in serving.inference_output:
        one_of("serving.inference_output", key, KEYS)
    if serving.interval is None:
        return
    check_level(serving.interval, "serving.interval")
    if serving.inference_output:
        raise ConfigError(
            "serving.interval and serving.inference_output each say what answers hold. Leave one of them out: with "
            "serving.inference_output, a request gets an interval by detail=interval."
        )


def check_answers(serving: ServingConfig, model: Model) -> None:
    """Raise InputError if the answers of the model cannot hold what the configuration selects."""
    check_selected(serving.inference_output, bool(model.manifest.get("classes")), "serving.inference_output")
    if serving.interval is not None:
        check_intervals(read_intervals(model.folder, model.manifest), serving.interval, "serving.interval")


def plan_endpoint(
    composed: Composed, mode: SageMakerModeConfig, model: Model, image: str, version: str
) -> EndpointPlan:
    """Return the requests, checked as AWS would check them, and the limits of the container on this machine.

    Raises:
        InputError: The answers of this model cannot hold what is selected.
        InvalidRequest: AWS would refuse a request.
        BackendUnavailable: An endpoint cannot have such a network.
    """
    serving = composed.config.serving
    check_answers(serving, model)
    serverless = serving.name == "serverless"
    if serverless and serving.memory_size_in_mb is None:
        # The rehearsal finds out whether less or more is needed.
        serving = replace(serving, memory_size_in_mb=DEFAULT_MEMORY)
    isolated = check_network(mode.network)
    place = Serving(
        name=composed.config.endpoint,
        version=version,
        image=image,
        role=LOCAL_ROLE,
        model=(model.folder.parent / MODEL_ARCHIVE).as_uri(),
        isolated=isolated,
        tags={"mode": mode.name, "bundle_hash": model.bundle_hash},
    )
    requests = serving_requests(serving, place, local=True)
    memory = None if mode.memory_gb is None else round(mode.memory_gb * 2**30)
    if serverless:
        memory = int(serving.memory_size_in_mb or 0) * 2**20
    return EndpointPlan(
        model, requests, Limits(serving.port, memory, mode.cpus, read_only=serverless, isolated=isolated)
    )


def serving_requests(serving: ServingConfig, place: Serving, *, local: bool) -> dict[str, dict[str, Any]]:
    """Return, by operation, the requests that create an endpoint, checked as AWS would check them.

    Args:
        serving: How the endpoint is configured.
        place: Where it is created, and from what; its environment and capacity are set from the configuration.
        local: Whether the endpoint is on this machine.

    Raises:
        InvalidRequest: AWS would refuse a request.
    """
    serverless = serving.name == "serverless"
    environment = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": str(SECONDS_TO_ANSWER),
        "BYOE_MODEL_NAME": f"{place.name}-{place.version}",
        "BYOE_MAX_BODY_BYTES": str(SERVERLESS_BODY_BYTES if serverless else BODY_BYTES),
    }
    if serverless:
        environment["BYOE_MAX_CONCURRENCY"] = str(serving.max_concurrency)
        place = replace(place, memory_size_in_mb=serving.memory_size_in_mb, max_concurrency=serving.max_concurrency)
    else:
        place = replace(
            place,
            instance_type=LOCAL_INSTANCE if local else serving.instance_type,
            instance_count=serving.instance_count or 1,
        )
    if serving.inference_output:
        environment[OUTPUT] = ",".join(serving.inference_output)
    if serving.interval is not None:
        environment[INTERVAL] = repr(serving.interval)
    if serving.workers is not None:
        environment["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(serving.workers)
    requests = endpoint_requests(replace(place, environment=environment))
    for operation, document in requests.items():
        check_request(operation, document, local=local)
    return requests
