"""Input that is not HTTP, or ambiguous HTTP: it is refused at once and never read as a request."""

from __future__ import annotations

import contextlib
import gzip
import json

import pytest

from tests.endpoint.target import Target
from tests.endpoint.wire import answers, exchange, first_answer, opened, received, request

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("own_http", "still_right")]

POST = b"POST /invocations HTTP/1.1\r\nHost: endpoint\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /ping HTTP/1.1\r\nHost: endpoint\r\n"
BODY = b"[[1]]"
CHUNKS = b"5\r\n[[1]]\r\n0\r\n\r\n"

# Input that must be refused. Each ends where a request would, so that the server has nothing to wait for.
BROKEN = {
    "garbage": b"\x00\x01\xff garbage\r\n\r\n",
    "text": b"hello there\r\n\r\n",
    "space before": b" " + GET + b"\r\n",
    "HTTP/1.2": b"GET /ping HTTP/1.2\r\n\r\n",
    "HTTP/9.9": b"GET /ping HTTP/9.9\r\n\r\n",
    "http/1.1": b"GET /ping http/1.1\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "PROXY line": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + GET + b"\r\n",
    "lower-case method": b"get /ping HTTP/1.1\r\nHost: endpoint\r\n\r\n",
    "method of one letter": b"G /ping HTTP/1.1\r\nHost: endpoint\r\n\r\n",
    "long method": b"A" * 30 + b" /ping HTTP/1.1\r\nHost: endpoint\r\n\r\n",
    "NUL in method": b"G\x00T /ping HTTP/1.1\r\nHost: endpoint\r\n\r\n",
    "path without slash": b"GET ping HTTP/1.1\r\nHost: endpoint\r\n\r\n",
    "space in path": b"GET /a b HTTP/1.1\r\nHost: endpoint\r\n\r\n",
    "header without colon": GET + b"nothing\r\n\r\n",
    "header without name": GET + b": value\r\n\r\n",
    "NUL in header": GET + b"X-A: a\x00b\r\n\r\n",
    "CR in header": GET + b"X-A: a\rb\r\n\r\n",
    "folded header": GET + b"X-A: a\r\n b\r\n\r\n",
    "length -1": request(BODY, length=b"-1"),
    "length -0": request(BODY, length=b"-0"),
    "length +5": request(BODY, length=b"+5"),
    "length ten": request(BODY, length=b"ten"),
    "length 0x5": request(BODY, length=b"0x5"),
    "length 5.0": request(BODY, length=b"5.0"),
    "length 1_0": request(BODY, length=b"1_0"),
    "length empty": request(BODY, length=b""),
    "length 5, 5": request(BODY, length=b"5, 5"),
    "length superscript": request(BODY, length="²".encode()),
    "length 2**64 and 5": request(BODY, length=b"18446744073709551621"),
    "length of 5,000 digits": request(BODY, length=b"9" * 5_000),
    "two lengths": request(BODY, b"Content-Length: 4"),
    "one length twice": request(BODY, b"Content-Length: 5"),
    "length and chunked": request(CHUNKS, b"Transfer-Encoding: chunked"),
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKS,
    "chunked HTTP/1.0": (CHUNKED + CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "chunked, chunked": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS,
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "unknown coding": POST + b"Transfer-Encoding: magic\r\n\r\n" + CHUNKS,
    "gzip": POST + b"Connection: close\r\nTransfer-Encoding: gzip\r\n\r\n" + gzip.compress(BODY),
    "chunk size xyz": CHUNKED + b"xyz\r\n" + BODY,
    "chunk size -5": CHUNKED + b"-5\r\n" + BODY,
    "chunk size 0x5": CHUNKED + b"0x5\r\n" + BODY,
    "chunk size empty": CHUNKED + b"\r\n" + BODY,
    "chunk size blank after": CHUNKED + b"5 \r\n" + BODY,
    "length after chunks": CHUNKED + b"5\r\n[[1]]\r\n0\r\nContent-Length: 5\r\n\r\n",
    "header of 1 MB": GET + b"X-A: " + b"a" * 2**20 + b"\r\n\r\n",
    "100,000 headers": GET + b"".join(b"X-%d: a\r\n" % number for number in range(100_000)) + b"\r\n",
    "path of 100,000": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: endpoint\r\n\r\n",
}
# Input that need not be refused, but that must be answered as one request if it is answered.
AMBIGUOUS = {
    "HTTP/0.9": b"GET /ping\r\n\r\n",
    "HTTP/2.0": b"GET /ping HTTP/2.0\r\nConnection: close\r\n\r\n",
    "path *": b"GET * HTTP/1.1\r\nHost: endpoint\r\nConnection: close\r\n\r\n",
    "no host": b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": GET + b"Host: other\r\nConnection: close\r\n\r\n",
    "two content types": request(BODY, b"Content-Type: text/csv", b"Connection: close"),
}
# Incomplete input. The server may wait for more, and must stop when the client closes the connection.
UNFINISHED = {
    "nothing": b"",
    "LF": b"\n",
    "CRLF": b"\r\n",
    "LF for CRLF": request(BODY).replace(b"\r\n", b"\n"),
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,
    "path without end": b"GET /" + b"a" * 100_000,
    "header without end": GET + b"X-A: " + b"a" * 100_000,
    "half a first line": b"POST /invoc",
    "half of the headers": POST,
    "half a body": request(BODY)[:-2],
    "half a chunk": CHUNKED + b"5\r\n[[",
    "no last chunk": CHUNKED + b"5\r\n[[1]]\r\n",
    "chunk size without end": CHUNKED + b"1" * 100_000,
    "chunk size of 20 digits": CHUNKED + b"f" * 20 + b"\r\n" + BODY,
    "chunk longer than its size": CHUNKED + b"3\r\n[[1]]\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_requests_are_refused_at_once(name: str, target: Target) -> None:
    found = answers(exchange(target, BROKEN[name]))
    # The end of input that is longer than a packet may reach a closed connection, which discards the answer.
    assert len(found) == 1 or (not found and len(BROKEN[name]) > 1_000)
    # 501 is for unknown transfer codings.
    assert all(400 <= answer.status < 500 or answer.status == 501 for answer in found)


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_requests_are_answered_once(name: str, target: Target) -> None:
    (answer,) = answers(exchange(target, AMBIGUOUS[name]))
    assert answer.status < 500


@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished_requests_end_with_their_client(name: str, target: Target) -> None:
    found = answers(exchange(target, UNFINISHED[name], ending=True))
    assert [answer for answer in found if not 400 <= answer.status < 500] == []


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 60",
    ],
)
def test_a_request_in_an_ambiguous_body_is_not_answered(lines: bytes, target: Target) -> None:
    hidden = b"GET /ping HTTP/1.1\r\nHost: hidden\r\nConnection: close\r\n\r\n"
    (answer,) = answers(exchange(target, POST + lines + b"\r\n\r\n0\r\n\r\n" + hidden))
    assert answer.status == 400


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Transfer-Encoding: gzip, chunked"], 400),
        ([b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"], 400),
        ([b"Host: other"], 400),
        ([b"X-A: " + b"a" * 70_000], 400),
        ([b"X-%d: %d" % (number, number) for number in range(9_000)], 400),
        ([b"Content-Type: text/csv"], 415),
        ([b"Content-Encoding: gzip", b"Content-Encoding: identity"], 415),
    ],
    ids=lambda value: value[0][:30].decode() if isinstance(value, list) else str(value),
)
def test_a_message_that_could_mean_something_else_is_refused_although_its_rows_fit(
    lines: list[bytes], status: int, target: Target
) -> None:
    body = json.dumps(target.example.take(0).rows).encode()
    whole = request(body, *lines)
    if b"chunked" in b"".join(lines):
        start, _ = whole.replace(b"Content-Length: %d\r\n" % len(body), b"").split(b"\r\n\r\n", 1)
        whole = b"%s\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (start, len(body), body)
    with opened(target) as connection:
        connection.sendall(whole)
        assert first_answer(connection).status == status


