"""The loop of ask, run and tell, for every backend whose trials this process starts."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent import futures
from dataclasses import replace
from pathlib import Path

from ensemble.bundle_files import MANIFEST
from ensemble.cli import SERVED_INFO
from ensemble.evaluation import MetricName
from ensemble.parameters import ParamValue, encode
from ensemble.racing import Rival
from ensemble.wire import SEPARATOR, decode_recipe, encode_fitted, encode_rival, encode_rounds, without_members
from experiments.backends.base import StudyHandle, TrialRunner
from experiments.backends.failure_limit import FailureLimit
from experiments.backends.pace import Pace
from experiments.backends.time_plan import TimePlan, complete
from experiments.errors import RunnerClosed, StudyFailed
from experiments.study.continuing import check_same_versions
from experiments.study.folder import (
    check_rows,
    final_folder,
    is_written,
    model_dir,
    read_result,
    scored_model_dir,
    trial_folder,
)
from experiments.study.ledger import Ledger
from experiments.study.sampling import Proposer, make_proposer
from experiments.study.spec import StudySpec, TrialResult, TrialSpec, best_of
from experiments.study.study_blend import origin
from experiments.system import crash_points

# The winner's training is told when it should end, and is killed this many seconds later.
GRACE_SECONDS = 3.0
INTERRUPT_EVERY_SECONDS = 0.05


class LoopHandle(StudyHandle):
    """Runs trials side by side, and asks and tells in one fixed order.

    Trial i is asked right after trial i - window is told, and trials are told in order of index, so the sequence of
    asks and tells, and with it every proposal, is the same whatever finishes first. Results that come early wait.

    Attributes:
        when_failed: What is done about running trials when too many have failed, as in ``FailureLimit.exceeded``.
    """

    when_failed = ""

    def __init__(
        self,
        spec: StudySpec,
        ledger: Ledger,
        runner: TrialRunner,
        *,
        final_runner: TrialRunner | None = None,
        time_plan: TimePlan | None = None,
        wait_until_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Use an open ledger, and take over the runners, which ``cancel`` closes; the study's time begins now.

        Args:
            spec: The study.
            ledger: Its ledger.
            runner: Runs its trials.
            final_runner: Runs the winner's training; None to use ``runner``.
            time_plan: How its time limit is divided; None for one whose trainings are not told their time.
            wait_until_ready: Waits until a trial can begin, so that its time is not measured with what comes before.
        """
        self._ledger = ledger
        self._runner = runner
        self._final_runner = final_runner or runner
        self._threads = futures.ThreadPoolExecutor(spec.parallel, thread_name_prefix="trial")
        self._results = {result.index: result for result in ledger.results()}
        self._spec = spec.as_trained(self._results.values())
        self._wait_until_ready = wait_until_ready
        self._time = time_plan or TimePlan(spec, is_told=False, pace=Pace())
        self._time.learn(self._spec, self._results.values())
        self._beside: Callable[[], TrialResult | None] | None = None
        self._asked = 0
        self._told = 0
        self._failures = FailureLimit(spec)

    def results(self) -> Iterator[TrialResult]:
        """Yield recorded trials, then each new one as it finishes; until all are, or until time is up."""
        recorded = self._ledger.asked()
        yield from list(self._results.values())
        if len(self._results) == self._spec.n_trials:
            return
        proposer = make_proposer(self._spec)
        self._wait_until_ready()
        waiting: dict[int, TrialSpec] = {}
        running: dict[futures.Future[TrialResult], int] = {}
        since: dict[int, float] = {}
        time_is_up = False
        while not time_is_up:
            waiting |= self._ask_and_tell(proposer, recorded)
            if self._beside is not None and self._time.is_told and self._spec.parallel == 1:
                self._beside()  # it would take the next trial's time
            for index in self._startable(waiting):
                if self._time.is_told and len(running) == self._spec.parallel:
                    break  # how much time a trial has is known when it begins
                trial = waiting.pop(index)
                if index not in self._results:
                    since[index] = self._time.clock()
                    running[self._start(self._limited(trial))] = index
            if not running:
                return
            left = self._for_trials([since[index] for index in running.values()])
            done, _ = futures.wait(running, left, return_when=futures.FIRST_COMPLETED)
            time_is_up = not done or self._for_trials() == 0.0
            if time_is_up:
                done = self._interrupted(running)
            for future in sorted(done, key=running.__getitem__):
                del running[future]
                result = self._checked(future.result()).ran_in(self._spec.mode)
                check_same_versions(self._spec, self._results.values(), result)
                crash_points.point("trial_finished")
                self._ledger.record(result)
                crash_points.point("trial_recorded")
                self._results[result.index] = result
                self._spec = self._spec.as_trained(self._results.values())
                self._time.learn(self._spec, self._results.values())
                self._remove_models()
                yield result

    def _ask_and_tell(
        self, proposer: Proposer, recorded: Mapping[int, Mapping[str, ParamValue]]
    ) -> dict[int, TrialSpec]:
        """Tell what is finished and ask for what comes next, in the one order; return what was asked for."""
        asked: dict[int, TrialSpec] = {}
        while True:
            if self._asked < min(self._told + self._spec.search.window, self._spec.n_trials):
                params = proposer.ask(self._asked, recorded.get(self._asked))
                asked[self._asked] = self._trial(self._asked, params)
                self._asked += 1
            elif self._told in self._results:
                result = self._results[self._told]
                proposer.tell(self._told, result)
                self._told += 1
                self._failures.count(result)
                if (reason := self._failures.exceeded(self.when_failed)) is not None:
                    raise StudyFailed(reason)
            else:
                break
        new = {index: trial.params for index, trial in asked.items() if index not in recorded}
        if new:
            self._ledger.record_asked(new)
            crash_points.point("trials_asked")
        return asked

    def _start(self, trial: TrialSpec) -> futures.Future[TrialResult]:
        """Start a trial, or queue it for a thread."""
        return self._threads.submit(self._runner.run, trial)

    def _startable(self, waiting: Mapping[int, TrialSpec]) -> list[int]:
        """Return the trials that can start: with a time limit the first one alone, until a trial has a result.

        It has the first values, which are good on many tables, and tells in ``mode=local`` which members there is time
        for. Beside others it could be the one that is killed.
        """
        if self._spec.timeout is not None and not self._results:
            return sorted(waiting)[:1]
        if not self._time.is_told:
            return sorted(waiting)
        results = list(self._results.values())
        late = not self._in_time() if self._takes_members else self._time.is_late(self._spec, results)
        return sorted(index for index in waiting if index in self._results or not late)

    @property
    def _takes_members(self) -> bool:
        """Whether a trial for which there is too little time may take members from other trials."""
        is_shared = any(SEPARATOR not in name for name in self._spec.space.ranges)
        return (
            self._time.keeps_models and self._spec.blend_over == "study" and not (is_shared or self._spec.search.prune)
        )

    def _members(self) -> list[str]:
        return [member.name for member in self._spec.recipe({}).members]

    def _with_time_left(self, trial: TrialSpec) -> TrialSpec:
        """Return a trial that takes the members which it has no time to fit from the trials in which they did best."""
        fitted, params = {}, dict(trial.params)
        best = self._best_of_members()
        for name in set(self._members()) - set(self._in_time()):
            source = best.get(name)
            if source is None or not model_dir(folder := trial_folder(self._spec.folder, source)).exists():
                continue
            fitted[name] = (folder, name)
            before = self._results[source].params
            params |= {key: value for key, value in before.items() if key.partition(SEPARATOR)[0] == name}
        hyperparameters = dict(self._spec.hyperparameters(params))
        hyperparameters |= {"fitted_members": encode_fitted(fitted)} if fitted else {}
        if seconds := self._time.for_fits(self._spec, self._results.values()):  # others may grow for longer than before
            hyperparameters["growing_seconds"] = encode(seconds)
        return replace(trial, params=params, hyperparameters=hyperparameters)

    def _limited(self, trial: TrialSpec) -> TrialSpec:
        """Return a trial of the members for which there is time; the first is told its time, and finds them."""
        hyperparameters = without_members(trial.hyperparameters, self._spec.left_out)
        if self._time.is_told and not self._results:
            hyperparameters["folds_seconds"] = encode(self._time.for_first_trial())
        trial = replace(trial, hyperparameters=hyperparameters)
        return self._with_time_left(trial) if self._takes_members and self._results else trial

    def _remove_models(self) -> None:
        """Remove the models of trials; with a time limit, those that the winner may have are kept."""
        kept = self._may_win() if self._time.is_told else set()
        for index in self._results if self._spec.n_trials > 1 else ():
            if index not in kept:
                shutil.rmtree(model_dir(trial_folder(self._spec.folder, index)), ignore_errors=True)

    def _may_win(self) -> set[int]:
        """Return the best trial, and the trials that have the best model of a member."""
        best = best_of(self._results.values(), self._spec.objective)
        kept = set() if best is None else {best.index}
        return kept | (set(self._best_of_members().values()) if self._spec.blend_over == "study" else set())

    def _best_of_members(self) -> dict[str, int]:
        """Return the trial with the best model of each member; of equal ones the first."""
        scored = sorted(complete(self._results.values()), key=lambda one: one.index)
        found: dict[str, int] = {}
        for member in self._members() if scored else ():
            score = "mae" if MetricName.parse(self._spec.objective).score == "mae" else scored[0].main_score
            name = f"cv_{score}_{member}"
            found[member] = min(scored, key=lambda one: one.metrics.get(name, math.inf)).index
        return found

    def seconds_left(self) -> float | None:
        """Return how much of the time limit is left."""
        return self._time.left()

    def slowness(self) -> float:
        """Return how many times as long as on an idle machine something takes now."""
        return self._time.pace.slowness

    def _for_trials(self, since: Iterable[float] = ()) -> float | None:
        """Return how long trials may still run, with time reserved for the winner; None without a limit."""
        return self._time.for_trials(self._spec, self._results.values(), since)

    def _in_time(self) -> list[str]:
        """Return the members that another trial has time to fit; none if they are not worth it."""
        return self._time.in_time(self._spec, self._results.values(), self._members())

    def _interrupted(self, running: Collection[futures.Future[TrialResult]]) -> set[futures.Future[TrialResult]]:
        """Kill the running trials, and return those that finished nevertheless."""
        finished, left = set[futures.Future[TrialResult]](), {future for future in running if not future.cancel()}
        while left:  # repeatedly, since a trial may be between its thread and its worker
            self._runner.interrupt()
            done, left = futures.wait(left, INTERRUPT_EVERY_SECONDS)
            finished |= done
        return {future for future in finished if not _was_killed(future)}

    def run_again(self, trial: TrialSpec) -> TrialResult:
        """Train a trial of another place once more."""
        return self._checked(self._runner.run(trial))

    def run_final(self, index: int, recipe: Mapping[str, str] | None = None) -> TrialResult:
        """Train the winner once more and keep its bundle; a lone trial has already kept its own."""
        result, rows = self._results[index], self._spec.final_rows
        params = result.params
        folder = final_folder(self._spec.folder)
        trained = trial_folder(self._spec.folder, index)
        if recipe is None and model_dir(trained).exists() and result.info.get("final_rows", "train") == rows:
            return self._kept(trained, result)
        # It runs alone, so it has the threads of all.
        threads = self._spec.threads * self._spec.parallel
        hyperparameters = self._served(self._spec.hyperparameters(params) if recipe is None else recipe)
        own = recipe is not None
        if self._time.is_told:  # with its time, a training would find other numbers of rounds
            hyperparameters |= {"found_rounds": encode_rounds(self._rounds(index, recipe))}
            if fitted := self._fitted(index, recipe):
                hyperparameters |= {"fitted_members": encode_fitted(fitted)}
            hyperparameters |= {"final_seconds": encode(self._time.for_winner())}
        final = TrialSpec(index, params, hyperparameters, folder, keep_model=True, threads=threads, own_recipe=own)
        if not self._time.is_told:
            return self._checked(self._final_runner.run(final))
        return self._checked(self._run_in_time(final))

    def _run_in_time(self, final: TrialSpec) -> TrialResult:
        """Run the winner's training, which is killed when its time is up and its scored models are saved.

        What it has fitted on further rows is served then, if that is saved too, or the scored models.
        """
        started = time.time()
        shutil.rmtree(final.folder, ignore_errors=True)  # a winner of an earlier command would count as written
        future = self._threads.submit(self._final_runner.run, final)
        done, _ = futures.wait([future], max(0.0, self._time.before_ending() + GRACE_SECONDS))
        scored = scored_model_dir(final.folder)
        while not done and not is_written(final.folder):
            done, _ = futures.wait([future], INTERRUPT_EVERY_SECONDS)
        if not done:
            self._interrupted([future])
        if not _was_killed(future):
            return future.result()
        result = read_result(final, started, time.time(), 0)
        if (model_dir(final.folder) / MANIFEST).exists():  # with what was fitted before
            return result
        shutil.rmtree(model_dir(final.folder), ignore_errors=True)
        if scored.exists():
            scored.rename(model_dir(final.folder))
        return replace(result, info={name: value for name, value in result.info.items() if name not in SERVED_INFO})

    def _fitted(self, index: int, recipe: Mapping[str, str] | None) -> dict[str, tuple[Path, str]]:
        """Return where the members of the winner have been fitted, of those whose models are kept, by name."""
        names = decode_recipe(self._spec.hyperparameters(self._results[index].params) if recipe is None else recipe)
        found: dict[str, tuple[Path, str]] = {}
        for member in names.members:
            name, trial = (member.name, index) if recipe is None else origin(member.name)
            folder = trial_folder(self._spec.folder, trial)
            if model_dir(folder).exists():
                found[member.name] = (folder, name)
        return found

    def _kept(self, trained: Path, result: TrialResult) -> TrialResult:
        """Return a trial whose own models are served."""
        shutil.rmtree(final_folder(self._spec.folder), ignore_errors=True)
        shutil.copytree(trained, final_folder(self._spec.folder), dirs_exist_ok=True)
        return result

    def _rounds(self, index: int, recipe: Mapping[str, str] | None) -> dict[str, int]:
        """Return the numbers of boosting rounds that were found in the trials, by member of what is trained."""
        if recipe is None:
            return dict(self._results[index].info.get("rounds", {}))
        found: dict[str, int] = {}
        for member in decode_recipe(recipe).members:
            name, trial = origin(member.name)
            rounds = self._results[trial].info.get("rounds", {})
            found |= {member.name: rounds[name]} if name in rounds else {}
        return found

    def run_beside(self, trial: TrialSpec, seconds: float | None = None) -> Callable[[], TrialResult | None] | None:
        """Run a training in the trials' threads; it is killed when the rest of the time is needed for the winner."""
        future = self._threads.submit(self._runner.run, trial)
        began = self._time.clock()

        def result() -> TrialResult | None:
            own = None if seconds is None else max(0.0, seconds - (self._time.clock() - began))
            limits = [limit for limit in (own, self._for_trials()) if limit is not None]
            done, _ = futures.wait([future], min(limits, default=None))
            if not done:
                self._interrupted([future])
            return None if _was_killed(future) else self._checked(future.result())

        self._beside = result
        return result

    def cancel(self) -> None:
        """Kill what runs, and wait for the threads."""
        self._runner.close()
        self._final_runner.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _checked(self, result: TrialResult) -> TrialResult:
        channels = self._spec.channels
        return check_rows(result, channels, f"the data in {channels.train.parent}")

    def _served(self, recipe: Mapping[str, str]) -> dict[str, str]:
        """Return the hyperparameters of a training of a recipe whose bundle is served."""
        rows = self._spec.final_rows
        return {**recipe, **({} if rows == "train" else {"final_rows": rows})}

    def _trial(self, index: int, params: Mapping[str, ParamValue]) -> TrialSpec:
        folder = trial_folder(self._spec.folder, index)
        # The first one writes its model too, so that one which cannot be written is known now and not at the end. With
        # a time limit, the winner has the models of trials.
        keep_model = index == 0 or self._time.keeps_models
        recipe = self._spec.hyperparameters(params)
        hyperparameters = recipe if self._spec.n_trials > 1 or self._time.is_told else self._served(recipe)
        if self._spec.search.prune:
            best = best_of((self._results[told] for told in range(self._told)), self._spec.objective)
            hyperparameters |= {"rival": encode_rival(best.rival(self._spec.objective) if best else Rival())}
        return TrialSpec(index, params, hyperparameters, folder, keep_model=keep_model, threads=self._spec.threads)


def _was_killed(future: futures.Future[TrialResult]) -> bool:
    """Return whether a training that has ended did so before it had a result."""
    return future.cancelled() or isinstance(future.exception(), RunnerClosed)
