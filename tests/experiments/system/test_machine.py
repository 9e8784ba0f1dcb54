"""What this machine offers. ``tests/experiments/actions/test_bad_input.py`` tests a folder that may not be written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.errors import ConfigError
from experiments.system.machine import NEEDED_BYTES, available_cores, check_folder, openmp_environment


def test_a_folder_that_can_be_created_passes_and_is_not_created(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "studies").touch()
    with pytest.raises(ConfigError, match=f"{tmp_path}/studies is a file, but byoe needs a folder there"):
        check_folder(tmp_path / "studies" / "mine")


@pytest.mark.parametrize("free", [0, NEEDED_BYTES - 1])
def test_a_full_disk_is_refused_with_what_is_free(free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(
        ConfigError, match=rf"the disk of {tmp_path} is full: {free / 2**20:.0f} MB are free, and 32 MB"
    ):
        check_folder(tmp_path)


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3}, raising=False)
    assert available_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cores() == 5


@pytest.mark.skipif(sys.platform != "linux", reason="needs libgomp, which reports its settings: run it on Linux")
def test_threads_of_a_library_sleep_while_they_wait() -> None:
    environ = {**os.environ, **openmp_environment(2), "OMP_DISPLAY_ENV": "true"}
    code = "import xgboost; xgboost.build_info()"
    reported = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    ).stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in reported
    assert re.search(r"OMP_NUM_THREADS = '2'", reported)