def test_chunks_are_not_read_in_http_1_0(target: Target) -> None:
    body = json.dumps(target.example.take(0).rows).encode()
    sent = CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    (answer,) = answers(exchange(target, sent))
    assert answer.status == 400


def test_fields_behind_a_body_change_nothing_before_it(target: Target) -> None:
    row = target.example.take(0)
    body = json.dumps(row.rows).encode()
    start = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    fields = b"Content-Type: application/x-npy\r\nAccept: text/csv; detail=members\r\nX-Request-Id: other\r\n"
    (answer,) = answers(exchange(target, start + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, fields)))
    assert answer.numbers() == target.predict(row)
    assert answer.headers["x-request-id"] != "other"


def test_spaces_around_a_length_are_not_a_part_of_it(target: Target) -> None:
    row = target.example.take(0)
    body = json.dumps(row.rows).encode()
    (answer,) = answers(exchange(target, request(body, b"Connection: close", length=b"\t%d\t" % len(body))))
    assert answer.numbers() == target.predict(row)


def test_the_body_of_head_is_not_the_next_request(target: Target) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nHost: endpoint\r\n\r\n"
    head = b"HEAD /ping HTTP/1.1\r\nHost: endpoint\r\nContent-Length: %d\r\n\r\n" % len(hidden)
    raw = exchange(target, head + hidden + GET + b"Connection: close\r\n\r\n")
    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert b"HTTP/1.1 404" not in raw


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/%",
        "/%zz",
        "/%00",
        "/%ff%fe",
        "/%E2%80%AE",
        "//ping",
        "/ping/",
        "/ping%2f",
        "/PING",
        "/./ping",
        "/../ping",
        "/%2e%2e/ping",
        "/invocations/../ping",
        "/invocations;a=b",
        "/" + "a" * 2_000,
    ],
)
def test_unknown_paths_are_404(path: str, target: Target) -> None:
    (answer,) = answers(exchange(target, request(BODY, start=b"POST " + path.encode() + b" HTTP/1.1")))
    assert answer.status == 404
    assert answer.json["error"] == "no_such_path"


