"""A forked script gets what a script in a new process gets, ends in the same way, and can be stopped."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil

from tests.conftest import until
from tests.doubles.aws.container import Script
from tests.doubles.aws.resident import Resident

SHOW = """
import json, os, sys, own
print(json.dumps([own.WORD, sys.argv, dict(os.environ), os.getcwd(), sys.stdin.read(), __name__]))
print("so it ends", file=sys.stderr)
sys.exit(3)
"""
WAIT = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import signal; print('two', flush=True); signal.pause()"])
print("one", flush=True)
signal.pause()
"""


def test_it_gets_the_same_and_ends_in_the_same_way(tmp_path: Path, resident: Resident) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "own.py").write_text("WORD = 'its own'")
    environment = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    alone = Script([sys.executable, "show.py", "--a", "1"], tmp_path, environment, tmp_path / "alone.txt")
    forked = resident.start(["show.py", "--a", "1"], tmp_path, environment, tmp_path / "forked.txt")
    assert [process.wait(20) for process in (alone, forked)] == [3, 3]
    for process in (alone, forked):
        process.close()
    assert '["its own", ["show.py", "--a", "1"], {"' in (tmp_path / "forked.txt").read_text()
    assert (tmp_path / "forked.txt").read_text() == (tmp_path / "alone.txt").read_text()


def test_it_is_stopped_and_killed_with_its_children(tmp_path: Path, resident: Resident) -> None:
    (tmp_path / "wait.py").write_text(WAIT)
    for end, number in (("stop", signal.SIGTERM), ("kill", signal.SIGKILL)):
        log = tmp_path / f"{end}.txt"
        log.touch()
        forked = resident.start(["wait.py"], tmp_path, {}, log)
        assert until(lambda log=log: {"one", "two"} <= set(log.read_text().split()))
        assert forked.wait(0) is None
        getattr(forked, end)()
        assert forked.wait(20) == 128 + number
        forked.close()


def test_a_script_that_raises_fails(tmp_path: Path, resident: Resident) -> None:
    (tmp_path / "wrong.py").write_text("raise RuntimeError('no')")
    forked = resident.start(["wrong.py"], tmp_path, {}, tmp_path / "log.txt")
    assert forked.wait(20) == 1
    assert "RuntimeError: no" in (tmp_path / "log.txt").read_text()


def test_its_end_kills_running_scripts(tmp_path: Path) -> None:
    (tmp_path / "wait.py").write_text(WAIT)
    (tmp_path / "log.txt").touch()
    with Resident() as own:
        own.start(["wait.py"], tmp_path, {}, tmp_path / "log.txt")
        assert until(lambda: {"one", "two"} <= set((tmp_path / "log.txt").read_text().split()))
    here = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(tmp_path)]
    assert psutil.wait_procs(here, 20)[1] == []
