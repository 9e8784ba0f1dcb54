"""Named points at which a test kills this process, to prove that nothing recorded is lost.

``BYOE_KILL_AT=trial_recorded:3`` kills it when it passes that point for the third time. Without the variable, as
outside tests, nothing happens.
"""

from __future__ import annotations

import os
import signal
from typing import Literal, get_args

Point = Literal[
    "channels_written",
    "uploaded",
    "launched",
    "study_created",
    "trained_again",
    "spot_checked",
    "store_made",
    "trials_asked",
    "trial_finished",
    "trial_recorded",
    "mlflow_run_created",
    "mlflow_trial_logged",
    "search_done",
    "blend_chosen",
    "final_trained",
    "model_registered",
]
POINTS: tuple[str, ...] = get_args(Point)
# The points that only a study passes that continues elsewhere.
CONTINUED_POINTS: tuple[Point, ...] = ("trained_again", "spot_checked")
# The points that only a launch on SageMaker passes.
LAUNCH_POINTS: tuple[Point, ...] = ("uploaded", "launched")

_passed: dict[str, int] = {}


def point(name: Point) -> None:
    """Pass a named point: kill this process by SIGKILL if ``BYOE_KILL_AT`` names it."""
    kill_at = os.environ.get("BYOE_KILL_AT")
    if kill_at is None:
        return
    _passed[name] = _passed.get(name, 0) + 1
    target, _, count = kill_at.partition(":")
    if target == name and _passed[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
