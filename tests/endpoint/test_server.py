"""The server itself: what it refuses, many requests at a time, workers that die, its end, its log, models it cannot serve."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import until
from tests.endpoint.bodies import FORMS
from tests.endpoint.conftest import Serve
from tests.endpoint.server import run
from tests.endpoint.target import Target

MANY = 300
# A user's own script, without batching, whose body says what it does.
FOREIGN = """
import threading

def model_fn(folder):
    return threading.Event()

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    if data == b"raise":
        raise RuntimeError("my secret")
    if data == b"wait":
        model.wait(2)
    return data

def output_fn(prediction, accept):
    return prediction, "text/plain"
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A model's folder with a script of the user's own."""
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
def test_what_is_no_request_of_ours_gets_its_status_and_json(
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


def test_more_requests_than_a_batch_takes_are_all_answered_rightly(target: Target) -> None:
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
        assert response.status == 200
        found += json.loads(response.read())["predictions"]
        connection.close()
    assert found == expected


def test_a_worker_that_is_killed_is_replaced(bundle: Path, serve: Serve) -> None:
    server = serve(bundle)
    assert until(lambda: len(server.workers()) == 2)
    before = server.workers()
    os.kill(before[0], signal.SIGKILL)
    assert until(lambda: len(server.workers()) == 2 and before[0] not in server.workers())
    assert server.target.predict(server.target.example) == pytest.approx(server.target.predictions, rel=1e-9)


def test_sigterm_lets_a_request_end_and_the_log_has_it(bundle: Path, serve: Serve) -> None:
    server = serve(bundle, SAGEMAKER_MODEL_SERVER_WORKERS="1")
    cells = server.target.more(5000)
    body = FORMS["csv with a header"].write(cells)
    expected = server.target.predict(cells)
    parts = urlsplit(server.target.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    connection.putrequest("POST", "/invocations")
    for name, text in {"content-type": "text/csv", "content-length": str(len(body)), "x-request-id": "last"}.items():
        connection.putheader(name, text)
    connection.endheaders(body[:-100])
    ended: list[int] = []
    closing = threading.Thread(target=lambda: ended.append(server.terminate()))
    closing.start()
    connection.send(body[-100:])
    assert json.loads(connection.getresponse().read())["predictions"] == expected
    connection.close()
    closing.join()
    assert ended == [0]
    (line,) = [line for line in server.log() if line["request_id"] == "last"]
    assert (line["status"], line["rows"]) == (200, 5000)
    assert line["ms"] > 0


def test_more_requests_at_a_time_than_are_allowed_get_429(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, BYOE_MAX_CONCURRENCY="1", SAGEMAKER_MODEL_SERVER_TIMEOUT="2")
    parts = urlsplit(server.target.url)
    first = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    first.putrequest("POST", "/invocations")
    first.putheader("content-length", "2")
    first.endheaders(b"a")
    refused = []
    assert until(lambda: refused.append(ask(server.target, "POST", "/invocations", b"b")) or refused[-1][0] == 429)
    assert json.loads(refused[-1][1])["error"] == "too_many_requests"
    first.send(b"c")
    assert first.getresponse().read() == b"ac"
    first.close()
    assert ask(server.target, "POST", "/invocations", b"b") == (200, b"b")


def test_a_foreign_script_is_served_and_its_mistakes_stay_in_the_log(foreign: Path, serve: Serve) -> None:
    server = serve(foreign, SAGEMAKER_MODEL_SERVER_WORKERS="1", SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    assert ask(server.target, "POST", "/invocations", b"back") == (200, b"back")
    status, body = ask(server.target, "POST", "/invocations", b"raise")
    assert (status, json.loads(body)["error"]) == (500, "internal")
    assert b"secret" not in body
    assert until(lambda: "my secret" in server.err.read_text())


def test_an_answer_that_takes_too_long_is_504(foreign: Path, serve: Serve) -> None:
    script = foreign / "code" / "inference.py"
    # Long work is done by a thread, whose requests can be given up.
    script.write_text(script.read_text().replace('data == b"wait"', "len(data) > 40_000"))
    server = serve(foreign, SAGEMAKER_MODEL_SERVER_WORKERS="1", SAGEMAKER_MODEL_SERVER_TIMEOUT="0.2")
    status, body = ask(server.target, "POST", "/invocations", b"w" * 50_000)
    assert (status, json.loads(body)["error"]) == (504, "too_slow")
    assert ask(server.target, "POST", "/invocations", b"back") == (200, b"back")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [("file", "is not the file that was saved"), ("missing", "is incomplete"), ("library", "cannot be trusted")],
)
def test_a_model_that_cannot_be_trusted_is_not_served(
    damage: str, reason: str, bundle: Path, process_only: None, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundle, folder)
    member = next(folder.rglob("*.cbm"))
    if damage == "file":
        member.write_bytes(member.read_bytes() + b"x")
    elif damage == "missing":
        member.unlink()
    else:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["versions"]["catboost"] = "0.1"
        (folder / "manifest.json").write_text(json.dumps(manifest))
    process, _, err = run(folder, tmp_path)
    assert process.wait(30) == 3
    assert reason in err.read_text()
    assert "Traceback" not in err.read_text()


def test_a_port_that_is_taken_is_said(bundle: Path, process_only: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, _, err = run(bundle, tmp_path, SAGEMAKER_BIND_TO_PORT=str(port))
        assert process.wait(30) == 2
    assert f"port {port} cannot be listened on" in err.read_text()
