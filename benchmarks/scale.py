"""Measure ``mode=local`` on tables of up to a million rows: wall time against the bare library calls, and memory.

Run ``python benchmarks/scale.py``. For each number of rows it writes a table of 50 columns, and then alternates:

- byoe tunes ``ensemble=pair`` on the table (``python run.py ...``, in a new process) with its default parallelism. The
  trials are timed by the ledger, from the start of the first to the end of the last, and the whole command by the
  clock. Memory is measured in a separate run, because sampling takes time: ten times a second, the proportional set
  sizes (shared pages count once) of all processes are added up, and the largest sum counts.
- A plain process makes the library calls of the same trials: for every trial, fold and member, fit and predict with the
  library's default threads, on the same rows. Only the calls are timed, not the reading or slicing of rows.

Ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 50
STUDY = "scale"
SAMPLE_EVERY_SECONDS = 0.1
# Trials by number of rows; a trial of a million rows takes minutes.
TRIALS = {10_000: 4, 100_000: 4, 1_000_000: 2}

Answer = dict[str, Any]


def write_table(rows: int, path: Path) -> None:
    """Write a table whose target depends on ten of its columns, after Friedman's first function."""
    import pandas as pd

    random = np.random.RandomState(0)
    features = random.uniform(size=(rows, COLUMNS))
    a, b, c, d, e = features[:, :5].T
    target = 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e
    target += features[:, 5:10] @ random.normal(size=5) + random.normal(size=rows)
    frame = pd.DataFrame(features, columns=[f"x{number}" for number in range(COLUMNS)])
    frame["y"] = target
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)


class PeakMemory:
    """The peak memory of a process and its descendants. Use as a context manager."""

    def __init__(self, pid: int) -> None:
        """Measure the process ``pid`` and its descendants."""
        self.bytes = 0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_SECONDS):
            total = 0
            try:
                tree = [self._process, *self._process.children(recursive=True)]
            except psutil.Error:
                return
            for process in tree:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:  # it has ended
                    continue
            self.bytes = max(self.bytes, total)


def run_byoe(table: Path, trials: int, folder: Path, more: Sequence[str], *, sample: bool) -> Answer:
    """Run the command in a new folder; return its times and its trials, or its peak memory."""
    folder.mkdir()
    arguments = [
        f"study={STUDY}",
        "mode=local",
        "dataset=file",
        f"dataset.path={table}",
        "dataset.target=y",
        "ensemble=pair",
        "ensemble.params.xgboost.num_round=100",
        "ensemble.params.catboost.iterations=200",
        f"search.n_trials={trials}",
        *more,
    ]
    began = time.perf_counter()
    with (
        subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as command,
        PeakMemory(command.pid) if sample else contextlib.nullcontext() as peak,
    ):
        output, _ = command.communicate()
    if command.returncode != 0:
        sys.exit(f"byoe ended with {command.returncode}:\n{output.decode()}")
    if peak is not None:
        return {"peak": peak.bytes}
    whole = time.perf_counter() - began
    with closing(sqlite3.connect(folder / "studies" / STUDY / "ledger.sqlite")) as ledger:
        results = [json.loads(text) for (text,) in ledger.execute("SELECT result FROM trials ORDER BY number")]
    (channel,) = (folder / "studies" / "_channels").iterdir()
    return {
        "trials": max(result["finished"] for result in results) - min(result["started"] for result in results),
        "whole": whole,
        "recipes": [result["info"]["recipe"] for result in results],
        "rmse": [result["metrics"]["cv_rmse_blended"] for result in results],
        "channel": str(channel),
    }


