"""Requests to an endpoint over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from experiments.errors import BackendUnavailable, EnsembleError

# SageMaker gives a request 60 seconds.
SECONDS = 70


class RequestRefused(EnsembleError):
    """An endpoint answered with an error.

    Attributes:
        status: The HTTP status.
        details: The JSON that came with it.
    """

    def __init__(self, status: int, details: Mapping[str, Any]) -> None:
        message = str(details.get("message") or f"status {status}")
        request = f" (request {details['request_id']})" if "request_id" in details else ""
        super().__init__(f"the endpoint answered {status}: {message}{request}")
        self.status = status
        self.details = details
        # What is wrong with the rows is the user's to mend.
        self.exit_code = 2 if 400 <= status < 500 and status != 429 else 1


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: The HTTP status.
        content_type: Of the body.
        body: The bytes.
    """

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """Return the body's document, or an empty one where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


def send(url: str, method: str, path: str, body: bytes = b"", seconds: float = SECONDS, **headers: str) -> Answer:
    """Send one request.

    Args:
        url: The endpoint's address.
        method: Such as ``POST``.
        path: Such as ``/invocations``.
        body: What is sent.
        seconds: After so long it is given up.
        headers: Such as ``content_type``, with underscores for hyphens.

    Raises:
        BackendUnavailable: Nothing answers there.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=seconds)
    try:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        with suppress(BrokenPipeError, ConnectionResetError):  # what is refused by its headers is not read to its end
            connection.request(method, path, body=body or None, headers=named)
        response = connection.getresponse()
        return Answer(response.status, response.getheader("content-type", ""), response.read())
    except (OSError, http.client.HTTPException) as error:
        raise BackendUnavailable(
            f"nothing answers at {url} ({error or type(error).__name__}): python run.py action=status says what runs."
        ) from None
    finally:
        connection.close()


def ping(url: str, seconds: float = 5) -> dict[str, Any] | None:
    """Return what an endpoint says of its model, or None where none is healthy."""
    try:
        answer = send(url, "GET", "/ping", seconds=seconds)
    except BackendUnavailable:
        return None
    document = answer.json()
    return document if answer.status == 200 and isinstance(document, dict) else None


def invoke(url: str, body: bytes, content_type: str, accept: str) -> Answer:
    """Return an endpoint's answer.

    Raises:
        RequestRefused: It answered with an error.
        BackendUnavailable: Nothing answers there.
    """
    answer = send(url, "POST", "/invocations", body, content_type=content_type, accept=accept)
    if answer.status != 200:
        details = answer.json()
        raise RequestRefused(answer.status, details if isinstance(details, dict) else {})
    return answer
