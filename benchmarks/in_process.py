"""Compare ``mode=local`` with the script that one would write without byoe: trials per second, overhead per trial.

Run ``python benchmarks/in_process.py``. Both sides train the same points (those that byoe's study proposes) of the same
pair on the same folds of the same rows. The script is plain and sequential: one process, ``study.optimize`` with
Optuna's SQLite storage, one MLflow run per trial. It runs twice: with every library's default threads, and with one.

- Every run is a new process in an empty folder. The variants alternate within each round, so that noise affects all.
- Trials per second: from just before the first trial until the last one is recorded (byoe: ledger and MLflow; script:
  Optuna and MLflow). Imports, creating databases, starting workers and one warm-up trial per process are not counted.
- In that time byoe samples with TPE, while the script reads its points from Optuna's queue; and byoe logs scores of
  every fold, weights and rounds, while the script logs six RMSEs. Both differences favour the script.
- Overhead per trial: (wall time of a study with one worker of one thread - seconds in the libraries' fit and predict) /
  trials. Work in other threads that delays no trial is not in it; the breakdown lists it separately.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.system.machine import available_cores

ROOT = Path(__file__).resolve().parent.parent
STUDY = (
    *("mode=local", "dataset=diabetes", "ensemble=pair", "search=quick"),
    *("ensemble.params.xgboost.num_round=100", "ensemble.params.catboost.iterations=200"),
)
MEMBERS = ("xgboost", "catboost")
RMSES = tuple(f"{split}_rmse_{name}" for split in ("cv", "validation") for name in (*MEMBERS, "blended"))
LIBRARIES = ("xgboost", "catboost", "scikit-learn", "numpy", "optuna", "mlflow")

BYOE, SEQUENTIAL, SCRIPT, SCRIPT_ONE_THREAD = "byoe", "byoe-sequential", "script", "script-one-thread"
TITLES = {
    BYOE: "byoe mode=local",
    SCRIPT: "script, default threads",
    SCRIPT_ONE_THREAD: "script, one thread",
    SEQUENTIAL: "byoe, one worker",
}
# Parts of byoe's overhead: between two trials, or in other threads.
FOLDER, CALL, READ = "create the trial's folder", "worker: all but fit and predict", "read the result"
DRAIN = "MLflow's last trial"
ASK, TELL, ASKED, FINISHED = "ask", "tell", "ledger: asked", "ledger: finished"
SHOWN, LOGGED, REST = "show progress", "log the MLflow run", "the rest: threads, sockets"
PARTS = {
    "between trials": (FOLDER, CALL, READ, DRAIN, REST),
    "in other threads": (ASK, TELL, ASKED, FINISHED, SHOWN, LOGGED),
}

Answer = dict[str, Any]


def timed(function: Callable[..., Any], seconds: dict[str, float], label: str) -> Callable[..., Any]:
    """Return a ``function`` that adds the time of each call to ``seconds[label]``."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[label] += time.perf_counter() - start

    return wrapper


