"""Compare what a search costs the command itself with SageMaker's tuner and with byoe's own loop, on the double of AWS.

Run ``python benchmarks/engines.py``. Each command runs the same number of trials, in a process of its own, and the two
engines alternate. The processor time is that of the command's process: without the jobs, the double, and the workers
that train on this machine. **The double is that of the tests (``tests/doubles/aws``), not AWS.**
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "entry")]

from tests.doubles.aws.double import Double  # noqa: E402
from tests.doubles.aws.resident import Resident  # noqa: E402

ENGINES = ("amt", "optuna")
# Quick members, since their training is not what is measured.
QUICK = (
    *("ensemble=pair", "ensemble.params.xgboost.num_round=5", "ensemble.params.catboost.iterations=5"),
    *("search.baseline=false", "search.parallel=2"),
)
# Runs a command and writes the processor time of its process, with its imports.
MEASURED = """
import json, resource, sys, time
sys.path[:0] = sys.argv[1:3]
from experiments.cli import main
began = time.monotonic()
code = main(sys.argv[4:])
used = resource.getrusage(resource.RUSAGE_SELF)
with open(sys.argv[3], "w") as file:
    json.dump({"processor": used.ru_utime + used.ru_stime, "seconds": time.monotonic() - began}, file)
sys.exit(code)
"""


def run(double: Double, folder: Path, engine: str, round_: int, trials: int) -> dict[str, float]:
    """Run one search in a new folder; return what it cost."""
    place = folder / f"{engine}-{round_}"
    place.mkdir()
    before = len(double.requests)
    arguments = (
        *("mode=remote", f"search.engine={engine}", f"study={engine}-{round_}", f"search.n_trials={trials}", *QUICK),
        *(f"mode.role={double.role}", f"mode.bucket={double.bucket}", "mode.poll_seconds=1"),
        *("mode.price_usd_per_hour=0.1", "mode.budget_usd=99"),
    )
    command = [sys.executable, "-c", MEASURED, str(ROOT), str(ROOT / "entry"), str(place / "cost.json"), *arguments]
    done = subprocess.run(
        command, cwd=place, env={**os.environ, **double.environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stderr or done.stdout)
    calls = Counter(operation for operation, _ in double.requests[before:])
    cost: dict[str, float] = json.loads((place / "cost.json").read_text())
    return {**cost, "calls of SageMaker": float(sum(calls.values()))}


def main() -> None:
    """Print the medians of both engines, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    with (
        tempfile.TemporaryDirectory() as folder,
        Resident() as resident,
        Double(Path(folder) / "aws", resident=resident) as double,
    ):
        for round_ in range(options.rounds):
            for engine in ENGINES if round_ % 2 == 0 else reversed(ENGINES):
                found[engine].append(run(double, Path(folder), engine, round_, options.trials))
                print(engine, found[engine][-1], file=sys.stderr)
    print(f"{options.trials} trials, {options.rounds} rounds, medians")
    print(f"{'':24}{'amt':>10}{'optuna':>10}{'ratio':>8}")
    for name in found["amt"][0]:
        amt, optuna = (median(one[name] for one in found[engine]) for engine in ENGINES)
        print(f"{name:24}{amt:10.2f}{optuna:10.2f}{optuna / amt:8.2f}")


if __name__ == "__main__":
    main()