def run_bare(job: Answer) -> Answer:
    """Make the library calls of these trials one after another; return how many seconds they took."""
    import catboost
    import xgboost
    from sklearn.model_selection import KFold

    channel = Path(job["channel"])
    x, x_validation = (np.load(channel / split / "features.npy") for split in ("train", "validation"))
    y = np.load(channel / "train" / "target.npy")
    seconds = 0.0
    rmses = []
    for recipe in job["recipes"]:
        for_xgboost, for_catboost = (member["params"] for member in recipe["members"])
        rounds = for_xgboost.pop("num_round")
        settings = {**for_xgboost, "tree_method": "hist", "seed": recipe["seed"]}
        fixed = {"random_seed": recipe["seed"], "allow_writing_files": False, "verbose": False}
        predicted = np.empty((len(y), 2))
        for fit, score in KFold(recipe["folds"]["k"], shuffle=True, random_state=recipe["seed"]).split(x):
            rows, target, rows_score = x[fit], y[fit], x[score]
            start = time.perf_counter()
            booster = xgboost.train(settings, xgboost.QuantileDMatrix(rows, target), num_boost_round=rounds)
            predicted[score, 0] = booster.inplace_predict(rows_score)
            booster.inplace_predict(x_validation)
            model = catboost.CatBoostRegressor(**for_catboost, **fixed)
            model.fit(rows, target)
            predicted[score, 1] = model.predict(rows_score)
            model.predict(x_validation)
            seconds += time.perf_counter() - start
        rmses.append(float(np.sqrt(np.mean((predicted.mean(axis=1) - y) ** 2))))
    return {"calls": seconds, "rmse": rmses}


def measure(rows: int, rounds: int, ending: str, folder: Path, more: Sequence[str], console: Console) -> list[Answer]:
    """Return the measurements of both sides, one dictionary per round."""
    table = folder / f"table-{rows}.{ending}"
    write_table(rows, table)
    environ = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    trials = TRIALS.get(rows, 2)
    with console.status(f"{rows} rows: byoe's memory"):
        memory = run_byoe(table, trials, folder / f"memory-{rows}", more, sample=True)
    answers = []
    for number in range(rounds):
        with console.status(f"{rows} rows, round {number + 1} of {rounds}: byoe"):
            byoe = run_byoe(table, trials, folder / f"byoe-{rows}-{number}", more, sample=False)
        with console.status(f"{rows} rows, round {number + 1} of {rounds}: bare calls"):
            ran = subprocess.run(
                [sys.executable, __file__, "--bare"],
                input=json.dumps(byoe),
                env=environ,
                capture_output=True,
                text=True,
                check=True,
            )
        bare = json.loads(ran.stdout)
        if not np.allclose(byoe["rmse"], bare["rmse"], rtol=1e-9):
            sys.exit(f"the two sides do not train the same models: {byoe['rmse']} and {bare['rmse']}")
        answers.append({**memory, **byoe, "calls": bare["calls"]})
    table.unlink()
    return answers


def show(answers: dict[int, list[Answer]], console: Console) -> None:
    """Print one row per table size."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("rows", "trials", "bare calls", "byoe's trials", "ratio", "whole command", "peak memory", "of table"):
        table.add_column(title, justify="right", no_wrap=True)
    for rows, rounds in answers.items():

        def middle(key: str, rounds: list[Answer] = rounds) -> float:
            return median(float(answer[key]) for answer in rounds)

        ratio = median(answer["trials"] / answer["calls"] for answer in rounds)
        table.add_row(
            f"{rows:,}",
            str(len(rounds[0]["rmse"])),
            f"{middle('calls'):.1f} s",
            f"{middle('trials'):.1f} s",
            f"{ratio:.2f}",
            f"{middle('whole'):.1f} s",
            f"{middle('peak') / 1e6:,.0f} MB",
            f"{middle('peak') / (rows * COLUMNS * 8):.1f} times",
        )
    console.print(table)
    sizes = sorted(answers)
    for small, large in itertools.pairwise(sizes):
        growth = {
            key: median(a[key] for a in answers[large]) / median(a[key] for a in answers[small])
            for key in ("whole", "peak")
        }
        console.print(
            f"{small:,} to {large:,} rows: {growth['whole']:.1f} times the time of the whole command, "
            f"{growth['peak']:.1f} times the memory"
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the time and memory of mode=local on large tables.")
    parser.add_argument("--rows", type=int, nargs="+", default=list(TRIALS), help="numbers of rows")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per number of rows (default: 3)")
    parser.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet", help="format of the table (default: parquet)"
    )
    parser.add_argument("--folder", type=Path, help="folder for tables and studies (default: a temporary folder)")
    parser.add_argument(
        "--arguments", nargs="*", default=[], help="further arguments of byoe's command, such as search.parallel=1"
    )
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(run_bare(json.load(sys.stdin))))
        return 0
    console = Console(highlight=False, width=150)
    with tempfile.TemporaryDirectory(prefix="byoe-scale-", dir=options.folder) as folder:
        answers = {
            rows: measure(rows, options.rounds, options.format, Path(folder), options.arguments, console)
            for rows in options.rows
        }
    show(answers, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
