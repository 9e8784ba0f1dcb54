"""A worker's memory after thousands of requests is what it was after hundreds."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.endpoint.bodies import FORMS, write_json
from tests.endpoint.conftest import Serve
from tests.endpoint.target import Target

# It grows by 5 MB in the first 2,500 requests, until Python's cycle collector has visited all objects.
CLIENTS, WARM_UP, REQUESTS = 8, 3_000, 2_000
# Measured: 0 to 0.2 MB in five runs. A leak of the bodies alone would be 6 MB.
MOST_BYTES_MORE = 2_000_000


def bodies(target: Target) -> list[tuple[bytes, str, int]]:
    """Return bodies, their content types and the statuses of their answers: small and large ones, good and bad."""
    few, many = target.more(3), target.more(300, seed=1)
    found = [(form.write(few), form.type, 200) for form in FORMS.values() if not form.numbers_only]
    found += [(FORMS[name].write(many), FORMS[name].type, 200) for name in ("json lists", "csv without", "parquet")]
    found += [
        (body[:-10], kind, 400) for body, kind, _ in found if not re.search("csv|lines|ndjson|jsonl", kind.lower())
    ]
    found += [(body, "text/html", 415) for body, _, _ in found[:3]]
    found += [(write_json([[number] * 40 for number in range(200)]), "application/json", 400)]
    return found


def send(target: Target, count: int, given: list[tuple[bytes, str, int]]) -> None:
    """Send the bodies in turn, for a number of requests in all."""

    def work(number: int) -> None:
        with target.connected() as connection:
            for turn in range(number, count, CLIENTS):
                body, kind, status = given[turn % len(given)]
                answer = connection.post(body, kind)
                assert answer.status == status, (kind, answer.body[:500])

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(work, range(CLIENTS)))


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_memory_is_flat(bundle: Path, serve: Serve) -> None:
    server = serve(bundle, SAGEMAKER_MODEL_SERVER_WORKERS="1")
    given = bodies(server.target)
    send(server.target, WARM_UP, given)
    (worker,) = server.workers()
    before = psutil.Process(worker).memory_full_info().uss
    send(server.target, REQUESTS, given)
    after = psutil.Process(worker).memory_full_info().uss
    assert after - before < MOST_BYTES_MORE
