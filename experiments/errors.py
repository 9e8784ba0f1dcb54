"""Errors of the harness, below the entry package's base class, so that all commands report errors in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ensemble.errors import BundleError, CellError, EnsembleError, InputError, MemberError, brief, did_you_mean, listed


class ConfigError(InputError):
    """A configuration cannot be run: it has an unknown key, a wrong value or a conflict."""


class BackendUnavailable(InputError):
    """Something that the backend needs is missing or does not answer; the message has the command that fixes it."""


class StudyTaken(InputError):
    """The study's name belongs to another configuration, or another process is running it."""


class StudyFailed(EnsembleError):
    """The study ended without a result, or too many of its trials failed."""


class StorageError(EnsembleError):
    """A file or folder could not be written; everything recorded before is kept."""

    @classmethod
    def at(cls, path: Path, reason: OSError | str) -> StorageError:
        """Return the error for ``path``, which could not be written."""
        if isinstance(reason, OSError):
            reason = reason.strerror or str(reason)
        return cls(
            f"{path} cannot be written: {reason}. Everything recorded before is kept. Free disk space or fix the "
            "folder's permissions, then run the same command again."
        )


def one_of(place: str, value: str, valid: tuple[Any, ...]) -> Any:
    """Return ``value`` if it is one of ``valid``; otherwise raise a ConfigError with its place and the nearest one."""
    if value not in valid:
        raise ConfigError(f"{place}={value!r} is not valid.{did_you_mean(value, valid)} It can be: {listed(valid)}.")
    return value


class RunnerClosed(Exception):
    """A trial was stopped because its runner was closed or interrupted."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise an OSError inside the block as a StorageError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise StorageError.at(path, error) from error


__all__ = [
    "BackendUnavailable",
    "BundleError",
    "CellError",
    "ConfigError",
    "EnsembleError",
    "InputError",
    "MemberError",
    "RunnerClosed",
    "StorageError",
    "StudyFailed",
    "StudyTaken",
    "brief",
    "did_you_mean",
    "listed",
    "one_of",
    "storage_errors",
]
