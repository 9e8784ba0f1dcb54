"""``action=replay`` takes arguments that are not typed again from the replayed study."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ensemble.wire import decode_rounds
from experiments.config.compose import compose
from experiments.errors import ConfigError
from experiments.planning.replay import over_arguments_of_study, recipe_arguments
from experiments.planning.study import plan_study
from experiments.study.continuing import spot_check_trial
from experiments.study.ledger import Ledger
from experiments.study.sampling import make_proposer
from experiments.study.spec import TrialResult
from tests.conftest import QUICK, Ended

Run = Callable[..., Ended]
TYPED = ("mode=local", "study=unusual", "search.n_trials=2", "search.parallel=1", *QUICK)
OWN = (
    "search.seed=3",
    "search.objective=cv_mae_blended",
    "dataset.folds.k=3",
    "ensemble.blend=weighted",
    "search.shared.rate=[xgboost.eta, catboost.learning_rate]",
    "search.space.rate={low: 0.02, high: 0.3, log: true}",
)
REPLAY = ("mode=local", "action=replay", "replay.study=unusual", "replay.top=1", "study=again")


@pytest.fixture
def unusual(project: Path, byoe: Run) -> Path:
    """A project with a study most of whose settings differ from the defaults."""
    ended = byoe(*TYPED, *OWN)
    assert ended.code == 0, ended.err
    return project


@pytest.mark.slow
def test_the_command_that_a_study_proposes_needs_none_of_its_arguments(unusual: Path, byoe: Run) -> None:
    finished = byoe(*TYPED, *OWN)
    assert "python run.py mode=sagemaker action=replay replay.study=unusual   # its best trials again" in finished.out
    ended = byoe(*REPLAY)
    assert (ended.code, ended.err) == (0, "")
    assert "parity: PASS (1 of 1 trials equal)" in ended.out.splitlines()
    shown = byoe(*REPLAY, "--cfg").out
    (seed,) = [line.split("#") for line in shown.splitlines() if line.strip().startswith("seed: 3")]
    assert seed[1].strip() == "study unusual"
    # A replay has the arguments of its study, so it can be replayed as well.
    assert byoe(*REPLAY[:2], "replay.study=again", "study=third").code == 0


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("serving=realtime", "only what decides what a trial trains"),
        ("mode.budget_usd=1000", "only what decides"),
        ("+mode.role=arn:aws:iam::1:role/x", "only what decides"),
        ("mlflow.uri=http://evil.example/", "only what decides"),
        ("paths.root=/tmp", "only what decides"),
        ("hydra.run.dir=/tmp", "only what decides"),
        ("dataset@mode=remote", "only what decides"),
        ("search.n_trials=999", "only what decides"),
        ("entry.dependencies=[/tmp/evil]", "code is imported only from folders that are typed"),
        ("experiment=../../evil", "there is no such experiment"),
        ("ensemble=[pair,wide]", "there is no such ensemble"),
        ("search.seed=${oc.env:HOME}", "it has a variable in it"),
        ("ensemble.params.xgboost.eta=${oc.decode:1}", "it has a variable in it"),
        ("search.space={a: '${oc.env:SECRET}'}", "it has a variable in it"),
    ],
)
def test_what_a_record_may_not_decide_is_refused_unless_it_is_typed(argument: str, problem: str, folder: Path) -> None:
    composed = compose(["mode=local", "action=train", "study=unusual"])
    study = replace(plan_study(composed).study, arguments=("search.seed=3", argument))
    with Ledger.open(study):
        pass
    with pytest.raises(ConfigError) as refused:
        over_arguments_of_study(compose(REPLAY))
    assert str(refused.value).startswith(f"replay.study=unusual: its record has the argument {argument}, and ")
    assert problem in str(refused.value)
    assert f"add {shlex.quote(argument)} to the command" in str(refused.value)
    with pytest.raises(ConfigError, match=r"^model=unusual: its record has the argument"):  # as action=shrink names it
        over_arguments_of_study(compose(REPLAY), "model")


def test_a_variable_in_recorded_text_is_text(folder: Path) -> None:
    recorded = ("dataset=file", "dataset.path=${oc.env:HOME}", "dataset.target=${x}", "dataset.drop=[${y}]")
    study = plan_study(compose(["mode=local", "action=train", "study=unusual"])).study
    with Ledger.open(replace(study, arguments=recorded)):
        pass
    dataset = over_arguments_of_study(compose(REPLAY)).config.dataset
    assert (dataset.path, dataset.target, dataset.drop) == ("${oc.env:HOME}", "${x}", ["${y}"])


def test_a_typed_argument_wins_over_one_that_may_not_be_recorded(folder: Path) -> None:
    study = plan_study(compose(["mode=local", "action=train", "study=unusual"])).study
    with Ledger.open(replace(study, arguments=("entry.dependencies=[elsewhere]", "search.seed=3"))):
        pass
    config = over_arguments_of_study(compose([*REPLAY, "entry.dependencies=[mine]"])).config
    assert (config.entry.dependencies, config.search.seed) == (["mine"], 3)


def test_an_argument_that_differs_from_the_study_is_refused_by_its_key(unusual: Path, byoe: Run) -> None:
    arguments = ("search.seed=4", "ensemble.params.xgboost.num_round=6", "dataset.folds.k=4", "ensemble.blend=mean")
    ended = byoe(*REPLAY, *arguments)
    assert ended.code == 2
    assert [line for line in ended.err.splitlines() if line.startswith("  ")] == [
        "  dataset.folds.k: 3 there, 4 here",
        "  ensemble.blend: weighted there, mean here",
        "  ensemble.params.xgboost.num_round: 5 there, 6 here",
        "  search.seed: 3 there, 4 here",
    ]
    assert not (unusual / "studies" / "again").exists()


def test_a_trial_that_a_time_limit_shaped_is_trained_again_with_its_members_and_rounds(folder: Path) -> None:
    study = plan_study(compose(["mode=local", "study=limited", "ensemble=trio", "search.timeout=60"])).study
    point = make_proposer(study).ask(0, None)
    info = {"timed": True, "rounds": {"xgboost": 7}, "left_out": {"catboost": "it would take too long"}}
    limited = TrialResult(0, "complete", point, 0.0, 1.0, {"cv_rmse_blended": 1.0}, info)
    with Ledger.open(study) as ledger:
        ledger.record_asked({0: point})
        ledger.record(limited)
    replay = ("mode=sagemaker", "action=replay", "replay.study=limited", "study=again")
    again = plan_study(over_arguments_of_study(compose(replay))).study
    assert again.points is not None
    trained = again.hyperparameters(again.points[0])
    assert decode_rounds(trained["found_rounds"]) == {"xgboost": 7}
    assert [member.name for member in again.recipe(again.points[0]).members] == ["xgboost", "ridge"]
    assert [name for name in trained if name.startswith("catboost")] == []
    continued = study.as_trained([limited])
    assert spot_check_trial(continued, limited).hyperparameters == trained
    without = TrialResult(0, "complete", point, 0.0, 1.0, {"cv_rmse_blended": 1.0}, info | {"timed": False})
    assert "found_rounds" not in spot_check_trial(continued, without).hyperparameters


def test_only_arguments_that_affect_training_are_kept_and_no_password() -> None:
    arguments = (
        *TYPED,
        "mode.poll_seconds=1",
        "paths.root=x",
        "mlflow.uri=y",
        "dataset.path=https://me:secret@host/rows.csv",
    )
    assert recipe_arguments([*arguments, "ensemble=quartet", "~ensemble.params.svr", "+experiment=blog"]) == (
        *QUICK,
        "ensemble=quartet",
        "~ensemble.params.svr",
        "+experiment=blog",
    )
