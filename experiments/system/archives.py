"""``.tar.gz`` archives: packed to the same bytes for the same files, and unpacked to files below one folder only."""

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
# Errors of a file system about a name that is not valid, or that conflicts with another one.
_NAME_ERRORS = (
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTEMPTY,
    errno.EILSEQ,
    errno.EINVAL,
)


class DamagedArchive(Exception):
    """An archive that cannot be unpacked, or must not be; its message says why."""


def pack(folder: Path, archive: Path, extra: Mapping[str, bytes] | None = None) -> None:
    """Write a folder as ``.tar.gz``. Owners and times are left out, so the same files give the same bytes.

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
def archive_errors(archive: Path) -> Iterator[None]:
    """Raise what goes wrong in the block because of the archive, and not of the disk, as ``DamagedArchive``."""
    try:
        yield
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedArchive(str(error)) from None
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        name = Path(str(error.filename or "")).name
        raise DamagedArchive(f"{archive}: {name[:80]!r} cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise DamagedArchive(f"{archive}: a name in it cannot be written: {error}") from None


def unpack(archive: Path, folder: Path, max_bytes: int | None = None) -> None:
    """Unpack a ``.tar.gz`` into ``folder``, which is emptied first.

    Only files and folders are accepted, and only below ``folder``. ``tarfile``'s own filter for that is missing in the
    first releases of Python 3.11.

    Args:
        archive: The archive.
        folder: The folder.
        max_bytes: Limit of the unpacked size of all files; None for no limit.

    Raises:
        DamagedArchive: It is broken or too large, or has something else in it, such as a link.
        OSError: The folder cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unpacked = 0
    with archive_errors(archive), tarfile.open(archive) as tar:
        for entry in tar:
            unpacked += entry.size
            if max_bytes is not None and unpacked > max_bytes:
                raise DamagedArchive(f"{archive}: unpacked it has more than {max_bytes / 1e9:g} GB")
            place = folder / entry.name
            if not (entry.isfile() or entry.isdir()) or not place.resolve().is_relative_to(folder.resolve()):
                raise DamagedArchive(f"{archive}: {entry.name!r} is not a file or folder below the archive's own")
            if entry.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(entry)
            if content is not None:  # as that of every file
                with content, place.open("wb") as sink:
                    shutil.copyfileobj(content, sink)
