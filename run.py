"""Tune, train, compare and serve an ensemble: ``python run.py --help``."""

import sys

try:
    from experiments.cli import command
except ModuleNotFoundError as missing:
    print(
        f"error: {missing.name} is not installed in {sys.executable}. In the project's folder: "
        "python -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python run.py --help",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    command()
