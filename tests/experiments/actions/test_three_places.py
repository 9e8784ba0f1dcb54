"""One study in several places: byoe's own search on the double of AWS, and a study that continues elsewhere."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import QUICK, Ended, run_command
from tests.doubles.aws.double import Double
from tests.doubles.aws.resident import Resident
from tests.support.account import in_account
from tests.support.records import logged_runs, recorded_trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(300),
]

# With this seed the winner of five trials is not that of the first three.
SEARCH = ("search.seed=1", "search.startup_trials=2", "search.window=2", "ensemble.final_rows=train", *QUICK)
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def local_folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A project with a study of five trials in ``mode=local``, and one of the first three."""
    folder = tmp_path_factory.mktemp("laptop")
    shutil.copy(empty_store, folder / "mlflow.db")
    for study, trials in (("whole", 5), ("mine", 3)):
        ended = run_command("mode=local", f"study={study}", f"search.n_trials={trials}", *SEARCH, folder=folder)
        assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def whole(local_folder: Path) -> list[dict[str, Any]]:
    """The trials of the longer study."""
    return recorded_trials(local_folder, "whole")


@pytest.fixture
def double(project: Path, tmp_path: Path, resident: Resident, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with in_account(Double(tmp_path / "aws", resident=resident), monkeypatch) as double:
        yield double


def remote(double: Double, *more: str, study: str = "mine") -> list[str]:
    return [
        *("mode=remote", "search.engine=optuna", f"mode.role={double.role}", f"mode.bucket={double.bucket}"),
        *("mode.poll_seconds=0.05", "mode.price_usd_per_hour=0.4", f"study={study}", *SEARCH, *more),
    ]


def numbers(trials: list[dict[str, Any]]) -> list[tuple[int, Mapping[str, Any], Mapping[str, float]]]:
    return [(trial["index"], trial["params"], trial["metrics"]) for trial in trials]


def places(trials: list[dict[str, Any]]) -> list[str]:
    return [trial["info"]["place"] for trial in trials]


def created(double: Double) -> list[str]:
    """Return the names of the jobs that were created."""
    return [request["TrainingJobName"] for request in double.calls("CreateTrainingJob")]


@pytest.fixture
def begun(project: Path, local_folder: Path) -> Path:
    """The ledger of a study of three trials in ``mode=local``."""
    shutil.copytree(local_folder / "studies", project / "studies")
    shutil.copy(local_folder / "mlflow.db", project / "mlflow.db")
    return project / "studies/mine/ledger.sqlite"


def test_byoes_search_on_sagemaker_has_the_points_and_scores_of_mode_local(
    project: Path, double: Double, byoe: Run, whole: list[dict[str, Any]]
) -> None:
    search = remote(double, "search.n_trials=5")
    assert "costs at most $2.00: 5 jobs of at most 1 h on ml.m5.large" in byoe(*search).err
    ended = byoe(*search, "mode.budget_usd=2")
    assert ended.code == 0, ended.err
    trials = recorded_trials(project, "mine")
    assert numbers(trials) == numbers(whole)
    assert places(trials) == ["remote"] * 5
    assert created(double) == [f"mine-{number:03d}" for number in range(1, 6)]
    assert double.calls("CreateHyperParameterTuningJob") == []
    assert "search.n_trials=10" in ended.out  # it can be extended


def test_a_study_continues_on_sagemaker_with_the_points_and_scores_of_one_that_stays(
    project: Path, double: Double, byoe: Run, begun: Path, whole: list[dict[str, Any]]
) -> None:
    refused = byoe(*remote(double, "search.n_trials=5"))
    # Two trials, one that is trained again, and the winner, if it ran elsewhere.
    assert "costs at most $1.60: 4 jobs of at most 1 h on ml.m5.large" in refused.err
    ended = byoe(*remote(double, "search.n_trials=5", "mode.budget_usd=9"))
    assert ended.code == 0, ended.err
    best = min(whole[1:3], key=lambda trial: trial["metrics"]["cv_rmse_blended"])
    assert f"parity: PASS (trial {best['index']} of mode=local, trained again in mode=remote: all " in ended.out
    trials = recorded_trials(project, "mine")
    assert numbers(trials) == numbers(whole)
    assert places(trials) == ["local"] * 3 + ["remote"] * 2
    check, *jobs = created(double)
    assert check.startswith(f"mine-{best['index'] + 1:03d}-check-")
    assert [name for name in jobs if not name.endswith("-final")] == ["mine-004", "mine-005"]
    modes = {run.data.tags["byoe.trial"]: run.data.tags["byoe.mode"] for run in of_study(project, "trial")}
    assert modes == {"0": "local", "1": "local", "2": "local", "3": "remote", "4": "remote"}
    assert len(of_study(project, "study")) == 1
    compared = byoe("action=compare", "compare.studies=[mine]")
    assert compared.code == 0, compared.err
    assert "parity: PASS (1 of 1 trials equal)" in compared.out


def test_a_search_learns_from_another_on_sagemaker_as_in_mode_local(
    project: Path, double: Double, byoe: Run, begun: Path
) -> None:
    learning = ("search.learn_from=[whole]", "search.n_trials=4")
    assert byoe("mode=local", "study=here", *SEARCH, *learning).code == 0
    ended = byoe(*remote(double, "mode.budget_usd=9", *learning, study="there"))
    assert ended.code == 0, ended.err
    assert "search.learn_from=whole: the sampler learned 5 of 5 trials of study whole." in ended.out
    assert "learned, before its first trial: 5 of 5 trials of study whole\n" in ended.out
    runs = [
        run
        for run in logged_runs(project, "byoe-diabetes", "study")
        if run.data.tags["byoe.study"] in ("here", "there")
    ]
    assert [run.data.params["learned_from"] for run in runs] == ["5 of 5 trials of study whole"] * 2
    here, there, alone = (recorded_trials(project, study) for study in ("here", "there", "whole"))
    assert numbers(there) == numbers(here)
    assert [trial["params"] for trial in here[:3]] == [trial["params"] for trial in alone[:3]]  # the first points
    assert here[3]["params"] != alone[3]["params"]


def of_study(project: Path, role: str) -> list[Any]:
    return [run for run in logged_runs(project, "byoe-diabetes", role) if run.data.tags["byoe.study"] == "mine"]


def test_a_finished_study_is_not_run_elsewhere(double: Double, byoe: Run, begun: Path) -> None:
    before = begun.read_bytes()
    ended = byoe(*remote(double, "search.n_trials=3"))
    assert ended.code == 0, ended.err
    assert "study mine is finished; nothing was run." in ended.out
    assert "note: its trials ran in mode=local. A larger search.n_trials continues it in mode=remote" in ended.out
    assert begun.read_bytes() == before


def edited(ledger: Path, old: str, new: str) -> None:
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE trials SET result = replace(result, ?, ?)", (old, new))


def other_versions(ledger: Path) -> None:
    edited(ledger, '"numpy": "', '"numpy": "0.')


def other_numbers(ledger: Path) -> None:
    edited(ledger, '"cv_rmse_xgboost": ', '"cv_rmse_xgboost": 1')


def running_elsewhere(ledger: Path) -> None:
    with sqlite3.connect(ledger) as connection:
        connection.execute("""INSERT INTO study VALUES ('jobs', '{"mode": "sagemaker", "trials": [2, 3, 4]}')""")


def recorded(ledger: Path) -> list[Any]:
    """Return what a ledger records, without the cost that was approved and the time of commands."""
    with sqlite3.connect(ledger) as connection:
        facts = connection.execute("SELECT * FROM study WHERE key NOT IN ('approved', 'commands')").fetchall()
        return [connection.execute("SELECT * FROM trials").fetchall(), facts]


@pytest.mark.parametrize(
    ("more", "change", "message"),
    [
        (["search.space.xgboost.eta={low: 0.1, high: 0.2}"], None, "  search.space.xgboost.eta: "),
        (["dataset.split.seed=1"], None, "  dataset: other rows"),
        (
            ["search.engine=amt"],
            None,
            "  search.engine: optuna there, amt here\nGive another name with study=<name>, or ",
        ),
        ([], running_elsewhere, "study 'mine' runs in mode=sagemaker: trials 3, 4 began there as jobs"),
        pytest.param(
            [],
            other_numbers,
            "cannot continue in mode=remote: trial",
        ),
        ([], other_versions, "numpy is 0."),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    more: list[str], change: Callable[[Path], None] | None, message: str, double: Double, byoe: Run, begun: Path
) -> None:
    if change is not None:
        change(begun)
    before = recorded(begun)
    keys = {argument.partition("=")[0] for argument in more}
    search = remote(double, "search.n_trials=5", "mode.budget_usd=9")
    search = [argument for argument in search if argument.partition("=")[0] not in keys]
    ended = byoe(*search, *more)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert recorded(begun) == before


def test_other_versions_of_libraries_end_a_study_here_too(byoe: Run, begun: Path) -> None:
    other_versions(begun)
    ended = byoe("mode=local", "study=mine", "search.n_trials=5", *SEARCH)
    assert ended.code == 2
    assert "study 'mine' cannot continue with other versions of libraries: numpy was 0." in ended.err
    assert len(recorded_trials(Path.cwd(), "mine")) == 3


def test_a_search_killed_at_any_point_launches_nothing_twice(
    project: Path, double: Double, byoe: Run, begun: Path, whole: list[dict[str, Any]]
) -> None:
    search = remote(double, "search.n_trials=5")
    for point in (
        *("uploaded", "launched", "trained_again", "spot_checked", "trials_asked", "launched:1"),
        *("trial_finished", "trial_recorded", "search_done", "final_trained", "model_registered"),
    ):
        ended = run_command(*search, "mode.budget_usd=9", BYOE_KILL_AT=point)
        assert ended.code == -signal.SIGKILL, (point, ended.err)
    assert byoe(*search).code == 0  # no budget: everything was approved
    assert numbers(recorded_trials(project, "mine")) == numbers(whole)
    assert len(set(created(double))) == len(created(double))
    assert len(of_study(project, "trial")) == 5
