"""Answer one request by a model's own code, and print the peak memory of this process in bytes.

It is run by its path and without byoe, as a server runs: ``python -I answer_once.py <model> <body.csv>``.
"""

from __future__ import annotations

import importlib
import resource
import sys
from pathlib import Path


def main(model: Path, body: Path) -> None:
    """Answer the request."""
    sys.path.insert(0, str(model / "code"))
    inference = importlib.import_module("inference")
    rows = inference.input_fn(body.read_bytes(), "text/csv; header=absent")
    answer, _ = inference.output_fn(
        inference.predict_fn(rows, inference.model_fn(str(model))), "text/csv; detail=blended"
    )
    if not answer:
        raise ValueError("the answer is empty")
    print(peak_bytes())


def peak_bytes() -> int:
    """Return the peak of this process's memory.

    Linux counts in the usage of a process what its parent had when it started it, so the kernel's own line is read.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of macOS, in bytes


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
