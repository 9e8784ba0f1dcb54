"""The source directory of a training job: the entry script with the user's packages, addressed by content."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ensemble.bundle_code import importable
from experiments.errors import BackendUnavailable, ConfigError
from experiments.system.files import place_folder
from experiments.system.project import PROJECT

ENTRY = PROJECT / "entry"
SOURCE_FOLDER = "_code"
# The image has these requirements; if it found the file, the toolkit would install them at every start.
_LEFT_OUT = ("__pycache__", "requirements.txt")


def check_dependencies(folders: Sequence[Path]) -> None:
    """Raise BackendUnavailable unless every folder of packages exists."""
    for folder in folders:
        if not folder.is_dir():
            raise BackendUnavailable(f"entry.dependencies names {folder}, which is not a folder: correct the path.")


def source_folder(dependencies: Sequence[Path], studies: Path) -> Path:
    """Return the source directory of these packages below ``studies``; ``place_source`` writes it.

    Raises:
        ConfigError: A package has the name of one of byoe's.
    """
    return studies / SOURCE_FOLDER / _digest(_parts(dependencies), _LEFT_OUT)[:16]


def place_source(dependencies: Sequence[Path], studies: Path) -> None:
    """Write the source directory below ``studies``, unless it is there with the content by which it is named.

    Args:
        dependencies: Folders of packages and modules to include.
        studies: Folder of the studies.

    Raises:
        ConfigError: A package has the name of one of byoe's.
        StorageError: It cannot be written.
    """
    parts = _parts(dependencies)
    wanted = _digest(parts, _LEFT_OUT)

    def write(folder: Path) -> None:
        for name, path in parts.items():
            if path.is_dir():
                shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns(*_LEFT_OUT))
            else:
                shutil.copy(path, folder / name)

    def holds(folder: Path) -> bool:
        there = {path.name for path in folder.iterdir()} == set(parts)
        return there and _digest({name: folder / name for name in parts}, ()) == wanted

    place_folder(studies / SOURCE_FOLDER / wanted[:16], write, holds)


def _digest(parts: Mapping[str, Path], left_out: Collection[str]) -> str:
    """Return the SHA-256 over the names and contents of all files, without those of the names that are left out."""
    digest = hashlib.sha256()
    for name, path in parts.items():
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            inner = file.relative_to(path).parts if path.is_dir() else ()
            if file.is_file() and not set(inner) & set(left_out):
                digest.update("/".join((name, *inner)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _parts(dependencies: Sequence[Path]) -> dict[str, Path]:
    parts = {path.name: path for path in sorted(ENTRY.iterdir()) if path.name not in _LEFT_OUT}
    for path in importable(dependencies):
        if path.name in parts:
            raise ConfigError(
                f"entry.dependencies: the source directory already contains the name of {path}: rename it."
            )
        parts[path.name] = path
    return parts


# The same library without its GPU part of 300 MB; its predictions are equal to the bit.
_WITHOUT_GPU = (re.compile(r"^xgboost==", re.MULTILINE), "xgboost-cpu==")


def pinned_requirements() -> str:
    """Return what a container needs to train and serve: this machine's pins, without XGBoost's GPU part."""
    return _WITHOUT_GPU[0].sub(_WITHOUT_GPU[1], (PROJECT / "entry" / "requirements.txt").read_text())
