"""The properties of this machine's processor that can change a result."""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import TypedDict

import numpy as np

from ensemble.threads import blas_kernels


class Processor(TypedDict):
    """A processor.

    Attributes:
        machine: Its architecture, such as ``x86_64``.
        model: Its name, for display only; empty if the system does not report it.
        features: Names of the instruction sets that NumPy's loops use.
        blas: Linear algebra libraries, each with the kernel that it has chosen, such as ``openblas SkylakeX``.
    """

    machine: str
    model: str
    features: list[str]
    blas: list[str]


def this_processor() -> Processor:
    """Return this machine's processor."""
    return {"machine": platform.machine(), "model": _model(), "features": _features(), "blas": blas_kernels()}


@functools.cache
def _features() -> list[str]:
    config = np.show_config(mode="dicts")
    found = (config or {}).get("SIMD Extensions", {})
    return [*found.get("baseline", ()), *found.get("found", ())]


@functools.cache
def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
