"""What a served model costs: milliseconds of a prediction and megabytes, measured on this machine.

Measurements differ between machines and runs. They are no part of a trial's metrics, and parity does not compare them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.bundle import load_bundle
from ensemble.threads import one_blas_thread

# The ledger's fact: what the winner's bundle costs.
SERVING_COST = "serving_cost"
# The fact by which members are left out under ``ensemble.max_ms``: measured once, so that a choice can be repeated.
MEMBERS_MS = "members_ms"
# A call is repeated this often, but for no longer than this after the first.
REPEATS, SECONDS = 25, 0.3
BULK_ROWS = 1000


@dataclass(frozen=True)
class ServingCost:
    """What a bundle costs.

    Attributes:
        one_row_ms: Milliseconds of the prediction of one row on one thread.
        bulk_row_ms: Milliseconds for each of ``BULK_ROWS`` rows that are predicted together.
        megabytes: Size of the bundle's files, in 10^6 bytes.
        members_ms: Milliseconds of one row by member.
    """

    one_row_ms: float
    bulk_row_ms: float
    megabytes: float
    members_ms: Mapping[str, float]

    def metrics(self) -> dict[str, float]:
        """Return metrics for MLflow."""
        members = {f"predict_ms_{name}": value for name, value in self.members_ms.items()}
        whole = {"predict_ms": self.one_row_ms, "predict_ms_in_bulk": self.bulk_row_ms, "bundle_mb": self.megabytes}
        return whole | members


def measure_bundle(bundle: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Return the fields of ``ServingCost``, in a worker.

    Args:
        bundle: Folder of the saved ensemble.
        seconds: How long each call is repeated at most.
    """
    folder = Path(bundle)
    found = load_bundle(folder, threads=1)
    features, _ = found.example()
    row, rows = features[:1], np.resize(features, (BULK_ROWS, features.shape[1]))
    with one_blas_thread():
        members = {
            name: milliseconds(lambda models=models: type(models[0]).predict_each(models, row), seconds)  # type: ignore[misc]
            for name, models in found.ensemble.models.items()
        }
        return {
            "one_row_ms": milliseconds(lambda: found.ensemble.predict(row), seconds),
            "bulk_row_ms": milliseconds(lambda: found.ensemble.predict(rows), seconds) / BULK_ROWS,
            "megabytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
            "members_ms": members,
        }


def milliseconds(call: Callable[[], object], limit: float = SECONDS) -> float:
    """Return the shortest duration of a call that is repeated, which other work on the machine hardly changes."""
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < REPEATS and sum(seconds[1:]) < limit):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1000