def run_byoe(trials: int, *, sequential: bool) -> Answer:
    """Run byoe's study in the working directory as ``experiments.actions.tune`` does, without its start-up."""
    import optuna  # noqa: F401  # the loop imports it at its first trial, which is start-up

    from experiments.backends import local
    from experiments.backends.worker_pool import WorkerPool
    from experiments.config.compose import compose
    from experiments.planning.study import plan_study
    from experiments.reporting.progress import StudyProgress
    from experiments.study.ledger import Ledger
    from experiments.study.sampling import OptunaProposer, make_proposer
    from experiments.study.spec import TrialResult, TrialSpec
    from experiments.tracking import runs, store

    composed = compose([*STUDY, f"search.n_trials={trials}", *(["search.parallel=1"] if sequential else [])])
    study = plan_study(composed).place()
    study = replace(study, threads=1) if sequential else study
    point = make_proposer(study).ask(0, None)
    pool = WorkerPool(study.parallel, study.threads)
    seconds: dict[str, float] = defaultdict(float)
    with Path(os.devnull).open("w") as nowhere, Ledger.open(study) as ledger:
        tracker = runs.Tracker(study, store.store_uri(None, Path()), "byoe", Path(), composed.with_sources())
        for owner, name, label in (
            (local, "prepare", FOLDER),
            (pool, "call", CALL),
            (local, "read_result", READ),
            (OptunaProposer, "ask", ASK),
            (OptunaProposer, "tell", TELL),
            (ledger, "record_asked", ASKED),
            (ledger, "record", FINISHED),
            (runs.Tracker, "_log_trial", LOGGED),
        ):
            setattr(owner, name, timed(getattr(owner, name), seconds, label))
        with local.LocalBackend(pool).submit(study, ledger) as handle, ThreadPoolExecutor(study.parallel) as threads:
            wire, runner = study.hyperparameters(point), local.LocalRunner(study, pool)
            extra = range(trials, trials + study.parallel)
            warm = list(threads.map(lambda i: runner.run(TrialSpec(i, point, wire, study.folder / f"warm-{i}")), extra))
            tracker.log(warm[0])
            while trials not in tracker._logged and tracker.problem is None:
                time.sleep(0.01)
            seconds.clear()
            results: list[TrialResult] = []
            start, cpu = time.perf_counter(), time.process_time()
            with StudyProgress(study, MEMBERS, Console(file=nowhere), 0) as progress:
                show_progress = timed(progress.show, seconds, SHOWN)
                for result in handle.results():
                    results.append(result)
                    tracker.log(result)
                    show_progress(result)
            timed(tracker.drain, seconds, DRAIN)()
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        tracker.close("FINISHED")
    problems = [tracker.problem, *(result.failure for result in results)]
    if any(problems):
        raise RuntimeError(next(filter(None, problems)))
    results.sort(key=lambda result: result.index)
    computing = sum(sum(result.info["fit_seconds"].values()) + result.info["predict_seconds"] for result in results)
    seconds[CALL] -= computing
    seconds[REST] = wall - computing - sum(seconds[label] for label in (FOLDER, CALL, READ, DRAIN))
    return {
        "points": [dict(result.params) for result in results],
        "rmse": [[result.metrics[name] for name in RMSES] for result in results],
        "wall": wall,
        "computing": computing,
        "overhead": wall - computing,
        "main_cpu": cpu,
        "workers": [study.parallel, study.threads],
        **(seconds if sequential else {}),
    }


