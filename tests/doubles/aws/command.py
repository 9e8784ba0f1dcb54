"""The double in its own process, for a person: ``python -m tests.doubles.aws.double --folder F``."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path

from tests.doubles.aws.double import Double


def main() -> None:
    """Print where the double is as one line of JSON, and serve until SIGTERM, Ctrl-C or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.aws.double", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="its files go below it, while it lasts")
    parser.add_argument("--points", type=Path, help="JSON list of tuned hyperparameters; without it they are drawn")
    parser.add_argument("--image", help="run jobs and endpoints in this image instead of processes")
    parser.add_argument("--cpus", type=int, default=1, help="cores that a job is told, and workers of an endpoint")
    arguments = parser.parse_args()
    points = None if arguments.points is None else json.loads(arguments.points.read_text())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with (
        Double(arguments.folder, points, image=arguments.image, cpus=arguments.cpus) as double,
        contextlib.ExitStack() as end,
    ):
        # What ends it is not ended itself.
        for number in (signal.SIGTERM, signal.SIGINT):
            end.callback(signal.signal, number, signal.SIG_IGN)
        where = {"url": double.url, "bucket": double.bucket, "role": double.role, "environment": double.environment}
        print(json.dumps(where), flush=True)
        sys.stdin.buffer.read()
