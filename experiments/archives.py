"""``.tar.gz`` archives: the same bytes for the same files, and nothing unpacked but files below the folder."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

# SageMaker's name of a job's model.
MODEL_ARCHIVE = "model.tar.gz"
# What reading a damaged archive raises.
DAMAGED = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)


def pack(folder: Path, archive: Path, extra: Mapping[str, bytes] | None = None) -> None:
    """Write a folder as ``.tar.gz``: the same bytes for the same files, whoever has them and since when.

    Args:
        folder: The folder.
        archive: The file to write.
        extra: More files, by name.
    """
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = tarfile.TarInfo(str(path.relative_to(folder)))
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as file:
                    tar.addfile(entry, file)
        for name, content in (extra or {}).items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``.tar.gz`` into ``folder``, which is emptied first; it may hold files and folders, and all below it.

    The library's own filter for that came in the middle of Python 3.11.

    Raises:
        tarfile.TarError, OSError: It is broken, or holds something else, such as a link.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for entry in tar:
            place = folder / entry.name
            if not (entry.isfile() or entry.isdir()) or not place.resolve().is_relative_to(folder.resolve()):
                raise tarfile.TarError(f"{archive}: {entry.name!r} is no file or folder below the archive's own")
            if entry.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(entry)
            if content is not None:  # as that of every file
                with content, place.open("wb") as sink:
                    shutil.copyfileobj(content, sink)