@pytest.mark.parametrize("path", ["/p%69ng", "/ping?", "/ping?a=%00&b"])
def test_paths_may_be_written_in_other_ways(path: str, target: Target) -> None:
    assert target.ask("GET", path).json["status"] == "ok"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
@pytest.mark.parametrize("path", ["/invocations", "/ping"])
def test_other_methods_are_405_and_send_nothing_back(method: str, path: str, target: Target) -> None:
    start = f"{method} {path} HTTP/1.1".encode()
    (answer,) = answers(exchange(target, request(BODY, b"X-Secret: 12345", b"Connection: close", start=start)))
    answer.refused(405, error="wrong_method")
    assert answer.headers["allow"] == {"/ping": "GET, HEAD", "/invocations": "POST"}[path]
    assert b"12345" not in answer.body


def test_head_has_no_body(target: Target) -> None:
    for path, status in (("/ping", 200), ("/invocations", 405)):
        start = f"HEAD {path} HTTP/1.1".encode()
        (answer,) = answers(exchange(target, request(b"", start=start)), bodiless=True)
        assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize("name", ["websocket", "h2c"])
def test_another_protocol_that_is_offered_is_passed_over(name: str, target: Target) -> None:
    lines = [f"Upgrade: {name}", "Connection: Upgrade, HTTP2-Settings, close", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    (answer,) = answers(exchange(target, request(b"", *(line.encode() for line in lines), start=b"GET /ping HTTP/1.1")))
    assert answer.json["status"] == "ok"


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(target: Target) -> None:
    cells = target.more(20)
    expected = target.predict(cells)
    bodies = [json.dumps([row]).encode() for row in cells.rows]
    sent = [request(body, b"Connection: keep-alive") for body in bodies]
    sent[-1] = request(bodies[-1])
    wrong = request(b"[[", b"Connection: keep-alive")
    whole = sent[0] + wrong + b"".join(sent[1:])
    for parts in (
        [whole],
        [whole[:200], whole[200:]],
        [whole[start : start + 97] for start in range(0, len(whole), 97)],
    ):
        first, bad, *rest = answers(exchange(target, *parts))
        bad.refused(400, error="unreadable")
        assert [answer.numbers()[0] for answer in (first, *rest)] == expected


def test_a_request_may_come_byte_by_byte(target: Target) -> None:
    row = target.example.take(0)
    whole = request(json.dumps(row.rows).encode())
    (answer,) = answers(exchange(target, *(whole[at : at + 1] for at in range(len(whole)))))
    assert answer.numbers() == target.predict(row)


def test_chunks_of_any_size_are_one_body(target: Target) -> None:
    cells = target.more(50)
    body = json.dumps(cells.rows).encode()
    pieces = [body[at : at + 13] for at in range(0, len(body), 13)]
    chunks = [b"%X;name=value\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    start = POST + b"Connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n"
    (answer,) = answers(exchange(target, start, *chunks, b"000\r\nX-After: 1\r\n\r\n"))
    assert answer.numbers() == target.predict(cells)


def test_a_client_that_expects_100_continue_gets_it(target: Target) -> None:
    row = target.example.take(0)
    whole = request(json.dumps(row.rows).encode(), b"Expect: 100-continue", b"Connection: close")
    head, body = whole.split(b"\r\n\r\n", 1)
    with opened(target) as connection:
        connection.sendall(head + b"\r\n\r\n")
        interim = connection.recv(65_536)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        (answer,) = answers(received(connection))
    assert answer.numbers() == target.predict(row)


def test_a_client_that_announces_too_much_is_refused_before_it_sends(target: Target) -> None:
    asked = request(b"", b"Expect: 100-continue", length=b"999999999")
    with opened(target) as connection:
        connection.sendall(asked)
        first_answer(connection).refused(413, error="too_large")


@pytest.mark.slow
def test_the_answer_to_half_a_request_closes_the_connection(target: Target) -> None:
    halves = [(b"/nothing", 404), (b"/ping", 405)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(opened(target)) for _ in halves]  # each is closed after some seconds
        for connection, (path, _) in zip(connections, halves, strict=True):
            connection.sendall(request(BODY, b"Connection: keep-alive", start=b"POST %s HTTP/1.1" % path)[:-2])
        for connection, (_, status) in zip(connections, halves, strict=True):
            (answer,) = answers(received(connection))
            answer.refused(status)
            assert answer.headers["connection"] == "close"
