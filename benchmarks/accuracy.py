"""Compare byoe's models with those of other tools: the same rows, the same core, the same seconds.

Run ``python benchmarks/accuracy.py``, and with ``--table FILE:TARGET`` for tables of your own. Each table is split
several times. Every contender learns from the training rows on one core, in a new process and an environment that this
script creates for it, and predicts the test rows, which nobody has seen:

- ``first``: byoe's first command, ``python run.py mode=local``, with all its defaults;
- ``wide``: ``python run.py mode=local ensemble=wide search.timeout=SECONDS``;
- ``catboost``: ``CatBoostRegressor().fit(X, y)``, or ``CatBoostClassifier()``;
- ``blend_of_six``: six unlike models with their own defaults, and the best weights of their out-of-fold predictions;
- ``flaml`` and ``autogluon`` (best quality), for the same time.

A score is the RMSE on the test rows, or the log loss where the target has classes, over that of the best reference
(all but byoe's own) on the same split. Results are appended to a file, from which the next run continues; ``--report``
prints the tables without running anything.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).with_name("peers.py")
BYOE = ("first", "wide")
TOOLS = ("flaml", "autogluon")
REFERENCES = ("catboost", "blend_of_six", *TOOLS)
# What the environments of references are made of; the others run in this one.
REQUIREMENTS = {
    "flaml": ["flaml[automl]", "catboost", "pandas"],
    "autogluon": ["autogluon.tabular[catboost,lightgbm,xgboost]"],
}
TEST_SHARE = 0.25
# The probability of a row's class counts as at least this.
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Result:
    """One contender on one split of one table.

    Attributes:
        table: Name of the table.
        split: Number of the split, which is also its seed.
        contender: Name of the contender.
        seconds: The time that it was given.
        error: RMSE on the test rows, in the target's unit, or log loss; NaN if it failed.
        took: Wall time in seconds.
        versions: Versions of its libraries.
        classes: Whether the target has classes.
    """

    table: str
    split: int
    contender: str
    seconds: float
    error: float
    took: float
    versions: dict[str, str]
    classes: bool = False

    @property
    def key(self) -> tuple[str, int, str, float]:
        """What identifies the run."""
        return self.table, self.split, self.contender, self.seconds


def made_tables() -> dict[str, Callable[[], tuple[pd.DataFrame, str]]]:
    """Return the tables that scikit-learn has or makes, by name."""
    from sklearn import datasets

    def frame(features: Any, target: Any) -> tuple[pd.DataFrame, str]:
        import pandas as pd

        columns = [f"x{number}" for number in range(np.shape(features)[1])]
        return pd.DataFrame(np.asarray(features), columns=columns).assign(y=np.asarray(target)), "y"

    def classes(features: Any, target: Any) -> tuple[pd.DataFrame, str]:
        table, name = frame(features, target)
        return table.assign(**{name: [f"c{label}" for label in table[name]]}), name

    def made_classes(**settings: Any) -> tuple[pd.DataFrame, str]:
        return classes(*datasets.make_classification(random_state=0, **settings))

    return {
        "diabetes": lambda: frame(*datasets.load_diabetes(return_X_y=True)),
        "friedman1": lambda: frame(*datasets.make_friedman1(1000, noise=1.0, random_state=0)),
        "friedman2": lambda: frame(*datasets.make_friedman2(500, noise=100.0, random_state=0)),
        "friedman3": lambda: frame(*datasets.make_friedman3(2000, noise=0.1, random_state=0)),
        "sparse": lambda: frame(*datasets.make_sparse_uncorrelated(300, random_state=0)),
        "cancer": lambda: classes(*datasets.load_breast_cancer(return_X_y=True)),
        "wine": lambda: classes(*datasets.load_wine(return_X_y=True)),
        "digits": lambda: classes(*(part[:600] for part in datasets.load_digits(return_X_y=True))),
        "imbalanced": lambda: made_classes(n_samples=2000, n_features=15, n_informative=6, weights=[0.93], flip_y=0.02),
        "four": lambda: made_classes(n_samples=1200, n_features=12, n_informative=7, n_classes=4),
    }


def given_table(text: str) -> tuple[str, Callable[[], tuple[pd.DataFrame, str]]]:
    """Return the name of a table that is given as ``FILE:TARGET``, and what reads it."""
    path, _, target = text.rpartition(":")

    def read() -> tuple[pd.DataFrame, str]:
        import pandas as pd

        return pd.read_csv(path), target

    return Path(path).stem, read


def split(table: pd.DataFrame, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the training rows and the test rows of one split."""
    order = np.random.RandomState(number).permutation(len(table))
    rows = round(TEST_SHARE * len(table))
    return table.iloc[order[rows:]], table.iloc[order[:rows]]


