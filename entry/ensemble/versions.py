"""The installed library versions, and whether they can read the models of other versions."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
from collections.abc import Iterable

# Distributions of the same library; xgboost-cpu is without the GPU part.
_ALIASES = {"xgboost": ("xgboost", "xgboost-cpu")}
# How many parts of a version must be equal to read a model file; the whole version for libraries not named here.
_SIGNIFICANT_PARTS = {"scikit-learn": 2}
_VERSION = re.compile(
    r"v?(\d+(?:\.\d+)*)((?:[-_.]?(?:a|b|c|rc|alpha|beta|pre|preview|post|dev)[-_.]?\d*)*(?:\+[a-z\d]+(?:[-_.][a-z\d]+)*)?)",
    re.IGNORECASE | re.ASCII,
)
RECORDED = ("xgboost", "catboost", "lightgbm", "scikit-learn", "skops", "numpy", "scipy")


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
        if here is None or there is None or not is_version(there) or _compared(here, parts) != _compared(there, parts):
            shown = "not recorded" if there is None else there if is_version(there) else f"{there!r}, not a version,"
            problems.append(f"{name} is {here or 'not installed'} here and was {shown} when saved")
    return problems


def is_version(text: str) -> bool:
    """Return whether a text is a version by PEP 440, and so safe as a part of a requirement."""
    return _VERSION.fullmatch(text) is not None


def pin(name: str, version: str | None) -> str:
    """Return the requirement of this version of a library, of any version if it is not one."""
    return f"{name}=={version}" if version is not None and is_version(version) else name


def _compared(text: str, parts: int | None) -> tuple[tuple[int, ...], str]:
    """Return a version's numbers without zeros at the end, and the rest, such as ``rc1``; or its first numbers."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return (), text
    numbers = [int(number) for number in found[1].split(".")]
    if parts is not None:
        return tuple([*numbers, *[0] * parts][:parts]), ""
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), found[2].lower()
