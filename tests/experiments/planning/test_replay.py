"""``action=replay`` takes arguments that are not typed again from the replayed study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.planning.replay import recipe_arguments
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


def test_an_argument_that_differs_from_the_study_is_refused_by_its_key(unusual: Path, byoe: Run) -> None:
    arguments = ("search.seed=4", "ensemble.params.xgboost.num_round=6", "dataset.folds.k=4", "ensemble.blend=mean")
    ended = byoe(*REPLAY, *arguments)
    assert ended.code == 2
    assert [line for line in ended.err.splitlines() if line.startswith("  ")] == [
        "  ensemble.blend: weighted there, mean here",
        "  dataset.folds.k: 3 there, 4 here",
        "  search.seed: 3 there, 4 here",
        "  ensemble.params.xgboost.num_round: 5 there, 6 here",
    ]
    assert not (unusual / "studies" / "again").exists()


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
