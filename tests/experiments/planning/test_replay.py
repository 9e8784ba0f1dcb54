"""``action=replay`` takes from the study that it replays what is not typed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.planning.replay import recipe_arguments
from tests.conftest import QUICK, Ended

Run = Callable[..., Ended]
TYPED = ("mode=local", "study=odd", "search.n_trials=2", "search.parallel=1", *QUICK)
OWN = (
    "search.seed=3",
    "search.objective=cv_mae_blended",
    "dataset.folds.k=3",
    "ensemble.blend=weighted",
    "search.shared.rate=[xgboost.eta, catboost.learning_rate]",
    "search.space.rate={low: 0.02, high: 0.3, log: true}",
)
REPLAY = ("mode=local", "action=replay", "replay.study=odd", "replay.top=1", "study=again")


@pytest.fixture
def odd(project: Path, byoe: Run) -> Path:
    """A project with a study of which little is as it is by default."""
    ended = byoe(*TYPED, *OWN)
    assert ended.code == 0, ended.err
    return project


def test_the_command_that_a_study_proposes_needs_none_of_its_arguments(odd: Path, byoe: Run) -> None:
    finished = byoe(*TYPED, *OWN)
    assert "python run.py mode=sagemaker action=replay replay.study=odd   # its best trials again" in finished.out
    ended = byoe(*REPLAY)
    assert (ended.code, ended.err) == (0, "")
    assert "parity: PASS (1 of 1 trials equal)" in ended.out.splitlines()
    shown = byoe(*REPLAY, "--cfg").out
    (seed,) = [line.split("#") for line in shown.splitlines() if line.strip().startswith("seed: 3")]
    assert seed[1].strip() == "study odd"
    # A replay has the arguments of its study, so it can be replayed as well.
    assert byoe(*REPLAY[:2], "replay.study=again", "study=third").code == 0


def test_what_is_typed_otherwise_is_refused_by_its_key(odd: Path, byoe: Run) -> None:
    arguments = ("search.seed=4", "ensemble.params.xgboost.num_round=6", "dataset.folds.k=4", "ensemble.blend=mean")
    ended = byoe(*REPLAY, *arguments)
    assert ended.code == 2
    assert [line for line in ended.err.splitlines() if line.startswith("  ")] == [
        "  ensemble.blend: weighted there, mean here",
        "  dataset.folds.k: 3 there, 4 here",
        "  search.seed: 3 there, 4 here",
        "  ensemble.params.xgboost.num_round: 5 there, 6 here",
    ]
    assert not (odd / "studies" / "again").exists()


def test_only_arguments_of_what_is_trained_are_kept_and_no_password() -> None:
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
