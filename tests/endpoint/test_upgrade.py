"""Requests that offer another protocol, as ``curl --http2`` and Java's HttpClient do: the offer is not accepted."""

from __future__ import annotations

import json

import pytest

from tests.endpoint.bodies import FORMS
from tests.endpoint.target import Target
from tests.endpoint.wire import answers, exchange

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("own_http", "still_right")]

OFFERS = {
    "curl": [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"],
    "java": [b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"],
    "websocket": [b"Upgrade: websocket", b"Connection: keep-alive, upgrade", b"Sec-WebSocket-Version: 13"],
    "several": [b"UPGRADE: IRC/6.9, TLS/1.0", b"upgrade: x", b"connection: UPGRADE"],
}
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: endpoint\r\n\r\n"


def head(*lines: bytes, start: bytes = b"POST /invocations HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: endpoint", b"Content-Type: application/json", *lines, b"", b""])


@pytest.fixture
def last() -> bytes:
    """A request that the server answers by closing the connection."""
    return b"GET /ping HTTP/1.1\r\nHost: endpoint\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("cut", ["one packet", "two packets", "many packets", "chunked"])
def test_the_body_of_a_request_with_an_offer_is_read(offer: str, cut: str, target: Target, last: bytes) -> None:
    cells = target.more(2)
    body = FORMS["json lists"].write(cells)
    if cut == "chunked":
        parts = [head(*OFFERS[offer], b"Transfer-Encoding: chunked"), b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)]
    else:
        parts = [head(*OFFERS[offer], b"Content-Length: %d" % len(body)), body]
    if cut == "one packet":
        parts = [b"".join(parts)]
    if cut == "many packets":
        whole = b"".join(parts)
        parts = [whole[place : place + 7] for place in range(0, len(whole), 7)]
    first, second = answers(exchange(target, *parts, last))
    assert first.numbers() == target.predict(cells)
    assert second.json["status"] == "ok"


@pytest.mark.parametrize("offer", OFFERS)
def test_a_body_after_an_offer_is_never_the_next_request(offer: str, target: Target, last: bytes) -> None:
    start = head(*OFFERS[offer], b"Content-Length: %d" % len(HIDDEN))
    for parts in ([start + HIDDEN + last], [start, HIDDEN, last], [start, HIDDEN[:9], HIDDEN[9:] + last]):
        first, second = answers(exchange(target, *parts))
        first.refused(400, error="unreadable")
        assert second.json["status"] == "ok"


def test_requests_without_a_body_may_offer_too(target: Target, last: bytes) -> None:
    lines = OFFERS["curl"]
    ping = head(*lines, start=b"GET /ping HTTP/1.1")
    found = answers(exchange(target, ping + ping + head(*lines, b"Content-Length: 0") + last))
    assert [answer.status for answer in found] == [200, 200, 400, 200]


def test_an_offer_does_not_hide_two_lengths(target: Target) -> None:
    lengths = [b"Content-Length: 4", b"Transfer-Encoding: chunked"]
    (answer,) = answers(exchange(target, head(*OFFERS["curl"], *lengths) + b"0\r\n\r\n" + HIDDEN))
    assert answer.status == 400


def test_connect_is_refused_and_nothing_after_it_is_read(target: Target) -> None:
    (answer,) = answers(exchange(target, b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n", HIDDEN))
    assert answer.status == 400
    assert json.loads(answer.body)["error"] == "bad_request"
