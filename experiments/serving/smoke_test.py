"""Whether a container that was started serves the model that it should, as the model was trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.docker.endpoint import Started, log_tail, state
from experiments.errors import BackendUnavailable, EnsembleError
from experiments.serving.client import RequestRefused, invoke, ping
from experiments.serving.examples import check_predictions, example_request
from experiments.serving.server_log import LINES_READ, last_words

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient

# SageMaker's own limits: until /ping answers, and for an answer.
SECONDS_TO_PING = 180
SECONDS_TO_ANSWER = 60
_POLL_SECONDS = 0.02


class DeployFailed(EnsembleError):
    """A model could not be served; the endpoint that was there goes on."""


def prove(client: DockerClient, started: Started, manifest: Mapping[str, Any], bundle_hash: str) -> None:
    """Wait for the container, and hold what it says against what the model is and predicted when it was trained.

    Raises:
        DeployFailed: It ended, took too long, is another model, or predicts otherwise.
    """
    wait_for_ping(client, started, bundle_hash)
    body, expected = example_request(manifest)
    try:
        answer = invoke(started.url, body, "application/json", "application/json")
    except RequestRefused as error:
        raise DeployFailed(f"the model refuses its own example: {error}") from None
    except BackendUnavailable:
        found = state(client, started.container)
        raise DeployFailed(
            f"the model's own example was not answered: its container is {found}.\n{_tail(client, started)}"
        ) from None
    problem = check_predictions(answer.json(), expected)
    if problem is not None:
        raise DeployFailed(f"the endpoint does not predict what the model did when it was trained: {problem}")


def wait_for_ping(client: DockerClient, started: Started, bundle_hash: str) -> None:
    """Wait until the container answers as this model.

    Raises:
        DeployFailed: It ended, took longer than SageMaker would wait, or is another model.
    """
    deadline = time.monotonic() + SECONDS_TO_PING
    while (said := ping(started.url, seconds=SECONDS_TO_ANSWER)) is None:
        found = state(client, started.container)
        if found != "running":
            raise DeployFailed(f"the model could not be served: its container {found}.\n{_tail(client, started)}")
        if time.monotonic() > deadline:
            raise DeployFailed(f"/ping did not answer in {SECONDS_TO_PING} s.\n{_tail(client, started)}")
        time.sleep(_POLL_SECONDS)
    if said.get("bundle") != bundle_hash:
        raise DeployFailed(f"{started.url} answers as another model: {said.get('bundle')}, not {bundle_hash}.")


def _tail(client: DockerClient, started: Started) -> str:
    return last_words(log_tail(client, started.container, LINES_READ))
