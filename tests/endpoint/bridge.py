"""A bridge to an endpoint on SageMaker: requests to an address of this machine are passed on by ``InvokeEndpoint``."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class SageMakerEndpoint:
    """An endpoint on SageMaker.

    Attributes:
        name: Its name.
        region: Its region.
        profile: The profile of ``~/.aws`` that may invoke it, or None.
        bundle_hash: The hash of the bundle that it serves.
    """

    name: str
    region: str
    profile: str | None
    bundle_hash: str


@contextlib.contextmanager
def bridged(endpoint: SageMakerEndpoint) -> Iterator[str]:
    """Open the bridge, and yield its address."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(profile_name=endpoint.profile, region_name=endpoint.region)
    # No retries, since the tests expect one answer per request; as many connections as the tests have clients.
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=64, read_timeout=70)
    runtime, sagemaker = session.client("sagemaker-runtime", config=config), session.client("sagemaker")

    class Handler(_Handler):
        def invoke(self, body: bytes) -> tuple[int, str, bytes]:
            given = {key: self.headers[name] for key, name in _HEADERS.items() if self.headers[name]}
            try:
                answer = runtime.invoke_endpoint(EndpointName=endpoint.name, Body=body, **given)
            except runtime.exceptions.ModelError as error:
                return error.response["OriginalStatusCode"], "application/json", _message(error.response)
            return 200, answer["ContentType"], answer["Body"].read()

        def health(self) -> tuple[int, str, bytes]:
            status = sagemaker.describe_endpoint(EndpointName=endpoint.name)["EndpointStatus"]
            document = {"status": status, "model": endpoint.name, "bundle": endpoint.bundle_hash}
            return 200 if status == "InService" else 503, "application/json", json.dumps(document).encode()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="bridge")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_HEADERS = {"ContentType": "content-type", "Accept": "accept"}


def _message(response: dict[str, Any]) -> bytes:
    return str(response.get("OriginalMessage", "")).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def invoke(self, body: bytes) -> tuple[int, str, bytes]:
        """Return status, content type and body of an answer."""
        raise NotImplementedError

    def health(self) -> tuple[int, str, bytes]:
        """Return status, content type and body of an answer to ``/ping``."""
        raise NotImplementedError

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        self._answer(*self.invoke(body))

    def do_GET(self) -> None:
        self._answer(*self.health())

    def log_message(self, *args: object) -> None:
        """Do not log requests."""

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        if status != 200:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                self.send_header("x-request-id", json.loads(body)["request_id"])
        self.end_headers()
        self.wfile.write(body)
