"""Bytes to an endpoint and back, for clients that break the rules of HTTP."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

from tests.endpoint.answer import Answer
from tests.endpoint.target import Target

# An endpoint that neither answers nor closes the connection for this time hangs.
SECONDS = 20


def opened(target: Target) -> socket.socket:
    """Open a connection that sends each part at once."""
    place = urlsplit(target.url)
    connection = socket.create_connection((place.hostname or "", place.port or 80), timeout=SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exchange(target: Target, *parts: bytes, ending: bool = False) -> bytes:
    """Send parts on a new connection; return all that is received until the endpoint closes it.

    Args:
        target: The endpoint.
        parts: What is sent.
        ending: Whether to shut down the sending side, for input after which the endpoint may wait for more.

    Raises:
        TimeoutError: It does not close the connection.
    """
    with opened(target) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have closed it before the end
            for part in parts:
                connection.sendall(part)
            if ending:
                connection.shutdown(socket.SHUT_WR)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    """Return all that is received until the other side closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            found += part
    return found


def first_answer(connection: socket.socket) -> Answer:
    """Receive one answer with a body, and leave the connection as it is."""
    with connection.makefile("rb") as stream:
        lines = iter(stream.readline, b"\r\n")
        head = b"".join(lines) + b"\r\n"
        length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        (answer,) = answers(head + stream.read(length))
    return answer


def answers(raw: bytes, *, bodiless: bool = False) -> list[Answer]:
    """Return the answers in the received bytes, in order; ``bodiless`` ones are those to HEAD."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if bodiless else int(headers.get("content-length", "0"))
        found.append(Answer(int(first.split()[1]), headers, raw[:length]))
        raw = raw[length:]
    return found


def request(
    body: bytes, *lines: bytes, start: bytes = b"POST /invocations HTTP/1.1", length: bytes | None = None
) -> bytes:
    """Return a request with further header lines; the connection ends with it, unless ``lines`` are given."""
    length = b"%d" % len(body) if length is None else length
    headers = [b"Host: endpoint", b"Content-Type: application/json", b"Content-Length: " + length]
    return b"\r\n".join([start, *headers, *(lines or (b"Connection: close",)), b"", body])
