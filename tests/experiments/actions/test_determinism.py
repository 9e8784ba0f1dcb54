"""One seed gives one study: the same parameters in the same order and the same numbers, however it is run."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import run_command
from tests.support.records import logged_trials, recorded_trials

# tests/experiments/backends/test_local.py has the same of the backend alone.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ARGUMENTS = (
    "mode=local",
    "study=same",
    "search.n_trials=24",
    "search.startup_trials=6",
    "ensemble=quartet",
    "ensemble.params.xgboost.num_round=5",
    "ensemble.params.catboost.iterations=5",
    "ensemble.params.random_forest.n_estimators=5",
)


@pytest.fixture(scope="module")
def trials_of(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> Callable[..., tuple[list[object], list[object]]]:
    """Run the study in its own folder; return each trial as recorded in the ledger and in MLflow."""

    def run(*arguments: str, kill_at: str | None = None, cold: bool = False) -> tuple[list[object], list[object]]:
        with pytest.MonkeyPatch.context() as patch:
            folder = tmp_path_factory.mktemp("study")
            shutil.copy(empty_store, folder / "mlflow.db")
            patch.chdir(folder)
            given = {argument.partition("=")[0]: argument for argument in (*ARGUMENTS, *arguments)}.values()
            if kill_at is not None:
                assert run_command(*given, BYOE_KILL_AT=kill_at).code == -signal.SIGKILL
            ended = run_command(*given, cold=cold)
            assert ended.code == 0, ended.err
            ledger = [(r["index"], r["params"], r["metrics"]) for r in recorded_trials(folder, "same")]
            store = [
                (
                    int(run.data.tags["byoe.trial"]),
                    run.data.params,
                    {key: value for key, value in run.data.metrics.items() if not key.startswith("fit_seconds")},
                )
                for run in logged_trials(folder, "byoe-cancer" if "dataset=cancer" in arguments else "byoe-diabetes")
            ]
            return ledger, sorted(store, key=lambda trial: trial[0])

    return run


@pytest.fixture(scope="module")
def reference(trials_of: Callable[..., tuple[list[object], list[object]]]) -> tuple[list[object], list[object]]:
    # Forked commands share a hash seed, which must not matter either.
    return trials_of("search.parallel=1", cold=True)


@pytest.mark.parametrize(
    ("arguments", "kill_at"),
    [
        (("search.parallel=1",), None),
        (("search.parallel=2",), None),
        (("search.parallel=3",), None),
        (("search.parallel=4",), None),
        (("search.parallel=2",), "trial_recorded:9"),
        (("search.parallel=4",), "trial_finished:17"),
    ],
    ids=["again", "two at a time", "three at a time", "four at a time", "killed and resumed", "killed, four at a time"],
)
def test_same_parameters_in_the_same_order_and_identical_numbers(
    arguments: tuple[str, ...],
    kill_at: str | None,
    trials_of: Callable[..., tuple[list[object], list[object]]],
    reference: tuple[list[object], list[object]],
) -> None:
    ledger, store = trials_of(*arguments, kill_at=kill_at)
    assert len(ledger) == len(store) == 24
    assert ledger == reference[0]
    assert store == reference[1]


def test_a_study_of_classes_is_the_same_too(
    trials_of: Callable[..., tuple[list[object], list[object]]],
) -> None:
    """Its blend, temperature and threshold are fitted by other code."""
    more = (
        "dataset=cancer",
        "search.n_trials=5",
        "ensemble.blend=stacking",
        "ensemble.threshold=f1",
        "search.baseline=false",
    )
    first = trials_of(*more, "search.parallel=2")
    assert trials_of(*more, "search.parallel=3", kill_at="trial_recorded:3") == first
    assert len(first[0]) == len(first[1]) == 5


def test_another_seed_gives_another_study(
    trials_of: Callable[..., tuple[list[object], list[object]]], reference: tuple[list[object], list[object]]
) -> None:
    ledger, _ = trials_of("search.seed=1")
    pairs = list(zip(ledger, reference[0], strict=True))
    assert pairs[0][0][1] == pairs[0][1][1], "the first trial takes the first values of the space"
    assert all(one[1] != other[1] for one, other in pairs[1:])
