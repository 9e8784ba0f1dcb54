"""byoe's model server against its peers on the same ensemble: requests a second, latency, memory, spoilt requests.

Run ``python benchmarks/endpoint.py``; it needs Debian's ``wrk`` on the path, and for the deployed endpoint a Docker
engine. It trains ``ensemble=pair`` with 100 rounds on diabetes, and starts, all on this machine and all at once:

- byoe's server as a process (``container/serving/serve.py``), two workers;
- byoe's endpoint as ``action=deploy serving=realtime`` starts it, in its image, behind Docker's proxy;
- gunicorn with Flask, two workers of four threads, which is the stack of AWS's scikit-learn container: JSON by Flask,
  CSV by ``numpy.loadtxt``, each library's own predict on one thread;
- ``mlflow models serve`` of the registered winner, two workers; its thousand rows are JSON, since it reads CSV only
  where a schema says whether a number is whole.

wrk is the client and shares the cores. In turn, round by round: one row a request from eight connections, from one
connection, and a thousand rows of CSV from eight. Ratios are of the same round, and their medians are shown. It exits 1
when a server answers otherwise than the others, a request of a measurement fails, memory grows, or a body gets 5xx.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "serving")]

from experiments.serving.client import Answer, send  # noqa: E402

PROCESS, DEPLOYED, FLASK, MLFLOW = "process", "deployed", "flask", "mlflow"
TITLES = {
    PROCESS: "byoe's server, a process",
    DEPLOYED: "byoe's endpoint, deployed",
    FLASK: "gunicorn + Flask",
    MLFLOW: "mlflow models serve",
}
ROW, IDLE, MANY = "row", "idle", "many"
CONNECTIONS = {ROW: 8, IDLE: 1, MANY: 8}
MANY_ROWS = 1_000
MEMORY_SECONDS = 5
# Of a worker over the second half of the requests.
MOST_GROWTH_MB = 2
STUDY = ("study=endpoint", "ensemble.params.xgboost.num_round=100", "ensemble.params.catboost.iterations=100")


@dataclass(frozen=True)
class Server:
    """A server that is up.

    Attributes:
        url: Where it answers.
        pid: Of its master; None for one in a container.
        wrap: Returns a body of JSON for rows and their columns' names.
    """

    url: str
    pid: int | None = None
    split: bool = False

    def body(self, names: list[str], rows: list[list[float]]) -> bytes:
        """Return rows as the JSON that this server takes."""
        split = {"dataframe_split": {"columns": names, "data": rows}}
        return json.dumps(split if self.split else {"instances": rows}).encode()


def run(*words: str) -> str:
    """Run one command of byoe here, and return what it printed."""
    ended = subprocess.run([sys.executable, str(ROOT / "run.py"), *words], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(words)} ended with {ended.returncode}:\n{ended.stderr}")
    return ended.stdout + ended.stderr


def answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server listens."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(Exception):
            send(url, "GET", "/ping", seconds=5)
            return
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{url} did not answer:\n{log.read_text()}")
        time.sleep(0.1)


@contextlib.contextmanager
def process(name: str, words: list[str], url: str, **env: str) -> Iterator[int]:
    """Run a server until the block ends; yield its process id."""
    log = Path(f"{name}.log")
    with log.open("wb") as sink:
        started = subprocess.Popen(
            words, stdout=sink, stderr=sink, env={**os.environ, **env}, start_new_session=True, stdin=subprocess.DEVNULL
        )
    try:
        answers(url, started, log)
        yield started.pid
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(20)
        for child in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if os.getsid(child.pid) == started.pid:
                    child.kill()


def free_port() -> int:
    """Return a port that nothing listens on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def servers(bundle: Path, deployed: bool) -> Iterator[dict[str, Server]]:
    """Start every server."""
    found: dict[str, Server] = {}
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in (PROCESS, FLASK, MLFLOW)}
    port = {name: str(urlsplit(url).port) for name, url in urls.items()}
    python = sys.executable
    flask = [python, "-m", "gunicorn", "--workers", "2", "--threads", "4", "--preload", "flask_app:app"]
    flask += ["--bind", f"127.0.0.1:{port[FLASK]}", "--chdir", str(ROOT / "benchmarks" / "serving")]
    mlflow = [python, "-m", "mlflow", "models", "serve", "--model-uri", "models:/endpoint@winner", "--workers", "2"]
    mlflow += ["--env-manager", "local", "--host", "127.0.0.1", "--port", port[MLFLOW]]
    own = {
        "SM_MODEL_DIR": str(bundle),
        "SAGEMAKER_BIND_TO_PORT": port[PROCESS],
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        "BYOE_HOST": "127.0.0.1",
    }
    tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{Path('mlflow.db').absolute()}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    tracking["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where it looks for uvicorn
    one = {"OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as stack:
        serve = [python, str(ROOT / "container" / "serving" / "serve.py")]
        found[PROCESS] = Server(urls[PROCESS], stack.enter_context(process(PROCESS, serve, urls[PROCESS], **own)))
        if deployed:
            stack.callback(run, "action=delete")
            run("mode=sagemaker", "action=deploy", "serving=realtime", "model=endpoint")
            found[DEPLOYED] = Server(json.loads(Path("endpoints/local/current.json").read_text())["url"])
        pid = stack.enter_context(process(FLASK, flask, urls[FLASK], BUNDLE=str(bundle), **one))
        found[FLASK] = Server(urls[FLASK], pid)
        pid = stack.enter_context(process(MLFLOW, mlflow, urls[MLFLOW], **tracking, **one))
        found[MLFLOW] = Server(urls[MLFLOW], pid, split=True)
        yield found


def load(server: Server, body: bytes, kind: str, connections: int, seconds: float) -> Any:
    """Send one body again and again by wrk for so long; return what it measured (latencies in ms)."""
    Path("body").write_bytes(body)
    ended = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(connections), "--timeout", "60s"),
            *("--duration", f"{seconds:g}s", "--script", str(ROOT / "benchmarks" / "serving" / "post.lua")),
            f"{server.url}/invocations",
        ],
        env={**os.environ, "BODY": "body", "CONTENT_TYPE": kind},
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(ended.stdout.split("JSON ")[1])
    if measured["refused"] or measured["broken"]:
        answer = send(server.url, "POST", "/invocations", body, content_type=kind)
        sys.exit(f"{server.url}: {measured}; once more, it answered {answer.status}: {answer.body[:2000]!r}")
    return measured


