"""``byoe.tune``, ``replay``, ``compare`` and ``load``: what a command does, as objects."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import byoe
from experiments.study.ledger import FILE, read
from tests.conftest import COMMANDS_SECONDS, Ended
from tests.support import forked
from tests.support.projects import copy_project

pytestmark = pytest.mark.timeout(COMMANDS_SECONDS)

ROWS = 60
KEYS: dict[str, Any] = {
    "ensemble": "pair",
    "ensemble.members": ["xgboost", "ridge"],
    "ensemble.params": {"xgboost": {"num_round": 5}},
    "search": {"n_trials": 3, "baseline": False},
    "dataset.folds.k": 2,
}
COMMAND = (
    *(
        "dataset=file",
        "dataset.path=homes.csv",
        "dataset.target=price",
        "ensemble=pair",
        "ensemble.members=[xgboost,ridge]",
    ),
    *("ensemble.params.xgboost.num_round=5", "search.n_trials=3", "search.baseline=false", "dataset.folds.k=2"),
)


def homes() -> pd.DataFrame:
    random = np.random.RandomState(0)
    size, town = random.rand(ROWS), random.choice(["oslo", "moss"], ROWS)
    return pd.DataFrame({"size": size, "town": town, "price": 3 * size + (town == "oslo") + random.rand(ROWS) / 9})


def global_state() -> dict[str, Any]:
    """Return what a call must not change."""
    import mlflow
    from mlflow.tracking import fluent
    from threadpoolctl import threadpool_info

    return {
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "paths": list(sys.path),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "levels": [logging.getLogger(name).level for name in ("optuna", "alembic", "mlflow", "byoe")],
        "handlers": list(logging.getLogger().handlers),
        "pools": [pool["num_threads"] for pool in threadpool_info()],
        "folder": Path.cwd(),
        "mlflow": (mlflow.is_tracking_uri_set(), fluent._active_experiment_id),
    }


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("subprocess.Popen", forked.WorkersForked)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A folder with a table, and the study of it."""
    folder = tmp_path_factory.mktemp("python")
    shutil.copy(empty_store, folder / "mlflow.db")
    homes().to_csv(folder / "homes.csv", index=False)
    with inside(folder):
        byoe.tune("homes.csv", target="price", **KEYS)
    return folder


@pytest.fixture
def project(made: Path, folder: Path, forked_workers: None) -> Path:
    """A copy of the folder as the working directory."""
    copy_project(made, folder)
    return folder


@pytest.fixture
def study(project: Path) -> byoe.Study:
    return byoe.tune("homes.csv", target="price", **KEYS)


