"""``mode=remote`` (remote, remote_requests, remote_jobs, launch) passes the backends' contract, on the double of AWS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from experiments.backends.base import Backend
from experiments.backends.open import remote_backend
from experiments.backends.worker_pool import WorkerPool
from experiments.config.compose import compose
from experiments.config.schema import RemoteModeConfig
from experiments.errors import StudyFailed
from experiments.study.spec import StudySpec
from tests.doubles.aws.double import Double
from tests.doubles.aws.resident import Resident
from tests.experiments.backends.contract import BackendContract
from tests.support.account import in_account

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own


@pytest.fixture(scope="module")
def local_workers() -> Iterator[WorkerPool]:
    """Workers on this machine, which test a study before its launch."""
    pool = WorkerPool(1, 1)
    yield pool
    pool.close()


class TestRemoteBackend(BackendContract):
    mode = "mode=remote"
    can_extend = False
    runs_elsewhere = True
    double: Double
    local_workers: WorkerPool

    @pytest.fixture(autouse=True)
    def _account(
        self, tmp_path: Path, resident: Resident, local_workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        self.local_workers = local_workers
        with in_account(Double(tmp_path / "aws", resident=resident), monkeypatch) as self.double:
            yield

    @contextmanager
    def backend(self, study: StudySpec) -> Iterator[Backend]:
        with self.double.state.changed:
            self.double.state.points_taken = 0  # so that the tuner proposes the same points for each study
        arguments = [
            "mode=remote",
            f"mode.role={self.double.role}",
            f"mode.bucket={self.double.bucket}",
            "mode.poll_seconds=0.02",
            "mode.price_usd_per_hour=0.1",
            "mode.budget_usd=9",
        ]
        mode = compose(arguments).config.mode
        assert isinstance(mode, RemoteModeConfig)
        yield remote_backend(mode, arguments, lambda: self.local_workers, Console(quiet=True))

    def running(self) -> int:
        """Return how many jobs run, without those that are stopping."""
        return sum(not job.has_ended and not job.stopping for job in self.double.jobs)

    @pytest.mark.slow
    def test_parallelism_changes_no_number(self, folder: Path) -> None:
        super().test_parallelism_changes_no_number(folder)

    @pytest.mark.slow
    def test_an_interrupted_study_gives_the_same_numbers(self, folder: Path) -> None:
        super().test_an_interrupted_study_gives_the_same_numbers(folder)

    @pytest.mark.slow  # actions/test_remote.py refuses it, too
    def test_an_extended_study_gives_the_results_of_a_longer_one_or_is_refused(self, folder: Path) -> None:
        super().test_an_extended_study_gives_the_results_of_a_longer_one_or_is_refused(folder)

    @pytest.mark.slow  # actions/test_remote.py has a second command attach to a tuning job
    def test_a_second_submit_runs_what_is_missing_and_nothing_twice(self, folder: Path) -> None:
        super().test_a_second_submit_runs_what_is_missing_and_nothing_twice(folder)

    @pytest.mark.slow  # actions/test_remote.py has failed jobs, too
    def test_a_failing_member_fails_its_trial_only(self, folder: Path) -> None:
        super().test_a_failing_member_fails_its_trial_only(folder)

    @pytest.mark.slow  # actions/test_remote.py stops a study, too
    def test_too_many_failures_stop_the_study_with_the_reason(self, folder: Path) -> None:
        self.double.hold(4)  # so that some jobs remain to be stopped
        super().test_too_many_failures_stop_the_study_with_the_reason(folder)


@pytest.mark.slow  # actions/test_three_places.py runs such a search, too
class TestSearchByTheLoop(TestRemoteBackend):
    """``search.engine=optuna``: each trial is a training job that this machine starts."""

    mode = "mode=remote"
    can_extend = True

    def plan(self, *arguments: str) -> StudySpec:
        return super().plan("search.engine=optuna", *arguments)

    def test_too_many_failures_stop_the_study_with_the_reason(self, folder: Path) -> None:
        # The jobs that remain are held, and stopped.
        study = self.failing_study(folder, "search.max_failure_rate=0.25")
        self.double.hold(4)
        with pytest.raises(StudyFailed, match=r"2 of 4 trials failed.*the rest was stopped.*alpha 3.0 will not do"):
            self.run(study)
        assert self.running() == 0
