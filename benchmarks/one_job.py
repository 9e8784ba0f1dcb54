"""Compare one tuning job and one endpoint for the whole ensemble with one of each per member, on the double of AWS.

Run ``python benchmarks/one_job.py``; ``--docker`` runs jobs and endpoints in byoe's image, as SageMaker would, and
needs an engine. **The double is that of the tests (``tests/doubles/aws``), not AWS**: it executes the requests on this
machine, without AWS's wait for an instance and without its network. It runs both ways for each ensemble and table, and
swaps their order in every second round:

- one for all: a study of ``mode=remote``, whose training jobs each train every member;
- one per member: such a study for each member, with an ensemble of that member only, the same folds and the same
  points, so that every member is the same model; the client blends the predictions.

Jobs run one at a time, each with all cores, because each would have its own instance. It counts what is sent over HTTP
to and from S3, the jobs' ``BillableTimeInSeconds`` and the calls of SageMaker's API. Finally, it deploys the models of
the small table's best trial, to one endpoint and to one per member, and sends the same rows to both.

It exits 1 unless every metric of every member is identical on both sides, and the client's blend equals the endpoint's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "entry")]

from ensemble.arrays import Floats  # noqa: E402
from experiments.backends.open import remote_backend  # noqa: E402
from experiments.backends.worker_pool import WorkerPool  # noqa: E402
from experiments.config.compose import compose  # noqa: E402
from experiments.config.schema import RemoteModeConfig  # noqa: E402
from experiments.docker.engine import connect  # noqa: E402
from experiments.docker.image import build_image, image_exists, image_spec  # noqa: E402
from experiments.planning.study import plan_study  # noqa: E402
from experiments.study.ledger import Ledger  # noqa: E402
from experiments.system.machine import available_cores  # noqa: E402
from tests.doubles.aws.double import Double  # noqa: E402

ENSEMBLES = ("pair", "quartet")
# A small table, where most of a job's time is its start, and a large one, where most of it is training.
SMALL, LARGE = "diabetes", "friedman"
LARGE_ROWS, LARGE_COLUMNS = 5_000, 20
ASKED_ROWS = (1, 100)
ASKS = 50
# Calls whose number depends on how often byoe polls.
POLLING = ("DescribeHyperParameterTuningJob", "ListTrainingJobsForHyperParameterTuningJob")
OBJECTIVE = "cv_rmse_blended"


@dataclass(frozen=True)
class Job:
    """A training job.

    Attributes:
        name: Its name.
        study: The study that it belongs to.
        seconds: Its duration, from the start of its download to the end of its upload.
        billable: ``BillableTimeInSeconds``.
        tuned: Its tuned hyperparameters.
        metrics: Its metrics.
        info: The rest of its ``metrics.json``.
    """

    name: str
    study: str
    seconds: float
    billable: int
    tuned: Mapping[str, str]
    metrics: Mapping[str, float]
    info: Mapping[str, Any]

    @property
    def computing(self) -> float:
        """Seconds in the libraries' fit and predict."""
        return float(sum(self.info["fit_seconds"].values()) + self.info["predict_seconds"])


@dataclass(frozen=True)
class Outcome:
    """The result of one way to train and serve an ensemble.

    Attributes:
        studies: The jobs of each of its studies, in order.
        numbers: What was counted, by title.
        predicted: By number of rows, the predictions of each of its endpoints.
    """

    studies: list[list[Job]]
    numbers: dict[str, float]
    predicted: dict[int, list[Floats]]

    @property
    def jobs(self) -> list[Job]:
        """The jobs of all studies."""
        return [job for study in self.studies for job in study]


@dataclass(frozen=True)
class Setup:
    """What all rounds have in common.

    Attributes:
        trials: Number of trials per study.
        image: The image of jobs and endpoints; None for processes on this machine.
        workers: Run each study's test trial on this machine before it is launched.
    """

    trials: int
    image: str | None
    workers: WorkerPool


def write_large(path: Path) -> None:
    """Write a table whose target is Friedman's first function of five of its columns."""
    random = np.random.RandomState(0)
    x = random.uniform(size=(LARGE_ROWS, LARGE_COLUMNS))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y += random.normal(size=LARGE_ROWS)
    header = ",".join([*(f"x{number}" for number in range(LARGE_COLUMNS)), "y"])
    np.savetxt(path, np.column_stack([x, y]), "%.6f", ",", header=header, comments="")


