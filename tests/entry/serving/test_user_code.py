"""A bundle's ``code/`` has the user's own packages, so it serves where they are not installed (``bundle_code``)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from ensemble.bundle_code import ENTRY, REQUIREMENTS, importable, write_code
from ensemble.channel import write_channel
from ensemble.errors import InputError
from tests.entry.conftest import OWN_MEMBER, make_table

STEADY = OWN_MEMBER.replace("import json\n", "import json\nfrom shop.sums import middle\n").replace(
    "float(np.mean(target))", "middle(target)"
)
SUMS = "import rounding\ndef middle(values):\n    return rounding.two(values.mean())\n"
ROUNDING = "def two(value):\n    return round(float(value), 2)\n"
SERVE = """
import importlib.util, json, sys
from pathlib import Path
folder = Path(sys.argv[1])
before = [importlib.util.find_spec(name) is None for name in ("shop", "rounding")]
sys.path.insert(0, str(folder / "code"))
import inference
model = inference.model_fn(str(folder))
rows = inference.input_fn(sys.stdin.buffer.read(), "application/json")
body, kind = inference.output_fn(inference.predict_fn(rows, model), "application/json;detail=members")
names = ("inference", "ensemble", "shop", "shop.members", "shop.sums", "rounding")
print(json.dumps([before, {name: sys.modules[name].__file__ for name in names}, json.loads(body)]))
"""


@dataclass(frozen=True)
class Trained:
    """A bundle whose user packages have been deleted."""

    model: Path
    folders: list[Path]

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.model / "manifest.json").read_text())
        return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train with the user's own package and module, and delete their folders afterwards."""
    root = tmp_path_factory.mktemp("job")
    folders = [root / "packages", root / "more"]
    shop = folders[0] / "shop"
    (shop / "data").mkdir(parents=True)
    folders[1].mkdir()
    (shop / "__init__.py").write_text("")
    (shop / "members.py").write_text(STEADY)
    (shop / "sums.py").write_text(SUMS)
    (shop / "data" / "notes.json").write_text("{}")
    (folders[1] / "rounding.py").write_text(ROUNDING)
    (folders[1] / "readme.txt").write_text("no code")
    (root / "train").mkdir()
    write_channel(make_table(30), root / "train")
    words = ["--members", "steady:shop.members:Constant,ridge", "--steady__shift", "1.5", "--folds_k", "3"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, folders))}
    environ |= {"BYOE_CODE": environ["PYTHONPATH"], "SM_CHANNEL_TRAIN": str(root / "train"), "SM_NUM_CPUS": "1"}
    environ |= {"SM_MODEL_DIR": str(root / "model"), "SM_INPUT_CONFIG_DIR": str(root), "SM_OUTPUT_DATA_DIR": str(root)}
    done = subprocess.run(
        [sys.executable, str(ENTRY / "train.py"), *words],
        env=environ,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for folder in folders:
        shutil.rmtree(folder)
    return Trained(root / "model", folders)


def test_packages_and_modules_travel_whole_and_are_hashed(trained: Trained) -> None:
    code = trained.model / "code"
    assert (code / "shop" / "members.py").read_text() == STEADY
    assert (code / "rounding.py").read_text() == ROUNDING
    assert (code / "shop" / "data" / "notes.json").is_file()
    assert not (code / "readme.txt").exists()
    assert not list(code.rglob("__pycache__"))
    expected = {"shop/__init__.py", "shop/members.py", "shop/sums.py", "shop/data/notes.json", "rounding.py"}
    assert {f"code/{name}" for name in expected} <= set(trained.manifest["files"])


def test_it_serves_where_the_packages_are_nowhere_else(trained: Trained, tmp_path: Path) -> None:
    example = trained.manifest["example"]
    moved = tmp_path / "elsewhere"
    shutil.copytree(trained.model, moved)
    done = subprocess.run(
        [sys.executable, "-I", "-c", SERVE, str(moved)],
        input=json.dumps({"instances": example["features"]}).encode(),
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    absent, origins, answer = json.loads(done.stdout)
    assert absent == [True, True]
    assert [name for name, origin in origins.items() if not origin.startswith(str(moved / "code"))] == []
    assert answer["predictions"] == example["predictions"]
    assert len(set(answer["members"]["steady"])) == 1


def test_without_its_code_it_says_what_is_missing(trained: Trained) -> None:
    script = (
        f"from ensemble.bundle import load_bundle\nfrom pathlib import Path\nload_bundle(Path({str(trained.model)!r}))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert "shop.members" in done.stderr.splitlines()[-1]


def make(folder: Path, *names: str) -> Path:
    """Write empty modules; a slash in a name makes a package."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return folder


def test_what_is_importable_is_a_package_or_a_module(tmp_path: Path) -> None:
    folder = make(tmp_path / "own", "b.py", "shop/__init__.py", "bare/deep.py", "data/table.csv", "notes.txt", "c.pyc")
    assert [path.name for path in importable([folder])] == ["b.py", "bare", "shop"]
    assert importable([]) == []


@pytest.mark.parametrize("name", ["ensemble/__init__.py", "inference.py", "train.py"])
def test_a_name_of_the_entry_package_is_taken(name: str, tmp_path: Path) -> None:
    own = make(tmp_path / "own", name)
    with pytest.raises(
        InputError, match=rf"the name of {own / Path(name).parts[0]} is taken in the model's code: rename"
    ):
        write_code(tmp_path / "code", [own], {})


def test_a_name_that_two_folders_have_is_taken(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", "shop/__init__.py"), make(tmp_path / "two", "shop/other.py")
    with pytest.raises(InputError, match=rf"the name of {two / 'shop'} is taken"):
        write_code(tmp_path / "code", [one, two], {})


def test_requirements_pin_what_a_member_needs_and_nothing_else(tmp_path: Path) -> None:
    write_code(tmp_path / "code", [], {"xgboost": "9.8.7", "skops": "0.1", "numpy": "5.0", "mine": "1"})
    lines = (tmp_path / "code" / REQUIREMENTS).read_text().splitlines()
    assert lines[:2] == ["xgboost-cpu==9.8.7", "skops==0.1"]
    assert not any(line.startswith(("catboost", "mine", "numpy==")) for line in lines)
    for line in lines[2:]:
        name, _, least = line.partition(">=")
        assert tuple(map(int, least.split("."))) <= tuple(map(int, version(name).split(".")[:2]))
