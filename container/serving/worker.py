"""gunicorn's worker process with uvicorn's HTTP, and limits for which uvicorn has no settings."""

from __future__ import annotations

import asyncio
import json
import os
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

# Limit for the request line and headers together, or for anything else that is received before a body.
LONGEST_HEAD_BYTES = 65_536
# How long a connection may be open without complete headers of a request: as long as an answer may take.
HEAD_SECONDS = float(os.environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT") or 60)
# Connections that may wait to be accepted.
BACKLOG = 1024
# gunicorn kills a worker that has not finished its requests after KILL_SECONDS; uvicorn cancels them before that.
KILL_SECONDS, GRACE_SECONDS = 30, 27


class Connection(HttpToolsProtocol):
    """A client's connection. Input that is not HTTP, and headers without an end, are answered with 400."""

    _without_body = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the timeout for the headers of a request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse input, within the limits."""
        self._without_body += len(data)
        super().data_received(data)
        if self._without_body > LONGEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"the request line and headers are longer than {LONGEST_HEAD_BYTES:,} bytes.")
        idle = self.cycle is None or self.cycle.response_complete
        if (
            self._timer is None and idle and not self.transport.is_closing()
        ):  # uvicorn has no timeout once a byte has arrived
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """Stop the timeout, since a request begins."""
        self._stop_waiting()
        super().on_headers_complete()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body."""
        self._without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._without_body = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer input that is not a valid request, and close the connection."""
        body = json.dumps({"error": "bad_request", "message": msg}).encode()
        status = HTTPStatus.BAD_REQUEST
        head = f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()


class Worker(UvicornWorker):
    """A worker process.

    It uses asyncio's own loop, which is as fast here as uvloop, and uvloop would be one more compiled dependency.

    asyncio accepts as many connections at once as its backlog, which would leave none for the other workers. So the
    backlog is 1 while the server is created, and is raised for the socket afterwards.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "http": Connection,
        "ws": "none",
        "loop": "asyncio",
        "lifespan": "on",
        "backlog": 1,
        "timeout_graceful_shutdown": GRACE_SECONDS,
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
    }

    async def callback_notify(self) -> None:
        """Notify gunicorn that this worker is alive, which uvicorn first does once its server is created."""
        await super().callback_notify()
        for listener in self.sockets:
            listener.listen(BACKLOG)
