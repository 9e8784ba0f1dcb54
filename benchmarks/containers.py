"""Compare the same trials in worker processes, in warm containers, and as jobs of the SageMaker SDK's local mode.

Run ``python benchmarks/containers.py``; it needs a Docker engine. Every variant runs the same study (diabetes,
``ensemble=pair``, ``search=quick``) in a new process and folder, and the variants alternate within each round:

- ``mode=local``: one worker process per core;
- warm pool: ``mode=sagemaker``, one container per core;
- SDK, one at a time: each trial is a plain local-mode job of the SageMaker SDK, one after another (the reference);
- SDK, in parallel: the same, with one job per core at a time;
- exec: the toolkit's own ``train`` in a running container, one trial after another.

A rate does not count the first trial of each worker, which waits for imports, nor the training of the winner. The time
from submit to the first trial is the time of the first result minus the time of a typical trial. It exits 1 unless
every RMSE of every trial is identical in all variants.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.backends.base import Backend
from experiments.backends.container_runners import lay_out
from experiments.backends.local import LocalBackend
from experiments.backends.sagemaker import SageMakerBackend, SageMakerSettings
from experiments.backends.worker_pool import WorkerPool
from experiments.config.compose import compose
from experiments.docker.engine import connect
from experiments.docker.image import build_image, image_exists, image_spec
from experiments.planning.study import plan_study
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec
from experiments.system.machine import available_cores

LOCAL, WARM, SDK, SDK_PARALLEL, EXEC = "local", "warm", "sdk", "sdk-parallel", "exec"
TITLES = {
    LOCAL: "mode=local",
    WARM: "warm pool (mode=sagemaker)",
    SDK_PARALLEL: "SDK jobs in parallel",
    SDK: "SDK jobs, one at a time",
    EXEC: "train by exec, one at a time",
}
ONE_AT_A_TIME = (SDK, EXEC)
Answer = dict[str, Any]


def settings(base: str) -> SageMakerSettings:
    """Return the settings of ``mode=sagemaker`` with a base image."""
    return SageMakerSettings(image_spec(base, None).tag, "none", 3600, None, None)


def run_study(study: StudySpec, make_backend: Callable[[], Backend]) -> Answer:
    """Run a study; return when it was submitted, and when its trials started and ended."""
    with Ledger.open(study) as ledger:
        backend = make_backend()
        backend.preflight(study)
        submitted = time.time()
        with backend.submit(study, ledger) as handle:
            results = list(handle.results())
    failed = [result.reason for result in results if result.state != "complete"]
    if failed:
        raise RuntimeError(failed[0])
    return {
        "submitted": submitted,
        "trials": [[result.started, result.finished] for result in results],
        "computing": [sum(result.info["fit_seconds"].values()) + result.info["predict_seconds"] for result in results],
        "rmse": {result.index: result.metrics["cv_rmse_blended"] for result in results},
        "params": {result.index: dict(result.params) for result in results},
        "parallel": study.parallel,
    }


def run_exec(study: StudySpec, base: str, trials: Path) -> Answer:
    """Run the trials of a finished study with the toolkit's ``train`` in one container, one after another."""
    from experiments.sagemaker_requests.jobs import trial_job

    backend = SageMakerBackend(settings(base))
    (document,) = backend.requests(study)["CreateHyperParameterTuningJob"]
    points = json.loads(trials.read_text())
    ml = Path("ml").absolute()
    code = json.loads(document["TrainingJobDefinition"]["StaticHyperParameters"]["sagemaker_submit_directory"])
    mounts = {str(ml): "/opt/ml", code.removeprefix("file://"): "/opt/ml/code"}
    for channel in ("train", "validation"):
        mounts[str(getattr(study.channels, channel))] = f"/opt/ml/input/data/{channel}"
    for place in mounts.values():
        (ml / Path(place).relative_to("/opt/ml")).mkdir(parents=True, exist_ok=True)
    spans, rmses = [], {}
    with closing(connect()) as client:
        submitted = time.time()
        container = client.containers.run(
            settings(base).image,
            ["sleep", "infinity"],
            detach=True,
            network_mode="none",
            extra_hosts={"algo-1": "127.0.0.1"},  # otherwise the toolkit looks up its own host for ever
            volumes={path: {"bind": place, "mode": "rw"} for path, place in mounts.items()},
            labels={"byoe": "benchmark"},
        )
        try:
            for index, params in points.items():
                hyperparameters = study.hyperparameters(params)
                tuned = {name: hyperparameters[name] for name in params}
                lay_out(ml, trial_job(document, int(index), tuned))
                began = time.time()
                ended = container.exec_run(["train"])
                spans.append([began, time.time()])
                if ended.exit_code != 0:
                    raise RuntimeError(ended.output.decode())
                metrics = json.loads((ml / "output" / "data" / "metrics.json").read_text())
                rmses[index] = metrics["metrics"]["cv_rmse_blended"]
        finally:
            container.remove(force=True)
    return {"submitted": submitted, "trials": spans, "rmse": rmses, "computing": [], "params": points, "parallel": 1}


