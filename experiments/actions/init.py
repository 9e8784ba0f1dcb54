"""``action=init``: the first files of a project, in the working directory."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from experiments.errors import ConfigError, StorageError, listed
from experiments.reporting.console import print_plain
from experiments.system.project import COMMAND

RECIPE = """\
# @package _global_
# One experiment: {command} experiment=mine. What is not here has byoe's defaults; {command} --cfg prints all keys.
defaults:
  - override /dataset: file
  - override /ensemble: trio        # or pair, quartet, wide
  - override /search: quick         # or thorough

dataset:
  path: table.csv                   # CSV or Parquet
  target: price                     # the column to predict
  # drop: [id]                      # columns to leave out
  # columns: {{zip: category}}        # types, where the ones that are recognised are not yours

search:
  n_trials: 20
  # timeout: 600                    # seconds
"""
LOCAL = """\
# Your own settings on this machine, which git ignores. They apply to every command in this folder; a recipe and the
# command line override them. The account for mode=remote belongs in configs/local/mode/remote.yaml.

# mlflow:
#   uri: http://127.0.0.1:5000      # a server, in place of mlflow.db in this folder
# search:
#   parallel: 2                     # trials at a time
"""
IGNORE_FILE = Path(".gitignore")
IGNORED = """\
/configs/local/
/endpoints/
/mlartifacts/
/mlflow.db*
/report.html
/studies/
"""
TEST = '''\
"""The endpoint on this machine predicts what the model predicts: byoe deploy mode=sagemaker, then pytest."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

# A few rows of your table, with its header; the target may be among the columns.
ROWS = Path(__file__).with_name("rows.csv")
# The model that was deployed: a study's name, or empty for the latest one.
MODEL = os.environ.get("BYOE_MODEL", "")
# The command beside the Python that runs this test.
BYOE = Path(sys.executable).with_name("byoe")


def predictions(*arguments: str) -> list[str]:
    """Return the last column that a command prints: numbers, or the labels of classes."""
    done = subprocess.run([BYOE, *arguments, f"input={ROWS}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [row[-1] for row in csv.reader(done.stdout.splitlines()) if row and row[-1] != "prediction"]


def same(one: str, other: str) -> bool:
    """Compare two labels, or two numbers to nine digits."""
    try:
        return one == other or math.isclose(float(one), float(other), rel_tol=1e-9)
    except ValueError:
        return False


@pytest.mark.skipif(not ROWS.exists(), reason=f"put a few rows of your table into {ROWS}")
def test_the_endpoint_predicts_what_the_model_does():
    expected = predictions("batch", *([f"model={MODEL}"] if MODEL else []))
    found = predictions("invoke")
    assert expected and len(found) == len(expected)
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
'''


def project_files() -> dict[str, str]:
    """Return the text of each file by its path."""
    return {
        "configs/experiment/mine.yaml": RECIPE.format(command=COMMAND),
        "configs/local/default.yaml": LOCAL,
        str(IGNORE_FILE): IGNORED,
        "tests/test_endpoint.py": TEST,
    }


def begin_project(console: Console) -> int:
    """Write the files, none of which may be there yet, and add to ``.gitignore``; return 0.

    Raises:
        ConfigError: One of them is there.
        StorageError: They cannot be written.
    """
    files = {Path(name): text for name, text in project_files().items()}
    there = [str(path) for path in files if path.exists() and path != IGNORE_FILE]
    if there:
        raise ConfigError(f"action=init writes {listed(there)}, which this folder has already: use another folder.")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_added_to(path, text), encoding="utf-8")
        except OSError as error:
            raise StorageError.at(path, error) from None
    print_plain(console, "\n".join(map(str, files)))
    print_plain(console, "Next: name your table and its target in configs/experiment/mine.yaml, then run")
    print_plain(console, f"  {COMMAND} experiment=mine study=mine")
    return 0


def _added_to(path: Path, text: str) -> str:
    """Return the lines of a file, and after them those of ``text`` that it lacks; only ``text`` if it is not there."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return "\n".join([*lines, *(line for line in text.splitlines() if not lines or line not in lines)]) + "\n"
