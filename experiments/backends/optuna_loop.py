"""The ask, run, tell loop under every backend whose trials this process starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent import futures

from ensemble.parameters import ParamValue
from experiments import faults
from experiments.backends.base import StudyHandle, TrialRunner
from experiments.backends.trial_folder import final_folder, model_dir, trial_folder
from experiments.errors import StudyFailed
from experiments.ledger import Ledger
from experiments.proposals import make_proposer
from experiments.study import StudySpec, TrialResult, TrialSpec

# Below so many finished trials a failure rate says nothing.
FEWEST_TRIALS_TO_JUDGE = 4


class LoopHandle(StudyHandle):
    """Runs trials side by side, and asks and tells in one fixed order.

    Trial i is asked right after trial i - window is told, and trials are told in order of index, so the sequence of
    asks and tells, and with it every proposal, is the same whatever finishes first. Results that come early wait.
    """

    def __init__(self, spec: StudySpec, ledger: Ledger, runner: TrialRunner) -> None:
        """Use an open ledger, and take over a runner, which ``cancel`` closes."""
        self._spec = spec
        self._ledger = ledger
        self._runner = runner
        self._threads = futures.ThreadPoolExecutor(spec.parallel, thread_name_prefix="trial")
        self._results = {result.index: result for result in ledger.results()}
        self._asked = 0
        self._told = 0
        self._failed = 0

    def results(self) -> Iterator[TrialResult]:
        """Yield recorded trials, then each new one as it finishes."""
        recorded = self._ledger.asked()
        yield from list(self._results.values())
        if len(self._results) == self._spec.n_trials:
            return
        proposer = make_proposer(self._spec)
        running: dict[futures.Future[TrialResult], int] = {}
        while True:
            fresh: dict[int, dict[str, ParamValue]] = {}
            while True:
                if self._asked < min(self._told + self._spec.search.window, self._spec.n_trials):
                    fresh[self._asked] = proposer.ask(self._asked, recorded.get(self._asked))
                    self._asked += 1
                elif self._told in self._results:
                    result = self._results[self._told]
                    proposer.tell(self._told, result.metrics.get(self._spec.objective))
                    self._told += 1
                    self._judge(result)
                else:
                    break
            new = {index: params for index, params in fresh.items() if index not in recorded}
            if new:
                self._ledger.record_asked(new)
                faults.point("trials_asked")
            for index, params in fresh.items():
                if index not in self._results:
                    running[self._threads.submit(self._runner.run, self._trial(index, params))] = index
            if not running:
                return
            done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
            for future in sorted(done, key=running.__getitem__):
                del running[future]
                result = future.result()
                faults.point("trial_finished")
                self._ledger.record(result)
                faults.point("trial_recorded")
                self._results[result.index] = result
                yield result

    def run_final(self, index: int) -> TrialResult:
        """Train the winner once more and keep its bundle; a lone trial has kept its own."""
        params = self._results[index].params
        folder = final_folder(self._spec.folder)
        trained = trial_folder(self._spec.folder, index)
        if model_dir(trained).exists():
            shutil.copytree(trained, folder, dirs_exist_ok=True)
            return self._results[index]
        # It runs alone, so it has the threads of all.
        threads = self._spec.threads * self._spec.parallel
        final = TrialSpec(index, params, self._spec.hyperparameters(params), folder, keep_model=True, threads=threads)
        return self._runner.run(final)

    def cancel(self) -> None:
        """Kill what runs, and wait for the threads."""
        self._runner.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _trial(self, index: int, params: dict[str, ParamValue]) -> TrialSpec:
        folder = trial_folder(self._spec.folder, index)
        alone = self._spec.n_trials == 1
        hyperparameters = self._spec.hyperparameters(params)
        return TrialSpec(index, params, hyperparameters, folder, keep_model=alone, threads=self._spec.threads)

    def _judge(self, result: TrialResult) -> None:
        self._failed += result.state == "failed"
        if self._told < min(FEWEST_TRIALS_TO_JUDGE, self._spec.n_trials):
            return
        if self._failed > self._spec.max_failure_rate * self._told:
            raise StudyFailed(
                f"{self._failed} of the first {self._told} trials failed, more than search.max_failure_rate="
                f"{self._spec.max_failure_rate:g} allows. The last reason: {self._last_failure()}"
            )

    def _last_failure(self) -> str:
        failed = [result for result in self._results.values() if result.state == "failed"]
        last = max(failed, key=lambda result: result.index)
        return f"trial {last.index}: {last.reason} ({trial_folder(self._spec.folder, last.index)})"
