"""``.tar.gz`` archives: packed reproducibly, and unpacked only into the folder that is given."""

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

# SageMaker's name for a job's model.
MODEL_ARCHIVE = "model.tar.gz"
# Errors of a file system about a name that is not valid, or not beside another one.
_NAME_ERRORS = (
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTEMPTY,
    errno.EILSEQ,
    errno.EINVAL,
)
# The errors that reading a damaged archive raises.
DAMAGED = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)


def pack(folder: Path, archive: Path, extra: Mapping[str, bytes] | None = None) -> None:
    """Write a folder as ``.tar.gz``: the same files give the same bytes, whatever their owners and dates.

    Args:
        folder: The folder.
        archive: The file to write.
        extra: Contents of further files, by name.
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
def name_errors(archive: Path) -> Iterator[None]:
    """Raise an error inside the block about a name of an archive as ``tarfile.TarError``: the disk is not at fault."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        name = Path(str(error.filename or "")).name
        raise tarfile.TarError(f"{archive}: {name[:80]!r} cannot be unpacked: {error.strerror}") from None
    except ValueError as error:
        raise tarfile.TarError(f"{archive}: a name in it cannot be unpacked: {error}") from None


def unpack(archive: Path, folder: Path, max_bytes: int | None = None) -> None:
    """Unpack a ``.tar.gz`` into ``folder``, which is emptied first.

    The library's own filter, ``tarfile.data_filter``, is not in the first releases of Python 3.11.

    Args:
        archive: The archive. It may contain files and folders, all of them below ``folder``.
        folder: The folder.
        max_bytes: Limit of the unpacked size of all files; None is no limit.

    Raises:
        tarfile.TarError: It is damaged, too large, or contains something else, such as a link.
        OSError: It cannot be read, or the folder cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = 0
    with name_errors(archive), tarfile.open(archive) as tar:
        for entry in tar:
            unpacked += entry.size
            if max_bytes is not None and unpacked > max_bytes:
                raise tarfile.TarError(f"{archive}: it has more than {max_bytes / 1e9:g} GB unpacked")
            place = folder / entry.name
            if not (entry.isfile() or entry.isdir()) or not place.resolve().is_relative_to(folder.resolve()):
                raise tarfile.TarError(f"{archive}: {entry.name!r} is not a file or folder inside the archive's folder")
            if entry.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(entry)
            if content is not None:  # which is so for every file
                with content, place.open("wb") as sink:
                    shutil.copyfileobj(content, sink)
