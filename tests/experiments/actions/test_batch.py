"""``action=batch`` with ``serving.row_files``: a file is predicted like its rows one by one, and never half-written."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ensemble.bundle import load_bundle
from ensemble.errors import InputError
from ensemble.reading import Roles, read_file
from ensemble.serving.predictor import Predictor
from experiments.actions.batch import predict_rows
from experiments.serving import row_files
from tests.conftest import QUICK, Ended
from tests.support.models import LABELS, save_model_of_classes, small_bundle

ROWS = 700


@pytest.fixture
def model(project: Path, byoe: Callable[..., Ended]) -> Path:
    """The bundle of a study that was just trained."""
    ended = byoe("mode=local", "action=train", "study=mine", *QUICK)
    assert ended.code == 0, ended.err
    return project / "studies" / "mine" / "final" / "model"


@pytest.fixture
def table(model: Path) -> pd.DataFrame:
    """Rows for this model."""
    names = [column["name"] for column in json.loads((model / "manifest.json").read_text())["columns"]]
    values = np.random.RandomState(0).uniform(-0.1, 0.1, (ROWS, len(names)))
    values[3, 2] = np.nan
    return pd.DataFrame(values, columns=names)


def expected(model: Path, table: pd.DataFrame) -> np.ndarray:
    return load_bundle(model).ensemble.predict(table.to_numpy())


@pytest.mark.slow
def test_every_format_in_and_out_gives_the_same_predictions(
    model: Path, table: pd.DataFrame, byoe: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "CHUNK_BYTES", 10_000)
    monkeypatch.setattr(row_files, "CHUNK_ROWS", 64)
    wanted = expected(model, table)
    table.to_csv("rows.csv", index=False)
    table.to_csv("bare.csv", index=False, header=False)
    table.assign(other="x").iloc[:, ::-1].to_parquet("rows.parquet")
    table.to_json("rows.jsonl", orient="records", lines=True, double_precision=15)
    np.save("rows.npy", table.to_numpy())
    for name in ("rows.csv", "bare.csv", "rows.parquet", "rows.npy"):
        assert byoe("action=batch", f"input={name}", "output=out.parquet").code == 0
        assert np.array_equal(pd.read_parquet("out.parquet")["prediction"], wanted), name
    assert byoe("action=batch", "input=rows.jsonl", "output=out.npy").code == 0
    assert np.allclose(np.load("out.npy"), wanted, rtol=1e-9)
    assert byoe("action=batch", "input=rows.csv", "output=out.csv").code == 0
    assert np.array_equal(pd.read_csv("out.csv", float_precision=None)["prediction"], wanted)
    assert byoe("action=batch", "input=rows.csv", "output=out.jsonl", "detail=members").code == 0
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [line["prediction"] for line in lines] == wanted.tolist()
    assert set(lines[0]["members"]) == {"xgboost", "catboost"}
    for name in ("out.csv", "out.parquet", "out.jsonl", "out.npy"):
        arguments = (f"output={name}", "detail=interval", "serving.interval=0.8")
        assert byoe("action=batch", "input=rows.csv", *arguments).code == 0
    found = pd.read_csv("out.csv", float_precision=None)
    assert list(found) == ["prediction", "lower", "upper"]
    assert np.array_equal(found["prediction"], wanted)
    predictor = Predictor.load(model, threads=1)
    lower, upper = replace(predictor.predict(table.to_numpy()), level=0.8).bounds
    assert np.array_equal(found["lower"], lower)
    assert np.array_equal(found["upper"], upper)
    assert (lower < upper).all()
    assert pd.read_parquet("out.parquet").equals(found)
    assert np.array_equal(np.load("out.npy"), found)
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert pd.DataFrame(lines).equals(found)
    for name in ("out.csv", "out.parquet", "out.jsonl", "out.npy"):
        assert byoe("action=batch", "input=rows.csv", f"output={name}", "detail=explanation").code == 0
    found, explained = pd.read_csv("out.csv", float_precision=None), predictor.predict(table.to_numpy()).explanation
    assert list(found) == ["base", *(f"explanation_{name}" for name in table), "prediction"]
    assert np.array_equal(found, np.column_stack([explained.base, explained.parts, wanted]))
    assert np.allclose(found.iloc[:, :-1].sum(axis=1), wanted, rtol=1e-9, atol=0)
    assert pd.read_parquet("out.parquet").equals(found)
    assert np.array_equal(np.load("out.npy"), found)
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [
        [line["base"], *line["explanation"].values(), line["prediction"]] for line in lines
    ] == found.to_numpy().tolist()
    assert not [path.name for path in Path().iterdir() if path.name.startswith(".")]


def test_predictions_without_an_output_are_printed_and_nothing_else_is(
    model: Path, table: pd.DataFrame, byoe: Callable[..., Ended]
) -> None:
    table.assign(age=np.nan).to_csv("rows.csv", index=False)
    before = sorted(path.name for path in Path().iterdir())
    ended = byoe("action=batch", "input=rows.csv", "detail=members", "keep=[sex]")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "sex,xgboost,catboost,blended"
    wanted = expected(model, table.assign(age=np.nan))
    assert [float(line.split(",")[-1]) for line in lines[1:]] == wanted.tolist()
    assert "warning: age: no row has a value" in ended.err
    assert f"{ROWS} predictions of" in ended.err
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.mark.parametrize("row", [2, 500])
def test_a_wrong_cell_is_named_by_its_row_in_the_whole_file_and_nothing_is_written(
    row: int, model: Path, table: pd.DataFrame, byoe: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "CHUNK_BYTES", 10_000)
    wrong = table.astype(object)
    wrong.iloc[row - 1, 1] = "many"
    wrong.to_csv("rows.csv", index=False)
    Path("out.csv").write_text("mine")
    ended = byoe("action=batch", "input=rows.csv", "output=out.csv")
    assert ended.code == 2
    assert f"column 'sex' has 'many' in data row {row}, where a number is expected" in ended.err
    assert Path("out.csv").read_text() == "mine"
    assert not [path.name for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("output=o.csv",), "input is missing"),
        (("input=rows.csv", "output=o.txt"), "ends with one of"),
        (("input=rows.csv", "output=o.csv", "header=maybe"), "It can be: absent, present"),
        (("input=none.csv", "output=o.csv"), "there is no such file"),
        (("input=folder.csv", "output=o.csv"), "input=folder.csv is not a regular file"),
        (("input=rows.csv", "output=none/o.csv"), "there is no folder none"),
        (("input=rows.csv", "output=folder.csv"), "output=folder.csv is a folder"),
        (("input=rows.csv", "output=o.csv", "detail=all"), "It can be: blended, explanation, interval, members"),
        (("input=rows.csv", "detail=interval", "serving.interval=1"), "serving.interval=1: the level of an interval"),
        (
            ("input=rows.csv", "output=o.csv", "keep=id"),
            "keep=id: write keep=[<column>, ...], such as keep=[id], or keep=all",
        ),
        (("input=rows.csv", "output=o.npy", "keep=[a]"), "keep: a .npy array has no named columns"),
    ],
)
def test_mistakes_exit_2_before_anything_runs(
    arguments: tuple[str, ...], message: str, folder: Path, byoe: Callable[..., Ended]
) -> None:
    Path("rows.csv").write_text("a\n1\n")
    Path("folder.csv").mkdir()
    ended = byoe("action=batch", *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert sorted(path.name for path in folder.iterdir()) == ["folder.csv", "rows.csv"]


TRAINING = "when,town,garden,size,price\n" + "".join(
    f"2024-0{row % 9 + 1}-1{row % 7},{('Oslo', 'Bern', 'Zürich')[row % 3]},{row % 2 == 0},{row % 11 / 8},{row * 7 % 50}\n"
    for row in range(60)
)
LINES = TRAINING.splitlines()[1:7]
BARE = [line.rpartition(",")[0] for line in LINES]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a column of each type; read only."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "t.csv").write_text(TRAINING)
    return small_bundle(folder / "model", read_file(folder / "t.csv", Roles("price")))


def rows_file(lines: list[str], end: str = "\n") -> bytes:
    return end.join(["when,town,garden,size", *lines, ""]).encode()


def predicted(model: Path, body: bytes, header: str | None = None) -> tuple[list[float], list[str]]:
    """Return the predictions for a file, and the warnings."""
    Path("rows").write_bytes(body)
    found = predict_rows(str(model), "rows", "out.csv", header=header, detail="blended", report=lambda step: None)
    predictions = pd.read_csv("out.csv")["prediction"].tolist()
    assert len(predictions) == found.rows
    return predictions, found.warnings


def refused(model: Path, body: bytes) -> str:
    """Return the error for a file that is refused."""
    with pytest.raises(InputError) as error:
        predicted(model, body)
    return str(error.value)


def parquet_of(frame: pd.DataFrame) -> bytes:
    frame.to_parquet("frame.parquet")
    return Path("frame.parquet").read_bytes()


REFUSED: dict[str, tuple[bytes, str]] = {
    "UTF-16": (rows_file(BARE).decode().encode("utf-16"), "rows is text in UTF-16, and not in UTF-8"),
    "gzip": (gzip.compress(rows_file(BARE)), "rows is compressed with gzip: unpack it"),
    "Excel": (b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml", "rows is an Excel workbook"),
    "cut JSON lines": (
        b'{"when": null, "town": null, "garden": null, "size": null}\n\n{"when": 1\n{}',
        "rows: the body is not JSON lines (line 3)",
    ),
    "a short row": (rows_file([*BARE[:2], "2024-01-01,Oslo"]), "data row 3 has 2 cells"),
    "an open quote": (rows_file([*BARE[:2], '2024-01-01,"Oslo,True,1']), "a quote is not closed"),
    "a missing column": (b"when,town,garden\n2024-01-01,Oslo,True\n", "column 'size' is missing"),
    "empty": (b"", "has no rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_is_named_with_the_fix(case: str, mixed: Path, folder: Path) -> None:
    body, message = REFUSED[case]
    assert message in refused(mixed, body)


def test_integers_and_zoned_times_for_a_date_are_refused_in_every_format(mixed: Path, folder: Path) -> None:
    Path("rows").write_bytes(rows_file(BARE))
    frame = pd.read_csv(Path("rows"), parse_dates=["when"])
    whole = frame.assign(when=frame["when"].astype("datetime64[ms]").astype("int64"))
    for body in (
        parquet_of(whole),
        whole.to_csv(index=False).encode(),
        whole.to_json(orient="records", lines=True).encode(),
    ):
        message = refused(mixed, body)
        assert "column 'when' has" in message
        assert "data row 1" in message
    zoned = frame.assign(when=frame["when"].dt.tz_localize("Europe/Oslo"))
    for body in (parquet_of(zoned), zoned.to_csv(index=False).encode()):
        assert "a time without a time zone, or in UTC is expected" in refused(mixed, body)


def test_unknown_categories_and_columns_without_values_are_counted(
    mixed: Path, folder: Path, byoe: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    towns = ["Oslo", "oslo", "", "Oslo ", "BERN", "oslo"]
    body = rows_file([f"2024-01-01,{town},," for town in towns])
    with monkeypatch.context() as patch:
        patch.setattr(row_files, "CHUNK_BYTES", 60)
        found, warnings = predicted(mixed, body)
    assert len(found) == 6
    unknown, empty = warnings
    assert "town: 4 of 6 rows have a category that the training rows do not have" in unknown
    assert "('oslo', 'Oslo ', 'BERN'; first in data row 2)" in unknown
    assert "garden, size: no row has a value" in empty
    shutil.copytree(mixed, "studies/mine/final/model")
    ended = byoe("action=batch", "model=studies/mine/final/model", "input=rows", "output=out.csv")
    assert [f"warning: {sentence}" in ended.out for sentence in warnings] == [True, True], ended


def test_columns_that_may_lack_are_predicted_as_missing_in_every_format(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("t.csv").write_text(TRAINING.replace(",Oslo,", ",,"))
    model = small_bundle(folder / "model", read_file(folder / "t.csv", Roles("price")))
    Path("rows").write_bytes(rows_file([line.replace("Oslo", "") for line in BARE]))
    frame = pd.read_csv(Path("rows"), parse_dates=["when"])
    wanted, _ = predicted(model, parquet_of(frame.assign(town=None)))
    fewer = frame.drop(columns="town")
    sentence = "town: the rows do not have this column. It is predicted as missing."
    monkeypatch.setattr(row_files, "CHUNK_BYTES", 60)
    for body in (
        parquet_of(fewer),
        fewer.to_csv(index=False).encode(),
        fewer.to_json(orient="records", lines=True, date_format="iso").encode(),
    ):
        assert predicted(model, body) == (wanted, [sentence])
    misspelt = frame.rename(columns={"town": "towns"})
    for body in (parquet_of(misspelt), misspelt.to_csv(index=False).encode()):
        assert "column 'town' is missing. Did you mean 'towns'?" in refused(model, body)


def kept(model: Path, source: str, output: str, keep: Any, detail: str = "blended") -> None:
    predict_rows(str(model), source, output, header=None, detail=detail, report=lambda step: None, keep=keep)


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet", "rows.jsonl"])
def test_kept_columns_stand_beside_the_predictions_as_they_are_in_the_file(
    source: str, mixed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "CHUNK_BYTES", 60)
    monkeypatch.setattr(row_files, "CHUNK_ROWS", 2)
    ids = ["007", 'a, "b"', "", "line\nbreak", "x", "y"]
    Path("text.csv").write_bytes(rows_file(BARE))
    rows = pd.read_csv("text.csv", parse_dates=["when"]).assign(id=ids, count=pd.array([1, None, 3, 4, 5, 6], "Int64"))
    rows.to_csv("rows.csv", index=False)
    rows.to_parquet("rows.parquet")
    rows.to_json("rows.jsonl", orient="records", lines=True, date_format="iso")
    wanted, _ = predicted(mixed, Path(source).read_bytes())
    for output in ("out.csv", "out.jsonl", "out.parquet"):
        kept(mixed, source, output, ["id", "count"])
        if output == "out.jsonl":
            found = pd.DataFrame([json.loads(line) for line in Path(output).read_text().splitlines()], dtype=object)
        else:
            found = pd.read_csv(output, dtype=object) if output == "out.csv" else pd.read_parquet(output)
        assert list(found) == ["id", "count", "prediction"], output
        assert found["prediction"].astype(float).tolist() == wanted
        assert found["id"].fillna("").tolist() == ids
        assert pd.to_numeric(found["count"]).astype(float).tolist() == pytest.approx(
            [1, np.nan, 3, 4, 5, 6], nan_ok=True
        )
    kept(mixed, source, "out.parquet", "all")
    assert list(pd.read_parquet("out.parquet")) == [*rows, "prediction"]
    if source == "rows.parquet":
        types, wanted_types = pq.read_schema("out.parquet"), pq.read_schema(source)
        assert all(types.field(name).type == wanted_types.field(name).type for name in rows)


@pytest.mark.parametrize(
    ("keep", "detail", "message"),
    [
        (["ident"], "blended", "keep=ident: rows.csv has no such column. Did you mean 'id'?"),
        (["id", "prediction"], "blended", "keep=prediction: the predictions have a column of this name too"),
        ("all", "members", "keep=blended: the predictions have a column of this name too"),
        (["twice"], "blended", "keep=twice: rows.csv has 2 columns of this name"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused(
    keep: Any, detail: str, message: str, mixed: Path, folder: Path
) -> None:
    more = "id,prediction,blended,twice,twice"
    lines = [f"{line},{number},0,0,1,2" for number, line in enumerate(BARE)]
    Path("rows.csv").write_text("\n".join([f"when,town,garden,size,{more}", *lines, ""]))
    with pytest.raises(InputError) as error:
        kept(mixed, "rows.csv", "out.csv", keep, detail)
    assert message in str(error.value)


def test_a_headerless_file_of_a_model_with_numbers_as_names_keeps_its_rows(folder: Path) -> None:
    values = np.random.RandomState(0).randint(0, 6, (60, 7))
    pd.DataFrame(values).to_csv("t.csv", index=False)
    model = small_bundle(folder / "model", read_file(folder / "t.csv", Roles("6")))
    wanted, _ = predicted(model, b"0,1,2,3,4,5\n1,0,2,3,4,5\n2,2,2,2,2,2\n")
    assert len(wanted) == 2
    assert predicted(model, b"2,2,2,2,2,2\n2,2,2,2,2,2\n")[0] == wanted[1:] * 2
    assert len(predicted(model, b"9,0,2,3,4,5\n2,2,2,2,2,2\n")[0]) == 2
    both = b"1,0,2,3,4,5\n2,2,2,2,2,2\n"
    assert "header=present or header=absent" in refused(model, both)
    assert predicted(model, both, "absent")[0] == wanted
    assert len(predicted(model, both, "present")[0]) == 1


@pytest.mark.slow
def test_a_second_command_for_the_same_output_is_refused(
    model: Path, table: pd.DataFrame, byoe: Callable[..., Ended]
) -> None:
    table.to_csv("rows.csv", index=False)
    Path(".out.csv.byoe").mkdir()
    Path(".out.csv.byoe/left").write_text("of a killed command")
    holder = os.open(".out.csv.byoe", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    ended = byoe("action=batch", "input=rows.csv", "output=out.csv")
    os.close(holder)
    assert ended.code == 2
    assert "is being written by another command" in ended.err
    assert byoe("action=batch", "input=rows.csv", "output=out.csv").code == 0
    assert sorted(path.name for path in Path().glob("*out.csv*")) == ["out.csv"]


CODE = """
import os, signal
from ensemble.members.boosting import XGBoost

