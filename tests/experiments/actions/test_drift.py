"""``action=drift``: a table, a figure and an exit code, or one message."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ensemble.bundle import load_bundle
from tests.conftest import Ended
from tests.support.models import LABELS, save_model_of_classes, save_two_models

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of two studies with the same features: ``one`` of a quantity, and ``classes``."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "studies/one/final").mkdir(parents=True)
    save_two_models(folder)[0].rename(folder / "studies/one/final/model")
    (folder / "studies/classes").mkdir()
    save_model_of_classes(folder / "studies/classes/final", LABELS)
    return folder


@pytest.fixture
def model(bundles: Path, project: Path) -> Path:
    """The working directory with the models, and rows in ``same.csv`` and ``moved.csv``."""
    shutil.copytree(bundles, project, dirs_exist_ok=True)
    lines = [(x, x % 7) for x in range(0, 60, 2)]
    (project / "same.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in lines))
    (project / "moved.csv").write_text("a,b\n" + "".join(f"{a + 90},{b}\n" for a, b in lines))
    return project / "studies/one/final/model"


@pytest.mark.parametrize("name", ["one", "classes"])
def test_rows_that_moved_exit_with_1_and_others_with_0(name: str, model: Path, byoe: Run) -> None:
    ended = byoe("action=drift", f"model={name}", "input=same.csv")
    assert ended.code == 0, ended.err
    assert "drift: NO (2 columns)" in ended.out
    assert Path("drift.png").read_bytes().startswith(b"\x89PNG")
    first = byoe("action=drift", f"model={name}", "input=moved.csv", "output=moved.png")
    again = byoe("action=drift", f"model={name}", "input=moved.csv", "output=moved.png")
    assert first.code == 1
    assert "drift: YES (a" in first.out
    assert first.out == again.out
    assert Path("moved.png").exists()
    assert byoe("action=drift", f"model={name}", "input=moved.csv", "output=moved.csv").code == 2
    assert byoe("action=drift", f"model={name}", "input=moved.csv", "output=found.csv").code == 1
    header, largest, other = Path("found.csv").read_text().splitlines()
    assert header.startswith("column,psi,")
    assert largest.startswith("a,")
    assert largest.endswith(",1")
    assert other.startswith("b,")
    assert byoe("action=drift", f"model={name}", "input=moved.csv", "drift.threshold=99").code == (
        1 if "members disagree more" in first.out else 0  # which the key leaves as it is
    )


def test_a_column_that_no_row_has_and_unknown_categories_are_a_drift(project: Path, byoe: Run) -> None:
    from ensemble.reading import Roles, read_file
    from tests.support.models import small_bundle

    rows = "".join(f"{x},{'ab'[x % 2]},{'' if x % 9 else x},{x}\n" for x in range(60))
    (project / "table.csv").write_text(f"size,town,gap,y\n{rows}")
    small_bundle(project / "model", read_file(project / "table.csv", Roles("y")))
    (project / "rows.csv").write_text("town,size\n" + "".join(f"{'cab'[x % 3]},{x}\n" for x in range(60)))
    ended = byoe("action=drift", "model=model", "input=rows.csv")
    assert ended.code == 1, ended.err
    assert "drift: YES (town)" in ended.out
    assert "33.3%" in ended.out
    assert "warning: gap: the rows do not have this column" in ended.out
    assert "one member has all the weight" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("input=empty.csv",), "empty.csv"),
        (("input=header.csv",), "header.csv has no rows"),
        (("input=other.csv",), "column 'a' is missing"),
        (("input=none.csv",), "there is no such file"),
        (("header=absent",), "input is missing"),
        (("input=same.csv", "model=old"), "an earlier version of byoe has saved it"),
        (("input=same.csv", "model=hurt"), "sketch.json is not the file that was saved"),
        (("input=same.csv", "output=drift.txt"), "ends with .png, or .csv for the table"),
        (("input=one.csv",), "one.csv has 1 row, in which chance explains any difference of a column. Give at least "),
        (("input=same.csv", "drift.threshold=-1"), "drift.threshold=-1: it must be a number above 0"),
        (("input=same.csv", "drift.disagreement=nan"), "drift.disagreement=nan"),
    ],
)
def test_a_mistake_is_one_message(arguments: tuple[str, ...], message: str, model: Path, byoe: Run) -> None:
    Path("empty.csv").touch()
    Path("header.csv").write_text("a,b\n")
    Path("other.csv").write_text("x,b\n1,2\n")
    Path("one.csv").write_text("a,b\n30,2\n")
    if arguments[-1] == "model=old":
        shutil.copytree(model, "old")
        manifest = json.loads(Path("old/manifest.json").read_text())
        del manifest["files"]["sketch.json"]
        Path("old/manifest.json").write_text(json.dumps(manifest))
    if arguments[-1] == "model=hurt":
        shutil.copytree(model, "hurt")
        path = Path("hurt/sketch.json")
        path.write_text(path.read_text().replace('"rows":60', '"rows":61'))
    ended = byoe("action=drift", "model=one", *arguments)
    assert ended.code == 2, ended.out
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert not Path("drift.png").exists()


def test_the_rows_that_a_model_learnt_from_have_not_drifted(model: Path, byoe: Run) -> None:
    found = load_bundle(model).sketch
    assert found is not None
    assert found.rows == 60
    (Path("all.csv")).write_text("a,b\n" + "".join(f"{x},{x % 7}\n" for x in range(60)))
    ended = byoe("action=drift", "model=one", "input=all.csv", "drift.threshold=0.001")
    assert ended.code == 0, ended.out
    assert np.all([line.split()[1] == "0.000" for line in ended.out.splitlines() if line.startswith(("  a ", "  b "))])
