"""The smoke test of an endpoint: it serves the right model, which predicts its example as it did in training."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ensemble.column_encoding import iso_date
from experiments.docker.endpoint import Started, container_state, log_tail
from experiments.errors import BackendUnavailable, EnsembleError
from experiments.serving.client import RequestRefused, invoke, ping
from experiments.serving.server_log import LINES_READ, relevant_lines

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient

# SageMaker's limits: until /ping answers, and for one answer.
SECONDS_TO_PING = 180
SECONDS_TO_ANSWER = 60
_POLL_SECONDS = 0.02


class DeployFailed(EnsembleError):
    """A model could not be served; an endpoint that existed before keeps serving its own."""


def check_container(client: DockerClient, started: Started, manifest: Mapping[str, Any], bundle_hash: str) -> None:
    """Wait for the container, and check that it serves this model, which predicts its example as it did in training.

    Raises:
        DeployFailed: It ended, took too long, serves another model, or predicts something else.
    """
    wait_for_ping(client, started, bundle_hash)
    body, expected = example_request(manifest)
    try:
        answer = invoke(started.url, body, "application/json", "application/json")
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


TOLERANCE = 1e-9


def example_rows(manifest: Mapping[str, Any]) -> list[list[Any]]:
    """Return the example's rows as a user writes them: categories and dates as text, missing values as None."""
    columns = manifest["columns"]
    return [
        [_written(value, column) for value, column in zip(row, columns, strict=True)]
        for row in manifest["example"]["features"]
    ]


def example_request(manifest: Mapping[str, Any], rows: int | None = None) -> tuple[bytes, list[float]]:
    """Return the example, or its first ``rows`` rows, as a JSON body, and the predictions from its training."""
    names = [column["name"] for column in manifest["columns"]]
    document = {"columns": names, "data": example_rows(manifest)[:rows]}
    return json.dumps(document).encode(), manifest["example"]["predictions"][:rows]


def check_predictions(document: Any, expected: Sequence[float]) -> str | None:
    """Return what is wrong with the predictions of an answer, or None."""
    found = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) != len(expected):
        return f"{len(expected)} predictions were expected, and the answer is {str(document)[:200]}"
    for row, (value, trained) in enumerate(zip(found, expected, strict=True)):
        if not isinstance(value, int | float) or not math.isclose(value, trained, rel_tol=TOLERANCE):
            return f"the prediction for row {row + 1} of its example is {value!r}, and was {trained!r} in training"
    return None


def csv_of(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV without a header."""
    import csv
    import io

    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(["" if value is None else value for value in row] for row in rows)
    return sink.getvalue()


def _written(value: float | None, column: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if column["type"] == "category":
        return column["levels"][int(value)]
    if column["type"] == "date":
        return iso_date(value)
    if column["type"] == "boolean":
        return bool(value)
    return value
