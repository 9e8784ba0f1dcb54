"""About how long the tests of an endpoint take, from the time of an answer to one row and to many."""

from __future__ import annotations

import http.client
import json
import math
import time
from statistics import median

from tests.endpoint.choice import Choice
from tests.endpoint.target import Cells, Target

# Counted in the server's log of a full run: requests that were predicted, and their rows. Besides them a full run takes
# a minute.
FULL_SECONDS, FULL_REQUESTS, FULL_ROWS = 60, 2373, 102_157
_MANY = 1000


def described(choice: Choice, which: str) -> str:
    """Return in a line which tests run, and how long they take at most or about.

    Args:
        choice: The endpoint.
        which: ``quick`` or ``full``.
    """
    found = _full_minutes(choice)
    full = "" if found is None else f", about {found} min"
    if which == "full":
        return f"endpoint tests: full{full}"
    return f"endpoint tests: quick, within a minute; --endpoint-tests=full runs all{full}"


def _full_minutes(choice: Choice) -> int | None:
    """Return about how long all tests take; None if the endpoint does not answer or is on SageMaker."""
    if choice.url is None or choice.model_dir is None:
        return None
    target = Target(choice.name, choice.url, choice.model_dir)
    try:
        one = _seconds(target, target.example)
        many = _seconds(target, target.more(_MANY))
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None
    row = max(0.0, many - one) / _MANY
    return max(1, math.ceil((FULL_SECONDS + FULL_REQUESTS * one + FULL_ROWS * row) / 60))


def _seconds(target: Target, cells: Cells) -> float:
    """Return the median time of an answer to these rows."""
    body, times = json.dumps({"instances": cells.rows}), []
    for _ in range(3):
        began = time.monotonic()
        target.post(body, "application/json")
        times.append(time.monotonic() - began)
    return median(times)
