"""``.tar.gz`` archives: the same bytes for the same files, and nothing unpacked but files below the folder."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

# SageMaker's name of a job's model.
MODEL_ARCHIVE = "model.tar.gz"
# What a disk says of names that cannot be there together, or at all.
_OF_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTEMPTY, errno.EILSEQ, errno.EINVAL)
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


@contextlib.contextmanager
def names_that_fit(archive: Path) -> Iterator[None]:
    """Turn what the disk says of an archive's names inside the block into ``tarfile.TarError``: the disk is well."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_NAMES:
            raise
        name = Path(str(error.filename or "")).name
        raise tarfile.TarError(f"{archive}: {name[:80]!r} cannot be there: {error.strerror}") from None
    except ValueError as error:
        raise tarfile.TarError(f"{archive}: a name in it cannot be there: {error}") from None


def unpack(archive: Path, folder: Path, most_bytes: int | None = None) -> None:
    """Unpack a ``.tar.gz`` into ``folder``, which is emptied first; it may hold files and folders, and all below it.

    The library's own filter for that came in the middle of Python 3.11.

    Args:
        archive: The archive.
        folder: The folder.
        most_bytes: What may be in it unpacked, in all; None for no limit.

    Raises:
        tarfile.TarError, OSError: It is broken, or holds something else, such as a link.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = 0
    with names_that_fit(archive), tarfile.open(archive) as tar:
        for entry in tar:
            unpacked += entry.size
            if most_bytes is not None and unpacked > most_bytes:
                raise tarfile.TarError(f"{archive}: unpacked it has more than {most_bytes / 1e9:g} GB")
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
