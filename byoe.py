"""byoe in Python: tune, replay and compare ensembles, load and use their models.

Names are imported when they are first used, so that ``import byoe`` takes no time. ``docs/python.md`` describes them.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemble import __version__
    from experiments.actions.python.comparison import Comparison, compare
    from experiments.actions.python.estimator import EnsembleClassifier, EnsembleRegressor
    from experiments.actions.python.model import Model, load
    from experiments.actions.python.study import Study, Trial, replay, tune
    from experiments.errors import (
        BackendUnavailable,
        BundleError,
        CellError,
        ConfigError,
        EnsembleError,
        InputError,
        MemberError,
        StorageError,
        StudyFailed,
        StudyTaken,
    )

# By module, the public names in it.
_PUBLIC = {
    "ensemble": ("__version__",),
    "experiments.actions.python.comparison": ("Comparison", "compare"),
    "experiments.actions.python.estimator": ("EnsembleClassifier", "EnsembleRegressor"),
    "experiments.actions.python.model": ("Model", "load"),
    "experiments.actions.python.study": ("Study", "Trial", "replay", "tune"),
    "experiments.errors": (
        "BackendUnavailable",
        "BundleError",
        "CellError",
        "ConfigError",
        "EnsembleError",
        "InputError",
        "MemberError",
        "StorageError",
        "StudyFailed",
        "StudyTaken",
    ),
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names}
# By name, the files of byoe's own packages. Another project may have a module with the same name.
_FOLDER = Path(__file__).resolve().parent
_PACKAGES = {"ensemble": _FOLDER / "entry" / "ensemble", "experiments": _FOLDER / "experiments"}


def _check_packages() -> None:
    """Raise ImportError if another module is imported in place of one of byoe's packages."""
    for name, folder in _PACKAGES.items():
        found = importlib.util.find_spec(name)
        if found is not None and found.origin and Path(found.origin).resolve() != folder / "__init__.py":
            raise ImportError(
                f"{found.origin} is imported instead of byoe's own package {name!r}. Rename it, or run Python from "
                "another folder.",
                name=name,
                path=found.origin,
            )


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _check_packages()
    found = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


__all__ = [
    "BackendUnavailable",
    "BundleError",
    "CellError",
    "Comparison",
    "ConfigError",
    "EnsembleClassifier",
    "EnsembleError",
    "EnsembleRegressor",
    "InputError",
    "MemberError",
    "Model",
    "StorageError",
    "Study",
    "StudyFailed",
    "StudyTaken",
    "Trial",
    "__version__",
    "compare",
    "load",
    "replay",
    "tune",
]
