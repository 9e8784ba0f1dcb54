"""gunicorn's worker process with uvicorn's HTTP, and the bounds that uvicorn has no settings for."""

from __future__ import annotations

import asyncio
import json
import os
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

# Of a request's line and headers, or of what else comes without a byte of a body.
LONGEST_HEAD_BYTES = 65_536
# So long a connection may be open without a whole head of a request: as long as an answer may take.
HEAD_SECONDS = float(os.environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT") or 60)
# Connections that wait to be taken.
BACKLOG = 1024
# gunicorn kills a worker that has not ended its requests after so long; before that, they are told to end.
KILL_SECONDS, GRACE_SECONDS = 30, 27


class Connection(HttpToolsProtocol):
    """A client's connection. What is no HTTP, or has no end to its headers, is answered by 400 and closed."""

    _without_body = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._without_body += len(data)
        super().data_received(data)
        if self._without_body > LONGEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"the request line and headers are longer than {LONGEST_HEAD_BYTES:,} bytes.")
        idle = self.cycle is None or self.cycle.response_complete
        if self._timer is None and idle and not self.transport.is_closing():  # uvicorn waits for ever, after any byte
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._stop_waiting()
        super().on_headers_complete()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._without_body = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request."""
        body = json.dumps({"error": "bad_request", "message": msg}).encode()
        status = HTTPStatus.BAD_REQUEST
        head = f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()


class Worker(UvicornWorker):
    """A worker process. asyncio's own loop is as quick here as uvloop, which would be one more thing compiled.

    asyncio takes as many connections at once as may wait, which would leave the other workers without any. So a single
    one may, until it has made its server, and then as many as should.
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
        """Tell gunicorn that this worker lives; uvicorn does so first when its server is made."""
        await super().callback_notify()
        for listener in self.sockets:
            listener.listen(BACKLOG)
