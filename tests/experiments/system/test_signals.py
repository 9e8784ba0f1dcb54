"""An interrupt is not lost where Python drops the exception that a signal raises."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import environment

LOST = """
import os, signal
from experiments.system.signals import check_interrupted, raise_on_signals
raise_on_signals()

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):  # in which the signal is handled
            pass

check_interrupted()
Finalized()
print("dropped", flush=True)
try:
    check_interrupted()
except KeyboardInterrupt:
    print("raised after all")
"""


def test_interrupt_that_a_finalizer_drops_is_raised_at_the_next_check() -> None:
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.splitlines() == ["dropped", "raised after all"]
    assert "Exception ignored" in done.stderr


def test_signal_that_a_parent_ignores_stays_ignored() -> None:
    script = (
        "import signal; from experiments.system.signals import raise_on_signals; "
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); raise_on_signals(); "
        "print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.split() == ["True", "False"]


TWICE = """
import threading
from experiments import cli

def interrupted_twice(*_):
    # As threading's wait does when a second signal arrives while it takes its lock again after the first one.
    lock = threading.Lock()
    with lock:
        lock.release()
        raise KeyboardInterrupt

def broken(*_):
    raise RuntimeError("broken")

for name, action in (("list", interrupted_twice), ("doctor", broken)):
    cli.ACTIONS[name] = ("", action)
print(cli.main(["action=list"]), flush=True)
cli.main(["action=doctor"])
"""


def test_second_signal_that_breaks_a_lock_ends_the_command_like_the_first() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False, env=environment())
    assert done.stdout.split() == ["130"]
    assert done.stderr.startswith("interrupted.\n")
    assert done.stderr.endswith("RuntimeError: broken\n")
