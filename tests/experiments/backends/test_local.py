"""``mode=local`` passes the backends' contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from experiments.backends.base import Backend
from experiments.backends.local import LocalBackend
from experiments.backends.worker_pool import WorkerPool
from experiments.study.spec import StudySpec
from tests.experiments.backends.contract import BackendContract

# Those that count workers know them by their command line, which a forked one does not have.
COUNTING = (
    "test_cancel_leaves_nothing_running_here_and_can_be_repeated",
    "test_too_many_failures_stop_the_study_with_the_reason",
)


class TestLocalBackend(BackendContract):
    mode = "mode=local"

    @pytest.fixture(autouse=True)
    def _workers(self, request: pytest.FixtureRequest) -> None:
        if request.node.name not in COUNTING:
            request.getfixturevalue("forked_workers")

    @contextmanager
    def backend(self, study: StudySpec) -> Iterator[Backend]:
        pool = WorkerPool(study.parallel, study.threads, study.dependencies)
        try:
            yield LocalBackend(pool)
        finally:
            pool.close()

    def running(self) -> int:
        found = 0
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                found += "ensemble.worker" in process.cmdline()
        return found
