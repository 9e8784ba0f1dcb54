"""Run a page's commands in a copy of the project, and compare what they print with the page."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.config import groups
from experiments.study import more_trials
from experiments.study.baseline import PARAMETERS
from tests.conftest import PROJECT, environment, signals_kept
from tests.docs.markdown import Block, Step, steps
from tests.support import forked

_LEFT_OUT = (".*", "*.egg-info", "__pycache__", "build", "studies", "endpoints", "mlartifacts", "mlflow.db*", "local")
_QUICK = """\
search: {n_trials: 2}
ensemble:
  params:
    xgboost: {num_round: 5}
    catboost: {iterations: 5}
    random_forest: {n_estimators: 5}
"""
_OURS = "python run.py "
_FOR_A_SHELL = re.compile(r"[|<>;&`$]")
# What differs between runs or machines: numbers, hashes and the outcome of a comparison.
_CHANGING = (
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,64}\b", "HASH"),
    (r"The ensemble (pays|costs)|Undecided", "VERDICT"),
    (r"\b(above|below)\b", "SIDE"),
    (r", which includes zero", ""),
    (r"may be worth it|are hardly worth it", "WORTH"),
    (r"\b\d+ min \d+ s\b", "0 s"),
    (r"member \(\w+", "member (MEMBER"),
    (r", peak memory [\d,]+ of [\d,]+ MB", ""),
    (r"best member [\d.]+ \w+", "best member"),
    (r"(?<![\w.])[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?", "NUMBER"),
)


class Shell:
    """A copy of the project to run commands in.

    ``python run.py`` is called in this process, because it takes seconds to start; everything else runs in bash.

    Attributes:
        folder: The copy.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        """Copy the project.

        Args:
            folder: The folder of the copy.
            store: An empty MLflow store, because creating one takes seconds.
        """
        self.folder = folder
        self._quick = False
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        shutil.copy(store, folder / "mlflow.db")

    def make_quick(self, settings: str = _QUICK) -> None:
        """Set small models and short searches in ``configs/local``, so that the commands need no change."""
        self._quick = True
        local = self.folder / "configs" / "local"
        local.mkdir(exist_ok=True)
        (local / "default.yaml").write_text(settings)

    @contextlib.contextmanager
    def opened(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Use the copy as the working directory, with its configuration.

        Args:
            variables: Of the environment; where there are some of AWS's, they are the only ones of it.
        """
        with pytest.MonkeyPatch.context() as patch, signals_kept():
            patch.chdir(self.folder)
            patch.setattr(subprocess, "Popen", forked.WorkersForked)
            if self._quick:
                patch.setitem(PARAMETERS, "iterations", 5)  # of the baseline
                patch.setattr(more_trials, "FEWEST_TRIALS", 2)
            patch.setattr(groups, "CONFIG_FOLDER", self.folder / "configs")
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in {"COLUMNS": "100", **variables}.items():
                patch.setenv(name, value)
            yield

    def follow(self, blocks: Iterable[Block], skipped: Iterable[str] = ()) -> None:
        """Write the files of these blocks and run their commands; they must succeed and print what the page shows.

        Args:
            blocks: In order.
            skipped: Commands that are not run.
        """
        for block in blocks:
            if block.file:
                path = self.folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(block.lines) + "\n")
            elif block.language == "console":
                for step in steps(block):
                    if step.command not in skipped:
                        self._take(step)

    def _take(self, step: Step) -> None:
        code, printed = self.run(step.command)
        assert code == 0, f"$ {step.command}\nended with {code}:\n{printed}"
        missing = unlike(step.output, printed)
        assert missing is None, f"$ {step.command}\ndoes not print {missing!r} after what is above it:\n{printed}"

    def run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit code and output."""
        if command.startswith(_OURS) and not _FOR_A_SHELL.search(command):
            return _run_here(shlex.split(command, comments=True)[2:])
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        python_path = os.pathsep.join([str(self.folder), str(self.folder / "entry")])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(PATH=path, PYTHONPATH=python_path),
            check=False,
        )
        return done.returncode, done.stdout


def _run_here(arguments: list[str]) -> tuple[int, str]:
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(arguments)
    return code, printed.buffer.getvalue().decode()  # type: ignore[attr-defined]  # the BytesIO


def unlike(shown: Iterable[str], printed: str) -> str | None:
    """Return the first part of a page's output that was not printed, or None.

    Numbers and line breaks are ignored. Lines of three dots separate the parts.
    """
    rest = _steady(printed)
    for expected in filter(None, map(_steady, re.split(r"(?m)^\.\.\.$", "\n".join(shown)))):
        _, found, rest = rest.partition(expected)
        if not found:
            return expected
    return None


def _steady(text: str) -> str:
    text = " ".join(text.split())
    for pattern, replacement in _CHANGING:
        text = re.sub(pattern, replacement, text)
    return text.strip()