def bare_milliseconds(bundle: Path, row: list[float], seconds: float) -> float:
    """Return the median time of the bare libraries' predict for one row, in milliseconds."""
    os.environ["BUNDLE"] = str(bundle)
    predict = importlib.import_module("flask_app").predict
    rows, taken, end = np.array([row]), [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        predict(rows)
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


def check(found: dict[str, Server], manifest: dict[str, Any]) -> None:
    """End the benchmark unless every server predicts the model's example."""
    names = [column["name"] for column in manifest["columns"]]
    for name, server in found.items():
        body = server.body(names, manifest["example"]["features"])
        answer: Answer = send(server.url, "POST", "/invocations", body, content_type="application/json")
        predictions = answer.json().get("predictions", [])
        if server.split:  # MLflow answers with a table
            predictions = [next(iter(row.values())) for row in predictions]
        if not np.allclose(predictions, manifest["example"]["predictions"], rtol=1e-6):
            sys.exit(f"{TITLES[name]} does not predict the example: {answer.body[:500]!r}")


def memory(pid: int) -> tuple[float, float]:
    """Return the workers' mean unique and proportional memory, in MB."""
    workers = [child.memory_full_info() for child in psutil.Process(pid).children()]
    own, share = (sum(getattr(one, kind) for one in workers) for kind in ("uss", "pss"))
    return own / len(workers) / 2**20, share / len(workers) / 2**20


def fuzz(server: Server, bundle: Path, bodies: int) -> Counter[str]:
    """Send spoilt bodies from two clients; return how often each status came."""
    script = ROOT / "benchmarks" / "serving" / "fuzz.py"
    clients = [
        subprocess.Popen(
            [sys.executable, str(script), server.url, str(bundle), str(bodies // 2), str(seed)], stdout=subprocess.PIPE
        )
        for seed in range(2)
    ]
    found: Counter[str] = Counter()
    for client in clients:
        out, _ = client.communicate()
        if client.returncode != 0:
            sys.exit("a client of spoilt bodies ended early: the server closed its connection")
        found.update(json.loads(out))
    return found


def show(rounds: list[dict[str, Any]], console: Console) -> None:
    """Print the table of speeds."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    titles = (
        "",
        "one row, 8 clients",
        "of Flask's",
        "p50",
        "p99",
        "1 client: p50",
        f"{MANY_ROWS:,} rows of CSV",
        "of Flask's",
    )
    for title in titles:
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)

    def rate(measured: Any) -> float:
        return float(measured["requests"] / measured["seconds"])

    for name in rounds[0][ROW]:
        one = [turn[ROW][name] for turn in rounds]
        many = [turn[MANY][name] for turn in rounds]
        times = median(rate(turn[ROW][name]) / rate(turn[ROW][FLASK]) for turn in rounds)
        times_many = median(rate(turn[MANY][name]) / rate(turn[MANY][FLASK]) for turn in rounds)
        table.add_row(
            TITLES[name],
            f"{median(map(rate, one)):,.0f} requests/s",
            f"{times:.2f} times",
            f"{median(answer['p50'] for answer in one):.2f} ms",
            f"{median(answer['p99'] for answer in one):.2f} ms",
            f"{median(turn[IDLE][name]['p50'] for turn in rounds):.2f} ms",
            f"{MANY_ROWS * median(map(rate, many)):,.0f} rows/s",
            f"{times_many:.2f} times",
        )
    table.add_row("the libraries' bare calls", *[""] * 4, f"{median(turn['bare'] for turn in rounds):.2f} ms", "", "")
    console.print(table)


def measure(found: dict[str, Server], bundle: Path, rounds: int, seconds: float, console: Console) -> list[Any]:
    """Return what each round measured, by kind of request and server."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    names, rows = [column["name"] for column in manifest["columns"]], manifest["example"]["features"]
    table = (rows * MANY_ROWS)[:MANY_ROWS]
    csv = "".join(",".join(map(repr, row)) + "\n" for row in table).encode()
    results: list[dict[str, Any]] = []
    for number in range(rounds + 1):  # the first warms up
        turn: dict[str, Any] = {ROW: {}, IDLE: {}, MANY: {}}
        for name, server in found.items():
            for kind in (ROW, IDLE, MANY):
                if kind != MANY:
                    body, content = server.body(names, rows[:1]), "application/json"
                elif name == MLFLOW:
                    body, content = server.body(names, table), "application/json"
                else:
                    body, content = csv, "text/csv"
                with console.status(f"round {number} of {rounds}: {TITLES[name]}, {kind}"):
                    duration = seconds if number else 2
                    turn[kind][name] = load(server, body, content, CONNECTIONS[kind], duration)
        turn["bare"] = bare_milliseconds(bundle, rows[0], seconds / 2)
        results.append(turn)
    return results[1:]


def endure(server: Server, bundle: Path, requests: int, bodies: int, console: Console) -> bool:
    """Send many requests and many spoilt ones, print memory in between; return whether it was flat, without a 5xx."""
    assert server.pid is not None
    manifest = json.loads((bundle / "manifest.json").read_text())
    names, rows = [column["name"] for column in manifest["columns"]], manifest["example"]["features"]
    body = server.body(names, rows[:1])
    steps = [memory(server.pid)]
    sent = 0
    with console.status(f"{requests:,} requests"):
        while sent < requests:
            sent += load(server, body, "application/json", 8, MEMORY_SECONDS)["requests"]
            steps.append(memory(server.pid))
    with console.status(f"{bodies:,} spoilt bodies"):
        statuses = fuzz(server, bundle, bodies)
    steps.append(memory(server.pid))
    own = ", ".join(f"{uss:.1f}" for uss, _ in steps[:-1])
    console.print(f"memory of a worker's own over {sent:,} requests, every {MEMORY_SECONDS} s: {own} MB")
    console.print(f"  with its share of what workers share: {steps[-2][1]:.1f} MB")
    console.print(f"  after {bodies:,} spoilt bodies: {steps[-1][0]:.1f} MB; statuses {dict(sorted(statuses.items()))}")
    flat = steps[-2][0] - steps[len(steps) // 2][0] < MOST_GROWTH_MB
    return flat and not any(status.startswith("5") for status in statuses)


def time_deployments(number: int, console: Console) -> None:
    """Print how long a deployment takes from the container's start to its first right answer, and the whole command."""
    starts, wholes = [], []
    for _ in range(number):
        began = time.monotonic()
        printed = run("mode=sagemaker", "action=deploy", "serving=realtime", "model=endpoint", "endpoint=timed")
        wholes.append(time.monotonic() - began)
        told = re.search(r"([\d.]+) s after its start", printed)
        assert told is not None, printed
        starts.append(float(told.group(1)))
        run("action=delete", "endpoint=timed")
    console.print(
        f"deploy to first answer: {median(starts):.1f} s ({min(starts):.1f} to {max(starts):.1f}); the whole command "
        f"{median(wholes):.1f} s"
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="byoe's model server against gunicorn + Flask and MLflow's.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every server (default: 5)")
    parser.add_argument("--seconds", type=float, default=8, help="seconds a measurement (default: 8)")
    parser.add_argument("--requests", type=int, default=100_000, help="requests while memory is watched")
    parser.add_argument("--bodies", type=int, default=100_000, help="spoilt bodies")
    parser.add_argument("--no-docker", action="store_true", help="leave the deployed endpoint out")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not on the path: apt-get install wrk")
    console = Console(highlight=False, width=170)
    with tempfile.TemporaryDirectory(prefix="byoe-endpoint-") as folder, contextlib.chdir(folder):
        with console.status("training"):
            run("mode=local", "action=train", *STUDY)
        bundle = Path("studies/endpoint/final/model").absolute()
        with servers(bundle, not options.no_docker) as found:
            check(found, json.loads((bundle / "manifest.json").read_text()))
            show(measure(found, bundle, options.rounds, options.seconds, console), console)
            well = endure(found[PROCESS], bundle, options.requests, options.bodies, console)
            check({PROCESS: found[PROCESS]}, json.loads((bundle / "manifest.json").read_text()))
        if not options.no_docker:
            time_deployments(options.rounds, console)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
