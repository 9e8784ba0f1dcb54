"""The server itself: errors, many requests at a time, long requests, slow clients, and the user's own scripts (``serve.py``)."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import select
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import until
from tests.endpoint.answer import Answer
from tests.endpoint.bodies import FORMS
from tests.endpoint.choice import PROCESS
from tests.endpoint.conftest import Serve
from tests.endpoint.server import Server
from tests.endpoint.target import Target
from tests.endpoint.wire import answers, opened, received, request

pytestmark = pytest.mark.usefixtures("own_http")

MANY = 300
# A user's own script without batching; the body of a request controls what it does.
FOREIGN = """
import pathlib, time

def model_fn(folder):
    return pathlib.Path(folder)

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    if data == b"raise":
        raise RuntimeError("my secret")
    if len(data) > 40_000:  # which runs in a thread
        print("begun", flush=True)
        while not (model / "go").exists():
            time.sleep(0.02)
    return data

def output_fn(prediction, accept):
    return prediction, "text/plain"
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A model's folder with the user's own script."""
    folder = tmp_path / "foreign"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(FOREIGN)
    return folder


def ask(target: Target, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """Send one request; return status and body."""
    parts = urlsplit(target.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "error"),
    [
        ("GET", "/nothing", {}, 404, "no_such_path"),
        ("GET", "/invocations", {}, 405, "wrong_method"),
        ("POST", "/ping", {}, 405, "wrong_method"),
        ("POST", "/invocations", {"content_type": "text/html"}, 415, "unsupported_content_type"),
        ("POST", "/invocations", {}, 415, "unsupported_content_type"),
        ("POST", "/invocations", {"content_type": "text/csv", "content_length": "999999999"}, 413, "too_large"),
    ],
)
def test_an_invalid_request_gets_its_status_and_json(
    method: str, path: str, headers: dict[str, str], status: int, error: str, target: Target
) -> None:
    found, body = ask(target, method, path, b"1", x_request_id="mine-1", **headers)
    assert found == status
    document = json.loads(body)
    assert document["error"] == error
    assert document["request_id"] == "mine-1"


def test_a_body_that_grows_too_large_is_refused(target: Target) -> None:
    parts = urlsplit(target.url)
    with socket.create_connection((str(parts.hostname), parts.port or 80), timeout=30) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n" % 2**20 + b"1" * 2**20 + b"\r\n"
        try:
            for _ in range(8):
                connection.sendall(chunk)
            connection.sendall(b"0\r\n\r\n")
        except OSError:  # it has closed the connection before the end
            pass
        assert b" 413 " in connection.recv(200)


def test_an_answer_that_cannot_be_written_is_406(target: Target) -> None:
    body = FORMS["json lists"].write(target.more(2))
    status, answer = ask(target, "POST", "/invocations", body, content_type="application/json", accept="text/html")
    assert (status, json.loads(answer)["error"]) == (406, "not_acceptable")


def test_more_requests_than_fit_a_batch_are_all_answered_correctly(target: Target) -> None:
    cells = target.more(MANY)
    expected = target.predict(cells)
    parts = urlsplit(target.url)
    waiting = []
    for row in range(MANY):
        body = FORMS["json lists"].write(cells.take(row))
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        connection.request("POST", "/invocations", body, {"content-type": "application/json"})
        waiting.append(connection)
    found = []
    for connection in waiting:
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if response.status == 429:  # an endpoint may have a lower limit
            assert target.name != PROCESS
            found.append(None)
        else:
            assert response.status == 200
            found += Answer(200, {"content-type": "application/json"}, body).numbers()
    assert [value for value in found if value is not None]
    assert all(value in (None, right) for value, right in zip(found, expected, strict=True))


def begun(server: Server) -> bool:
    """Return whether the foreign script has begun to compute a long body, which ends once there is a file ``go``."""
    return "begun" in server.out.read_text()


def test_more_requests_at_a_time_than_are_allowed_get_429(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, BYOE_MAX_CONCURRENCY="1")
    with opened(server.target) as connection:
        connection.sendall(request(b"w" * 50_000))
        assert until(lambda: begun(server))
        status, body = ask(server.target, "POST", "/invocations", b"b")
        assert (status, json.loads(body)["error"]) == (429, "too_many_requests")
        (foreign / "go").touch()
        assert received(connection).startswith(b"HTTP/1.1 200 OK")
    assert ask(server.target, "POST", "/invocations", b"b") == (200, b"b")


def test_bodies_that_are_not_complete_hold_no_place(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, BYOE_MAX_CONCURRENCY="1")
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(opened(server.target)).sendall(request(b"half")[:-2])
        assert ask(server.target, "POST", "/invocations", b"b") == (200, b"b")


def test_work_that_takes_too_long_holds_its_place_until_it_ends(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, BYOE_MAX_CONCURRENCY="2", SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    with opened(server.target) as running, opened(server.target) as queued:
        running.sendall(request(b"w" * 50_000))
        assert until(lambda: begun(server))
        queued.sendall(request(b"q" * 50_000))
        for connection in (running, queued):
            (answer,) = answers(received(connection))
            answer.refused(504, error="too_slow")
    # The queued request was not begun, so its place is free.
    with opened(server.target) as third:
        third.sendall(request(b"t" * 50_000))
        assert until(lambda: ask(server.target, "POST", "/invocations", b"b")[0] == 429)
        (answer,) = answers(received(third))
        answer.refused(504, error="too_slow")
    (foreign / "go").touch()
    assert until(lambda: ask(server.target, "POST", "/invocations", b"b") == (200, b"b"))
    assert server.out.read_text().count("begun") == 1


@pytest.mark.parametrize("lines", [(b"Content-Length: 60000000",), (b"Transfer-Encoding: chunked",)])
def test_a_client_that_sends_all_before_it_reads_gets_its_413(lines: tuple[bytes, ...], target: Target) -> None:
    start = b"POST /invocations HTTP/1.1\r\nHost: endpoint\r\nContent-Type: text/csv\r\n"
    piece = b"1" * 1_000_000
    with opened(target) as connection:
        connection.sendall(start + b"\r\n".join([*lines, b"", b""]))
        for _ in range(60):
            connection.sendall(piece if b"Length" in lines[0] else b"%x\r\n%s\r\n" % (len(piece), piece))
        if b"chunked" in lines[0]:
            connection.sendall(b"0\r\n\r\n")
        (answer,) = answers(received(connection))
    answer.refused(413, error="too_large")


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "x"])
def test_a_content_encoding_is_refused(coding: str, target: Target) -> None:
    body = gzip.compress(FORMS["json lists"].write(target.more(2)))
    answer = target.post(body, "application/json", Content_Encoding=coding)
    answer.refused(415, error="unsupported_content_encoding")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "Windows-1252", "utf-8-sig", ""])
@pytest.mark.parametrize("form", ["json lists", "csv with a header", "json lines of records"])
def test_another_charset_is_refused(form: str, charset: str, target: Target) -> None:
    body = FORMS[form].write(target.more(2))
    details = target.post(body, f"{FORMS[form].type}; charset={charset}").refused(415, error="unsupported_charset")
    assert details["expected"] == "utf-8"


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "us-ascii"])
def test_utf_8_may_be_named(charset: str, target: Target) -> None:
    cells = target.more(2)
    body = FORMS["json lists"].write(cells)
    kind = f"application/json; charset={charset}"
    assert target.post(body, kind, Content_Encoding="identity").numbers() == target.predict(cells)


def test_categories_that_training_never_saw_are_in_the_log(bundle: Path, serve: Serve) -> None:
    server = serve(bundle)
    names = [column.name for column in server.target.columns]
    place = [column.type for column in server.target.columns].index("category")
    row = [None if at != place else "never seen" for at in range(len(names))]
    body = json.dumps({"columns": names, "data": [row, row]}).encode()
    assert ask(server.target, "POST", "/invocations", body, content_type="application/json")[0] == 200
    assert until(lambda: any(line.get("unseen") == {names[place]: 2} for line in server.log()))


def test_a_foreign_script_is_served_and_its_mistakes_stay_in_the_log(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, SAGEMAKER_MODEL_SERVER_WORKERS="1")
    assert ask(server.target, "POST", "/invocations", b"back") == (200, b"back")
    status, body = ask(server.target, "POST", "/invocations", b"raise")
    assert (status, json.loads(body)["error"]) == (500, "internal")
    assert b"secret" not in body
    assert until(lambda: "my secret" in server.err.read_text())


def test_an_answer_that_takes_too_long_is_504(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, SAGEMAKER_MODEL_SERVER_WORKERS="1", SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    status, body = ask(server.target, "POST", "/invocations", b"w" * 50_000)
    assert (status, json.loads(body)["error"]) == (504, "too_slow")
    (foreign / "go").touch()
    assert ask(server.target, "POST", "/invocations", b"back") == (200, b"back")


def test_ping_does_not_wait_for_long_work(foreign: Path, serve: Serve) -> None:
    script = foreign / "code" / "inference.py"
    model = "import types; return types.SimpleNamespace(folder=pathlib.Path(folder), check=lambda: None)"
    text = script.read_text().replace("return pathlib.Path(folder)", model)
    script.write_text(text.replace("(model / ", "(model.folder / "))
    server = serve(foreign, SAGEMAKER_MODEL_SERVER_WORKERS="1")
    with opened(server.target) as connection:
        connection.sendall(request(b"w" * 50_000))
        assert until(lambda: begun(server))
        assert server.target.ping()["status"] == "ok"
        assert select.select([connection], [], [], 0)[0] == []
        (foreign / "go").touch()
        assert received(connection).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.slow
def test_a_request_that_arrives_too_slowly_is_dropped(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, SAGEMAKER_MODEL_SERVER_WORKERS="1", SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    starts = (request(b"back")[:-2], b"", b"\r\n", b"POST /invocations HTTP/1.1\r\nHost: ")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(opened(server.target)) for _ in starts]
        for connection, start in zip(connections, starts, strict=True):
            connection.sendall(start)
        found, *others = map(received, connections)
    (answer,) = answers(found)
    answer.refused(408, error="body_too_slow")
    assert others == [b""] * 3
