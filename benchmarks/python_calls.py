"""Compare ``byoe.tune`` with the command ``python run.py``: the same study, each in a process of its own.

Run ``python benchmarks/python_calls.py --rounds 5``. Both take the same table and keys, in an empty folder each
time. They alternate, and which is first changes from round to round, so that noise affects both. Seconds are those of
the whole process, from its start; processor seconds include its workers. The median of the rounds' ratios is printed.
``import byoe`` is measured in fresh processes too, with the libraries that it imports.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    "numpy",
    "pandas",
    "sklearn",
    "xgboost",
    "catboost",
    "optuna",
    "mlflow",
    "hydra",
    "matplotlib",
    "boto3",
    "docker",
)
CALL = """
import byoe
byoe.tune("table.csv", target="target", study="mine", search={{"n_trials": {trials}}})
"""
COMMAND = ("dataset=file", "dataset.path=table.csv", "dataset.target=target", "study=mine")
BYOE, RUN = "byoe.tune", "python run.py"


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Return the seconds and the processor seconds of a command in a folder, with its workers."""
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise SystemExit(done.stderr)
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used


def run(title: str, trials: int) -> tuple[float, float]:
    """Run the study in an empty folder."""
    from sklearn.datasets import load_diabetes

    with tempfile.TemporaryDirectory() as name:
        load_diabetes(as_frame=True).frame.to_csv(Path(name, "table.csv"), index=False)
        command = [sys.executable, str(ROOT / "run.py"), *COMMAND, f"search.n_trials={trials}"]
        if title == BYOE:
            command = [sys.executable, "-c", CALL.format(trials=trials)]
        return measured(command, Path(name))


def imports(rounds: int) -> None:
    """Print how long ``import byoe`` takes, and which heavy libraries it imports."""
    empty, whole = ("pass", "import byoe")
    times = {code: [measured([sys.executable, "-c", code], ROOT)[0] for _ in range(rounds)] for code in (empty, whole)}
    code = f"import byoe, sys; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    print(f"import byoe: {median(times[whole]):.3f} s, of which Python's own start {median(times[empty]):.3f} s")
    print(f"heavy libraries that it imports: {found.strip()}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20)
    given = parser.parse_args()
    imports(max(given.rounds, 10))
    found: dict[str, list[tuple[float, float]]] = {BYOE: [], RUN: []}
    for number in range(given.rounds):
        for title in (BYOE, RUN) if number % 2 else (RUN, BYOE):
            found[title].append(run(title, given.trials))
    print(f"{given.trials} trials, {given.rounds} rounds, medians")
    print(f"{'':12}{BYOE:>15}{RUN:>15}{'ratio':>8}{'lowest':>8}{'highest':>9}")
    for place, what in enumerate(("seconds", "processor")):
        ours, theirs = ([one[place] for one in found[title]] for title in (BYOE, RUN))
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        row = (
            f"{median(ours):>15.2f}{median(theirs):>15.2f}{median(ratios):>8.3f}{min(ratios):>8.3f}{max(ratios):>9.3f}"
        )
        print(f"{what:12}{row}")


if __name__ == "__main__":
    main()
