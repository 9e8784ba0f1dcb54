"""byoe's ``mode=local`` against the script one would write without it: trials per second, and overhead per trial.

Run ``python benchmarks/in_process.py``. Both sides train the same points (those that byoe's own study proposes) of the
same pair on the same folds of the same rows. The script is plain and sequential: one process, ``study.optimize`` on
Optuna's SQLite storage, one MLflow run a trial. It runs twice: with every library's default threads, and with one.

- Every run is a process of its own in an empty folder; rounds are interleaved, so that a noisy minute hits all sides.
- Trials per second: from just before the first trial until the last one is recorded (byoe: ledger and MLflow; script:
  Optuna and MLflow). Imports, creating databases, starting workers and one warm-up trial a process come before that.
- byoe samples by TPE in that time, the script reads its points from Optuna's queue; byoe logs every score of every
  fold, the script six RMSEs. Both differences favour the script.
- Overhead per trial: (wall time of a study with one worker of one thread - seconds in the libraries' fit and predict) /
  trials. What another thread does meanwhile delays no trial and so is not in it; the breakdown lists it all the same.
"""

from __future__ import annotations

import argparse
import functools
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

ROOT = Path(__file__).resolve().parent.parent
STUDY = ("mode=local", "dataset=diabetes", "ensemble=pair", "search=quick")
MEMBERS = ("xgboost", "catboost")
RMSES = tuple(f"{split}_rmse_{name}" for split in ("cv", "validation") for name in (*MEMBERS, "blended"))
LIBRARIES = ("xgboost", "catboost", "scikit-learn", "numpy", "optuna", "mlflow")

BYOE, SEQUENTIAL, SCRIPT, SCRIPT_ONE_THREAD = "byoe", "byoe-sequential", "script", "script-one-thread"
TITLES = {
    BYOE: "byoe mode=local",
    SCRIPT: "script, default threads",
    SCRIPT_ONE_THREAD: "script, one thread",
    SEQUENTIAL: "byoe, one worker of one thread",
}
# Parts of byoe's overhead: on the path from one trial to the next, or beside it in other threads.
ON_PATH = ("trial folder made", "worker: all but fit and predict", "result read", "MLflow after the last trial")
BESIDE = ("ask", "tell", "ledger: asked", "ledger: finished", "progress shown", "MLflow run logged")
REST = "the rest: threads, sockets"

Answer = dict[str, Any]


class Stopwatch:
    """Adds up the seconds spent in functions, by label."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def wrap(self, owner: Any, name: str, label: str) -> None:
        """Replace ``owner.name`` by itself with its time taken."""
        setattr(owner, name, self.timed(getattr(owner, name), label))

    def timed(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        """Return ``function`` with its time taken."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[label] += time.perf_counter() - start

        return wrapper


