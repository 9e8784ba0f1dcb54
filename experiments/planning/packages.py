"""The user's own packages, which ``entry.dependencies`` names."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from experiments.config.paths import user_path
from experiments.config.schema import EntryConfig
from experiments.errors import ConfigError


def package_folders(config: EntryConfig) -> tuple[Path, ...]:
    """Return the folders that contain the user's packages.

    Raises:
        ConfigError: One of them is not a folder.
    """
    folders = []
    for text in config.dependencies:
        folder = user_path(text).absolute()
        if not folder.is_dir():
            raise ConfigError(f"entry.dependencies names {text!r}, which is not a folder: correct the path.")
        folders.append(folder)
    return tuple(folders)


def make_importable(config: EntryConfig) -> None:
    """Let this process import the user's packages, whose classes a plan looks up.

    Raises:
        ConfigError: One of the folders is not a folder.
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