def load_rows() -> list[Any]:
    """Return the script's training features and target, and its validation features and target."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    order = np.random.RandomState(0).permutation(len(data.target))
    held_out = round(0.2 * len(order))
    train, validation = np.sort(order[2 * held_out :]), np.sort(order[held_out : 2 * held_out])
    return [data.data[train], data.target[train], data.data[validation], data.target[validation]]


def run_script(points: list[dict[str, Any]], threads: int | None) -> Answer:
    """Run the plain script with these points; with ``threads=None`` every library has its default."""
    import catboost
    import mlflow
    import optuna
    import xgboost
    from sklearn.model_selection import KFold

    xgboost_threads = {} if threads is None else {"nthread": threads}
    catboost_threads = {} if threads is None else {"thread_count": threads}
    x, y, x_validation, y_validation = load_rows()
    folds = list(KFold(5, shuffle=True, random_state=0).split(x))
    computing = 0.0
    rmses: list[list[float]] = []

    def objective(trial: optuna.Trial) -> float:
        nonlocal computing
        for_xgboost = {
            "eta": trial.suggest_float("xgboost__eta", 0.02, 0.3, log=True),
            "max_depth": trial.suggest_int("xgboost__max_depth", 2, 8),
            "min_child_weight": trial.suggest_float("xgboost__min_child_weight", 1.0, 20.0, log=True),
            "subsample": trial.suggest_float("xgboost__subsample", 0.5, 1.0),
            "colsample_bytree": trial.suggest_float("xgboost__colsample_bytree", 0.4, 1.0),
        }
        for_catboost = {
            "learning_rate": trial.suggest_float("catboost__learning_rate", 0.02, 0.3, log=True),
            "depth": trial.suggest_int("catboost__depth", 3, 8),
            "l2_leaf_reg": trial.suggest_float("catboost__l2_leaf_reg", 1.0, 20.0, log=True),
        }
        settings = {**for_xgboost, "tree_method": "hist", "seed": 0, **xgboost_threads}
        fixed = {"iterations": 200, "random_seed": 0, "allow_writing_files": False, "verbose": False}
        with mlflow.start_run():
            mlflow.log_params(trial.params)
            cv, validation = np.empty((len(y), 2)), np.empty((len(folds), len(y_validation), 2))
            for number, (fit, score) in enumerate(folds):
                start = time.perf_counter()
                matrix = xgboost.QuantileDMatrix(x[fit], y[fit], **xgboost_threads)
                booster = xgboost.train(settings, matrix, num_boost_round=100)
                cv[score, 0] = booster.inplace_predict(x[score])
                validation[number, :, 0] = booster.inplace_predict(x_validation)
                model = catboost.CatBoostRegressor(**for_catboost, **fixed, **catboost_threads)
                model.fit(x[fit], y[fit])
                cv[score, 1] = model.predict(x[score], **catboost_threads)
                validation[number, :, 1] = model.predict(x_validation, **catboost_threads)
                computing += time.perf_counter() - start
            numbers = []
            for target, predicted in ((y, cv), (y_validation, validation.mean(axis=0))):
                errors = [target - column for column in (*predicted.T, predicted.mean(axis=1))]
                numbers += [float(np.sqrt(np.mean(error**2))) for error in errors]
            mlflow.log_metrics(dict(zip(RMSES, numbers, strict=True)))
        rmses.append(numbers)
        return numbers[RMSES.index("cv_rmse_blended")]

    def new_study(name: str, queue: list[dict[str, Any]]) -> optuna.Study:
        study = optuna.create_study(storage="sqlite:///optuna.db", study_name=name, direction="minimize")
        for point in queue:
            study.enqueue_trial(point)
        return study

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("diabetes")
    new_study("warm-up", points[:1]).optimize(objective, n_trials=1)
    study = new_study("diabetes", points)
    computing, rmses = 0.0, []
    start = time.perf_counter()
    study.optimize(objective, n_trials=len(points))
    wall = time.perf_counter() - start
    return {"rmse": rmses, "wall": wall, "computing": computing, "overhead": wall - computing}


def start_in(folder: Path, command: Sequence[str]) -> str:
    """Run a command in a new folder and return what it prints; exit if it fails."""
    folder.mkdir()
    # Variables of the user's shell would change the libraries' default numbers of threads.
    environ = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "ERROR"}
    ran = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr}")
    return ran.stdout


def measure(rounds: int, trials: int, folder: Path, console: Console) -> dict[str, list[Answer]]:
    """Return every variant's measurements, one per round, and those of the whole command under ``job``."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    points = folder / "points.json"
    for number in range(rounds):
        for variant, title in TITLES.items():
            with console.status(f"round {number + 1} of {rounds}: {title}"):
                arguments = ["--worker", variant, "--trials", str(trials), "--points", str(points)]
                printed = start_in(folder / f"{variant}-{number}", [sys.executable, __file__, *arguments])
            answers[variant].append(json.loads(printed.splitlines()[-1]))
            points.write_text(json.dumps(answers[BYOE][0]["points"]))
        with console.status(f"round {number + 1} of {rounds}: the whole command"):
            began = time.perf_counter()
            arguments = [str(ROOT / "run.py"), *STUDY, f"search.n_trials={trials}"]
            start_in(folder / f"job-{number}", [sys.executable, *arguments])
            answers["job"].append({"wall": time.perf_counter() - began})
    return answers


def machine() -> dict[str, str]:
    """Return the facts about this machine that the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": str(available_cores()),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def difference(answers: dict[str, list[Answer]]) -> float:
    """Return the largest difference of an RMSE of any trial from the one in byoe's first round."""
    ran = [np.array(answer["rmse"]) for variant in TITLES for answer in answers[variant]]
    return max(float(np.abs(rmses - ran[0]).max()) for rmses in ran)