class Same(XGBoost):
    pass

class Crash(XGBoost):
    @classmethod
    def load(cls, path, **options):
        os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def theirs(model: Path, tmp_path: Path) -> Path:
    """The same model as somebody else's, with code of their own."""
    folder = tmp_path / "theirs"
    shutil.copytree(model, folder)
    (folder / "code" / "their_code.py").write_text(CODE)
    edit(folder, lambda found: found["files"].update({"code/their_code.py": hashlib.sha256(CODE.encode()).hexdigest()}))
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    found = json.loads((folder / "manifest.json").read_text())
    change(found)
    (folder / "manifest.json").write_text(json.dumps(found))


def test_a_model_from_elsewhere_is_used_in_a_process_that_may_die(
    theirs: Path, table: pd.DataFrame, byoe: Callable[..., Ended]
) -> None:
    table.to_csv("rows.csv", index=False)
    wanted = expected(theirs, table)
    command = ("action=batch", f"model={theirs}", "input=rows.csv", "output=out.csv")
    ended = byoe(*command)
    assert ended.code == 0, ended.err
    assert "is read by this project's code. Nothing of the code in it is run." in ended.out.replace("\n", " ")
    assert np.array_equal(pd.read_csv("out.csv", float_precision=None)["prediction"], wanted)
    edit(theirs, lambda found: found["members"][0].update(kind="their_code:Same"))
    ended = byoe(*command)
    assert ended.code == 0, ended.err
    assert "this runs code that came with" in ended.out.replace("\n", " ")
    assert "their_code:Same" in ended.out
    assert np.array_equal(pd.read_csv("out.csv", float_precision=None)["prediction"], wanted)
    Path("out.csv").write_text("mine")
    edit(theirs, lambda found: found["members"][0].update(kind="their_code:Crash"))
    ended = byoe(*command)
    assert ended.code == 2
    assert "the library that reads its members/xgboost/" in ended.err
    assert "crashed (SIGSEGV)" in ended.err
    table.assign(sex="many").to_csv("rows.csv", index=False)
    edit(theirs, lambda found: found["members"][0].update(kind="xgboost"))
    ended = byoe(*command)
    assert ended.code == 2
    assert "column 'sex' has 'many' in data row 1, where a number is expected" in ended.err
    assert Path("out.csv").read_text() == "mine"
    assert not [path.name for path in Path().iterdir() if path.name.startswith(".")]


