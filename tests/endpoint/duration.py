"""How long the tests of an endpoint take at least, from the time of one answer."""

from __future__ import annotations

import http.client
import json
import time

from tests.endpoint.choice import Choice
from tests.endpoint.target import Target

# Counted in a full run against a model of two classes in a container: 1,361 answers to requests, and 58 s besides the
# 42 s in which they were waited for. An answer takes at least as long as the fastest one to the example.
FULL_SECONDS, FULL_ANSWERS = 58, 1361


def described(choice: Choice, which: str) -> str:
    """Return in a line which tests run, and how long they take at most or at least.

    Args:
        choice: The endpoint.
        which: ``quick`` or ``full``.
    """
    found = _full_minutes(choice)
    full = "" if found is None else f", at least {found} min"
    if which == "full":
        return f"endpoint tests: full{full}"
    return f"endpoint tests: quick, within a minute; --endpoint-tests=full runs all{full}"


def _full_minutes(choice: Choice) -> int | None:
    """Return how long all tests take at least; None if the endpoint does not answer or is on SageMaker."""
    if choice.url is None or choice.model_dir is None:
        return None
    target = Target(choice.name, choice.url, choice.model_dir)
    try:
        body = json.dumps({"instances": target.example.rows})
        times = []
        for _ in range(3):
            began = time.monotonic()
            target.post(body, "application/json")
            times.append(time.monotonic() - began)
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None
    return max(1, int((FULL_SECONDS + FULL_ANSWERS * min(times)) // 60))