def command(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Ended:
    from experiments.cli import main
    from tests.conftest import signals_kept

    with signals_kept():
        code = main(arguments)
    captured = capsys.readouterr()
    return Ended(code, captured.out, captured.err)


@pytest.mark.slow
def test_a_command_with_the_same_words_finds_the_study_finished(
    study: byoe.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = command(*COMMAND, capsys=capsys)
    assert ended.code == 0, ended.err
    assert f"study {study.name} is finished; nothing was run." in ended.out
    printed = " ".join(ended.out.split())  # a terminal has lines of another width
    assert " ".join(study.summary().split()) in printed
    assert re.fullmatch(r"homes-pair-[0-9a-f]{8}", study.name)
    assert [path.parent.name for path in Path("studies").glob(f"*/{FILE}")] == [study.name]


def test_the_study_has_its_trials_and_its_winner_as_objects(study: byoe.Study) -> None:
    trials = study.trials
    assert list(trials.index) == [0, 1, 2]
    assert set(trials["state"]) == {"complete"}
    assert trials["cv_rmse_blended"].dtype == np.float64
    assert {"xgboost.max_depth", "ridge.alpha", "seconds", "failure"} <= set(trials.columns)
    assert study.best.index == trials["cv_rmse_blended"].idxmin()
    assert study.best.metrics["cv_rmse_blended"] == trials["cv_rmse_blended"].min()
    assert study.best.params["ridge.alpha"] == trials.loc[study.best.index, "ridge.alpha"]
    assert sum(study.best.weights.values()) == pytest.approx(1)
    assert "test_rmse_blended" in study.winner.metrics
    assert study.summary().strip().startswith(f"study {study.name}  3 trials")
    assert repr(study) == f"<Study {study.name}: 3 trials, cv_rmse_blended={study.best.metrics['cv_rmse_blended']:.6g}>"


def test_a_study_is_exported_once_and_leaves_the_process_as_it_was(study: byoe.Study) -> None:
    before = global_state()
    assert study.export("sqlite:///optuna.db:mine") == 3
    assert study.export("sqlite:///optuna.db:mine") == 0
    with pytest.raises(byoe.ConfigError, match=r"output=optuna\.db is not the address of a storage"):
        study.export("optuna.db")
    assert global_state() == before


def test_figures_are_found_by_a_part_of_their_name(study: byoe.Study) -> None:
    assert {"optimisation_history", "blend_weights", "residuals"} <= set(study.figures)
    assert study.figures["weights"] is study.figures["blend_weights"]
    with pytest.raises(KeyError, match=r"names 0 figures.*blend_weights"):
        study.figures["wigths"]
    with pytest.raises(KeyError, match=r"names [2-9] figures"):
        study.figures["e"]


def test_a_frame_is_the_study_of_its_file_and_is_stored_once(
    project: Path, study: byoe.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    before = global_state()
    capsys.readouterr()
    found = byoe.tune(homes(), target="price", **KEYS)
    captured = capsys.readouterr()
    assert global_state() == before
    assert captured.out == ""
    (line,) = captured.err.splitlines()  # where nobody watches, the bar's last state
    assert line.startswith(f"{found.name} [##########] 3/3  best blend ")
    assert found.name.rpartition("-")[2] == study.name.rpartition("-")[2]
    scores = list(study.trials.filter(like="rmse"))
    pd.testing.assert_frame_equal(found.trials[scores], study.trials[scores])
    again = byoe.tune(homes(), target="price", **KEYS)
    assert again.name == found.name
    assert capsys.readouterr().err == ""
    assert len(list(project.glob("studies/_tables/*/table.parquet"))) == 1
    (stored,) = Path("studies").glob("_tables/*/table.parquet")
    assert f"dataset.path={stored}" in read(found.folder / FILE).facts["words"]


def test_the_model_predicts_as_batch_does(project: Path, study: byoe.Study, capsys: pytest.CaptureFixture[str]) -> None:
    ended = command("batch", f"model={study.name}", "input=homes.csv", "detail=members", capsys=capsys)
    Path("expected.csv").write_text(ended.out)
    expected = pd.read_csv("expected.csv")
    frame = homes()[["price", "town", "size"]].set_index(pd.Index(range(100, 100 + ROWS), name="id"))
    before = global_state()
    model = study.model()
    found = model.predict(frame, detail="members")
    predicted = model.predict(frame)
    assert global_state() == before
    intervals = model.predict(frame, detail="interval", level=0.8)
    assert capsys.readouterr() == ("", "")
    assert list(intervals) == ["prediction", "lower", "upper"]
    assert list(intervals.index) == list(frame.index)
    assert intervals["prediction"].tolist() == predicted.tolist()
    assert (intervals["lower"] < intervals["upper"]).all()
    with pytest.raises(byoe.InputError, match=r"level=0\.999: the training rows of this model allow a level up to"):
        model.predict(frame, detail="interval", level=0.999)
    explained = model.predict(frame, detail="explanation")
    assert list(explained) == ["base", "explanation_size", "explanation_town", "prediction"]
    assert np.allclose(explained.iloc[:, :3].sum(axis=1), predicted, rtol=1e-9, atol=0)
    ended = command("batch", f"model={study.name}", "input=homes.csv", "detail=explanation", capsys=capsys)
    Path("expected.csv").write_text(ended.out)
    pd.testing.assert_frame_equal(explained.reset_index(drop=True), pd.read_csv("expected.csv"))
    with pytest.raises(byoe.InputError, match=r"12,000 rows are too many to explain at once: .* up to 10,000"):
        model.predict(pd.concat([frame] * 200), detail="explanation")
    assert list(found.index) == list(frame.index)
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    assert predicted.tolist() == expected["blended"].tolist()
    assert model.predict(frame[["size", "town"]].to_numpy()).tolist() == predicted.tolist()
    assert model.predict(frame.astype({"town": "category", "size": "Float64"})).tolist() == predicted.tolist()
    assert (model.members, model.columns, model.target) == (("xgboost", "ridge"), ("size", "town"), "price")


@pytest.mark.parametrize("where", ["name", "folder", "winner", "alias"])
def test_a_model_is_loaded_from_everywhere(where: str, study: byoe.Study) -> None:
    places = {"name": study.name, "folder": study.folder, "winner": study.folder / "final" / "model"}
    model = byoe.load(places.get(where, f"{study.name}@winner"))
    assert model.predict(homes()).tolist() == study.model().predict(homes()).tolist()


def test_a_model_refuses_rows_that_do_not_fit(study: byoe.Study) -> None:
    model, rows = study.model(), homes()
    for frame, detail, message in [
        (rows.drop(columns="size"), "blended", "column 'size' is missing"),
        (rows.assign(size="big"), "blended", "column 'size' has 'big' in data row 1"),
        (rows.iloc[:0], "blended", "no rows"),
        (pd.concat([rows, rows[["size"]]], axis=1), "blended", "column 'size' is given twice"),
        (rows.to_numpy(), "blended", "a row has 3 values, but the model has 2 columns"),
        (rows["size"].to_numpy(), "blended", "the rows have the shape (60,)"),
        (rows.to_dict("list"), "blended", "the rows are a builtins.dict"),
        (rows, "all", "detail=all is not known"),
    ]:
        with pytest.raises(byoe.ConfigError, match=re.escape(message)):
            model.predict(frame, detail=detail)


WRONG: tuple[Any, ...] = (None, 3, 1.5, True, b"x", [], {}, [None], object(), np.zeros(0), homes())


def test_an_argument_of_another_type_is_one_error_that_names_it(study: byoe.Study) -> None:
    model, rows = study.model(), homes()
    calls: list[tuple[str, Any, tuple[type, ...]]] = [
        ("study", lambda given: byoe.replay(given, mode="local"), ()),
        ("mode", lambda given: byoe.replay(study, mode=given), ()),
        ("studies", byoe.compare, (type(None),)),
        ("studies[1]", lambda given: byoe.compare([study, given]), ()),
        ("where", byoe.load, ()),
        ("output", study.export, ()),
        ("figures", lambda given: study.figures[given], ()),
        ("rows", model.predict, (pd.DataFrame,)),
        ("detail", lambda given: model.predict(rows, given), ()),
        ("level", lambda given: model.predict(rows, level=given), ()),
        ("target", lambda given: byoe.tune(rows, target=given), ()),
        ("target", lambda given: byoe.tune("homes.csv", target=given), ()),
        ("data", lambda given: byoe.tune(given, target="price"), (pd.DataFrame, type(None))),
    ]
    for name, call, possible in calls:
        for given in WRONG:
            if isinstance(given, possible):
                continue
            with pytest.raises(byoe.InputError) as raised:
                call(given)
            found = str(raised.value)
            assert re.search(rf"\b{re.escape(name)}|array has the shape", found), (name, given, found)
            assert "\n" not in found


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda study: study.export(""), "output= is not the address of a storage: give one, such as sqlite:///"),
        (lambda study: study.export(Path("a.db")), "give the address of a storage, such as sqlite:///optuna.db"),
        (lambda study: byoe.load(""), "model= names no model: name a model with model=<study, folder"),
        (lambda study: byoe.compare([]), "compare.studies=[] names no study. Name two or more"),
        (lambda study: byoe.tune("", target="price"), "dataset=file needs dataset.path"),
        (lambda study: byoe.tune("homes.csv", target="price", study=["a"]), "study=['a']: a list cannot be a value"),
        (lambda study: byoe.tune("homes.csv", target="price", study=np.nan), "study=nan: a float cannot be a value"),
        (lambda study: byoe.tune("homes.csv", target="price", mode="\0"), "a null character is not possible"),
        (lambda study: byoe.tune(homes(), target=homes()["price"]), "Give that name as the target"),
        (lambda study: study.figures["wieghts"], "names 0 figures. Did you mean 'blend_weights'? There are:"),
    ],
)
def test_an_empty_or_impossible_argument_names_the_fix(study: byoe.Study, call: Any, message: str) -> None:
    with pytest.raises(byoe.InputError) as raised:
        call(study)
    assert message in str(raised.value)


