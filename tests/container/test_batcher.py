"""Requests that wait at the same time are predicted together, and each gets its own answer (``serving/app.py``)."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.conftest import PROJECT


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serving_app", PROJECT / "container" / "serving" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


APP = load()


def squares(batch: list[int], sizes: list[int]) -> list[int]:
    sizes.append(len(batch))
    if -1 in batch:
        raise ValueError("minus one")
    return [number * number for number in batch]


@pytest.fixture
def sizes() -> list[int]:
    """How many requests each prediction was for."""
    return []


def run(work: Callable[[Any], Coroutine[Any, Any, Any]], module: Any) -> Any:
    async def inside() -> Any:
        with ThreadPoolExecutor(1) as thread:
            return await work(APP.Batcher(module, None, thread))

    return asyncio.run(inside())


def test_more_than_a_batch_takes_are_answered_in_several(sizes: list[int]) -> None:
    async def work(batcher: Any) -> list[int]:
        return list(await asyncio.gather(*map(batcher.predict, range(600))))

    module = SimpleNamespace(predict_many_fn=lambda batch, model: squares(batch, sizes))
    assert run(work, module) == [number * number for number in range(600)]
    assert max(sizes) == APP.MOST_REQUESTS_A_BATCH
    assert sum(sizes) == 600


def test_a_single_request_is_predicted_at_once(sizes: list[int]) -> None:
    async def work(batcher: Any) -> list[int]:
        return [await batcher.predict(number) for number in range(5)]

    module = SimpleNamespace(predict_many_fn=lambda batch, model: squares(batch, sizes))
    assert run(work, module) == [0, 1, 4, 9, 16]
    assert sizes == [1] * 5


def test_a_bad_request_fails_alone(sizes: list[int]) -> None:
    async def work(batcher: Any) -> list[Any]:
        return list(await asyncio.gather(*map(batcher.predict, (2, -1, 3)), return_exceptions=True))

    module = SimpleNamespace(predict_many_fn=lambda batch, model: squares(batch, sizes))
    first, second, third = run(work, module)
    assert (first, str(second), third) == (4, "minus one", 9)


def test_a_script_without_batches_predicts_requests_one_by_one(sizes: list[int]) -> None:
    async def work(batcher: Any) -> list[Any]:
        return list(await asyncio.gather(*map(batcher.predict, (2, -1, 3)), return_exceptions=True))

    first, second, third = run(work, SimpleNamespace(predict_fn=lambda data, model: squares([data], sizes)[0]))
    assert (first, str(second), third) == (4, "minus one", 9)
    assert sizes == [1, 1, 1]


def test_a_client_that_has_gone_away_is_not_predicted_for(sizes: list[int]) -> None:
    async def work(batcher: Any) -> int:
        gone, stays = (asyncio.ensure_future(batcher.predict(number)) for number in (2, 3))
        await asyncio.sleep(0)  # both wait
        gone.cancel()
        return int(await stays)

    module = SimpleNamespace(predict_many_fn=lambda batch, model: squares(batch, sizes))
    assert run(work, module) == 9
    assert sizes == [1]


def test_a_cancelled_request_ends_with_its_batch_and_one_that_waits_at_once(sizes: list[int]) -> None:
    release = threading.Event()

    def predict(batch: list[int], model: Any) -> list[int]:
        if sizes:
            release.wait()
        return squares(batch, sizes)

    async def work(batcher: Any) -> None:
        await batcher.predict(1)
        batcher._seconds = 1.0  # as if that had taken long, so that what follows runs in the thread
        running = asyncio.create_task(batcher.predict(2))
        while batcher._work is None:
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(batcher.predict(3))
        await asyncio.sleep(0)
        running.cancel()
        waiting.cancel()
        await asyncio.wait({waiting})
        await asyncio.sleep(0.01)
        assert not running.done()
        release.set()
        await asyncio.wait({running})
        assert running.cancelled()
        assert await batcher.predict(4) == 16

    run(work, SimpleNamespace(predict_many_fn=predict))
    assert sizes == [1, 1, 1]
