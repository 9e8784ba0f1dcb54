"""Compare byoe's model server with others on the same ensemble: request rate, latency, memory, malformed requests.

Run ``python benchmarks/endpoint.py``; it needs Debian's ``wrk`` on the PATH and, for the deployed endpoint, a Docker
engine. It trains ``ensemble=pair`` with 100 rounds on diabetes, or on the classes of ``--dataset cancer`` or ``wine``,
and starts these servers on this machine together:

- byoe's server as a process (``container/serving/serve.py``), two workers;
- byoe's endpoint as ``action=deploy serving=realtime`` starts it, in its image, behind Docker's proxy;
- gunicorn with Flask, two workers of four threads, which is the stack of AWS's scikit-learn container: Flask reads
  JSON, ``numpy.loadtxt`` reads CSV, and each library predicts on one thread;
- ``mlflow models serve`` of the registered winner, two workers; its thousand rows are JSON, because it reads CSV only
  if a schema declares which numbers are integers;
- BentoML and MLServer, two workers each, with the same calls as behind Flask. Each runs in an environment that this
  script creates for it, and gets its thousand rows as JSON, which is what it reads.

wrk is the client and shares the cores. Each round measures one row per request from eight connections, the same from
one connection, and a thousand rows of CSV from eight. Ratios are taken within a round, and their medians are printed.
It exits 1 if the servers' answers differ, a request of a measurement fails, memory grows, or a body gets a 5xx.
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
import venv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
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

PROCESS, DEPLOYED, FLASK, MLFLOW, BENTO, MLSERVER = "process", "deployed", "flask", "mlflow", "bentoml", "mlserver"
# Each has an environment of its own, with the same versions of the libraries. MLServer's workers need this uvloop.
PEERS = {BENTO: ("bentoml",), MLSERVER: ("mlserver", "uvloop<0.22")}
PINNED = {"xgboost": "xgboost-cpu", "catboost": "catboost"}
TITLES = {
    PROCESS: "byoe's server, a process",
    DEPLOYED: "byoe's endpoint, deployed",
    FLASK: "gunicorn + Flask",
    MLFLOW: "mlflow models serve",
    BENTO: "BentoML",
    MLSERVER: "MLServer",
}
ROW, IDLE, MANY = "row", "idle", "many"
CONNECTIONS = {ROW: 8, IDLE: 1, MANY: 8}
MANY_ROWS = 1_000
MEMORY_SECONDS = 5
# Limit for a worker's growth over the second half of the requests, and of the malformed bodies.
MAX_GROWTH_MB = 2
FUZZ_PARTS = 8
MAX_START_SECONDS = 3
STUDY = ("study=endpoint", "ensemble.params.xgboost.num_round=100", "ensemble.params.catboost.iterations=100")
# The bare calls blend by a weighted mean alone.
STUDY_OF_CLASSES = (*STUDY, "ensemble.calibrate=false")


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: Its address.
        pid: Process id of its master; None for a server in a container.
        form: The form of its JSON: ``instances``, ``split`` for MLflow's, ``tensor`` for the Open Inference Protocol.
        path: Where it takes requests.
    """

    url: str
    pid: int | None = None
    form: str = "instances"
    path: str = "/invocations"

    def body(self, names: list[str], rows: list[list[float]]) -> bytes:
        """Return rows as the JSON that this server reads."""
        tensor = {"name": "rows", "shape": [len(rows), len(names)], "datatype": "FP64", "data": np.ravel(rows).tolist()}
        forms = {
            "instances": {"instances": rows},
            "split": {"dataframe_split": {"columns": names, "data": rows}},
            "tensor": {"inputs": [tensor]},
        }
        return json.dumps(forms[self.form]).encode()

    def predictions(self, answer: Any) -> list[float]:
        """Return the predictions in an answer, for classes the probabilities of all, row by row."""
        if self.form == "tensor":
            return list(answer["outputs"][0]["data"])
        found = answer.get("probabilities", answer.get("predictions", []))
        if self.form == "split":
            found = [[value for value in row.values() if isinstance(value, float)] for row in found]
        return list(np.ravel(found).tolist())


@dataclass(frozen=True)
class Memory:
    """A worker's memory, in MB.

    Attributes:
        resident: All pages, those shared with its master and the other workers in full. It does not change when a page
            stops being shared.
        own: The pages that are not shared.
        share: ``own`` plus its share of the shared pages.
    """

    resident: float
    own: float
    share: float


def run(*arguments: str) -> str:
    """Run one command of byoe in the working directory, and return what it prints."""
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"{' '.join(arguments)} ended with {ended.returncode}:\n{ended.stderr}")
    return ended.stdout + ended.stderr


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server is ready, as the answer at ``url`` says; exit if it ends first."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(Exception):
            place = urlsplit(url)
            if send(f"{place.scheme}://{place.netloc}", "GET", place.path, seconds=5).status == 200:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{url} did not answer:\n{log.read_text()}")
        time.sleep(0.1)


