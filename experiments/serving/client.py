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
from experiments.system.project import COMMAND

# SageMaker gives a request 60 seconds.
SECONDS = 70


class RequestRefused(EnsembleError):
    """An endpoint answered with an error.

    Attributes:
        status: The HTTP status.
        details: The JSON of the answer.
    """

    def __init__(self, status: int, details: Mapping[str, Any]) -> None:
        message = str(details.get("message") or f"status {status}")
        request = f" (request {details['request_id']})" if "request_id" in details else ""
        super().__init__(f"the endpoint answered {status}: {message}{request}")
        self.status = status
        self.details = details
        # Only the user can fix what is wrong with the rows.
        self.exit_code = 2 if 400 <= status < 500 and status != 429 else 1


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP.

    Attributes:
        status: The HTTP status.
        content_type: The format of the body.
        body: The bytes.
    """

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON, or an empty document if it is not JSON."""
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
        body: The body of the request.
        seconds: Time limit for each wait on the connection.
        headers: Headers, with underscores for hyphens, such as ``content_type``.

    Raises:
        BackendUnavailable: Nothing answers there.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=seconds)
    try:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        # A request that is refused by its headers is not read to its end.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body=body or None, headers=named)
        response = connection.getresponse()
        return Answer(response.status, response.getheader("content-type", ""), response.read())
    except (OSError, http.client.HTTPException) as error:
        raise BackendUnavailable(
            f"nothing answers at {url} ({error or type(error).__name__}): {COMMAND} action=status shows what runs."
        ) from None
    finally:
        connection.close()


def ping(url: str, seconds: float = 5) -> dict[str, Any] | None:
    """Return an endpoint's description of its model, or None if no healthy endpoint answers."""
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
