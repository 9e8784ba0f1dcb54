"""The baseline of a study, plain CatBoost: trained once beside the trials, without being one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from rich.console import Console

from experiments.backends.base import StudyHandle
from experiments.backends.local import LocalRunner
from experiments.backends.worker_pool import LocalWorkers
from experiments.reporting.console import print_plain
from experiments.study.baseline import (
    BASELINE,
    baseline_folder,
    baseline_seconds,
    baseline_trial,
)
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult

# The largest share of search.timeout that the baseline may take.
SHARE = 0.08
# Where trials are jobs on SageMaker, the baseline is trained on this machine, unless that takes longer than this.
MOST_SECONDS_HERE = 600.0


class Baseline:
    """Trains the baseline of a study, unless its ledger has it or the study has none."""

    def __init__(self, study: StudySpec, ledger: Ledger, handle: StudyHandle) -> None:
        """Start nothing.

        Args:
            study: The study.
            ledger: Its ledger, which gets the fact ``BASELINE``.
            handle: The running study.
        """
        self._study = study
        self._ledger = ledger
        self._handle = handle
        known = ledger.noted(BASELINE)
        self._is_due = study.baseline and (known is None or known["state"] != "complete")
        self._skipped = "no trial has a score"
        self._wait: Callable[[], TrialResult | None] | None = None
        self._runs_here = self._is_late = False

    def start(self, trial: TrialResult) -> None:
        """Start it behind the first trial that has a score, which knows the size of the data.

        Args:
            trial: A finished trial.
        """
        is_begun = self._wait is not None or self._runs_here or self._is_late
        if not self._is_due or trial.state != "complete" or is_begun:
            return
        seconds, timeout = baseline_seconds(self._study, trial) * self._handle.slowness(), self._study.timeout
        if timeout is not None and seconds > SHARE * timeout:
            self._skipped = f"it takes about {seconds:.0f} s, too much of search.timeout={timeout:g}"
            self._is_late = True
            return
        most = None if timeout is None else SHARE * timeout
        self._wait = self._handle.run_beside(baseline_trial(self._study), most)
        if self._wait is None and seconds > MOST_SECONDS_HERE:
            self._skipped = f"it takes about {seconds:.0f} s on this machine, and a job on SageMaker costs money"
            return
        self._runs_here = self._wait is None

    def finish(self, local_workers: LocalWorkers, console: Console) -> None:
        """Wait for it, and note its result.

        Args:
            local_workers: Returns workers on this machine.
            console: Where progress is shown, and why there is no baseline.
        """
        if not self._is_due:
            return
        with console.status("cross-validating plain CatBoost, the baseline"):
            result = self._result(local_workers)
            log = baseline_folder(self._study.folder) / "mean.txt"
            hyperparameters = dict(baseline_trial(self._study).hyperparameters)
            kwargs = {"train": str(self._study.channels.train), "hyperparameters": hyperparameters}
            mean = local_workers().call("experiments.study.baseline:score_mean", kwargs, log)
        if result.state != "complete":
            print_plain(console, f"note: there is no score of plain CatBoost to compare with: {result.reason}.")
        self._ledger.note(BASELINE, asdict(replace(result, metrics={**result.metrics, **mean})))

    def _result(self, local_workers: LocalWorkers) -> TrialResult:
        trial = baseline_trial(self._study)
        skipped, result = self._skipped, None
        if self._runs_here:
            result = LocalRunner(self._study, local_workers()).run(trial)
        elif self._wait is not None:
            skipped, result = f"search.timeout={self._study.timeout or 0:g} left no time for it", self._wait()
        trial.folder.mkdir(parents=True, exist_ok=True)
        return result or TrialResult(0, "failed", {}, 0.0, 0.0, failure=skipped)
