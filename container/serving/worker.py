"""gunicorn's worker process with uvicorn's HTTP, and the bounds that uvicorn has no settings for."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

# Of a request's line and headers, or of what else comes without a byte of a body.
LONGEST_HEAD_BYTES = 65_536
# Connections that wait to be taken.
BACKLOG = 1024
# gunicorn kills a worker that has not ended its requests after so long; before that, they are told to end.
KILL_SECONDS, GRACE_SECONDS = 30, 27


class Connection(HttpToolsProtocol):
    """A client's connection. What is no HTTP, or has no end to its headers, is answered by 400 and closed."""

    _without_body = 0

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._without_body += len(data)
        super().data_received(data)
        if self._without_body > LONGEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"the request's line and headers are longer than {LONGEST_HEAD_BYTES:,} bytes.")

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
