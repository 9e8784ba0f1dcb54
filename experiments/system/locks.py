"""Locks on files and folders. The kernel frees a lock when the process that holds it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class AlreadyLocked(Exception):
    """Another process holds the lock.

    Attributes:
        path: The file or folder.
        holder: The process that holds it, where the file names one.
    """

    def __init__(self, path: Path, holder: str = "unknown") -> None:
        super().__init__(f"{path} is locked by process {holder}")
        self.path = path
        self.holder = holder


class ForeignFolder(Exception):
    """A folder is a link, or belongs to another user, so nothing in it may be trusted or removed."""


class Lock:
    """An exclusive lock that this process holds. Use as a context manager, or ``release`` it."""

    def __init__(self, descriptor: int) -> None:
        """Own a descriptor that is locked; use ``lock_file`` or ``lock_folder``."""
        self._descriptor = descriptor

    def release(self) -> None:
        """Free the lock."""
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_file(path: Path) -> Lock:
    """Lock a file, which is created if it is missing, and write this process' number into it.

    Raises:
        AlreadyLocked: Another process holds it.
        OSError: It cannot be opened or written, or is a link.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyLocked(path, os.pread(descriptor, 32, 0).decode() or "unknown") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor)


def lock_folder(path: Path, *, wait: bool = False, own: bool = False) -> Lock:
    """Lock a folder; this leaves no file in it.

    Args:
        path: The folder.
        wait: Whether to wait while another process holds it.
        own: Whether it must be this user's and not a link, since it is going to be emptied.

    Raises:
        AlreadyLocked: Another process holds it, or removed it while this one waited.
        ForeignFolder: It is a link or another user's, and ``own`` is set.
        OSError: It cannot be opened.
    """
    if own and path.is_symlink():
        raise ForeignFolder(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if own else 0))
    try:
        if own and os.fstat(descriptor).st_uid != os.geteuid():
            raise ForeignFolder(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise AlreadyLocked(path)
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        raise AlreadyLocked(path) from None
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on this file; false if there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
