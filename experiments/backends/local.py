"""``mode=local``: trials in worker processes on this machine."""

from __future__ import annotations

import time

from experiments.backends.base import Backend, StudyHandle
from experiments.backends.optuna_loop import LoopHandle
from experiments.backends.pace import Pace
from experiments.backends.time_plan import TimePlan
from experiments.backends.worker_pool import WorkerDied, WorkerPool
from experiments.study.folder import log_path, prepare, read_result
from experiments.study.ledger import Ledger
from experiments.study.source_dir import check_dependencies
from experiments.study.spec import StudySpec, TrialResult, TrialSpec


class LocalBackend(Backend):
    """Runs studies in the worker processes of a pool."""

    replay_mode = "sagemaker"

    def __init__(self, pool: WorkerPool) -> None:
        """Use ``pool``, which the caller may share. The first study's handle closes it."""
        self._pool = pool

    def preflight(self, study: StudySpec) -> None:
        """Check that the folders of the user's packages exist."""
        check_dependencies(study.dependencies)

    def submit(self, study: StudySpec, ledger: Ledger) -> StudyHandle:
        """Start or resume the loop over this pool's workers."""
        # The workers' libraries are imported beside the command's own start, on one core maybe.
        taken = study.spent / study.slowness + self._pool.cpu_seconds()
        slowness = min(study.slowness, max(study.spent / taken, 1.0)) if taken else study.slowness
        plan = TimePlan(study, is_told=True, pace=Pace(self._pool.scheduled, slowness))
        runner = LocalRunner(study, self._pool)
        return LoopHandle(study, ledger, runner, time_plan=plan, wait_until_ready=self._pool.wait_until_ready)


class LocalRunner:
    """Runs a trial by calling the entry script's main in a worker."""

    def __init__(self, study: StudySpec, pool: WorkerPool) -> None:
        """Run trials of ``study`` in ``pool``."""
        self._study = study
        self._pool = pool

    def run(self, trial: TrialSpec) -> TrialResult:
        """Run one trial."""
        environ = prepare(trial, self._study)
        started = time.time()
        exit_code: int
        try:
            exit_code = self._pool.call(
                "ensemble.worker:run_entry",
                {"environ": environ, "dependencies": [str(folder) for folder in self._study.dependencies]},
                log_path(trial.folder),
            )
        except WorkerDied as death:
            exit_code = death.exit_code
        return read_result(trial, started, time.time(), exit_code)

    def interrupt(self) -> None:
        """Kill the workers that run a trial."""
        self._pool.interrupt()

    def close(self) -> None:
        """Kill the workers."""
        self._pool.close()
