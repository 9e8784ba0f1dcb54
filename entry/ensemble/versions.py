"""Which library versions are here, and whether they read what others wrote."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Iterable

# The same library under the name it has without its GPU part.
_ALIASES = {"xgboost": ("xgboost", "xgboost-cpu")}
# A model file is read back by equal versions up to this many parts; None means the whole version.
_PARTS_THAT_COUNT = {"scikit-learn": 2}
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
    """Return the versions that can move a number: Python and the numeric libraries that are installed."""
    found = {name: library_version(name) for name in RECORDED}
    return {"python": platform.python_version()} | {name: text for name, text in found.items() if text}


def unreadable(written: dict[str, str], needed: Iterable[str]) -> list[str]:
    """Return a sentence for each library of ``needed`` whose version here does not read what ``written`` wrote."""
    problems = []
    for name in needed:
        parts = _PARTS_THAT_COUNT.get(name)
        here, there = library_version(name), written.get(name)
        if here is None or there is None or here.split(".")[:parts] != there.split(".")[:parts]:
            problems.append(f"{name} is {here or 'not installed'} here and was {there or 'not recorded'} when saved")
    return problems
