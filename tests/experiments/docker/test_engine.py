"""An engine that does not answer is reported, and the attempt leaves nothing open."""

from __future__ import annotations

import gc
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from experiments.docker.engine import EngineFailed, connect
from experiments.docker.sdk_job import create_network
from experiments.errors import BackendUnavailable


@pytest.mark.parametrize("address", ["unix://{folder}/none.sock", "tcp://127.0.0.1:1"])
def test_a_failed_connection_to_the_engine_leaves_no_socket_open(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").touch(mode=0o755)  # the command, which need not be installed
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", address.format(folder=tmp_path))
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(BackendUnavailable, match="does not answer"):
            connect()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


class PingOnly(BaseHTTPRequestHandler):
    """An engine that answers to ``ping``, and closes every other connection without an answer."""

    def do_GET(self) -> None:
        answers = {"_ping": b"OK", "version": b'{"ApiVersion": "1.44"}'}
        answer = answers.get(self.path.rpartition("/")[2])
        if answer is not None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_an_engine_that_stops_answering_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with HTTPServer(("127.0.0.1", 0), PingOnly) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{engine.server_port}")
        threading.Thread(target=engine.serve_forever, daemon=True).start()
        with pytest.raises(EngineFailed, match=r"the Docker engine does not answer: .* action=doctor"):
            create_network("run")
        engine.shutdown()