@contextlib.contextmanager
def process(name: str, arguments: list[str], url: str, ready: str = "/ping", **env: str) -> Iterator[int]:
    """Run a server until the block ends, which answers GET ``ready`` with 200 once it is up; yield its process id."""
    log = Path(f"{name}.log")
    with log.open("wb") as sink:
        started = subprocess.Popen(
            arguments,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **env},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_for(url + ready, started, log)
        yield started.pid
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(20)
        for child in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if os.getsid(child.pid) == started.pid:
                    child.kill()


def environment(peer: str, cache: Path) -> Path:
    """Return the folder of the commands of a peer's environment, created on first use."""
    folder = cache / peer
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        pins = [f"{package}=={version(name)}" for name, package in PINNED.items()]
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PEERS[peer], *pins], check=True)
        (folder / "complete").touch()
    return folder / "bin"


def free_port() -> int:
    """Return a free port."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def servers(bundle: Path, deployed: bool, cache: Path) -> Iterator[dict[str, Server]]:
    """Start every server."""
    found: dict[str, Server] = {}
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in (PROCESS, FLASK, MLFLOW, *PEERS)}
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
    tracking["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # mlflow looks for uvicorn there
    one = {"OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as stack:
        serve = [python, str(ROOT / "container" / "serving" / "serve.py")]
        found[PROCESS] = Server(urls[PROCESS], stack.enter_context(process(PROCESS, serve, urls[PROCESS], **own)))
        if deployed:
            run("mode=sagemaker", "action=deploy", "serving=realtime", "model=endpoint")
            stack.callback(run, "action=delete")
            found[DEPLOYED] = Server(json.loads(Path("endpoints/local/current.json").read_text())["url"])
        pid = stack.enter_context(process(FLASK, flask, urls[FLASK], BUNDLE=str(bundle), **one))
        found[FLASK] = Server(urls[FLASK], pid)
        pid = stack.enter_context(process(MLFLOW, mlflow, urls[MLFLOW], **tracking, **one))
        found[MLFLOW] = Server(urls[MLFLOW], pid, "split")
        code = str(ROOT / "benchmarks" / "serving")
        peer = {**one, "BUNDLE": str(bundle), "PYTHONPATH": code, "BENTOML_DO_NOT_TRACK": "true"}
        peer["PYTHONWARNINGS"] = "ignore"
        arguments = [str(environment(BENTO, cache) / "bentoml"), "serve", "bento_service:Ensemble"]
        arguments += ["--working-dir", code, "--host", "127.0.0.1", "--port", port[BENTO]]
        found[BENTO] = Server(
            urls[BENTO], stack.enter_context(process(BENTO, arguments, urls[BENTO], "/readyz", **peer))
        )
        write_mlserver_settings(Path(MLSERVER), int(port[MLSERVER]))
        arguments = [str(environment(MLSERVER, cache) / "mlserver"), "start", MLSERVER]
        ready = "/v2/models/ensemble/ready"
        pid = stack.enter_context(process("mlserver_process", arguments, urls[MLSERVER], ready, **peer))
        found[MLSERVER] = Server(urls[MLSERVER], pid, "tensor", "/v2/models/ensemble/infer")
        yield found


def write_mlserver_settings(folder: Path, port: int) -> None:
    """Write the folder from which MLServer starts."""
    folder.mkdir()
    settings = {"debug": False, "host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "parallel_workers": 2}
    (folder / "settings.json").write_text(json.dumps(settings | {"metrics_port": free_port()}))
    model = {"name": "ensemble", "implementation": "mlserver_model.Ensemble"}
    (folder / "model-settings.json").write_text(json.dumps(model))


def load(server: Server, body: bytes, kind: str, connections: int, seconds: float) -> Any:
    """Send one body repeatedly with wrk for ``seconds``; return what it measured (latencies in ms)."""
    Path("body").write_bytes(body)
    ended = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(connections), "--timeout", "60s"),
            *("--duration", f"{seconds:g}s", "--script", str(ROOT / "benchmarks" / "serving" / "post.lua")),
            f"{server.url}{server.path}",
        ],
        env={**os.environ, "BODY": "body", "CONTENT_TYPE": kind},
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(ended.stdout.split("JSON ")[1])
    if measured["refused"] or measured["broken"]:
        answer = send(server.url, "POST", server.path, body, content_type=kind)
        sys.exit(f"{server.url}: {measured}; sent again, it was answered with {answer.status}: {answer.body[:2000]!r}")
    return measured


def bare_milliseconds(bundle: Path, row: list[float], seconds: float) -> float:
    """Return the median time in milliseconds in which the bare libraries predict one row."""
    os.environ["BUNDLE"] = str(bundle)
    predict = importlib.import_module("bare_model").predict
    rows, taken, end = np.array([row]), [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        predict(rows)
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


def check(found: dict[str, Server], manifest: dict[str, Any]) -> None:
    """Exit unless every server predicts the model's example."""
    names = [column["name"] for column in manifest["columns"]]
    for name, server in found.items():
        body = server.body(names, manifest["example"]["features"])
        answer: Answer = send(server.url, "POST", server.path, body, content_type="application/json")
        predictions = server.predictions(answer.json()) if answer.status == 200 else []
        expected = np.ravel(manifest["example"]["predictions"])
        if len(predictions) != len(expected) or not np.allclose(predictions, expected, rtol=1e-6, atol=1e-6):
            sys.exit(f"{TITLES[name]} does not predict the example: {answer.body[:500]!r}")


