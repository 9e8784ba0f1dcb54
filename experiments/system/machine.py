"""What this machine offers: space in a folder, and cores."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

from experiments.errors import ConfigError

# Enough for a store, a ledger and the bundle of a small ensemble.
NEEDED_BYTES = 32 * 2**20
_PROBE = b"\0" * 2**16


def check_folder(folder: Path) -> None:
    """Raise ConfigError unless files can be written below ``folder``, which need not exist; this creates nothing."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise ConfigError(f"{existing} is a file, but byoe needs a folder there. Choose another paths.root.")
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(_PROBE)
            probe.flush()
        free = shutil.disk_usage(existing).free
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ConfigError(_full(existing, 0)) from None
        raise ConfigError(
            f"{existing} cannot be written ({error.strerror}). Fix its permissions, or choose another paths.root."
        ) from None
    if free < NEEDED_BYTES:
        raise ConfigError(_full(existing, free))


def _full(folder: Path, free: int) -> str:
    return (
        f"the disk of {folder} is full: {free / 2**20:.0f} MB are free, and {NEEDED_BYTES / 2**20:.0f} MB are needed. "
        "Free disk space, or choose another paths.root."
    )


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_began() -> float:
    """Return when this process began, by ``time.monotonic``; now, where the system does not tell."""
    now = time.monotonic()
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return now - max(time.clock_gettime(time.CLOCK_BOOTTIME) - started, 0.0)
    except (AttributeError, OSError, ValueError):
        return now


def openmp_environment(threads: int) -> dict[str, str]:
    """Return the variables of a process that fits members, which OpenMP reads when it is loaded.

    Threads that wait for each other sleep. By default they keep their cores busy, so that on a machine with other work
    a fit of XGBoost on two threads took up to thirty times as long.

    Args:
        threads: OpenMP threads of the process.
    """
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
