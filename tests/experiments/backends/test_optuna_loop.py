"""The loop's races and time limit, with a runner and a clock that follow a script."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.bundle_files import MANIFEST
from ensemble.channel import channel_rows
from ensemble.racing import Rival
from ensemble.wire import JOB_PARAMETERS, decode_fitted, decode_recipe, decode_rival
from experiments.backends.optuna_loop import LoopHandle
from experiments.backends.pace import Pace
from experiments.backends.time_plan import ALL_ROWS_TRIALS, FINAL_TRIALS, TimePlan
from experiments.errors import RunnerClosed
from experiments.study.baseline import baseline_trial
from experiments.study.folder import model_dir, output_data_dir, prepare, scored_model_dir
from experiments.study.ledger import Ledger
from experiments.study.spec import (
    BESIDES_SECONDS,
    ENDING_SECONDS,
    FIRST_SHARE,
    StudySpec,
    TrialResult,
    TrialSpec,
    first_trial_seconds,
)
from tests.experiments.backends.contract import plan

SECONDS_A_TRIAL = 10.0


class ScriptedRunner:
    """Gives each trial the objective of the script, or lets it run until it is killed."""

    def __init__(self, values: Callable[[int], float | None]) -> None:
        self.values = values
        self.seen: dict[int, TrialSpec] = {}
        self.now = 0.0
        self.killed = threading.Event()

    def clock(self) -> float:
        return self.now

    def run(self, trial: TrialSpec) -> TrialResult:
        self.seen[trial.index] = trial
        value = self.values(trial.index)
        if value is None:
            self.killed.wait()
            raise RunnerClosed
        self.now += SECONDS_A_TRIAL
        metrics = {"cv_rmse_blended": value}
        info = {"standings": [[], [value, value + 1]]}
        return TrialResult(trial.index, "complete", trial.params, 0.0, SECONDS_A_TRIAL, metrics, info)

    def interrupt(self) -> None:
        self.killed.set()

    def close(self) -> None:
        self.killed.set()


def timed(study: StudySpec, runner: ScriptedRunner, *, is_told: bool = False) -> TimePlan:
    return TimePlan(study, is_told=is_told, clock=runner.clock, pace=Pace(slowness=study.slowness))


def run(study: StudySpec, runner: ScriptedRunner) -> list[TrialResult]:
    with Ledger.open(study) as ledger, LoopHandle(study, ledger, runner, time_plan=timed(study, runner)) as handle:
        return list(handle.results())


def test_a_trial_races_the_best_one_known_when_it_was_proposed(folder: Path) -> None:
    study = plan("search.n_trials=6", "search.window=2", "search.parallel=1", "search.prune=true")
    values = [5.0, 3.0, 4.0, 2.0, 6.0, 7.0]
    runner = ScriptedRunner(values.__getitem__)
    run(study, runner)
    rivals = [decode_rival(runner.seen[index].hyperparameters.get("rival")) for index in range(6)]
    assert all(rival is not None for rival in rivals)
    assert [rival and rival.value for rival in rivals] == [None, None, 5.0, 3.0, 3.0, 2.0]
    assert rivals[2] == Rival(5.0, ((), (5.0, 6.0)))


def test_no_trial_races_by_default(folder: Path) -> None:
    runner = ScriptedRunner(float)
    run(plan("search.n_trials=6", "search.window=2"), runner)
    assert not any("rival" in trial.hyperparameters for trial in runner.seen.values())


@pytest.mark.parametrize("resumed", [1, 3, 5])
def test_a_resumed_study_races_the_same_rivals(folder: Path, resumed: int) -> None:
    arguments = ("search.n_trials=8", "search.window=3", "search.prune=true", "search.startup_trials=2")
    whole = plan(*arguments, "study=whole")
    reference = ScriptedRunner(lambda index: float(index * 7 % 5))
    run(whole, reference)
    parts = dataclasses.replace(whole, name="parts", folder=whole.folder.parent / "parts")
    seen: dict[int, TrialSpec] = {}
    with Ledger.open(parts) as ledger, LoopHandle(parts, ledger, runner := ScriptedRunner(reference.values)) as handle:
        for _, _ in zip(range(resumed), handle.results(), strict=False):
            pass
    seen |= runner.seen
    run(parts, runner := ScriptedRunner(reference.values))
    seen |= runner.seen
    assert {i: t.hyperparameters for i, t in seen.items()} == {i: t.hyperparameters for i, t in reference.seen.items()}


def test_time_is_reserved_for_the_winner_and_running_trials_are_left_to_the_next_run(folder: Path) -> None:
    kept = (FINAL_TRIALS + ALL_ROWS_TRIALS) * SECONDS_A_TRIAL + ENDING_SECONDS
    study = plan("search.n_trials=20", "search.window=4", "search.parallel=2", f"search.timeout={kept + 20.05:g}")
    first = run(study, runner := ScriptedRunner(lambda index: float(index) if index < 2 else None))
    assert {result.index for result in first} == {0, 1}
    assert runner.killed.is_set()
    second = {result.index for result in run(study, ScriptedRunner(float))}
    assert {0, 1, 2} <= second
    assert len(second) < 12


def test_with_a_limit_the_first_values_are_tried_alone_so_that_no_other_trial_can_replace_them(folder: Path) -> None:
    class Watching(ScriptedRunner):
        def run(self, trial: TrialSpec) -> TrialResult:
            found = super().run(trial)
            self.seen_at_end.setdefault(trial.index, set(self.seen))
            return found

    for limit, alone in ("search.timeout=1000", True), ("search.timeout=null", False):
        study = plan("search.n_trials=4", "search.window=4", "search.parallel=2", limit, f"study=alone-{alone}".lower())
        runner = Watching(float)
        runner.seen_at_end = {}
        assert {result.index for result in run(study, runner)} == {0, 1, 2, 3}
        assert runner.seen_at_end[0] == {0} or not alone


def test_a_study_without_a_score_continues_until_it_has_one(folder: Path) -> None:
    study = plan("search.n_trials=5", "search.window=1", "search.parallel=1", "search.timeout=1")
    assert [result.index for result in run(study, ScriptedRunner(float))] == [0]


def test_a_study_that_ends_in_time_runs_every_trial(folder: Path) -> None:
    study = plan("search.n_trials=5", "search.timeout=1000")
    assert len(run(study, ScriptedRunner(float))) == 5


def test_a_training_beside_the_trials_is_killed_when_the_time_is_needed_for_the_winner(folder: Path) -> None:
    kept = (FINAL_TRIALS + ALL_ROWS_TRIALS) * SECONDS_A_TRIAL + ENDING_SECONDS
    study = plan("search.n_trials=2", "search.parallel=2", f"search.timeout={kept + 20.05:g}")
    beside = dataclasses.replace(baseline_trial(study), index=7)
    runner = ScriptedRunner(lambda index: None if index == 7 else float(index))
    with Ledger.open(study) as ledger, LoopHandle(study, ledger, runner, time_plan=timed(study, runner)) as handle:
        wait = None
        for _ in handle.results():
            wait = wait or handle.run_beside(beside)
        assert wait is not None
        assert wait() is None
        assert runner.killed.is_set()
        assert [result.index for result in ledger.results()] == [0, 1]


def test_a_trial_that_read_other_rows_fails(folder: Path) -> None:
    class Reader(ScriptedRunner):
        def run(self, trial: TrialSpec) -> TrialResult:
            found = super().run(trial)
            read = study.channels.hashes["train"] if trial.index else "of other rows"
            return dataclasses.replace(found, info={**found.info, "train_hash": read})

    study = plan("search.n_trials=3", "search.window=1", "search.max_failure_rate=0.5")
    first, *others = run(study, Reader(float))
    assert first.state == "failed"
    assert "its train rows are not those of the study" in first.reason
    assert [result.state for result in others] == ["complete", "complete"]


class LimitedRunner(ScriptedRunner):
    """Leaves CatBoost out of the first trial, and keeps its models."""

    def run(self, trial: TrialSpec) -> TrialResult:
        found = super().run(trial)
        if trial.keep_model:
            (trial.folder / "model").mkdir(parents=True, exist_ok=True)
        left_out = {"left_out": {"catboost": "slow"}} if trial.index == 0 else {}
        return dataclasses.replace(found, info={**found.info, "rounds": {"xgboost": 7}, **left_out})


def limited(study: StudySpec, ledger: Ledger, runner: ScriptedRunner) -> LoopHandle:
    return LoopHandle(study, ledger, runner, time_plan=timed(study, runner, is_told=True))


def test_the_first_trial_is_told_its_time_and_tells_for_which_members_there_is_time(folder: Path) -> None:
    study = plan("search.n_trials=4", "search.window=4", "search.parallel=2", "search.timeout=1000")
    study = dataclasses.replace(study, spent=90.0, slowness=2.0)
    runner = LimitedRunner(float)
    with Ledger.open(study) as ledger, limited(study, ledger, runner) as handle:
        order = [result.index for result in handle.results()]
        assert order[0] == 0
        told = [runner.seen[index].hyperparameters.get("folds_seconds") for index in range(4)]
        assert told == [repr(first_trial_seconds(1000 - 90 - 2 * ENDING_SECONDS, slowness=2.0)), None, None, None]
        assert [runner.seen[index].hyperparameters["members"] for index in range(4)] == ["xgboost,catboost"] + [
            "xgboost"
        ] * 3
        assert not any(name.startswith("catboost") for name in runner.seen[1].hyperparameters)
        handle.run_final(2)
        final = runner.seen[2]
        assert (final.folder.name, final.hyperparameters["members"]) == ("final", "xgboost")
        assert final.hyperparameters["found_rounds"] == '{"xgboost":7}'
        assert "fitted_members" not in final.hyperparameters
    with Ledger.open(study) as ledger, limited(study, ledger, LimitedRunner(float)) as handle:
        assert len(list(handle.results())) == 4
        handle.run_final(3)


def test_a_first_trial_that_takes_its_whole_time_leaves_enough_for_the_winner(folder: Path) -> None:
    class Full(LimitedRunner):
        def run(self, trial: TrialSpec) -> TrialResult:
            self.now += float(trial.hyperparameters["folds_seconds"]) - SECONDS_A_TRIAL
            return super().run(trial)

    study = plan("search.n_trials=5", "search.window=1", "search.parallel=1", "search.timeout=60")
    runner = Full(float)
    time_plan = timed(study, runner, is_told=True)

    def begin() -> None:
        runner.now += 4.0  # until a worker has its libraries

    with (
        Ledger.open(study) as ledger,
        LoopHandle(study, ledger, runner, time_plan=time_plan, wait_until_ready=begin) as handle,
    ):
        next(handle.results())
        took = runner.now - 4
        assert took == pytest.approx(FIRST_SHARE * (60 - 4 - ENDING_SECONDS - 2 * BESIDES_SECONDS))
        # Models on all rows take about half as long.
        assert 1.5 * took + 2 * BESIDES_SECONDS <= 60 - 4 - ENDING_SECONDS


def test_without_a_limit_nothing_is_told(folder: Path) -> None:
    study = plan("search.n_trials=2", "search.parallel=2")
    runner = ScriptedRunner(float)
    with Ledger.open(study) as ledger, limited(study, ledger, runner) as handle:
        list(handle.results())
        handle.run_final(0)
    assert all(not set(trial.hyperparameters) & {"folds_seconds", "found_rounds"} for trial in runner.seen.values())


def test_a_best_trial_that_kept_its_models_is_fitted_on_further_rows_only(folder: Path) -> None:
    study = plan("search.n_trials=2", "search.parallel=1", "search.timeout=1000")
    runner = LimitedRunner(float)
    with Ledger.open(study) as ledger, limited(study, ledger, runner) as handle:
        list(handle.results())
        handle.run_final(0)
    kept = study.folder / "trials" / "0000"
    assert (kept / "model").exists()
    fitted = decode_fitted(runner.seen[0].hyperparameters["fitted_members"])
    assert fitted == {"xgboost": (kept, "xgboost")}
    assert float(runner.seen[0].hyperparameters["final_seconds"]) < 1000


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_saved_is_served_if_there_is_no_time_for_more(folder: Path, kept: bool) -> None:
    class Stuck(LimitedRunner):
        def run(self, trial: TrialSpec) -> TrialResult:
            if trial.folder.name != "final":
                return super().run(trial)
            prepare(trial, study)
            for bundle in (scored_model_dir(trial.folder), model_dir(trial.folder)):
                bundle.mkdir(parents=True, exist_ok=True)
            (scored_model_dir(trial.folder) / MANIFEST).write_text("of the folds")
            if kept:  # another one may be about to be replaced
                (model_dir(trial.folder) / MANIFEST).write_text("of further rows")
            names = ["xgboost", "blended"]
            document = {"metrics": {f"cv_rmse_{name}": 1.0 for name in names}, "left_out": {"catboost": "slow"}}
            document |= {"weights": {"xgboost": 1.0}, "fit_seconds": {"xgboost": 1.0}, "final_rows": "all"}
            (output_data_dir(trial.folder) / "metrics.json").write_text(json.dumps(document))
            self.killed.wait()
            raise RunnerClosed

    study = plan("search.n_trials=5", "search.parallel=1", "search.timeout=15")
    with Ledger.open(study) as ledger, limited(study, ledger, Stuck(float)) as handle:
        list(handle.results())
        final = handle.run_final(0)
    assert final.metrics == {"cv_rmse_xgboost": 1.0, "cv_rmse_blended": 1.0}
    assert ("final_rows" in final.info) is kept
    served = (model_dir(study.folder / "final") / MANIFEST).read_text()
    assert served == ("of further rows" if kept else "of the folds")
    assert scored_model_dir(study.folder / "final").exists() is kept


def test_the_models_of_each_member_s_best_trial_are_kept(folder: Path) -> None:
    class Members(LimitedRunner):
        def run(self, trial: TrialSpec) -> TrialResult:
            found = super().run(trial)
            score = {0: 3.0, 1: 1.0, 2: 2.0, 3: 4.0}[trial.index]  # of XGBoost; the blend's gets worse
            info = {name: value for name, value in found.info.items() if name != "left_out"}
            weights = {"weights": {"xgboost": 1.0}}
            return dataclasses.replace(
                found, info={**info, **weights}, metrics={**found.metrics, "cv_rmse_xgboost": score}
            )

    study = plan("search.n_trials=4", "search.window=1", "search.parallel=1", "search.timeout=1000")
    study = dataclasses.replace(study, blend_over="study")
    with Ledger.open(study) as ledger, limited(study, ledger, Members(float)) as handle:
        list(handle.results())
    assert sorted(path.parent.name for path in study.folder.glob("trials/*/model")) == ["0000", "0001"]


def test_a_trial_takes_members_that_it_has_no_time_to_fit_from_the_best_trial_of_each(folder: Path) -> None:
    class Slow(LimitedRunner):
        def run(self, trial: TrialSpec) -> TrialResult:
            found = super().run(trial)
            self.now += 40.0 if trial.index == 0 else 0.0
            info = {"rounds": {}, "weights": {"xgboost": 0.5, "catboost": 0.5}}
            info |= {"fit_seconds": {"xgboost": 9.0, "catboost": 36.0}, "rows": 100, "columns": [0] * 10}
            scores = {"cv_rmse_xgboost": 1.0, "cv_rmse_catboost": 2.0}
            return dataclasses.replace(found, finished=50.0, info=info, metrics={**found.metrics, **scores})

    study = plan("search.n_trials=3", "search.window=1", "search.parallel=1", "search.timeout=93")
    study = dataclasses.replace(study, blend_over="study", final_rows="train")
    with Ledger.open(study) as ledger, limited(study, ledger, runner := Slow(float)) as handle:
        results = list(handle.results())
    assert [result.index for result in results] == [0, 1]
    assert "fitted_members" not in runner.seen[0].hyperparameters
    fitted = decode_fitted(runner.seen[1].hyperparameters["fitted_members"])
    assert fitted == {"catboost": (study.folder / "trials" / "0000", "catboost")}
    same = {name: results[1].params[name] == value for name, value in results[0].params.items()}
    assert all(kept for name, kept in same.items() if name.startswith("catboost__"))
    assert not all(kept for name, kept in same.items() if name.startswith("xgboost__"))
    assert study.recipe(results[1].params) == decode_recipe(
        {name: text for name, text in runner.seen[1].hyperparameters.items() if name not in JOB_PARAMETERS}
    )


def test_no_trial_is_started_that_could_not_end_in_time(folder: Path) -> None:
    seconds = ENDING_SECONDS + 3.8 * SECONDS_A_TRIAL
    study = plan("search.n_trials=9", "search.window=1", "search.parallel=1", f"search.timeout={seconds}")
    study = dataclasses.replace(study, final_rows="train")
    with Ledger.open(study) as ledger, limited(study, ledger, runner := LimitedRunner(float)) as handle:
        assert [result.index for result in handle.results()] == [0, 1]
    assert list(runner.seen) == [0, 1]
    assert runner.now == 2 * SECONDS_A_TRIAL


@pytest.mark.slow
def test_a_trial_that_could_not_become_the_winner_in_time_is_killed(folder: Path) -> None:
    class Long(ScriptedRunner):
        def run(self, trial: TrialSpec) -> TrialResult:
            if trial.index == 1:
                self.now += 60.0  # it runs for a minute, and is not done
                self.killed.wait()
                raise RunnerClosed
            return super().run(trial)

    study = plan("search.n_trials=3", "search.window=1", "search.parallel=1", "search.timeout=60")
    runner = Long(float)
    assert [result.index for result in run(study, runner)] == [0]
    assert runner.killed.is_set()


@pytest.mark.parametrize(("after", "window"), [(0, 1), (1, 4)])
def test_a_training_beside_the_trials_ends_with_its_own_time_and_before_the_next_trial(
    after: int, window: int, folder: Path
) -> None:
    study = plan("search.n_trials=5", f"search.window={window}", "search.parallel=1", "search.timeout=1000")
    runner = LimitedRunner(lambda index: None if index == 7 else float(index))
    with Ledger.open(study) as ledger, limited(study, ledger, runner) as handle:
        wait = None
        for result in handle.results():
            beside = dataclasses.replace(baseline_trial(study), index=7)
            if result.index == after:
                wait = handle.run_beside(beside, seconds=0.05)
        assert wait is not None
        assert wait() is None
        assert list(runner.seen) == [*range(after + 1), 7, *range(after + 1, 5)]


def test_time_is_reserved_for_further_blends_and_the_scores_on_test_rows_by_what_trials_took(folder: Path) -> None:
    study = plan("search.n_trials=9", "search.timeout=1000")
    time_plan = timed(study, ScriptedRunner(float), is_told=True)
    before = time_plan.before_ending()
    info = {"rows": 60, "validation_rows": 0, "predict_seconds": 6.0, "blend_seconds": 2.0}
    folds, members = study.recipe({}).folds, len(study.recipe({}).members)
    results = [TrialResult(index, "complete", {}, 0.0, 9.0, {}, info) for index in range(2)]
    time_plan.learn(study, results)
    assert study.channels.test is not None
    scores = 6.0 / 60 * channel_rows(study.channels.test) * folds.k
    assert before - time_plan.before_ending() == pytest.approx(scores + 2.0 * (members + 1))
    time_plan.learn(dataclasses.replace(study, blend_over="study"), results)
    assert before - time_plan.before_ending() == pytest.approx(scores + 2 * 2.0 * (members + 1))
