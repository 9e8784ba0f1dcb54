"""Random requests with random headers, in random packets: one answer each, never one to what is inside a body.

With the profile ``long`` these, and the bodies of ``test_hostile_bodies``, are a hundred thousand requests.
"""

from __future__ import annotations

import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoint.bodies import FORMS
from tests.endpoint.target import Target
from tests.endpoint.wire import answers, opened, received
from tests.support.examples import examples

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("own_http", "still_right")]

LAST = b"GET /last HTTP/1.1\r\nHost: endpoint\r\nConnection: close\r\n\r\n"
HIDDEN = b"GET /ping HTTP/1.1\r\nHost: hidden\r\n\r\n"
# Headers that leave the meaning of the message alone: the body is what its length says.
HARMLESS = [
    b"Connection: keep-alive",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"upgrade: foo/2, bar",
    b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"Expect: 100-continue",
    b"Expect: something",
    b"Content-Encoding: gzip",
    b"Content-Encoding: identity",
    b"Content-Encoding:",
    b"Content-Type: text/csv; charset=latin-1",
    b"Content-Type: application/json;charset=utf-16",
    b"Content-Type:",
    b"Accept: text/csv;detail=members",
    b"Accept: application/x-npy, */*;q=0.1",
    b"Accept: nothing/known",
    b"Accept-Encoding: gzip",
    b"X-Request-Id: mine",
    b"X-Amzn-SageMaker-Custom-Attributes: a=b",
    b"Trailer: X-More",
    b"TE: trailers",
    b"Range: bytes=0-1",
    b"Cookie: a=b",
    b"Forwarded: for=1.2.3.4",
    b"X-Forwarded-For: 1.2.3.4",
    b"Authorization: Basic YTpi",
    b"If-None-Match: *",
    b"X-Empty:",
    b"X-Long: " + b"a" * 5_000,
]
# Headers by which two programs may disagree about where the body ends.
AMBIGUOUS = [
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length : 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer_Encoding: chunked",
    b"Connection: close",
    b"Host: other",
    b"X-Huge: " + b"a" * 70_000,
    b"X-Folded: a\r\n b",
    b"\x00",
    b"no colon",
]
STARTS = [b"POST /invocations"] * 6 + [
    *[b"POST /ping", b"GET /ping", b"GET /invocations", b"PUT /invocations", b"POST /invocations?a=b", b"POST //"],
    *[b"DELETE /ping", b"OPTIONS *", b"POST /%69nvocations", b"POST /invocations/../ping", b"PATCH /x"],
]


@pytest.fixture(scope="module")
def known(target: Target) -> list[bytes]:
    """Bodies that fit, that do not, and that look like requests."""
    right = [FORMS[form].write(target.example.take(0, 1)) for form in ("json lists", "csv with a header", "parquet")]
    return [
        *right,
        b"",
        b"[[1]]",
        HIDDEN,
        b"0\r\n\r\n" + HIDDEN,
        b"5\r\n[[1]]\r\n0\r\n\r\n",
        b"\xff" * 100,
        b"a,b\n1,2\n",
    ]


def written(start: bytes, lines: list[bytes], body: bytes, *, chunked: bool) -> bytes:
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    if chunked:
        body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\nContent-Type: text/html\r\n\r\n"
    place = len(lines) // 2
    head = [start + b" HTTP/1.1", b"Host: endpoint", *lines[:place], length, *lines[place:]]
    return b"\r\n".join([*head, b"", body])


def exchanged(connection: socket.socket, whole: bytes, cuts: list[int]) -> bytes:
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    try:
        for begin, end in itertools.pairwise(places):
            connection.sendall(whole[begin:end])
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was refused before its end
    return received(connection)


@examples(2_200)
@given(
    start=st.sampled_from(STARTS),
    lines=st.lists(st.sampled_from(HARMLESS), max_size=6),
    place=st.integers(0, 9),
    chunked=st.booleans(),
    cuts=st.lists(st.integers(0, 10_000), max_size=4),
)
def test_any_headers_and_packets_give_one_answer(
    start: bytes, lines: list[bytes], place: int, chunked: bool, cuts: list[int], target: Target, known: list[bytes]
) -> None:
    whole = written(start, lines, known[place], chunked=chunked) + LAST
    with opened(target) as connection:
        raw = exchanged(connection, whole, cuts)
    found = [answer for answer in answers(raw) if answer.status != 100]
    statuses = [answer.status for answer in found]
    assert statuses
    assert all(status == 200 or 400 <= status < 500 for status in statuses), statuses
    closed = found[0].headers.get("connection") == "close"
    assert len(found) == (1 if closed else 2), statuses
    assert closed or (found[1].status, found[1].json["error"]) == (404, "no_such_path")


@examples(800)
@given(
    start=st.sampled_from(STARTS),
    lines=st.lists(st.sampled_from([*HARMLESS, *AMBIGUOUS]) | st.binary(max_size=30), max_size=6),
    place=st.integers(0, 9),
    chunked=st.booleans(),
    cuts=st.lists(st.integers(0, 10_000), max_size=4),
    end=st.sampled_from([b"", LAST, b"garbage", b"\r\n\r\n"]),
)
def test_any_ambiguity_is_answered_without_a_failure(
    start: bytes,
    lines: list[bytes],
    place: int,
    chunked: bool,
    cuts: list[int],
    end: bytes,
    target: Target,
    known: list[bytes],
) -> None:
    whole = written(start, lines, known[place], chunked=chunked) + end
    with opened(target) as connection:
        try:
            for begin in range(0, len(whole), 1 + max(cuts, default=len(whole))):
                connection.sendall(whole[begin : begin + 1 + max(cuts, default=len(whole))])
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass
        raw = received(connection)
    for answer in answers(raw):
        assert answer.status in (100, 200, 501) or 400 <= answer.status < 500, answer
