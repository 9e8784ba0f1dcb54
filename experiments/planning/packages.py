"""The user's own packages, which ``entry.dependencies`` names."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from experiments.config.paths import user_path
from experiments.config.schema import EntryConfig
from experiments.study.source_dir import check_dependencies


def package_folders(config: EntryConfig) -> tuple[Path, ...]:
    """Return the folders that contain the user's packages.

    Raises:
        BackendUnavailable: One of them is not a folder.
    """
    folders = tuple(user_path(text).absolute() for text in config.dependencies)
    check_dependencies(folders)
    return folders


def make_importable(config: EntryConfig) -> None:
    """Let this process import the user's packages, whose classes a plan looks up.

    Raises:
        BackendUnavailable: One of them is not a folder.
    """
    for folder in package_folders(config):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def code_hash(folder: Path) -> str:
    """Return a SHA-256 over the Python files below a folder, 16 characters of it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
