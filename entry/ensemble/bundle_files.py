"""The files of a bundle, verified against its manifest before anything is imported from it or read by a library.

The model server verifies a model with this module before it has any package of byoe, so this imports Python's standard
library only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "manifest.json"
BUNDLE_VERSION = 3
MEMBERS, CODE = "members", "code"
# Folders whose every file must be in the manifest; a stray file in one of them could be imported.
COMPLETE = (MEMBERS, CODE)
# Python's caches of compiled code, which byoe neither writes nor reads in a bundle.
CACHE = "__pycache__"


class DamagedBundle(Exception):
    """A folder is not a bundle, or not as it was saved; the message names the file and the fix.

    Attributes:
        exit_code: The exit code of a command that ends with this error.
    """

    exit_code = 2


def read_manifest_file(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle, of which only the version and the list of files are checked.

    Raises:
        DamagedBundle: The folder does not hold a bundle, or one of another version.
    """
    path = folder / MANIFEST
    damaged = f"{path} is damaged: it is not a JSON manifest. Train again."
    if not path.is_file():  # reading a pipe would wait for a writer
        if os.path.lexists(path):
            raise DamagedBundle(f"{path} is damaged: it is not a regular file. Train again.")
        raise DamagedBundle(f"{folder} is not a model bundle: it has no {MANIFEST}.")
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise DamagedBundle(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise DamagedBundle(damaged) from None
    if not isinstance(manifest, dict) or "bundle_version" not in manifest:
        raise DamagedBundle(damaged)
    if manifest["bundle_version"] != BUNDLE_VERSION or isinstance(manifest["bundle_version"], bool):
        version = str(manifest["bundle_version"])[:20]
        raise DamagedBundle(f"{path} has version {version}; this release reads {BUNDLE_VERSION}. Train again.")
    files = manifest.get("files")
    if files is None:
        raise DamagedBundle(f"{path} is damaged: it lacks files. Train again.")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise DamagedBundle(f"{path} is damaged: its files are not names with SHA-256. Train again.")
    return manifest


def verify_files(folder: Path, files: Mapping[str, str]) -> None:
    """Check that a bundle has every listed file as it was saved, and no other one that could be imported or loaded.

    Args:
        folder: The bundle.
        files: The SHA-256 of each file by its name, as in the manifest.

    Raises:
        DamagedBundle: A file is missing, differs, is outside the folder, or is not listed.
    """
    for name, expected in files.items():
        path = _inside(folder, name)
        if not path.is_file():
            raise DamagedBundle(f"{folder} is incomplete: {name} is missing. Copy it again or train again.")
        if sha256(path) != expected:
            raise DamagedBundle(
                f"{path} is not the file that was saved (SHA-256 differs). Copy it again or train again."
            )
    for name in _found(folder):
        if name not in files:
            raise DamagedBundle(
                f"{folder / name} is not in {MANIFEST}, so it is not part of the model. Remove it, copy the model "
                "again or train again."
            )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a listed file; raise DamagedBundle if it, or a link on the way, leads out of the bundle."""
    path = folder / name
    plain = "\0" not in name and PurePosixPath(name).as_posix() == name and ".." not in name.split("/")
    if not plain or not path.resolve().is_relative_to(folder.resolve()):
        raise DamagedBundle(f"{folder / MANIFEST} names a file outside the bundle: {name!r}.")
    return path


def _found(folder: Path) -> Iterator[str]:
    """Yield the names of all files, links and other entries below ``COMPLETE``, except Python's caches."""
    for part in COMPLETE:
        if (folder / part).is_symlink():
            yield part
        for place, folders, names in os.walk(folder / part):
            links = [name for name in folders if Path(place, name).is_symlink()]
            folders[:] = [name for name in folders if name != CACHE and name not in links]
            for name in sorted([*names, *links]):
                yield Path(place, name).relative_to(folder).as_posix()
