"""The installed library versions, and whether they can read the models of other versions."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Iterable

# Distributions of the same library; xgboost-cpu is without the GPU part.
_ALIASES = {"xgboost": ("xgboost", "xgboost-cpu")}
# How many parts of a version must be equal to read a model file; the whole version for libraries not named here.
_SIGNIFICANT_PARTS = {"scikit-learn": 2}
RECORDED = ("xgboost", "catboost", "scikit-learn", "skops", "numpy", "scipy")


@functools.cache
def library_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    for alias in _ALIASES.get(name, (name,)):
        try:
            return importlib.metadata.version(alias)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def runtime_versions() -> dict[str, str]:
    """Return the versions that can change a result: of Python and of the installed numeric libraries, by name."""
    found = {name: library_version(name) for name in RECORDED}
    return {"python": platform.python_version()} | {name: text for name, text in found.items() if text}


def unreadable(written: dict[str, str], needed: Iterable[str]) -> list[str]:
    """Return a sentence for each library whose installed version may not read a model as it was saved.

    Args:
        written: Library versions at the time of saving, by name.
        needed: Names of the libraries to check.
    """
    problems = []
    for name in needed:
        parts = _SIGNIFICANT_PARTS.get(name)
        here, there = library_version(name), written.get(name)
        if here is None or there is None or here.split(".")[:parts] != there.split(".")[:parts]:
            problems.append(f"{name} is {here or 'not installed'} here and was {there or 'not recorded'} when saved")
    return problems