def members_of(ensemble: str) -> list[str]:
    """Return the names of an ensemble's members."""
    return [str(member) for member in compose([f"ensemble={ensemble}"]).config.ensemble.members]


def studies_of(ensemble: str, table: str, number: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the arguments, by study, of the study that trains all members and of those that train one each."""
    data = [] if table == SMALL else ["dataset=file", f"dataset.path={table}.csv", "dataset.target=y"]
    name = f"{ensemble}-{table}-{number}"
    one = {name: [f"ensemble={ensemble}", *data]}
    each = {
        f"{name}-{position}": [f"ensemble={ensemble}", f"ensemble.members=[{member}]", "ensemble.blend=mean", *data]
        for position, member in enumerate(members_of(ensemble))
    }
    return one, each


def projected(jobs: Sequence[Job], ensemble: str) -> list[dict[str, str]]:
    """Return the points of one study per member, in the order in which the double's tuner proposes them."""
    return [
        {name: text for name, text in job.tuned.items() if name.startswith(f"{member}__")}
        for member in members_of(ensemble)
        for job in jobs
    ]


# The name in the double's ECR of the image that serves; the double runs the setup's.
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/byoe:1"


def settings(double: Double) -> list[str]:
    """Return the arguments with which ``mode=remote`` uses the double's account."""
    return ["mode=remote", f"mode.role={double.role}", f"mode.bucket={double.bucket}", "mode.poll_seconds=0.1"]


def tune(double: Double, studies: Mapping[str, Sequence[str]], setup: Setup) -> Outcome:
    """Tune studies in this folder, one after another, on an unused double."""
    found = {}
    for name, arguments in studies.items():
        limits = [
            f"search.n_trials={setup.trials}",
            "search.parallel=1",
            "mode.price_usd_per_hour=0.1",
            "mode.budget_usd=99",
        ]
        given = [*settings(double), *limits, f"study={name}", *arguments]
        composed = compose(given)
        study, mode = plan_study(composed).place(), composed.config.mode
        assert isinstance(mode, RemoteModeConfig)
        backend = remote_backend(mode, given, lambda: setup.workers, Console(quiet=True))
        with Ledger.open(study) as ledger, backend.submit(study, ledger) as handle:
            results = sorted(handle.results(), key=lambda result: result.index)
        failed = [result.reason for result in results if result.state != "complete"]
        if failed:
            sys.exit(f"{name}: {failed[0]}")
        jobs = [job for job in double.jobs if job.name.startswith(f"{name}-")]
        found[name] = [
            Job(
                name=job.name,
                study=name,
                seconds=float(job.ended or 0) - float(job.started or 0),
                billable=int(job.billable_seconds or 0),
                tuned=job.tuned,
                metrics=result.metrics,
                info=result.info,
            )
            for job, result in zip(jobs, results, strict=True)
        ]
    return Outcome([*found.values()], counted(double, [job for jobs in found.values() for job in jobs]), {})


def counted(double: Double, jobs: Sequence[Job]) -> dict[str, float]:
    """Return what was counted while the studies were tuned."""
    moved: Counter[str] = Counter()
    for at in double.transfers:
        what = next((part for part in ("data", "code") if f"/{part}/" in at.key), "results")
        moved[f"{at.operation} {'jobs' if at.own else 'here'} {what}"] += at.size
    calls = Counter(operation for operation, _ in double.requests)
    computing = sum(job.computing for job in jobs)
    return {
        "tuning jobs": calls["CreateHyperParameterTuningJob"],
        "training jobs": len(jobs),
        "calls of SageMaker, without polling": sum(count for name, count in calls.items() if name not in POLLING),
        "kB from S3 to jobs, data": moved["GetObject jobs data"] / 1e3,
        "kB from S3 to jobs, code": moved["GetObject jobs code"] / 1e3,
        "kB from jobs to S3": moved["PutObject jobs results"] / 1e3,
        "kB from here to S3, data and code": sum(moved[f"PutObject here {what}"] for what in ("data", "code")) / 1e3,
        "billable seconds": sum(job.billable for job in jobs),
        "seconds of jobs in fit and predict": computing,
        "seconds of jobs in everything else": sum(job.seconds for job in jobs) - computing,
    }


def until_the_end(one: Outcome, each: Outcome) -> tuple[dict[str, float], dict[str, float]]:
    """Return how long the jobs of each way take, on one instance and on one instance per member."""
    chains = [[job.seconds for job in study] for study in each.studies]
    whole = [job.seconds for job in one.jobs]
    alone, many = "seconds to the end, on 1 instance", f"seconds to the end, on {len(chains)} instances"
    return (
        {alone: sum(whole), many: side_by_side(whole, len(chains))},
        {alone: sum(map(sum, chains)), many: max(map(sum, chains))},
    )


def side_by_side(seconds: Sequence[float], instances: int) -> float:
    """Return when all jobs have ended, if they start in order, each as soon as an instance is free."""
    free = [0.0] * instances
    for job in seconds:
        free[free.index(min(free))] += job
    return max(free)


def deploy(double: Double, job: Job, name: str) -> None:
    """Deploy the model of a job as an endpoint."""
    model = f"s3://{double.bucket}/byoe/studies/{job.study}/{job.name}/output/model.tar.gz"
    arguments = [*settings(double), "action=deploy", f"model={model}", f"endpoint={name}", f"mode.image.uri={IMAGE}"]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"{' '.join(arguments)} ended with {ended.returncode}:\n{ended.stderr}")


