"""The code in a bundle: the inference script, this package, the user's own packages, and their requirements."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ensemble.errors import InputError
from ensemble.listed_code import module_path

ENTRY = Path(__file__).resolve().parent.parent
REQUIREMENTS = "requirements.txt"
# What serving needs besides the members' libraries; the lower bounds are those of entry/requirements.txt.
_ALWAYS = ("numpy>=2.1", "scipy>=1.14", "pandas>=2.2", "threadpoolctl>=3.5", "orjson>=3.10", "pyarrow>=18")
_PINNED = ("xgboost", "catboost", "scikit-learn", "skops")
# Serving does not use the GPU part of XGBoost, which takes 300 MB.
_DISTRIBUTIONS = {"xgboost": "xgboost-cpu"}


def importable(folders: Sequence[Path]) -> list[Path]:
    """Return the paths of the packages and modules in these folders."""
    found = [path for folder in folders for path in sorted(folder.iterdir())]
    return [path for path in found if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))]


def write_code(
    folder: Path,
    more: Sequence[Path],
    versions: Mapping[str, str],
    libraries: Iterable[str] = (),
    classes: Sequence[str] = (),
) -> None:
    """Write the code and ``requirements.txt`` of a bundle.

    Args:
        folder: Folder to create; it must not exist.
        more: Folders of the user's own packages and modules.
        versions: Versions of libraries, by name.
        libraries: Names of the members' libraries.
        classes: The user's own classes, as ``module:Class``. Their packages and modules are written too if they are
            not in ``more``, but where Python finds them.

    Raises:
        InputError: One of the user's packages has the name of one that is already in ``folder``.
    """
    folder.mkdir(parents=True)
    given = importable([ENTRY, *more])
    tops = sorted({kind.partition(":")[0].partition(".")[0] for kind in classes} - {path.stem for path in given})
    for path in [*given, *(path for top in tops if (path := module_path(top)) is not None)]:
        place = folder / path.name
        if place.exists():
            raise InputError(f"the name of {path} is taken in the model's code: rename it.")
        if path.is_dir():
            shutil.copytree(path, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, place)
    always = {requirement.partition(">=")[0] for requirement in _ALWAYS}
    pinned = dict.fromkeys([*_PINNED, *sorted(set(libraries) - always)])
    pins = [f"{_DISTRIBUTIONS.get(name, name)}=={versions[name]}" for name in pinned if name in versions]
    (folder / REQUIREMENTS).write_text("\n".join([*pins, *_ALWAYS]) + "\n")