def has_classes(target: pd.Series[Any]) -> bool:
    """Return whether a target has classes, as byoe decides it."""
    import pandas as pd

    return not pd.api.types.is_numeric_dtype(target) or set(target) == {0, 1}


def environment(contender: str, cache: Path) -> str:
    """Return the Python of a contender, in an environment that is created if it does not exist."""
    requirements = REQUIREMENTS.get(contender)
    if requirements is None:
        return sys.executable
    folder = cache / contender
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "complete").touch()
    return str(python)


@dataclass(frozen=True)
class Question:
    """What a contender is asked: to learn from ``train.csv`` in a folder, and to predict ``test.csv``.

    Attributes:
        folder: The folder.
        target: Name of the target.
        labels: The classes, in the order in which their probabilities are wanted; empty for a quantity.
        seconds: The time for a search.
        seed: The seed.
    """

    folder: Path
    target: str
    labels: Sequence[str]
    seconds: float
    seed: int


def run_peer(contender: str, cache: Path, question: Question) -> dict[str, Any]:
    """Return the answer of a reference."""
    folder = question.folder
    files = [str(folder / "train.csv"), str(folder / "test.csv")]
    numbers = [f"{question.seconds:g}", str(question.seed), json.dumps(question.labels)]
    command = [environment(contender, cache), str(PEERS), contender, *files, question.target, *numbers]
    answer: dict[str, Any] = json.loads(on_one_core(command, folder).splitlines()[-1])
    return answer


def run_byoe(contender: str, question: Question) -> dict[str, Any]:
    """Return byoe's answer, with the time of its search."""
    import pandas as pd

    folder, labels = question.folder, question.labels
    settings = [] if contender == "first" else ["ensemble=wide", f"search.timeout={question.seconds:g}"]
    data = ["dataset=file", "dataset.path=train.csv", f"dataset.target={question.target}"]
    data.append(f"search.seed={question.seed}")
    run = [sys.executable, str(ROOT / "run.py")]
    began = time.perf_counter()
    on_one_core([*run, "mode=local", "study=model", *data, *settings], folder)
    took = time.perf_counter() - began
    detail = ["detail=probabilities"] if labels else []
    on_one_core([*run, "action=batch", "model=model", "input=test.csv", "output=predictions.csv", *detail], folder)
    manifest = json.loads((folder / "studies" / "model" / "final" / "model" / "manifest.json").read_text())
    table = pd.read_csv(folder / "predictions.csv")
    columns = [f"probability_{label}" for label in labels]
    predicted = table[columns].to_numpy() if labels else table["prediction"].to_numpy()
    return {"predictions": predicted.tolist(), "versions": manifest["versions"], "took": took}


def on_one_core(command: Sequence[str], folder: Path) -> str:
    """Run a command on one core of this machine, and return its output."""
    core = min(os.sched_getaffinity(0))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        ["taskset", "--cpu-list", str(core), *command],
        cwd=folder,
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    return done.stdout


def compete(
    name: str, read: Callable[[], tuple[pd.DataFrame, str]], number: int, contender: str, seconds: float, cache: Path
) -> Result:
    """Run one contender on one split of one table."""
    table, target = read()
    train, test = split(table, number)
    labels = sorted(map(str, set(table[target]))) if has_classes(table[target]) else []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        train.to_csv(folder / "train.csv", index=False)
        test.drop(columns=target).to_csv(folder / "test.csv", index=False)
        question = Question(folder, target, labels, seconds, number)
        if contender not in BYOE:
            environment(contender, cache)  # so that its installation is not timed
        began = time.perf_counter()
        try:
            answer = run_byoe(contender, question) if contender in BYOE else run_peer(contender, cache, question)
        except (RuntimeError, ValueError, OSError) as failure:
            print(f"{contender} on {name}: {failure}", file=sys.stderr)
            answer = {"predictions": [math.nan] * len(test), "versions": {}}
        took = time.perf_counter() - began
    predicted = np.asarray(answer["predictions"])
    if not labels:
        error = float(np.sqrt(np.mean((predicted - test[target].to_numpy(dtype=float)) ** 2)))
    elif predicted.ndim == 1:  # it failed
        error = math.nan
    else:
        places = test[target].astype(str).map(labels.index).to_numpy()
        error = float(-np.mean(np.log(np.maximum(predicted[np.arange(len(test)), places], LEAST_PROBABILITY))))
    took = answer.get("took", took)
    return Result(name, number, contender, seconds, error, took, answer["versions"], bool(labels))