def test_a_link_in_place_of_the_temporary_folder_is_not_followed(
    model: Path, table: pd.DataFrame, byoe: Callable[..., Ended], tmp_path: Path
) -> None:
    table.to_csv("rows.csv", index=False)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    Path(".out.csv.byoe").symlink_to(tmp_path / "precious")
    ended = byoe("action=batch", "input=rows.csv", "output=out.csv")
    assert ended.code == 2
    assert ".out.csv.byoe is a link, or belongs to another user" in ended.err
    assert (tmp_path / "precious" / "file").read_text() == "mine"
    Path(".out.csv.byoe").unlink()
    Path(".out.csv.byoe").mkdir()
    (Path(".out.csv.byoe") / "linked").symlink_to(tmp_path / "precious")
    assert byoe("action=batch", "input=rows.csv", "output=out.csv").code == 0
    assert (tmp_path / "precious" / "file").read_text() == "mine"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three classes, one with a comma in its label; read only."""
    return save_model_of_classes(tmp_path_factory.mktemp("classes"))


def test_classes_are_written_as_labels_and_probabilities_in_every_format(
    classes: Path, project: Path, byoe: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "CHUNK_BYTES", 100)
    rows = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60.0) % 7})
    rows.to_csv("rows.csv", index=False)
    ensemble = load_bundle(classes).ensemble
    wanted = ensemble.predict(rows.to_numpy())
    members = ensemble.predict_members(rows.to_numpy())
    labels = [sorted(LABELS)[place] for place in wanted.argmax(axis=1)]
    assert set(labels) == set(LABELS)
    probabilities = [f"probability_{label}" for label in sorted(LABELS)]
    more = [f"{name}__{column}" for name in ("xgboost", "forest") for column in probabilities]

    def batch(output: str, *arguments: str) -> None:
        ended = byoe("action=batch", f"model={classes}", "input=rows.csv", f"output={output}", *arguments)
        assert ended.code == 0, ended.err

    for suffix, read in ((".csv", lambda path: pd.read_csv(path, float_precision=None)), (".parquet", pd.read_parquet)):
        batch(f"plain{suffix}")
        found = read(f"plain{suffix}")
        assert list(found) == ["prediction"]
        assert found["prediction"].tolist() == labels
        batch(f"all{suffix}", "detail=members")
        found = read(f"all{suffix}")
        assert list(found) == ["prediction", *probabilities, *more]
        assert found["prediction"].tolist() == labels
        assert np.array_equal(found[probabilities].to_numpy(), wanted)
        assert np.array_equal(found[more].to_numpy(), members.reshape(60, -1))
    batch("out.jsonl", "detail=probabilities")
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [line["predicted_label"] for line in lines] == labels
    assert [line["probabilities"] for line in lines] == wanted.tolist()
    assert lines[0]["labels"] == sorted(LABELS)
    batch("kept.csv", "keep=[b]")
    assert list(pd.read_csv("kept.csv")) == ["b", "prediction"]
    assert pd.read_csv("kept.csv")["b"].tolist() == rows["b"].tolist()
    batch("out.npy")
    assert np.load("out.npy").tolist() == labels
    batch("out.npy", "detail=probabilities")
    assert np.array_equal(np.load("out.npy"), wanted)


def test_a_model_of_numbers_has_no_probabilities(mixed: Path, project: Path, byoe: Callable[..., Ended]) -> None:
    Path("rows.csv").write_bytes(rows_file(BARE))
    ended = byoe("action=batch", f"model={mixed}", "input=rows.csv", "output=out.csv", "detail=probabilities")
    assert ended.code == 2
    assert "detail=probabilities is for a model that predicts classes" in ended.err
    assert not Path("out.csv").exists()
