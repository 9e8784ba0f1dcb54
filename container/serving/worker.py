"""gunicorn's worker process with uvicorn's HTTP, and limits for which uvicorn has no settings."""

from __future__ import annotations

import asyncio
import json
import os
from http import HTTPStatus
from typing import Any, ClassVar

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

# Limit for the request line and headers together, or for anything else that is received before a body.
LONGEST_HEAD_BYTES = 65_536
# How long a connection may be open without complete headers of a request: as long as an answer may take.
HEAD_SECONDS = float(os.environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT") or 60)
# How long to receive after input that was refused, before the connection is closed.
LINGER_SECONDS = 5
# Connections that may wait to be accepted.
BACKLOG = 1024
# gunicorn kills a worker that has not finished its requests after KILL_SECONDS; uvicorn cancels them before that.
KILL_SECONDS, GRACE_SECONDS = 30, 27


_TOO_LONG = f"the request line and headers are longer than {LONGEST_HEAD_BYTES:,} bytes."


class Connection(HttpToolsProtocol):
    """A client's connection. Input that is not HTTP, and headers without an end, are answered with 400.

    A client may offer another protocol with ``Upgrade``, as ``curl --http2`` does. The offer is not accepted, so the
    request is one of HTTP/1.1 (RFC 9110, section 7.8), with its body. httptools skips the body of such a request and
    would read it as the next request. So the head is parsed again without the offer.
    """

    _without_body = 0
    _timer: asyncio.TimerHandle | None = None
    _offered = False
    _ending = False
    _in_head = False
    _head = 0
    _problem = ""

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
        if self._ending:
            return
        self._unset_keepalive_if_required()
        self._without_body += len(data)
        try:
            self._parse(data)
        except HttpParserError:
            self.send_400_response(self._problem or "Invalid HTTP request received.")
            return
        if self._without_body > LONGEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(_TOO_LONG)
            return
        idle = self.cycle is None or self.cycle.response_complete
        if (
            self._timer is None and idle and not self.transport.is_closing()
        ):  # uvicorn has no timeout once a byte has arrived
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _parse(self, data: bytes) -> None:
        while data and not self._ending:
            try:
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as offer:
                if not self._offered:
                    return
                self._offered = False
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn

    def _head_without_offer(self) -> bytes:
        """Return the request line and the headers that were parsed last, but ``Upgrade``."""
        version = self.parser.get_http_version().encode()
        lines = [b" ".join((self.parser.get_method(), self.url, b"HTTP/" + version))]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0

    def on_url(self, url: bytes) -> None:
        """Pass on a part of the path."""
        self._head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass on a header. Fields behind a body in chunks are not headers: they could change what came before."""
        if self._in_head:
            self._head += len(name) + len(value) + len(b": \r\n")
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timeout, since a request begins.

        Raises:
            ValueError: The headers are refused, which httptools makes an ``HttpParserError``.
        """
        self._in_head = False
        self._stop_waiting()
        self._problem = self._wrong_headers()
        if self._problem:
            raise ValueError(self._problem)
        tunnel = self.parser.get_method() == b"CONNECT"
        self._offered = self.parser.should_upgrade() and not tunnel
        if not self._offered:
            super().on_headers_complete()
        if tunnel:  # which the application refuses; what follows is not HTTP
            self._ending = True
            self.cycle.keep_alive = False

    def _wrong_headers(self) -> str:
        """Return what is wrong with the headers of a request, or an empty text."""
        if self._head > LONGEST_HEAD_BYTES:
            return _TOO_LONG
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        old = self.parser.get_http_version() == "1.0"  # which has no codings
        if codings not in ([], [b"chunked"]) or (codings and old):  # another one would have to be undone
            found = b", ".join(codings).decode("latin-1")
            return f"Transfer-Encoding {found!r} is not supported: send chunked, or a Content-Length."
        hosts = {value for name, value in self.headers if name == b"host"}
        return "" if len(hosts) < 2 else "there are several Host headers."

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
        if self._offered:
            return
        self._without_body = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer input that is not a valid request, and close the connection once its client has read the answer."""
        body = json.dumps({"error": "bad_request", "message": msg}).encode()
        status = HTTPStatus.BAD_REQUEST
        head = f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self._ending = True
        self.transport.write(head.encode() + body)
        if self.cycle is None or self.cycle.response_complete:
            # A connection that is closed before its input is read is reset, and the client may lose the answer.
            self.transport.write_eof()
            self._stop_waiting()
            self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
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