def ask(double: Double, outcome: Outcome, number: int) -> None:
    """Deploy the models of one trial of each study; add the predictions for rows, and their times, to the outcome."""
    client = double.client("sagemaker-runtime")
    train = double.jobs[0].document["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    (channel,) = Path("studies/_channels").glob(f"{train.split('/')[-3]}*")
    features = np.load(channel / "test" / "features.npy")
    names = [f"endpoint-{position}" for position, _ in enumerate(outcome.studies)]
    for name, study in zip(names, outcome.studies, strict=True):
        deploy(double, study[number], name)
    with ThreadPoolExecutor(len(names)) as threads:
        for rows in ASKED_ROWS:
            body = json.dumps({"instances": features[:rows].tolist()}).encode()

            def invoke(name: str, body: bytes = body) -> Floats:
                answer = client.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=body)
                return np.array(json.loads(answer["Body"].read())["predictions"], dtype=float)

            before = len(double.calls("InvokeEndpoint"))
            outcome.predicted[rows] = [invoke(name) for name in names]
            what = f"{rows} row{'s' * (rows > 1)}"
            outcome.numbers[f"requests for {what}"] = len(double.calls("InvokeEndpoint")) - before
            outcome.numbers[f"ms for {what}, in turn"] = milliseconds(lambda: [invoke(name) for name in names])
            outcome.numbers[f"ms for {what}, in parallel"] = milliseconds(lambda: list(threads.map(invoke, names)))


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(ASKS):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken)


