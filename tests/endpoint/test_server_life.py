"""The life of the server: models that it cannot serve, workers that die, and its end (``worker.py``)."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.util
import json
import os
import py_compile
import re
import shutil
import signal
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import until
from tests.doubles.aws.resident import Resident
from tests.endpoint import duration
from tests.endpoint.bodies import FORMS
from tests.endpoint.choice import Choice
from tests.endpoint.conftest import Serve
from tests.endpoint.duration import described
from tests.endpoint.server import Server, run, serving
from tests.endpoint.target import Connection

pytestmark = pytest.mark.usefixtures("own_http")


def test_a_worker_that_is_killed_fails_its_own_requests_only_and_is_replaced(bundle: Path, serve: Serve) -> None:
    server = serve(bundle)
    target, expected = server.target, server.target.predict(server.target.example)
    body = json.dumps(target.example.rows)
    answered: Counter[int] = Counter()
    enough = threading.Event()

    def client(pid: int, connection: Connection) -> int | None:
        """Send requests in a loop; return the worker of the connection if it broke."""
        while not enough.is_set():
            try:
                answer = connection.post(body, "application/json")
            except (ConnectionError, http.client.HTTPException):
                return pid
            assert answer.numbers() == expected
            answered[pid] += 1
        return None

    assert until(lambda: len(server.workers()) == 2)
    killed, other = server.workers()
    mine: dict[int, list[Connection]] = {killed: [], other: []}
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(6) as threads:

        def both_have_three() -> bool:
            connection = stack.enter_context(target.connected())
            mine[connection.ask("GET", "/ping").json["worker"]["pid"]].append(connection)
            return min(map(len, mine.values())) >= 3

        assert until(both_have_three)
        clients = [threads.submit(client, pid, connection) for pid, found in mine.items() for connection in found[:3]]
        try:
            assert until(lambda: len(answered) == 2)
            os.kill(killed, signal.SIGKILL)
            assert until(lambda: len(server.workers()) == 2 and killed not in server.workers())
            before = answered[other]
            assert until(lambda: answered[other] > before)
        finally:
            enough.set()
        assert [done.result() for done in clients] == [killed] * 3 + [None] * 3
    assert target.predict(target.example) == expected


def listens(server: Server) -> bool:
    place = urlsplit(server.target.url)
    try:
        socket.create_connection((str(place.hostname), place.port or 0), timeout=5).close()
    except ConnectionError:
        return False
    return True


def test_sigterm_lets_a_request_end_and_logs_it(bundle: Path, serve: Serve) -> None:
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
    ended: list[int | None] = []
    closing = threading.Thread(target=lambda: ended.append(server.terminate()))
    closing.start()
    assert until(lambda: not listens(server))
    connection.send(body[-100:])
    assert json.loads(connection.getresponse().read())["predictions"] == expected
    connection.close()
    closing.join()
    assert ended == [0]
    (line,) = [line for line in server.log() if line["request_id"] == "last"]
    assert (line["status"], line["rows"]) == (200, 5000)
    assert line["ms"] > 0


@pytest.mark.parametrize(
    ("damage", "reason"),
    [("file", "is not the file that was saved"), ("missing", "is incomplete"), ("library", "cannot be trusted")],
)
def test_a_model_that_fails_verification_is_not_served(
    damage: str, reason: str, bundle: Path, process_only: None, resident: Resident, tmp_path: Path
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
    process, _, err = run(resident, folder, tmp_path)
    assert process.wait(30) == 3
    assert reason in err.read_text()
    assert "Traceback" not in err.read_text()


def test_a_port_in_use_is_reported(bundle: Path, process_only: None, resident: Resident, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, _, err = run(resident, bundle, tmp_path, SAGEMAKER_BIND_TO_PORT=str(port))
        assert process.wait(30) == 2
    assert f"cannot listen on port {port}" in err.read_text()


def change(folder: Path, code: dict[str, str], kind: str | None = None) -> None:
    """Write files into a model's code with their hashes, and make ``kind`` the kind of its first member."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, text in code.items():
        (folder / name).write_text(text)
        manifest["files"][name] = hashlib.sha256(text.encode()).hexdigest()
    if kind is not None:
        manifest["members"][0]["kind"] = kind
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def copy(bundle: Path, process_only: None, tmp_path: Path) -> Path:
    """A model that a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(bundle, folder)
    return folder


def test_code_that_the_manifest_does_not_list_is_not_imported(copy: Path, resident: Resident, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (copy / "code" / "orjson.py").write_text(f"open({str(sprung)!r}, 'w')\n")
    process, _, err = run(resident, copy, tmp_path)
    assert process.wait(30) == 3
    assert "code/orjson.py is not in manifest.json" in err.read_text()
    assert "Traceback" not in err.read_text()
    assert not sprung.exists()


def test_compiled_code_beside_the_source_is_not_run(copy: Path, resident: Resident, tmp_path: Path) -> None:
    sprung, source = tmp_path / "sprung", tmp_path / "evil.py"
    source.write_text(f"open({str(sprung)!r}, 'w')\n")
    compiled = importlib.util.cache_from_source(str(copy / "code" / "inference.py"))
    py_compile.compile(str(source), compiled, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    with serving(resident, copy, tmp_path) as server:
        assert server.target.ping()["status"] == "ok"
    assert not sprung.exists()


CRASH = """
import os, signal
from ensemble.members.boosting import XGBoost

class OnLoad(XGBoost):
    @classmethod
    def load(cls, path, **options):
        os.kill(os.getpid(), signal.SIGSEGV)

class OnPredict(XGBoost):
    @classmethod
    def predict_each(cls, models, features):
        os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_file_that_crashes_its_library_is_the_last_in_the_log(copy: Path, resident: Resident, tmp_path: Path) -> None:
    change(copy, {"code/crash.py": CRASH}, "crash:OnLoad")
    process, _, err = run(resident, copy, tmp_path)
    assert process.wait(30) == 128 + signal.SIGSEGV
    lines = err.read_text().splitlines()
    assert [line for line in lines if line.startswith("loading ")] == ["loading members/xgboost/fold_0.ubj"]
    assert "Fatal Python error: Segmentation fault" in lines


def test_a_model_that_crashes_its_workers_ends_the_server(copy: Path, resident: Resident, tmp_path: Path) -> None:
    change(copy, {"code/crash.py": CRASH}, "crash:OnPredict")
    process, _, err = run(resident, copy, tmp_path)
    assert process.wait(30) == 3
    assert "error: the model cannot be served: it crashed a library." in err.read_text()


def test_the_header_estimates_the_minutes_of_all_tests(
    serve: Serve, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = Choice("mine", serve(bundle).target.url, bundle, "")
    assert re.fullmatch(r"endpoint tests: full, about \d+ min", described(choice, "full"))
    # Nine members: 77 ms for a row and 545 ms for a thousand, which took 222 s in all.
    monkeypatch.setattr(duration, "_seconds", lambda _, cells: 0.545 if len(cells.rows) > 100 else 0.077)
    assert described(choice, "quick").endswith("within a minute; --endpoint-tests=full runs all, about 5 min")
    monkeypatch.undo()
    assert described(replace(choice, url="http://127.0.0.1:1"), "full") == "endpoint tests: full"