def test_an_unknown_category_is_a_warning(study: byoe.Study) -> None:
    with pytest.warns(UserWarning, match="town: 60 of 60 rows have a category that the training rows do not have"):
        study.model().predict(homes().assign(town="bergen"))


@pytest.mark.slow
def test_a_replay_has_a_parity_and_both_can_be_compared(
    project: Path, study: byoe.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study.parity is None
    again = byoe.replay(study, mode="local", study="again", **{"replay.top": 1})
    assert again.parity is not None
    assert again.parity.line == "parity: PASS (1 of 1 trials equal)"
    assert again.name == "again"
    capsys.readouterr()
    compared = byoe.compare([study, "again"])
    assert capsys.readouterr() == ("", "")
    assert compared.parity.verdict == "PASS"
    page = compared.page.read_text()
    assert page.lower().startswith("<!doctype html>")
    assert study.name in page
    assert compared.table.shape[1] == 2
    assert compared.table.loc[("", "trials")].tolist() == ["3", "1"]
    assert "parity: PASS" in compared._repr_html_()


def test_one_study_is_compared_as_a_list_of_it_is(study: byoe.Study) -> None:
    for one in (study, study.name):
        messages = []
        for given in (one, [one]):
            with pytest.raises(byoe.ConfigError) as raised:
                byoe.compare(given)
            messages.append(str(raised.value))
        assert messages[0] == messages[1]


def test_studies_in_different_folders_are_not_compared(project: Path, study: byoe.Study) -> None:
    copy = shutil.copytree(study.folder.parent, project / "other")
    other = byoe.tune("homes.csv", target="price", **KEYS, **{"paths.studies": "other"})
    assert other.folder.resolve().parent == copy
    with pytest.raises(byoe.ConfigError, match=r"the studies are in different folders, .*studies.*other"):
        byoe.compare([study, other])


def test_representations_in_a_notebook_are_tables_with_the_verdict(study: byoe.Study) -> None:
    text = study._repr_html_()
    assert text.startswith("<div><p><b>study homes-pair-")
    assert "<th>blended</th><td>" in text
    assert "95% interval" in text
    model = study.model()._repr_html_()
    assert "<th>ridge</th><td>" in model
    assert "predicts price from 2 columns" in model


@pytest.mark.parametrize(
    ("data", "keys", "error", "message"),
    [
        ("none.csv", {}, byoe.InputError, "none.csv"),
        ("homes.csv", {"serch": {"n_trials": 1}}, byoe.ConfigError, "there is no key 'serch.n_trials'"),
        ("homes.csv", {"dataset.path": "x.csv"}, byoe.ConfigError, "dataset.path is given twice"),
        ("homes.csv", {"action": "deploy"}, byoe.ConfigError, "action=deploy is not for byoe.tune"),
        ("homes.csv", {"ensemble": "pear"}, byoe.ConfigError, "Did you mean 'pair'?"),
        (None, {"dataset": "file"}, byoe.ConfigError, "dataset=file needs dataset.path"),
        (homes(), {"action": "deploy"}, byoe.ConfigError, "action=deploy is not for byoe.tune"),
        (homes(), {"dataset.path": "x.csv"}, byoe.ConfigError, "dataset.path is given twice"),
        (homes(), {"ensemble": {"weights": {"my member": 0.5}}}, byoe.ConfigError, "'my member' is not a name"),
        (homes().assign(size=np.inf), {}, byoe.InputError, "the DataFrame: column 'size' is infinite in data row 1"),
        (homes().drop(columns="price"), {}, byoe.InputError, "the DataFrame has no such column"),
        (homes().set_index("town"), {}, byoe.ConfigError, "reset_index()"),
    ],
)  # fmt: skip
def test_a_mistake_is_an_exception_of_the_tree_and_leaves_nothing(
    project: Path,
    data: Any,
    keys: dict[str, Any],
    error: type[Exception],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, entries = global_state(), sorted(path.name for path in project.glob("studies/*"))
    target = None if data is None else "price"
    with pytest.raises(error, match=re.escape(message)):
        byoe.tune(data, target=target, **keys)
    assert global_state() == before
    assert capsys.readouterr() == ("", "")
    assert sorted(path.name for path in project.glob("studies/*") if any(path.iterdir())) == entries


@pytest.mark.slow  # a study of its own
def test_a_users_own_member_is_imported_for_the_call_only(project: Path) -> None:
    package = project / "packages" / "mine_in_python"
    package.mkdir(parents=True)
    code = "from ensemble.members.scikit import Ridge\n\n\nclass Own(Ridge):\n    kind = 'mine_in_python:Own'\n"
    (package / "__init__.py").write_text(code)
    own = {"members": {"own": {"kind": "mine_in_python:Own"}}}
    before = list(sys.path)
    study = byoe.tune(homes(), target="price", action="train", ensemble=own, entry={"dependencies": ["packages"]})
    expected = study.model().predict(homes()).tolist()
    assert sys.path == before
    (project / "packages").rename(project / "renamed")
    del sys.modules["mine_in_python"]
    model = byoe.load(study.name)
    assert model.predict(homes()).tolist() == expected
    assert sys.path == before
    waits = iter([0.1, 0.3, 0.5])

    @contextlib.contextmanager
    def slow() -> Iterator[None]:
        time.sleep(next(waits))  # threads that began together end one after the other
        yield

    writes = sys.dont_write_bytecode
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(3) as pool:
        patch.setattr("experiments.actions.python.model.one_blas_thread", slow)
        assert [found.tolist() for found in pool.map(model.predict, [homes()] * 3)] == [expected] * 3
    assert (sys.path, sys.dont_write_bytecode) == (before, writes)


@pytest.mark.slow  # a study of its own
def test_classes_come_back_as_labels(project: Path) -> None:
    frame = homes().assign(price=lambda rows: np.where(rows["price"] > 2, "high", "low"))
    keys = {"ensemble": "pair", "ensemble.members": ["linear"], "dataset.folds.k": 2, "action": "train"}
    model = byoe.tune(frame, target="price", **keys, search={"baseline": False}).model()
    assert model.classes == ("high", "low")
    found = model.predict(frame, detail="probabilities")
    assert list(found) == ["prediction", "probability_high", "probability_low"]
    assert model.predict(frame).tolist() == found["prediction"].tolist()


def test_what_the_users_program_has_set_in_mlflow_stays(project: Path, tmp_path: Path) -> None:
    import mlflow

    own = f"sqlite:///{tmp_path / 'own.db'}"
    shutil.copy("mlflow.db", tmp_path / "own.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", own)
        mlflow.set_tracking_uri(own)
        mlflow.set_registry_uri(own)
        experiment = mlflow.set_experiment("mine")
        try:
            with mlflow.start_run() as run:
                study = byoe.tune("homes.csv", target="price", study="mine", **{**KEYS, "search.seed": 1})
                assert mlflow.get_tracking_uri() == own
                active = mlflow.active_run()
                assert active is not None
                assert active.info.run_id == run.info.run_id
                mlflow.log_metric("ours", study.best.metrics["cv_rmse_blended"])
            assert mlflow.get_run(run.info.run_id).info.experiment_id == experiment.experiment_id
            assert byoe.load("mine@winner").target == "price"
            assert mlflow.get_registry_uri() == own
        finally:
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)
            mlflow.tracking.fluent._active_experiment_id = None
