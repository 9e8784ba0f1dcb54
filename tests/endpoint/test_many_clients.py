"""Many clients at a time, each on its own connection: each gets the predictions of its own rows, bit for bit.

An endpoint may allow fewer at a time. It then answers 429, or closes a connection while the body is being sent, and the
client retries.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.conftest import until
from tests.endpoint.answer import Answer
from tests.endpoint.bodies import FORMS
from tests.endpoint.choice import PROCESS
from tests.endpoint.target import Cells, Connection, Target
from tests.endpoint.wire import opened, request

# Refused clients wait and retry; how long that takes depends on the endpoint's limit and on the machine.
pytestmark = [pytest.mark.full, pytest.mark.usefixtures("own_http", "still_right"), pytest.mark.timeout(300)]

CLIENTS, REQUESTS = 64, 10
LARGE_ROWS = 1_500
OUT = ("application/json", "text/csv", "application/jsonlines", "application/x-npy")
IN = [name for name, form in FORMS.items() if not form.numbers_only]


class RetryingClient:
    """A client that retries while the endpoint has too many requests.

    Attributes:
        refusals: The number of refused attempts.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.refusals = 0

    def post(self, body: bytes, content_type: str, accept: str, request_id: str) -> Answer:
        """Retry until there is an answer, which has the same id as the request."""
        found: list[Answer] = []

        def asked() -> bool:
            with contextlib.suppress(ConnectionError, http.client.HTTPException):
                found.append(self.connection.post(body, content_type, accept, X_Request_Id=request_id))
                assert found[-1].headers["x-request-id"] == request_id
                if found[-1].status != 429:
                    return True
                found[-1].refused(429, error="too_many_requests")
            self.refusals += 1
            return False

        assert until(asked, 240)
        return found[-1]


def at_once(work: Callable[[int], int]) -> list[int]:
    """Run the work for each client by number, starting all of them together."""
    together = threading.Barrier(CLIENTS)

    def one(number: int) -> int:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(CLIENTS) as threads:
        return list(threads.map(one, range(CLIENTS)))


def test_many_clients_get_their_own_predictions(target: Target) -> None:
    small = target.more(CLIENTS * REQUESTS * 2, seed=3)
    large = target.more(LARGE_ROWS, seed=4)
    expected, expected_large = target.predict(small), target.predict(large)

    def wrong(number: int) -> Cells:
        cells = small.take(number, number)
        others = tuple(replace(column, name=f"not_{column.name}") for column in cells.columns[1:])
        return Cells(others, cells.values[1:])

    def work(number: int) -> int:
        with target.connected() as connection:
            client = RetryingClient(connection)
            for turn in range(REQUESTS):
                form = FORMS[IN[(number + turn) % len(IN)]]
                kind = OUT[(number + turn) % len(OUT)]
                accept = target.with_numbers(kind)
                request_id = f"{number}-{turn}"
                first = 2 * (number * REQUESTS + turn)
                if number % 8 == 0 and turn % 3 == 0:
                    answer = client.post(form.write(large), form.type, accept, request_id)
                    assert answer.numbers() == expected_large
                elif number % 8 == 1 and turn % 2:
                    client.post(form.write(wrong(number)), form.type, accept, request_id).refused(400)
                elif number % 8 == 2 and turn % 2:
                    client.post(b"[[" + bytes([turn]), "application/json", accept, request_id).refused(400)
                else:
                    if number % 8 == 3:  # others disconnect in the middle of a request
                        leave(target, large if turn % 2 else small.take(first))
                    answer = client.post(form.write(small.take(first, first + 1)), form.type, accept, request_id)
                    assert answer.numbers() == expected[first : first + 2]
                    assert answer.type == kind
            return client.refusals

    refusals = sum(at_once(work))
    if target.name == PROCESS:  # which has no limit
        assert refusals == 0


def leave(target: Target, cells: Cells) -> None:
    """Send a request and disconnect: before its end, or before its answer."""
    whole = request(json.dumps(cells.rows).encode())
    with opened(target) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(whole[: len(whole) // 2] if len(cells.rows) > 1 else whole)


def test_silent_connections_do_not_block_others(target: Target) -> None:
    cells = target.more(10, seed=5)
    with contextlib.ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(opened(target))
            if number % 2:
                connection.sendall(b"POST /invocations HTTP/1.1\r\nHost: endpoint\r\nContent-")
        assert target.predict(cells) == target.predict(cells)
        assert target.ping()["status"] == "ok"
