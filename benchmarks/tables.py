"""Compare ``ensemble=wide`` with its best member and with ``ensemble=pair``, on rows that no trial has seen.

Run ``python benchmarks/tables.py housing.csv:median_house_value concrete.csv:strength_mpa``; diabetes is always in.
Each ensemble is tuned by ``python run.py mode=local`` with the same number of trials. It prints for each table:

- the test RMSE of wide's blend, of its best member by cross-validation, and of pair's blend;
- by how much wide's blend is below each of the others, with a 95% interval from 2,000 bootstrap samples of the test
  rows;
- the RMSE of the blend and of the best member when the models of each fold predict alone: a blend's weights are fitted
  on predictions of single models, but the served ensemble averages the models of all folds, which helps some members
  more than others;
- the time of the whole command.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table as TextTable

from ensemble.arrays import Floats
from ensemble.bundle import Bundle, load_bundle
from ensemble.channel import read_channel
from ensemble.evaluation import rmse
from ensemble.table import Table

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = 2000


@dataclass(frozen=True)
class Run:
    """One tuned ensemble.

    Attributes:
        bundle: The winner's bundle.
        test: The test rows.
        best_member: Position of the member with the lowest cross-validated RMSE in the winner.
        seconds: Time of the whole command.
    """

    bundle: Bundle
    test: Table
    best_member: int
    seconds: float

    @property
    def blend(self) -> Floats:
        """The served predictions for the test rows."""
        return self.bundle.ensemble.predict(self.test.features)

    @property
    def member(self) -> Floats:
        """The predictions that the best member alone would serve."""
        return self.bundle.ensemble.predict_members(self.test.features)[:, self.best_member]

    def single(self) -> tuple[float, float]:
        """Return the mean over folds of the test RMSE of blend and best member, if the fold's models predict alone."""
        models = list(self.bundle.ensemble.models.values())
        blend, member = [], []
        for fold in range(len(models[0])):
            predicted = np.column_stack([folds[fold].predict(self.test.features) for folds in models])
            blend.append(rmse(self.test.target, self.bundle.ensemble.blend.predict(predicted, self.test.features)))
            member.append(rmse(self.test.target, predicted[:, self.best_member]))
        return fmean(blend), fmean(member)


def run(ensemble: str, data: list[str], trials: int, folder: Path) -> Run:
    """Tune an ensemble in a new folder."""
    folder.mkdir(parents=True)
    arguments = ["mode=local", "study=table", f"ensemble={ensemble}", f"search.n_trials={trials}", *data]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    seconds = time.perf_counter() - began
    bundle = load_bundle(folder / "studies" / "table" / "final" / "model")
    with closing(sqlite3.connect(folder / "studies" / "table" / "ledger.sqlite")) as ledger:
        (text,) = ledger.execute("SELECT value FROM study WHERE key = 'final'").fetchone()
    metrics = json.loads(text)["metrics"]
    (channel,) = (folder / "studies" / "_channels").iterdir()
    best = int(np.argmin([metrics[f"cv_rmse_{name}"] for name in bundle.members]))
    return Run(bundle, read_channel(channel / "test"), best, seconds)


def interval(target: Floats, blend: Floats, other: Floats) -> tuple[float, float, float]:
    """Return by how much the blend's RMSE is below the other's, with the ends of the 95% bootstrap interval."""
    random = np.random.RandomState(0)
    squares = np.column_stack([(target - other) ** 2, (target - blend) ** 2])
    gains = []
    for _ in range(SAMPLES):
        both = np.sqrt(squares[random.randint(0, len(target), len(target))].mean(axis=0))
        gains.append(both[0] - both[1])
    whole = np.sqrt(squares.mean(axis=0))
    low, high = np.percentile(gains, [2.5, 97.5])
    return float(whole[0] - whole[1]), float(low), float(high)


def main() -> int:
    """Tune, compare and print."""
    parser = argparse.ArgumentParser(description="Compare ensemble=wide with its best member and with ensemble=pair.")
    parser.add_argument("tables", nargs="*", metavar="FILE:TARGET", help="tables in addition to diabetes")
    parser.add_argument("--trials", type=int, default=10, help="trials per study (default: 10)")
    options = parser.parse_args()
    console = Console(highlight=False, width=150)
    named: dict[str, list[str]] = {"diabetes": []}
    for text in options.tables:
        path, _, target = text.rpartition(":")
        named[Path(path).stem] = ["dataset=file", f"dataset.path={Path(path).absolute()}", f"dataset.target={target}"]
    shown = TextTable(box=None, padding=(0, 2, 0, 0))
    for title in (
        "table",
        "test rows",
        "wide",
        "its best member",
        "pair",
        "below best member",
        "below pair",
        "seconds",
    ):
        shown.add_column(title, justify="left" if title == "table" else "right", no_wrap=True)
    notes = []
    with tempfile.TemporaryDirectory(prefix="byoe-tables-") as folder:
        for name, data in named.items():
            with console.status(f"{name}: wide"):
                wide = run("wide", data, options.trials, Path(folder) / name / "wide")
            with console.status(f"{name}: pair"):
                pair = run("pair", data, options.trials, Path(folder) / name / "pair")
            target, member = wide.test.target, wide.bundle.members[wide.best_member]
            gains = [interval(target, wide.blend, other) for other in (wide.member, pair.blend)]
            shown.add_row(
                name,
                str(len(target)),
                *(f"{rmse(target, predicted):.5g}" for predicted in (wide.blend, wide.member, pair.blend)),
                *(f"{gain:+.3g} ({low:+.3g} to {high:+.3g})" for gain, low, high in gains),
                f"{wide.seconds:.0f}, {pair.seconds:.0f}",
            )
            blend, alone = wide.single()
            notes.append(f"{name}: the models of each fold alone: blend {blend:.5g}, {member} {alone:.5g}")
    console.print(shown)
    for note in notes:
        console.print(note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
