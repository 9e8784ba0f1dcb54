"""The contract of ``experiments.backends.base`` as a suite: a backend's test module inherits it and makes the backend."""

from __future__ import annotations

import abc
import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from ensemble.channel import read_channel
from ensemble.training import fit_ensemble
from ensemble.wire import decode_recipe, encode_recipe
from experiments.backends.base import Backend
from experiments.config.compose import compose
from experiments.data.presplit import SPLITS
from experiments.errors import BackendUnavailable, ConfigError, StudyFailed
from experiments.planning.packages import make_importable
from experiments.planning.study import plan_study
from experiments.study.baseline import PARAMETERS, baseline_trial
from experiments.study.folder import final_folder, model_dir, trial_folder
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult
from tests.conftest import QUICK

FAILING = """
from ensemble.members import Member
from ensemble.members.scikit import Ridge


class Failing(Ridge):
    kind = "failing:Failing"

    def fit(self, features, target, weights=None):
        if self.params["alpha"] in (2, 3):
            raise RuntimeError(f"alpha {self.params['alpha']} will not do")
        super().fit(features, target, weights)
"""


def plan(*arguments: str) -> StudySpec:
    """Return a study with its channels written, below the working directory."""
    composed = compose(["study=contract", *QUICK, *arguments])
    make_importable(composed.config.entry)
    return plan_study(composed).place()


def comparable(results: list[TrialResult]) -> list[tuple[int, str, dict[str, object], dict[str, float]]]:
    """Return the parts of the results that must be equal in two runs, by index."""
    return sorted((r.index, r.state, dict(r.params), dict(r.metrics)) for r in results)


