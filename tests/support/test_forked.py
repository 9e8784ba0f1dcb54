"""A forked command gets what a cold one gets, ends in the same way, can be signalled, and has a single thread."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import environment
from tests.support.forked import Forker, Popen

PIPE = subprocess.PIPE
SHOW = """
import json, os, signal, sys
import own
print(json.dumps([
    own.VALUE, sys.argv, dict(os.environ), os.getcwd(), sys.stdin.read(), __name__, sys.path[:2], os.getsid(0) == os.getpid(),
    [str(signal.getsignal(number)) for number in (2, 1, 13, 15, 17)], sys.stdout.encoding, sys.stdout.line_buffering,
    sorted(int(name) for name in os.listdir("/proc/self/fd"))[:3],
]))
print("so it ends", file=sys.stderr)
"""


def both(run: Callable[[type[subprocess.Popen[str]]], Any]) -> tuple[Any, Any]:
    """Return the results of a cold and of a forked process."""
    return run(subprocess.Popen), run(Popen)


@pytest.mark.parametrize("way", ["script", "module", "code"])
def test_it_gets_the_same(way: str, tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "own.py").write_text("VALUE = 'its own'")
    program = {"script": [str(tmp_path / "show.py")], "module": ["-m", "show"], "code": ["-c", SHOW]}[way]
    env = environment(PYTHONPATH=str(tmp_path / "more"), TMPDIR=str(tmp_path))

    def run(popen: type[subprocess.Popen[str]]) -> Any:
        command = [sys.executable, *program, "--a", "1"]
        given = {"cwd": tmp_path, "env": env, "stdin": PIPE, "stdout": PIPE, "stderr": PIPE, "text": True}
        with popen(command, start_new_session=True, **given) as process:
            out, err = process.communicate("text")
        return json.loads(out), err, process.returncode

    cold, forked = both(run)
    assert forked == cold
    assert cold[1:] == ("so it ends\n", 0)


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('a reason')", 1),
        ("raise RuntimeError('no')", 1),
        ("import atexit; atexit.register(print, 'at the end')", 0),
        ("import threading; threading.Thread(target=lambda: print('in a thread')).start()", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os; os._exit(5)", 5),
        ("import warnings; warnings.warn('printed')", 0),
    ],
)
def test_it_ends_as_a_cold_one_does(code: str, ends: int) -> None:
    def run(popen: type[subprocess.Popen[str]]) -> Any:
        with popen([sys.executable, "-c", code], stdout=PIPE, stderr=PIPE, text=True) as process:
            out, err = process.communicate(timeout=50)
        # Indented lines quote the code, which Python 3.13 does for a started interpreter only.
        return process.returncode, out, [line for line in err.splitlines() if not line.startswith(" ")][-1:]

    cold, forked = both(run)
    assert forked == cold
    assert cold[0] == ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signals_end_it(number: signal.Signals) -> None:
    def run(popen: type[subprocess.Popen[str]]) -> Any:
        code = "import signal; print('ready', flush=True); signal.pause()"
        with popen([sys.executable, "-c", code], stdout=PIPE, stderr=PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert process.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0)
            process.send_signal(number)
            assert process.wait(timeout=50) == process.poll()
        return process.returncode

    assert both(run) == (-number, -number)


def test_descriptors_keep_their_numbers() -> None:
    def run(popen: type[subprocess.Popen[str]]) -> Any:
        near, far = socket.socketpair()
        with near, far:
            code = f"import socket; socket.socket(fileno={far.fileno()}).sendall(b'through it')"
            with popen([sys.executable, "-c", code], pass_fds=[far.fileno()]) as process:
                far.close()
                return near.recv(100), near.recv(100), process.wait()

    assert both(run) == ((b"through it", b"", 0),) * 2


def test_it_has_one_thread_and_its_own_random_numbers() -> None:
    code = "import os, numpy, random; print(len(os.listdir('/proc/self/task')), numpy.random.rand(), random.random())"
    shown = []
    for _ in range(2):
        with Popen([sys.executable, "-c", code], stdout=PIPE, text=True) as process:
            shown.append(process.communicate()[0].split())
    (threads, *first), (_, *second) = shown
    assert threads == "1"
    assert not set(first) & set(second)


def test_openmp_has_the_threads_of_the_environment() -> None:
    code = (
        "import threadpoolctl as t; print({p['num_threads'] for p in t.threadpool_info() if p['user_api'] == 'openmp'})"
    )
    with Popen([sys.executable, "-c", code], env=environment(OMP_NUM_THREADS="3"), stdout=PIPE, text=True) as process:
        assert process.communicate()[0] == "{3}\n"


def test_the_end_of_the_forker_kills_running_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    own = Forker(libraries=False)
    code = "import signal; print('ready', flush=True); signal.pause()"
    with Popen([sys.executable, "-c", code], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        own.close()
        assert not psutil.pid_exists(process.pid)
        assert process.wait() == -signal.SIGKILL