@contextmanager
def account(double: Double) -> Iterator[Double]:
    """Start a double, and let this process find it as it would find AWS."""
    before = dict(os.environ)
    with double:
        for name in [name for name in before if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ |= double.environment
        double.put_image(*IMAGE.rpartition("/")[2].split(":"))
        try:
            yield double
        finally:
            os.environ.clear()
            os.environ |= before


def measure(
    setup: Setup, ensemble: str, table: str, number: int, known: Outcome | None, *, asked: bool
) -> tuple[Outcome, Outcome]:
    """Run both ways in this folder; deploy the models and send rows if ``asked``.

    The double proposes the same points each time. In every second round, the points of an earlier round, ``known``,
    allow the studies of one member each to run first.
    """
    first, others = studies_of(ensemble, table, number)
    place = Path(f"double-{ensemble}-{table}-{number}").absolute()

    def taken(way: str, points: list[dict[str, str]] | None, studies: Mapping[str, Sequence[str]]) -> Outcome:
        with account(Double(place / way, points, image=setup.image, cpus=available_cores())) as double:
            outcome = tune(double, studies, setup)
            if asked:
                ask(double, outcome, best_trial(known or outcome))
        return outcome

    if known is None or number % 2 == 0:
        one = taken("one", None, first)
        known = known or one
        each = taken("each", projected(known.jobs, ensemble), others)
    else:
        each = taken("each", projected(known.jobs, ensemble), others)
        one = taken("one", None, first)
    for outcome, more in zip((one, each), until_the_end(one, each), strict=True):
        outcome.numbers.update(more)
    return one, each


def best_trial(one: Outcome) -> int:
    """Return which trial of the whole ensemble was best."""
    return min(range(len(one.jobs)), key=lambda trial: one.jobs[trial].metrics[OBJECTIVE])


def differences(one: Outcome, each: Outcome) -> Iterator[str]:
    """Yield each metric of a member that differs in any bit, and each prediction that differs."""
    for study in each.studies:
        for whole, alone in zip(one.jobs, study, strict=True):
            (member,) = alone.info["weights"]
            for name, value in alone.metrics.items():
                if f"_{member}" in name and whole.metrics[name] != value:
                    yield f"{name} is {whole.metrics[name]!r} in {whole.name}, and {value!r} in {alone.name}"
    best = one.jobs[best_trial(one)]
    for rows, (blend,) in one.predicted.items():
        weights = best.info["weights"].values()
        own = sum(weight * member for weight, member in zip(weights, each.predicted[rows], strict=True))
        if not np.allclose(blend, own, rtol=1e-12):
            yield f"{rows} rows: the endpoint predicts {blend}, and the client blends {own}"


def show(title: str, rounds: Sequence[tuple[Outcome, Outcome]], console: Console) -> None:
    """Print the medians over rounds for one ensemble on one table; some numbers are only in the last round."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for column in (title, "one for all", "one per member", "ratio"):
        shown.add_column(column, justify="left" if column == title else "right", no_wrap=True)
    for name in rounds[-1][0].numbers:
        pairs = [(one.numbers[name], each.numbers[name]) for one, each in rounds if name in one.numbers]
        one, each = (median(values) for values in zip(*pairs, strict=True))
        ratio = f"{median(b / a for a, b in pairs):.2f}" if all(a for a, _ in pairs) else ""
        shown.add_row(name, written(one), written(each), ratio)
    console.print(shown)


def written(value: float) -> str:
    """Return a number as it is printed."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def built_image(base: str, console: Console) -> str:
    """Return the name of byoe's image, and build it if it is missing."""
    spec = image_spec(base, None)
    with closing(connect()) as client:
        if not image_exists(client, spec):
            with console.status("building the image") as status:
                build_image(client, spec, lambda text: status.update(text[:100]))
    return spec.tag


def main() -> int:
    """Measure, print and compare."""
    parser = argparse.ArgumentParser(description="Compare one job and endpoint for an ensemble with one per member.")
    parser.add_argument("--trials", type=int, default=3, help="trials per study (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--docker", action="store_true", help="run jobs and endpoints in byoe's image")
    parser.add_argument("--base", default=os.environ.get("BASE_IMAGE", "python:3.12-slim-bookworm"), help="base image")
    options = parser.parse_args()
    console = Console(highlight=False, width=150)
    image = built_image(options.base, console) if options.docker else None
    differing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="byoe-one-job-") as folder:
        os.chdir(folder)
        write_large(Path(f"{LARGE}.csv"))
        measured: dict[tuple[str, str], list[tuple[Outcome, Outcome]]] = {}
        with closing(WorkerPool(1, 1)) as workers:
            setup = Setup(options.trials, image, workers)
            for number, ensemble, table in itertools.product(range(options.rounds), ENSEMBLES, (SMALL, LARGE)):
                asked = table == SMALL and number == options.rounds - 1
                with console.status(f"round {number + 1} of {options.rounds}: {ensemble} on {table}"):
                    before = measured.setdefault((ensemble, table), [])
                    both = measure(setup, ensemble, table, number, before[0][0] if before else None, asked=asked)
                before.append(both)
                differing += differences(*both)
        os.chdir(ROOT)
    where = "processes on this machine" if image is None else f"containers of {image}"
    console.print(f"{options.trials} trials, {options.rounds} rounds, {available_cores()} cores, jobs as {where}")
    for (ensemble, table), rounds in measured.items():
        show(f"{ensemble} on {table}", rounds, console)
    for line in differing:
        console.print(line)
    verdict = "NOT identical" if differing else "identical"
    console.print(f"metrics of the members, and predictions of the blend: {verdict}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
