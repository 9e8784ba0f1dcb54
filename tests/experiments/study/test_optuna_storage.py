"""A study that is exported is a study of Optuna, whole and once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from experiments.cli import main
from experiments.study.optuna_storage import export
from experiments.study.optuna_view import StudyView
from tests.support.ledgers import finished, planned, recorded

URL = "sqlite:///optuna.db"
Read = Callable[..., optuna.Study]


@pytest.fixture
def opened(folder: Path) -> Any:
    """Open a study of a storage as a user does."""
    storages = []

    def open_study(name: str = "source", url: str = URL) -> optuna.Study:
        storages.append(optuna.storages.RDBStorage(url))
        return optuna.load_study(study_name=name, storage=storages[-1])

    yield open_study
    for storage in storages:
        storage.remove_session()
        storage.engine.dispose()


def exported(name: str = "source", url: str = URL) -> tuple[int, int]:
    done = export(StudyView.of(Path("studies", name).absolute()), url, url)
    return done.added, done.before


def test_optuna_reads_states_values_ranges_times_and_attributes(opened: Read) -> None:
    study = planned("source", "search.n_trials=5")
    results = recorded(study, 5)
    assert exported() == (5, 0)
    assert [path.name for path in Path().glob("*optuna*")] == ["optuna.db"]
    found = opened()
    assert found.direction == optuna.study.StudyDirection.MINIMIZE
    assert found.metric_names == ["cv_rmse_blended"]
    assert found.user_attrs["byoe.target"] == "progression"
    states = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL, "pruned": TrialState.PRUNED}
    for trial, result in zip(found.trials, results, strict=True):
        assert trial.state == states[result.state]
        assert trial.value == result.value("cv_rmse_blended")
        assert trial.params == result.params
        assert trial.distributions == study.space.distributions()
        assert trial.datetime_start == datetime.fromtimestamp(result.started)
        assert trial.datetime_complete == datetime.fromtimestamp(result.finished)
        assert (trial.user_attrs["place"], trial.user_attrs["seconds"]) == ("local", 1.5)
    assert found.trials[0].user_attrs["cv_rmse_xgboost"] == results[0].metrics["cv_rmse_xgboost"]
    assert not any("fold" in name for trial in found.trials for name in trial.user_attrs)
    assert found.trials[2].user_attrs["reason"] == "no luck"
    assert (
        found.best_trial.number
        == min((r for r in results if r.state == "complete"), key=lambda r: r.metrics["cv_rmse_blended"]).index
    )


def test_a_second_export_adds_only_what_is_new(opened: Read, folder: Path) -> None:
    recorded(planned("source", "search.n_trials=3"), 3)
    recorded(planned("other"), 1)
    assert exported() == (3, 0)
    assert exported() == (0, 3)
    before = Path("optuna.db").read_bytes()
    assert exported("other", f"{URL}:2024/other") == (1, 0)
    recorded(planned("source", "search.n_trials=5"), 5)
    assert exported() == (2, 3)
    assert [trial.user_attrs["trial"] for trial in opened().trials] == [0, 1, 2, 3, 4]
    assert [trial.user_attrs["trial"] for trial in opened("2024/other").trials] == [0]
    assert before != Path("optuna.db").read_bytes()


def test_given_points_and_a_higher_objective_are_exported_too(opened: Read) -> None:
    points = [{"xgboost__eta": 0.1, "catboost__depth": 4}, {"xgboost__eta": 0.2, "catboost__depth": 6}]
    study = planned("source", "search.objective=cv_r2_blended")
    recorded(study, 2, points)
    with closing(sqlite3.connect(study.folder / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE study SET value = '{}' WHERE key = 'space'")
    assert exported() == (2, 0)
    found = opened()
    assert found.direction == optuna.study.StudyDirection.MAXIMIZE
    assert [trial.params for trial in found.trials] == points
    assert found.best_value == max(finished(study, i, p).metrics["cv_r2_blended"] for i, p in enumerate(points))


def foreign(folder: Path) -> None:
    storage = optuna.storages.RDBStorage(URL)
    optuna.create_study(storage=storage, study_name="source").set_user_attr("mine", 1)
    storage.remove_session()
    storage.engine.dispose()


def database(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "optuna.db")) as connection, connection:
        connection.execute("CREATE TABLE runs (id TEXT)")


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda folder: None, (), "needs a storage of Optuna to write: add output=sqlite:///optuna.db"),
        (lambda folder: None, ("output=optuna.db",), "output=optuna.db is not the address of a storage"),
        (lambda folder: None, (f"output={URL}", "format=csv"), "format='csv' is not valid"),
        (lambda folder: None, (f"output={URL}", "study=sauce"), "Did you mean 'source'?"),
        (lambda folder: None, ("output=sqlite:///no/optuna.db",), "there is no folder no"),
        (
            lambda folder: None,
            ("output=postgres://u:secret@h/d",),
            "no database 'postgres'. Did you mean 'postgresql'?",
        ),
        (lambda folder: None, ("output=sqlit:///optuna.db",), "no database 'sqlit'. Did you mean 'sqlite'?"),
        (
            lambda folder: None,
            ("output=redis://h/d",),
            "An address begins with one of sqlite://, postgresql://, mysql://",
        ),
        (lambda folder: None, ("output=postgresql+no://h/d",), "no driver 'no' for postgresql. Leave it out"),
        (lambda folder: None, ("output=postgresql://h:port/d",), "is not the address of a database (invalid literal"),
        (lambda folder: None, ("output=mssql://h/d",), "the module pyodbc, Python's client of this database, is not"),
        (foreign, (f"output={URL}",), "has another study 'source', which is not an export of study source"),
        (database, (f"output={URL}",), "the file exists, and is not a storage of Optuna"),
        (lambda folder: (folder / "optuna.db").write_text("text"), (f"output={URL}",), "is not a database"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_changes_nothing(
    folder: Path,
    make: Callable[[Path], object],
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded(planned("source", "search.n_trials=1"), 1)
    make(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["action=export", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