def memory(pid: int) -> Memory:
    """Return the mean memory of the workers."""
    workers = [child.memory_full_info() for child in psutil.Process(pid).children()]
    rss, own, share = (sum(getattr(one, kind) for one in workers) for kind in ("rss", "uss", "pss"))
    return Memory(*(total / len(workers) / 2**20 for total in (rss, own, share)))


def fuzz(server: Server, bundle: Path, bodies: int, seed: int) -> Counter[str]:
    """Send malformed bodies from two clients; return how often each status was returned."""
    script = ROOT / "benchmarks" / "serving" / "fuzz.py"
    clients = [
        subprocess.Popen(
            [sys.executable, str(script), server.url, str(bundle), str(bodies // 2), str(2 * seed + client)],
            stdout=subprocess.PIPE,
        )
        for client in range(2)
    ]
    found: Counter[str] = Counter()
    for client in clients:
        out, _ = client.communicate()
        if client.returncode != 0:
            sys.exit("a client of malformed bodies ended early: the server closed its connection")
        found.update(json.loads(out))
    return found


def rate(measured: Any) -> float:
    """Return requests per second."""
    return float(measured["requests"] / measured["seconds"])


def against_flask(rounds: list[dict[str, Any]], kind: str, name: str) -> float:
    """Return the median over rounds of a server's request rate divided by Flask's in the same round."""
    return median(rate(turn[kind][name]) / rate(turn[kind][FLASK]) for turn in rounds)


def against_peers(rounds: list[dict[str, Any]], name: str) -> float:
    """Return the median over rounds of a server's rate of single rows divided by that of the better peer."""
    return median(rate(turn[ROW][name]) / max(rate(turn[ROW][peer]) for peer in PEERS) for turn in rounds)


def show(rounds: list[dict[str, Any]], console: Console) -> None:
    """Print the table of rates and latencies."""
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

    for name in rounds[0][ROW]:
        one = [turn[ROW][name] for turn in rounds]
        many = [turn[MANY][name] for turn in rounds]
        table.add_row(
            TITLES[name],
            f"{median(map(rate, one)):,.0f} requests/s",
            f"{against_flask(rounds, ROW, name):.2f} times",
            f"{median(answer['p50'] for answer in one):.2f} ms",
            f"{median(answer['p99'] for answer in one):.2f} ms",
            f"{median(turn[IDLE][name]['p50'] for turn in rounds):.2f} ms",
            f"{MANY_ROWS * median(map(rate, many)):,.0f} rows/s",
            f"{against_flask(rounds, MANY, name):.2f} times",
        )
    table.add_row("the libraries' bare calls", *[""] * 4, f"{median(turn['bare'] for turn in rounds):.2f} ms", "", "")
    console.print(table)


def goals(rounds: list[dict[str, Any]], console: Console) -> None:
    """Print which speed goals each of byoe's servers meets."""

    def middle(kind: str, name: str, key: str) -> float:
        return median(float(turn[kind][name][key]) for turn in rounds)

    max_idle = 1.3 * median(turn["bare"] for turn in rounds) + 1
    for name in (PROCESS, DEPLOYED):
        if name not in rounds[0][ROW]:
            continue
        times, times_many = against_flask(rounds, ROW, name), against_flask(rounds, MANY, name)
        p99, bound, idle = middle(ROW, name, "p99"), middle(ROW, FLASK, "p99"), middle(IDLE, name, "p50")
        for met, goal in (
            (times >= 2.5, f"one row at {times:.2f} times Flask's rate (goal: 2.5)"),
            (p99 < bound, f"p99 {p99:.2f} ms (goal: below Flask's {bound:.2f})"),
            (idle <= max_idle, f"idle p50 {idle:.2f} ms (goal: 1.3 times the bare calls and 1 ms, {max_idle:.2f})"),
            (
                against_peers(rounds, name) >= 2,
                f"one row at {against_peers(rounds, name):.2f} times the better of BentoML and MLServer (goal: 2)",
            ),
            (times_many >= 1.5, f"CSV at {times_many:.2f} times Flask's rate (goal: 1.5)"),
        ):
            console.print(f"{'PASS' if met else 'MISS'}  {TITLES[name]}: {goal}")


def measure(found: dict[str, Server], bundle: Path, rounds: int, seconds: float, console: Console) -> list[Any]:
    """Return the measurements of each round, by kind of request and server."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    names, rows = [column["name"] for column in manifest["columns"]], manifest["example"]["features"]
    table = (rows * MANY_ROWS)[:MANY_ROWS]
    csv = "".join(",".join(map(repr, row)) + "\n" for row in table).encode()
    results: list[dict[str, Any]] = []
    for number in range(rounds + 1):  # the first one is a warm-up
        turn: dict[str, Any] = {ROW: {}, IDLE: {}, MANY: {}}
        for name, server in found.items():
            for kind in (ROW, IDLE, MANY):
                if kind != MANY:
                    body, content = server.body(names, rows[:1]), "application/json"
                elif name in (MLFLOW, *PEERS):
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
    """Send many requests, then malformed ones; return whether memory stayed flat and no status was a 5xx."""
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
    statuses: Counter[str] = Counter()
    malformed = [steps[-1]]
    with console.status(f"{bodies:,} malformed bodies"):
        for part in range(FUZZ_PARTS):
            statuses.update(fuzz(server, bundle, bodies // FUZZ_PARTS, part))
            malformed.append(memory(server.pid))
    for what, taken in ((f"{sent:,} requests", steps), (f"{bodies:,} malformed bodies", malformed)):
        console.print(f"a worker's memory over {what}: {', '.join(f'{step.resident:.1f}' for step in taken)} MB")
        console.print(f"  not shared: {taken[-1].own:.1f} MB; with its share of the shared: {taken[-1].share:.1f} MB")
    console.print(f"malformed bodies: statuses {dict(sorted(statuses.items()))}")
    flat = all(taken[-1].resident - taken[len(taken) // 2].resident < MAX_GROWTH_MB for taken in (steps, malformed))
    return flat and not any(status.startswith("5") for status in statuses)


def time_deployments(number: int, console: Console) -> None:
    """Print the time from a container's start to its first correct answer, and that of the whole command."""
    starts, wholes = [], []
    for _ in range(number):
        began = time.monotonic()
        printed = run("mode=sagemaker", "action=deploy", "serving=realtime", "model=endpoint", "endpoint=timed")
        wholes.append(time.monotonic() - began)
        found = re.search(r"([\d.]+) s after its start", printed)
        assert found is not None, printed
        starts.append(float(found.group(1)))
        run("action=delete", "endpoint=timed")
    met = "PASS" if median(starts) < MAX_START_SECONDS else "MISS"
    console.print(
        f"{met}  deploy to first answer: {median(starts):.1f} s ({min(starts):.1f} to {max(starts):.1f}; goal: below "
        f"{MAX_START_SECONDS}); the whole command {median(wholes):.1f} s"
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare byoe's model server with others.")
    datasets = ("diabetes", "cancer", "wine")
    parser.add_argument("--dataset", choices=datasets, default=datasets[0], help="table (default: diabetes)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--seconds", type=float, default=8, help="seconds per measurement (default: 8)")
    parser.add_argument("--requests", type=int, default=100_000, help="requests while memory is measured")
    parser.add_argument("--bodies", type=int, default=100_000, help="malformed bodies")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "byoe-benchmarks", help="environments of peers"
    )
    parser.add_argument("--no-docker", action="store_true", help="leave out the deployed endpoint")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not on the PATH. Install it: sudo apt-get install wrk")
    console = Console(highlight=False, width=170)
    with tempfile.TemporaryDirectory(prefix="byoe-endpoint-") as folder, contextlib.chdir(folder):
        with console.status("training"):
            study = STUDY if options.dataset == "diabetes" else STUDY_OF_CLASSES
            run("mode=local", "action=train", "mlflow.register=true", f"dataset={options.dataset}", *study)
        bundle = Path("studies/endpoint/final/model").absolute()
        with servers(bundle, not options.no_docker, options.cache.absolute()) as found:
            check(found, json.loads((bundle / "manifest.json").read_text()))
            rounds = measure(found, bundle, options.rounds, options.seconds, console)
            show(rounds, console)
            goals(rounds, console)
            passed = endure(found[PROCESS], bundle, options.requests, options.bodies, console)
            check({PROCESS: found[PROCESS]}, json.loads((bundle / "manifest.json").read_text()))
        if not options.no_docker:
            time_deployments(options.rounds, console)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
