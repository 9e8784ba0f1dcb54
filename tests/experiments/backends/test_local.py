"""``mode=local`` passes the backends' contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from experiments.backends.base import Backend
from experiments.backends.local import LocalBackend
from experiments.backends.worker_pool import WorkerPool
from experiments.study.spec import StudySpec
from tests.experiments.backends.contract import BackendContract


class TestLocalBackend(BackendContract):
    mode = "mode=local"

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
