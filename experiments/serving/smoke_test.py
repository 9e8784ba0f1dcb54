"""The smoke test of a container: it serves the right model, which predicts its example as it did in training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.docker.endpoint import Started, container_state, log_tail
from experiments.errors import BackendUnavailable
from experiments.sagemaker_requests.limits import SECONDS_TO_ANSWER, SECONDS_TO_PING
from experiments.serving.base import DeployFailed
from experiments.serving.client import RequestRefused, invoke, ping
from experiments.serving.example import EXAMPLE_ACCEPT, check_predictions, example_request
from experiments.serving.server_log import LINES_READ, relevant_lines

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient

_POLL_SECONDS = 0.02


def check_container(client: DockerClient, started: Started, manifest: Mapping[str, Any], bundle_hash: str) -> None:
    """Wait for the container, and check that it serves this model, which predicts its example as it did in training.

    Raises:
        DeployFailed: It ended, took too long, serves another model, or predicts something else.
    """
    wait_for_ping(client, started, bundle_hash)
    body, expected = example_request(manifest)
    try:
        answer = invoke(started.url, body, "application/json", EXAMPLE_ACCEPT)
    except RequestRefused as error:
        raise DeployFailed(f"the model refuses its own example: {error}") from None
    except BackendUnavailable:
        found = container_state(client, started.container)
        raise DeployFailed(
            f"the model's own example was not answered: its container is {found}.\n{_tail(client, started)}"
        ) from None
    problem = check_predictions(answer.json(), expected)
    if problem is not None:
        raise DeployFailed(f"the endpoint does not predict what the model predicted in training: {problem}")


def wait_for_ping(client: DockerClient, started: Started, bundle_hash: str) -> None:
    """Wait until the container answers with this model.

    Raises:
        DeployFailed: It ended, took longer than SageMaker would wait, or serves another model.
    """
    deadline = time.monotonic() + SECONDS_TO_PING
    while (answer := ping(started.url, seconds=SECONDS_TO_ANSWER)) is None:
        found = container_state(client, started.container)
        if found != "running":
            raise DeployFailed(f"the model could not be served: its container {found}.\n{_tail(client, started)}")
        if time.monotonic() > deadline:
            raise DeployFailed(f"/ping did not answer in {SECONDS_TO_PING} s.\n{_tail(client, started)}")
        time.sleep(_POLL_SECONDS)
    if answer.get("bundle") != bundle_hash:
        raise DeployFailed(f"{started.url} serves another model: {answer.get('bundle')}, not {bundle_hash}.")


def _tail(client: DockerClient, started: Started) -> str:
    return relevant_lines(log_tail(client, started.container, LINES_READ))