def report(results: Sequence[Result], console: Console) -> None:
    """Print the scores for quantities and for classes, and the versions of the libraries."""
    for classes, error in ((False, "RMSE"), (True, "log loss")):
        report_task([result for result in results if result.classes == classes], error, console)
    versions = {library: version for result in results for library, version in result.versions.items()}
    console.print("versions: " + ", ".join(f"{library} {version}" for library, version in sorted(versions.items())))


def report_task(results: Sequence[Result], error: str, console: Console) -> None:
    """Print the score of each contender on each table, and over all tables."""
    if not results:
        return
    scores: dict[tuple[str, str], list[float]] = {}
    ranks: dict[str, list[int]] = {}
    tools: dict[str, list[float]] = {}
    plain: dict[str, list[float]] = {}
    runs: dict[tuple[str, int], dict[str, Result]] = {}
    for result in results:
        runs.setdefault((result.table, result.split), {})[result.contender] = result
    for (table, _), by_contender in runs.items():
        found = {name: result.error for name, result in by_contender.items() if math.isfinite(result.error)}
        references = [found[name] for name in REFERENCES if name in found]
        if not references:
            continue
        for name, value in found.items():
            scores.setdefault((name, table), []).append(value / min(references))
            ranks.setdefault(name, []).append(sorted(found.values()).index(value) + 1)
            against = [found[tool] for tool in TOOLS if tool in found]
            if against:
                tools.setdefault(name, []).append(value / min(against))
            if "catboost" in found:
                plain.setdefault(name, []).append(value / found["catboost"])
    contenders = [name for name in (*BYOE, *REFERENCES) if name in ranks]
    tables = sorted({table for _, table in scores})
    shown = Table(
        "table", *contenders, title=f"{error} on test rows over that of the best reference: geometric mean over splits"
    )
    for table in tables:
        cells = [scores.get((name, table)) for name in contenders]
        shown.add_row(table, *("-" if cell is None else f"{geometric_mean(cell):.3f}" for cell in cells))
    total = {name: list(itertools.chain(*(scores.get((name, table), []) for table in tables))) for name in contenders}
    shown.add_section()
    shown.add_row("geometric mean", *(f"{geometric_mean(total[name]):.3f}" for name in contenders), style="bold")
    if tools:
        row = (f"{geometric_mean(tools[name]):.3f}" if name in tools else "-" for name in contenders)
        shown.add_row("over the better of FLAML and AutoGluon", *row)
    if plain:
        shown.add_row("over plain CatBoost", *(f"{geometric_mean(plain[name]):.3f}" for name in contenders))
        shown.add_row("worst over plain CatBoost", *(f"{max(plain[name]):.3f}" for name in contenders))
    shown.add_row("mean rank", *(f"{np.mean(ranks[name]):.2f}" for name in contenders))
    shown.add_row("wins", *(str(ranks[name].count(1)) for name in contenders))
    took = {name: [result.took for result in results if result.contender == name] for name in contenders}
    shown.add_row("median seconds", *(f"{median(took[name]):.0f}" for name in contenders))
    shown.add_row("most seconds", *(f"{max(took[name]):.0f}" for name in contenders))
    console.print(shown)


def main() -> None:
    """Run what the results file lacks, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", action="append", default=[], metavar="FILE:TARGET", help="a CSV table of your own")
    parser.add_argument("--made", nargs="*", default=list(made_tables()), help="tables of scikit-learn (default: all)")
    parser.add_argument("--contenders", nargs="+", default=[*BYOE, *REFERENCES], choices=[*BYOE, *REFERENCES])
    parser.add_argument("--splits", type=int, default=5, help="splits of each table (5)")
    parser.add_argument("--seconds", type=float, default=60.0, help="time of each contender that takes one (60)")
    parser.add_argument("--results", type=Path, default=Path("accuracy.jsonl"), help="where results are kept")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "byoe-benchmarks", help="environments")
    parser.add_argument("--report", action="store_true", help="only report")
    options = parser.parse_args()
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    results = [Result(**json.loads(line)) for line in lines]
    tables = {name: read for name, read in made_tables().items() if name in options.made}
    tables |= dict(map(given_table, options.table))
    known = {result.key for result in results}
    runs = [] if options.report else list(itertools.product(range(options.splits), tables, options.contenders))
    with Progress(console=Console(stderr=True)) as progress:
        for number, name, contender in progress.track(runs, description="runs"):
            if (name, number, contender, options.seconds) in known:
                continue
            result = compete(name, tables[name], number, contender, options.seconds, options.cache)
            results.append(result)
            with options.results.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")
    report(results, Console(width=120))


if __name__ == "__main__":
    main()