class BackendContract(abc.ABC):
    """Every test here is a sentence of ``Backend``'s docstring.

    Attributes:
        mode: The argument that chooses the backend's mode.
        can_extend: Whether a study can be given more trials; otherwise that is refused.
        runs_elsewhere: Whether trials run elsewhere, where ``cancel`` leaves them alone and the next ``submit`` finds
            them.
    """

    mode: ClassVar[str]
    can_extend: ClassVar[bool] = True
    runs_elsewhere: ClassVar[bool] = False

    def plan(self, *arguments: str) -> StudySpec:
        return plan(self.mode, *arguments)

    @abc.abstractmethod
    @contextmanager
    def backend(self, study: StudySpec) -> Iterator[Backend]:
        """Make the backend, and clean up afterwards."""

    @abc.abstractmethod
    def running(self) -> int:
        """Return how many trials or workers of this backend are alive."""

    def run(self, study: StudySpec, stop_after: int | None = None) -> list[TrialResult]:
        results = []
        with (
            self.backend(study) as backend,
            Ledger.open(study) as ledger,
            backend.submit(study, ledger) as handle,
        ):
            for result in handle.results():
                results.append(result)
                if len(results) == stop_after:
                    break
        return results

    def test_every_trial_is_yielded_once_in_full(self, folder: Path) -> None:
        study = self.plan("search.n_trials=6")
        results = self.run(study)
        assert sorted(result.index for result in results) == list(range(6))
        for result in results:
            assert result.state == "complete"
            assert result.failure is None
            assert result.started <= result.finished
            assert set(result.params) == set(study.space.ranges)
            assert {"cv_rmse_xgboost", "cv_rmse_catboost", "cv_rmse_blended"} <= set(result.metrics)
            assert {"validation_rmse_blended", "cv_rmse_blended_fold_4"} <= set(result.metrics)
            assert set(result.info["weights"]) == {"xgboost", "catboost"}
            assert result.info["recipe_hash"] == study.recipe(result.params).fingerprint()

    def test_a_result_is_in_the_ledger_before_it_is_yielded(self, folder: Path) -> None:
        study = self.plan("search.n_trials=4")
        with (
            self.backend(study) as backend,
            Ledger.open(study) as ledger,
            backend.submit(study, ledger) as handle,
        ):
            for result in handle.results():
                assert result.index in {known.index for known in ledger.results()}

    def test_a_second_submit_runs_what_is_missing_and_nothing_twice(self, folder: Path) -> None:
        study = self.plan("search.n_trials=8")
        first = self.run(study, stop_after=3)
        second = self.run(study)
        assert sorted(result.index for result in second) == list(range(8))
        assert comparable(first) == [trial for trial in comparable(second) if trial[0] in {r.index for r in first}]
        before = {path: path.stat().st_mtime_ns for path in study.folder.rglob("metrics.json")}
        third = self.run(study)
        assert comparable(third) == comparable(second)
        assert before == {path: path.stat().st_mtime_ns for path in study.folder.rglob("metrics.json")}

    def test_an_interrupted_study_gives_the_same_numbers(self, folder: Path) -> None:
        whole = self.plan("search.n_trials=8", "search.startup_trials=3", "study=whole")
        parts = dataclasses.replace(whole, name="parts", folder=whole.folder.parent / "parts")
        for stop_after in (1, 4, 6):
            self.run(parts, stop_after)
        assert comparable(self.run(parts)) == comparable(self.run(whole))

    def test_an_extended_study_gives_the_results_of_a_longer_one_or_is_refused(self, folder: Path) -> None:
        short = self.plan("search.n_trials=5", "search.startup_trials=3")
        before = self.run(short)
        more = self.plan("search.n_trials=8", "search.startup_trials=3")
        if not self.can_extend:
            with pytest.raises(ConfigError, match="cannot be extended"):
                self.run(more)
            assert comparable(self.run(short)) == comparable(before)
            return
        extended = self.run(more)
        longer = self.plan("search.n_trials=8", "search.startup_trials=3", "study=longer")
        assert comparable(extended) == comparable(self.run(longer))

    def test_parallelism_changes_no_number(self, folder: Path) -> None:
        runs = []
        for parallel in (1, 2, 4):
            study = self.plan("search.n_trials=6", "search.startup_trials=3", f"search.parallel={parallel}")
            name = f"parallel-{parallel}"
            alone = dataclasses.replace(study, name=name, folder=study.folder.with_name(name))
            runs.append(comparable(self.run(alone)))
        assert runs[0] == runs[1] == runs[2]

    def test_listed_points_run_in_their_order(self, folder: Path) -> None:
        study = self.plan("action=train")
        points = ({"ridge__alpha": 1.0}, {"ridge__alpha": 5.0}, {"ridge__alpha": 1.0})
        study = dataclasses.replace(self.plan("ensemble.members=[ridge]", "study=listed"), points=points)
        results = sorted(self.run(study), key=lambda result: result.index)
        assert [dict(result.params) for result in results] == list(points)
        assert dict(results[0].metrics) == dict(results[2].metrics) != dict(results[1].metrics)

    def test_a_failing_member_fails_its_trial_only(self, folder: Path) -> None:
        results = sorted(self.run(self.failing_study(folder, "search.max_failure_rate=1")), key=lambda r: r.index)
        assert [result.state for result in results] == ["complete", "failed", "failed", "complete", "complete"]
        assert results[1].failure is not None
        assert "bad" in results[1].failure
        assert "alpha 2.0 will not do" in results[1].failure
        assert results[1].metrics == {}

    def test_too_many_failures_stop_the_study_with_the_reason(self, folder: Path) -> None:
        study = self.failing_study(folder, "search.max_failure_rate=0.25")
        with pytest.raises(StudyFailed, match=r"2 of 4 trials failed.*alpha 3.0 will not do"):
            self.run(study)
        assert self.running() == 0

    def failing_study(self, folder: Path, *arguments: str) -> StudySpec:
        (folder / "packages").mkdir()
        (folder / "packages" / "failing.py").write_text(FAILING)
        return self.plan(
            "entry.dependencies=[packages]",
            "ensemble.members=[{bad: {kind: 'failing:Failing'}}]",
            "ensemble.params={}",
            "search=blank",
            "search.sampler=grid",
            "search.space.bad.alpha={choices: [1, 2, 3, 4, 5]}",
            *arguments,
        )

    def test_the_final_training_repeats_the_trial_and_keeps_its_bundle(self, folder: Path) -> None:
        study = self.plan("search.n_trials=2")
        with (
            self.backend(study) as backend,
            Ledger.open(study) as ledger,
            backend.submit(study, ledger) as handle,
        ):
            results = {result.index: result for result in handle.results()}
            final = handle.run_final(1)
        assert dict(final.metrics) == dict(results[1].metrics)
        manifest = json.loads((model_dir(final_folder(study.folder)) / "manifest.json").read_text())
        learnt_from = {"train": ["train"], "train_and_validation": ["train", "validation"], "all": SPLITS}
        read = [read_channel(getattr(study.channels, name)) for name in learnt_from[study.final_rows]]
        assert manifest["rows"] == sum(table.rows for table in read)
        assert manifest["metrics"] == dict(final.metrics)
        assert not model_dir(trial_folder(study.folder, 1)).exists()

    def test_a_training_beside_the_trials_gives_the_numbers_of_the_entry_script(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(PARAMETERS, "iterations", 5)
        study = self.plan("search.n_trials=2")
        trial = baseline_trial(study)
        with (
            self.backend(study) as backend,
            Ledger.open(study) as ledger,
            backend.submit(study, ledger) as handle,
        ):
            wait = None
            for result in handle.results():
                wait = wait or handle.run_beside(trial)
                assert "catboost" in result.info["weights"]
            assert (wait is None) == self.runs_elsewhere  # where it would cost money
            beside = None if wait is None else wait()
            assert [result.index for result in ledger.results()] == [0, 1]
        if beside is not None:
            train = read_channel(study.channels.train)
            expected = fit_ensemble(decode_recipe(trial.hyperparameters), train, None, threads=2).metrics
            assert {name: beside.metrics[name] for name in expected} == expected
            assert not model_dir(trial.folder).exists()

    def test_the_final_training_can_be_of_models_of_several_trials(self, folder: Path) -> None:
        study = self.plan("search.n_trials=2", "ensemble.blend=weighted", "ensemble.blend_over=study")
        if study.blend_over == "trial":
            return  # the mode serves the model of its best job, as its plan says
        with (
            self.backend(study) as backend,
            Ledger.open(study) as ledger,
            backend.submit(study, ledger) as handle,
        ):
            results = {result.index: result for result in handle.results()}
            found = [study.recipe(results[index].params).members[place] for place, index in enumerate((1, 0))]
            members = tuple(
                dataclasses.replace(member, name=f"{member.name}_{1 - place}") for place, member in enumerate(found)
            )
            recipe = dataclasses.replace(study.recipe({}), members=members)
            final = handle.run_final(1, encode_recipe(recipe, packed=True))
        assert final.state == "complete", final.failure
        for name, index in (("xgboost", 1), ("catboost", 0)):
            for split in ("cv", "validation"):
                of_trial = results[index].metrics[f"{split}_rmse_{name}"]
                assert final.metrics[f"{split}_rmse_{name}_{index}"] == of_trial
        assert final.info["recipe_hash"] == recipe.fingerprint()
        manifest = json.loads((model_dir(final_folder(study.folder)) / "manifest.json").read_text())
        assert [member["name"] for member in manifest["members"]] == ["xgboost_1", "catboost_0"]

    def test_cancel_leaves_nothing_running_here_and_can_be_repeated(self, folder: Path) -> None:
        study = self.plan("search.n_trials=50")
        with self.backend(study) as backend, Ledger.open(study) as ledger:
            handle = backend.submit(study, ledger)
            next(iter(handle.results()))
            assert self.running() > 0
            handle.cancel()
            handle.cancel()
            assert (self.running() > 0) == self.runs_elsewhere

    def test_it_writes_in_the_studys_folder_only(self, folder: Path) -> None:
        study = self.plan("search.n_trials=2")
        before = {path for path in folder.rglob("*") if study.folder not in [path, *path.parents]}
        self.run(study)
        assert {path for path in folder.rglob("*") if study.folder not in [path, *path.parents]} == before

    def test_preflight_names_what_is_missing_and_starts_nothing(self, folder: Path) -> None:
        study = dataclasses.replace(self.plan("search.n_trials=2"), dependencies=(folder / "missing",))
        with self.backend(study) as backend:
            with pytest.raises(BackendUnavailable, match="missing"):
                backend.preflight(study)
            assert not study.folder.exists()