def show(answers: dict[str, list[Answer]], trials: int, console: Console) -> None:
    """Print both tables."""

    def per_trial(variant: str, key: str) -> float:
        return median([1000 * float(answer[key]) / trials for answer in answers[variant]])

    table = Table("", "trials/s", "lowest, highest", "byoe against it", "overhead", box=None, padding=(0, 2, 0, 0))
    for variant, title in TITLES.items():
        rates = [trials / answer["wall"] for answer in answers[variant]]
        row = [title, f"{median(rates):.2f}", f"{min(rates):.2f}, {max(rates):.2f}"]
        if variant != BYOE:
            ratios = [other["wall"] / byoe["wall"] for byoe, other in zip(answers[BYOE], answers[variant], strict=True)]
            row += [f"{median(ratios):.2f} times", f"{per_trial(variant, 'overhead'):.1f} ms"]
        table.add_row(*row)
    console.print("\nTrials per second, and overhead per trial where one trial runs at a time:", table, sep="\n")
    parts = Table("", "ms per trial", box=None, padding=(0, 2, 0, 0))
    for heading, labels in PARTS.items():
        parts.add_row(heading, style="bold")
        for label in labels:
            parts.add_row(f"  {label}", f"{per_trial(SEQUENTIAL, label):.1f}")
    computing, cpu = per_trial(SEQUENTIAL, "computing"), per_trial(SEQUENTIAL, "main_cpu")
    console.print(f"\nWhere byoe's overhead is, besides {computing:.0f} ms of fit and predict:", parts, sep="\n")
    console.print(f"In total, its main process uses {cpu:.1f} ms of CPU per trial.")
    walls = [answer["wall"] for answer in answers["job"]]
    console.print(
        f"\nThe whole command, from nothing to a registered winner: {median(walls):.1f} s ({min(walls):.1f} to "
        f"{max(walls):.1f}) for python run.py mode=local search.n_trials={trials}"
    )


def main() -> int:
    """Measure, print and compare; return 1 if the RMSEs of the two sides are not identical."""
    parser = argparse.ArgumentParser(description="Compare mode=local with a plain script: trials per second.")
    parser.add_argument("--trials", type=int, default=20, help="trials per run, at least 2 (default: 20)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the numbers of every round")
    parser.add_argument("--worker", choices=list(TITLES), help=argparse.SUPPRESS)
    parser.add_argument("--points", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trials < 2 or options.rounds < 1:
        parser.error("--trials must be at least 2, and --rounds at least 1")
    if options.worker in (BYOE, SEQUENTIAL):
        print(json.dumps(run_byoe(options.trials, sequential=options.worker == SEQUENTIAL)))
        return 0
    if options.worker:
        threads = 1 if options.worker == SCRIPT_ONE_THREAD else None
        print(json.dumps(run_script(json.loads(options.points.read_text()), threads)))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    facts = machine()
    console.print("  ".join(f"{name}: {text}" for name, text in facts.items()))
    with tempfile.TemporaryDirectory(prefix="byoe-benchmark-") as folder:
        answers = measure(options.rounds, options.trials, Path(folder), console)
    workers, threads = answers[BYOE][0]["workers"]
    console.print(f"{options.trials} trials, {options.rounds} rounds; byoe: {workers} workers, threads each: {threads}")
    show(answers, options.trials, console)
    largest = difference(answers)
    verdict = "identical" if largest == 0.0 else f"NOT identical, by up to {largest:.3g}"
    console.print(f"RMSEs of all trials (members and blend; cross-validation and validation): {verdict}")
    if options.json is not None:
        document = {"machine": facts, "trials": options.trials, "largest_difference": largest, "rounds": answers}
        options.json.write_text(json.dumps(document, indent=1))
    return 0 if largest == 0.0 else 1


if __name__ == "__main__":
    sys.exit(main())
