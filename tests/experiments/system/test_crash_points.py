"""Crash points kill the process where the environment says. ``tests/experiments/actions/test_crash.py`` uses each."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from experiments.system import crash_points
from tests.conftest import environment

PASS_THREE_TIMES = """
from experiments.system.crash_points import point
for number in range(3):
    point("search_done")
    point("trial_recorded")
    print(number, flush=True)
"""


@pytest.mark.parametrize(
    ("kill_at", "passed"), [("trial_recorded", 0), ("trial_recorded:3", 2), ("trial_recorded:4", 3), ("launched", 3)]
)
def test_the_process_is_killed_at_the_named_pass(kill_at: str, passed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PASS_THREE_TIMES],
        capture_output=True,
        text=True,
        check=False,
        env=environment(BYOE_KILL_AT=kill_at),
    )
    assert done.stdout.split() == [str(number) for number in range(passed)]
    assert done.returncode == (0 if passed == 3 else -signal.SIGKILL)


def test_points_of_a_launch_are_points() -> None:
    assert set(crash_points.LAUNCH_POINTS) < set(crash_points.POINTS)
