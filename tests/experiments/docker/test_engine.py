"""An engine that does not answer is reported, and the attempt leaves nothing open."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path

import pytest

from experiments.docker.engine import connect
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
