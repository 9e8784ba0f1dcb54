"""The wheel: ``byoe`` in a fresh environment, from an empty folder."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import PROJECT, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(PROJECT)]
    subprocess.run(command, check=True)
    (found,) = folder.glob("byoe-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command in an environment of its own, which has the libraries of this one but not its byoe."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), *install], check=True)
    # Path files in this folder are not read, so the editable installation of this environment is not seen.
    (packages / "zz_libraries.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")
    return folder / "bin" / "byoe"


def run(command: Path, folder: Path, *arguments: str) -> str:
    clean = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    done = subprocess.run([command, *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_users_own_settings_stay_out_of_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "byoe_project/configs/config.yaml" in names
    assert "byoe_project/container/Dockerfile" in names
    assert "byoe_project/byoe.py" in names
    assert [name for name in names if "/local/" in name or "__pycache__" in name or name.startswith("tests")] == []


def test_a_project_is_begun_tuned_and_served_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert "Next:" in run(installed, tmp_path, "init")
    rows = [f"{size},{age},{3 * size - age % 7}" for size in range(10) for age in range(6)]
    (tmp_path / "table.csv").write_text("\n".join(["size,age,price", *rows]) + "\n")
    tuned = run(
        installed,
        tmp_path,
        "experiment=mine",
        "study=mine",
        "search.n_trials=1",
        "search.baseline=false",
        "ensemble.params.xgboost.num_round=5",
        "ensemble.params.catboost.iterations=5",
    )
    assert "  byoe mode=sagemaker action=deploy model=mine" in tuned
    assert "python run.py" not in tuned
    assert {"studies", "mlflow.db"} <= {path.name for path in tmp_path.iterdir()}
    predicted = run(installed, tmp_path, "batch", "input=table.csv").splitlines()
    assert len(predicted) == 61
    code = "import byoe, pandas; print(*byoe.load('mine').predict(pandas.read_csv('table.csv')), sep='\\n')"
    again = run(installed.with_name("python"), tmp_path, "-c", code).splitlines()
    assert list(map(float, again)) == list(map(float, predicted[1:]))