def run_byoe(trials: int, *, sequential: bool) -> Answer:
    """Run byoe's study as ``experiments.running`` does, its start-up apart; in the working directory."""
    import optuna  # noqa: F401  # the loop imports it at its first trial, which is start-up

    from experiments import tracking
    from experiments.backends import local
    from experiments.backends.worker_pool import WorkerPool
    from experiments.config import compose
    from experiments.ledger import Ledger
    from experiments.planning import plan_study
    from experiments.progress import StudyProgress
    from experiments.proposals import OptunaProposer, make_proposer
    from experiments.study import TrialResult, TrialSpec

    composed = compose([*STUDY, f"search.n_trials={trials}", *(["search.parallel=1"] if sequential else [])])
    study = plan_study(composed).place()
    study = replace(study, threads=1) if sequential else study
    pool = WorkerPool(study.parallel, study.threads)
    watch = Stopwatch()
    with Path(os.devnull).open("w") as nowhere, Ledger.open(study) as ledger:
        tracker = tracking.Tracker(study, tracking.store_uri(None, Path()), "byoe", Path(), composed.with_sources())
        if sequential:
            watch.wrap(local, "prepare", "trial folder made")
            watch.wrap(pool, "call", "worker: all but fit and predict")
            watch.wrap(local, "read_result", "result read")
            watch.wrap(OptunaProposer, "ask", "ask")
            watch.wrap(OptunaProposer, "tell", "tell")
            watch.wrap(ledger, "record_asked", "ledger: asked")
            watch.wrap(ledger, "record", "ledger: finished")
            watch.wrap(tracking.Tracker, "_log_trial", "MLflow run logged")
        point = make_proposer(study).ask(0, None)
        with local.LocalBackend(pool).submit(study, ledger) as handle, ThreadPoolExecutor(study.parallel) as threads:
            runner = local.LocalRunner(study, pool)
            specs = [
                TrialSpec(trials + i, point, study.hyperparameters(point), Path(f"warm-up-{i}").absolute())
                for i in range(study.parallel)
            ]
            warm = list(threads.map(runner.run, specs))
            tracker.log(warm[0])
            while warm[0].index not in tracker._logged and tracker.problem is None:
                time.sleep(0.01)
            watch.seconds.clear()
            results: list[TrialResult] = []
            start, cpu = time.perf_counter(), time.process_time()
            with StudyProgress(study, MEMBERS, Console(file=nowhere), 0) as progress:
                show = watch.timed(progress.show, "progress shown")
                for result in handle.results():
                    results.append(result)
                    tracker.log(result)
                    show(result)
            watch.timed(tracker.drain, "MLflow after the last trial")()
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        tracker.close("FINISHED")
    if tracker.problem or any(result.failure for result in results):
        raise RuntimeError(tracker.problem or next(result.failure for result in results if result.failure))
    results.sort(key=lambda result: result.index)
    computing = sum(sum(result.info["fit_seconds"].values()) + result.info["predict_seconds"] for result in results)
    watch.seconds["worker: all but fit and predict"] -= computing
    watch.seconds[REST] = wall - computing - sum(watch.seconds[label] for label in ON_PATH)
    return {
        "points": [dict(result.params) for result in results],
        "rmse": [[result.metrics[name] for name in RMSES] for result in results],
        "wall": wall,
        "computing": computing,
        "parts": dict(watch.seconds) if sequential else {},
        "main_cpu": cpu,
        "workers": [study.parallel, study.threads],
    }


def run_script(points: list[dict[str, Any]], threads: int | None) -> Answer:
    """Run the plain script on these points; ``threads`` None leaves every library its default."""
    import catboost
    import mlflow
    import optuna
    import xgboost
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import KFold

    xgboost_threads = {} if threads is None else {"nthread": threads}
    catboost_threads = {} if threads is None else {"thread_count": threads}

    data = load_diabetes()
    order = np.random.RandomState(0).permutation(len(data.target))
    held_out = round(0.2 * len(order))
    train_rows, validation_rows = np.sort(order[2 * held_out :]), np.sort(order[held_out : 2 * held_out])
    x, y = data.data[train_rows], data.target[train_rows]
    x_validation, y_validation = data.data[validation_rows], data.target[validation_rows]
    folds = list(KFold(5, shuffle=True, random_state=0).split(x))
    computing = 0.0
    rmses: list[list[float]] = []

    def rmse(target: Any, predicted: Any) -> float:
        return float(np.sqrt(np.mean((target - predicted) ** 2)))

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
        with mlflow.start_run():
            mlflow.log_params(trial.params)
            cv, validation = np.empty((len(y), 2)), np.empty((len(folds), len(y_validation), 2))
            for number, (fit, score) in enumerate(folds):
                start = time.perf_counter()
                matrix = xgboost.QuantileDMatrix(x[fit], y[fit], **xgboost_threads)
                settings = {**for_xgboost, "tree_method": "hist", "seed": 0, **xgboost_threads}
                booster = xgboost.train(settings, matrix, num_boost_round=100)
                cv[score, 0] = booster.inplace_predict(x[score])
                validation[number, :, 0] = booster.inplace_predict(x_validation)
                model = catboost.CatBoostRegressor(
                    **for_catboost,
                    iterations=200,
                    random_seed=0,
                    allow_writing_files=False,
                    verbose=False,
                    **catboost_threads,
                )
                model.fit(x[fit], y[fit])
                cv[score, 1] = model.predict(x[score], **catboost_threads)
                validation[number, :, 1] = model.predict(x_validation, **catboost_threads)
                computing += time.perf_counter() - start
            numbers = []
            for target, predicted in ((y, cv), (y_validation, validation.mean(axis=0))):
                numbers += [rmse(target, column) for column in (*predicted.T, predicted.mean(axis=1))]
            mlflow.log_metrics(dict(zip(RMSES, numbers, strict=True)))
        rmses.append(numbers)
        return numbers[RMSES.index("cv_rmse_blended")]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("diabetes")

    def study_of(name: str, queue: list[dict[str, Any]]) -> optuna.Study:
        study = optuna.create_study(storage="sqlite:///optuna.db", study_name=name, direction="minimize")
        for point in queue:
            study.enqueue_trial(point)
        return study

    study_of("warm-up", points[:1]).optimize(objective, n_trials=1)
    study = study_of("diabetes", points)
    computing, rmses = 0.0, []
    start, cpu = time.perf_counter(), time.process_time()
    study.optimize(objective, n_trials=len(points))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"rmse": rmses, "wall": wall, "computing": computing, "main_cpu": cpu}