def run_variant(variant: str, trials: int, base: str, points: Path) -> Answer:
    """Run one variant in the working directory."""
    mode = "local" if variant == LOCAL else "sagemaker"
    arguments = [f"mode={mode}", "study=benchmark", f"search.n_trials={trials}"]
    study = plan_study(compose([*arguments, *(["search.parallel=1"] if variant in ONE_AT_A_TIME else [])])).place()
    if variant == EXEC:
        return run_exec(study, base, points)
    if variant == LOCAL:
        pool = WorkerPool(study.parallel, study.threads)
        try:
            return run_study(study, lambda: LocalBackend(pool))
        finally:
            pool.close()
    # As in a script that uses the SDK, a job that runs alone has all cores.
    study = replace(study, threads=available_cores() // study.parallel, cold=variant != WARM)
    return run_study(study, lambda: SageMakerBackend(settings(base)))


def rate(answer: Answer) -> float:
    """Return trials per minute, without the first of each worker."""
    spans = sorted(answer["trials"])
    first = spans[: answer["parallel"]]
    rest = spans[answer["parallel"] :]
    seconds: float = max(end for _, end in rest) - min(end for _, end in first)
    return 60 * len(rest) / seconds


def to_first_trial(answer: Answer) -> float:
    """Return the seconds from submit until the first trial's script starts."""
    first = min(range(len(answer["trials"])), key=lambda place: answer["trials"][place][1])
    typical = median(end - start for start, end in answer["trials"][answer["parallel"] :])
    return float(answer["trials"][first][1] - answer["submitted"] - typical)


def measure(rounds: int, trials: int, base: str, folder: Path, console: Console) -> dict[str, list[Answer]]:
    """Return every variant's measurements, one per round."""
    answers: dict[str, list[Answer]] = {variant: [] for variant in TITLES}
    points = folder / "points.json"
    environ = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    for number in range(rounds):
        for variant, title in TITLES.items():
            place = folder / f"{variant}-{number}"
            place.mkdir()
            arguments = ["--worker", variant, "--trials", str(trials), "--base", base, "--points", str(points)]
            with console.status(f"round {number + 1} of {rounds}: {title}"):
                ran = subprocess.run(
                    [sys.executable, __file__, *arguments],
                    cwd=place,
                    env=environ,
                    capture_output=True,
                    text=True,
                    check=False,
                )
            if ran.returncode != 0:
                sys.exit(f"{title} ended with {ran.returncode}:\n{ran.stderr}")
            answers[variant].append(json.loads(ran.stdout.splitlines()[-1]))
            points.write_text(json.dumps(answers[LOCAL][0]["params"]))
    return answers


def show(answers: dict[str, list[Answer]], console: Console) -> None:
    """Print the table."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in (
        "",
        "trials per minute",
        "lowest, highest",
        "time against mode=local",
        "rate against the SDK",
        "to first trial",
    ):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    for variant, title in TITLES.items():
        rates = [rate(answer) for answer in answers[variant]]
        of_local = [rate(local) / rate(answer) for local, answer in zip(answers[LOCAL], answers[variant], strict=True)]
        of_sdk = [rate(answer) / rate(sdk) for answer, sdk in zip(answers[variant], answers[SDK], strict=True)]
        table.add_row(
            title,
            f"{median(rates):.0f}",
            f"{min(rates):.0f}, {max(rates):.0f}",
            f"{median(of_local):.2f}",
            f"{median(of_sdk):.1f} times",
            f"{median(map(to_first_trial, answers[variant])):.1f} s" if variant in (LOCAL, WARM) else "",
        )
    console.print(table)


def main() -> int:
    """Measure, print and compare."""
    parser = argparse.ArgumentParser(description="Compare mode=sagemaker with jobs of the SDK and with mode=local.")
    parser.add_argument("--trials", type=int, default=60, help="trials per study (default: 60)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--base", default=os.environ.get("BASE_IMAGE", "python:3.12-slim-bookworm"), help="base image")
    parser.add_argument("--worker", choices=list(TITLES), help=argparse.SUPPRESS)
    parser.add_argument("--points", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(run_variant(options.worker, options.trials, options.base, options.points)))
        return 0
    console = Console(highlight=False, width=150)
    spec = image_spec(options.base, None)
    with closing(connect()) as client:
        if not image_exists(client, spec):
            with console.status("building the image") as status:
                build_image(client, spec, lambda text: status.update(text[:100]))
    with tempfile.TemporaryDirectory(prefix="byoe-containers-") as folder:
        answers = measure(options.rounds, options.trials, options.base, Path(folder), console)
    console.print(f"{options.trials} trials, {options.rounds} rounds, {available_cores()} cores")
    show(answers, console)
    reference = {str(index): value for index, value in answers[LOCAL][0]["rmse"].items()}
    same = all(
        {str(index): value for index, value in answer["rmse"].items()} == reference
        for variant in TITLES
        for answer in answers[variant]
    )
    console.print(f"RMSEs of all trials: {'identical' if same else 'NOT identical'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
