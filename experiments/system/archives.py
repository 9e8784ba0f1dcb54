"""``.tar.gz`` archives: packed to the same bytes for the same files, and unpacked to files below one folder only."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from experiments.errors import EnsembleError
from experiments.system.files import remove

# SageMaker's name for a job's model.
MODEL_ARCHIVE = "model.tar.gz"
# Limits of what is unpacked. Large ensembles take gigabytes, and a bundle's deepest file is five folders deep.
MOST_BYTES, MOST_ENTRIES, MOST_DEPTH = 10 * 10**9, 100_000, 32
# A header is read into memory as a whole, and may be far longer than its compressed bytes.
_MOST_AT_ONCE = 2**20
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


class DamagedArchive(EnsembleError):
    """An archive that cannot be unpacked, or must not be; its message says why."""


def pack(folder: Path, archive: Path, extra: Mapping[str, bytes] | None = None) -> None:
    """Write a folder as ``.tar.gz``. Owners and times are left out, so the same files give the same bytes.

    Links and Python's caches are left out too: what a link points to may be any file of this user.

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
        for path in _regular_files(folder):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o644
                tar.addfile(entry, file)
        for name, content in (extra or {}).items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))


def _regular_files(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [path for name in names if (path := Path(place, name)).is_file() and not path.is_symlink()]
    return sorted(found)


@contextlib.contextmanager
def archive_errors(archive: Path) -> Iterator[None]:
    """Raise what goes wrong in the block because of the archive, and not of the disk, as ``DamagedArchive``."""
    try:
        yield
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, RecursionError, OverflowError) as error:
        raise DamagedArchive(str(error)) from None
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        name = Path(str(error.filename or "")).name
        raise DamagedArchive(f"{archive}: {name[:80]!r} cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise DamagedArchive(f"{archive}: a name in it cannot be written: {error}") from None


def unpack(archive: Path, folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Unpack a ``.tar.gz`` into ``folder``, which is emptied first.

    Only files and folders are accepted, and only below ``folder``. ``tarfile``'s own filter for that is missing in the
    first releases of Python 3.11.

    Args:
        archive: The archive.
        folder: The folder.
        most_bytes: Limit of the unpacked size of all files.

    Raises:
        DamagedArchive: It is broken, too large or too deep, has too many files, or something else than files in it,
            such as a link.
        OSError: The folder cannot be written.
    """
    remove(folder)
    folder.mkdir(parents=True)
    unpacked = 0
    if not archive.is_file():  # reading a pipe would wait for a writer
        raise DamagedArchive(f"{archive}: it is not a regular file")
    with (
        archive_errors(archive),
        _Zipped(archive) as zipped,
        tarfile.open(fileobj=zipped, mode="r:") as tar,
    ):
        for number, entry in enumerate(tar):
            unpacked += entry.size
            if unpacked > most_bytes:
                raise DamagedArchive(f"{archive}: unpacked it has more than {most_bytes / 1e9:g} GB")
            if number >= MOST_ENTRIES:
                raise DamagedArchive(f"{archive}: it has more than {MOST_ENTRIES:,} files")
            place = folder / entry.name
            if entry.name.count("/") >= MOST_DEPTH:
                raise DamagedArchive(f"{archive}: {entry.name[:80]!r} is more than {MOST_DEPTH} folders deep")
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


class _Zipped(gzip.GzipFile):
    """A compressed file that refuses to be read in large pieces."""

    def read(self, size: int | None = -1) -> bytes:
        """Read up to ``size`` bytes."""
        if size is not None and size > _MOST_AT_ONCE:
            raise tarfile.ReadError(f"it has a header of more than {_MOST_AT_ONCE:,} bytes")
        return super().read(size)