def work(variant: str, trials: int, points: Path) -> Answer:
    """Run one variant in this process."""
    if variant in (BYOE, SEQUENTIAL):
        return run_byoe(trials, sequential=variant == SEQUENTIAL)
    return run_script(json.loads(points.read_text()), 1 if variant == SCRIPT_ONE_THREAD else None)


def start(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command in a new folder and return what it printed; end this program if it fails."""
    folder.mkdir()
    # Thread counts that the user's shell sets would not be the libraries' defaults.
    environ = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    environ |= {"MLFLOW_LOGGING_LEVEL": "ERROR"}
    ran = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {ran.returncode}:\n{ran.stderr}")
    return ran.stdout


def measure(rounds: int, trials: int, folder: Path, console: Console) -> dict[str, list[Answer]]:
    """Return every variant's answers, one a round, and the whole job's under ``job``."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    points = folder / "points.json"
    for number in range(rounds):
        for variant in (BYOE, SCRIPT, SCRIPT_ONE_THREAD, SEQUENTIAL):
            with console.status(f"round {number + 1} of {rounds}: {TITLES[variant]}"):
                command = [sys.executable, __file__, "--worker", variant, "--trials", str(trials), "--points", points]
                answer = json.loads(start(command, folder / f"{variant}-{number}").splitlines()[-1])
            answers[variant].append(answer)
            if not points.exists():
                points.write_text(json.dumps(answer["points"]))
        with console.status(f"round {number + 1} of {rounds}: the whole job"):
            began = time.perf_counter()
            start([sys.executable, ROOT / "run.py", *STUDY, f"search.n_trials={trials}"], folder / f"job-{number}")
            answers["job"].append({"wall": time.perf_counter() - began})
    return answers


def machine() -> dict[str, str]:
    """Return what the numbers depend on."""
    facts = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in facts if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": str(cores),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def difference(answers: dict[str, list[Answer]]) -> float:
    """Return the largest difference of any RMSE of any trial from that of byoe's first round."""
    reference = np.array(answers[BYOE][0]["rmse"])
    ran = [answer for variant in TITLES for answer in answers[variant]]
    return max(float(np.abs(np.array(answer["rmse"]) - reference).max()) for answer in ran)


def per_trial(answers: list[Answer], trials: int, value: Callable[[Answer], float]) -> float:
    """Return the median over rounds of ``value`` in milliseconds per trial."""
    return median(1000 * value(answer) / trials for answer in answers)


def overhead(answer: Answer) -> float:
    """Return the seconds of a sequential run that are neither fit nor predict."""
    return float(answer["wall"] - answer["computing"])


def show(answers: dict[str, list[Answer]], trials: int, console: Console) -> None:
    """Print both tables."""
    table = Table("", "trials/s", "lowest to highest", "byoe is", "overhead", "process CPU", box=None, padding=(0, 2))
    for variant, title in TITLES.items():
        rates = [trials / answer["wall"] for answer in answers[variant]]
        ratios = [other["wall"] / ours["wall"] for ours, other in zip(answers[BYOE], answers[variant], strict=True)]
        table.add_row(
            title,
            f"{median(rates):.2f}",
            f"{min(rates):.2f} to {max(rates):.2f}",
            "" if variant == BYOE else f"{median(ratios):.2f} times as fast",
            "" if variant == BYOE else f"{per_trial(answers[variant], trials, overhead):.1f} ms",
            f"{per_trial(answers[variant], trials, lambda answer: answer['main_cpu']):.1f} ms",
        )
    console.print("\nTrials per second; overhead and CPU of the main process per trial:", table, sep="\n")
    parts = Table("", "ms a trial", box=None, padding=(0, 2))
    for heading, labels in (("on the path of a trial", (*ON_PATH, REST)), ("beside it, in other threads", BESIDE)):
        each = {
            label: per_trial(answers[SEQUENTIAL], trials, lambda answer, key=label: answer["parts"].get(key, 0.0))
            for label in labels
        }
        parts.add_row(heading, f"{sum(each.values()):.1f}", style="bold")
        for label, milliseconds in each.items():
            parts.add_row(f"  {label}", f"{milliseconds:.1f}")
    computing = per_trial(answers[SEQUENTIAL], trials, lambda answer: answer["computing"])
    console.print(f"\nWhere byoe's overhead is, besides {computing:.0f} ms of fit and predict:", parts, sep="\n")
    walls = [answer["wall"] for answer in answers["job"]]
    console.print(
        f"\nThe whole job, from nothing to a registered winner: {median(walls):.1f} s ({min(walls):.1f} to "
        f"{max(walls):.1f}) for python run.py mode=local search.n_trials={trials}"
    )


def main() -> int:
    """Measure, print and compare; 1 when the two sides do not give identical RMSEs."""
    parser = argparse.ArgumentParser(description="byoe's mode=local against a plain script: trials per second.")
    parser.add_argument("--trials", type=int, default=20, help="trials a run, at least 2 (default: 20)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every variant (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's numbers there")
    parser.add_argument("--worker", choices=list(TITLES), help=argparse.SUPPRESS)
    parser.add_argument("--points", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trials < 2 or options.rounds < 1:
        parser.error("--trials must be at least 2, and --rounds at least 1")
    if options.worker:
        print(json.dumps(work(options.worker, options.trials, options.points)))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    facts = machine()
    console.print("  ".join(f"{name}: {text}" for name, text in facts.items()))
    with tempfile.TemporaryDirectory(prefix="byoe-benchmark-") as folder:
        answers = measure(options.rounds, options.trials, Path(folder), console)
    workers, threads = answers[BYOE][0]["workers"]
    console.print(f"{options.trials} trials, {options.rounds} rounds; byoe: {workers} workers, threads each: {threads}")
    show(answers, options.trials, console)
    moved = difference(answers)
    verdict = "identical" if moved == 0.0 else f"NOT identical, by up to {moved:.3g}"
    console.print(f"RMSEs of all trials (members and blend; cross-validation and validation): {verdict}")
    if options.json is not None:
        document = {"machine": facts, "trials": options.trials, "largest_difference": moved, "rounds": answers}
        options.json.write_text(json.dumps(document, indent=1))
    return 0 if moved == 0.0 else 1


if __name__ == "__main__":
    sys.exit(main())
