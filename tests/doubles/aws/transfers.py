"""Transfers between S3, CloudWatch logs, and the folders of jobs and endpoints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.doubles.aws.resident import Resident

_LINES_A_CALL = 1000


class DownloadFailed(Exception):
    """An input does not exist."""


@dataclass(frozen=True)
class Site:
    """The environment of jobs and endpoints.

    Attributes:
        folder: The folder in which each of them gets a folder.
        storage: A client of S3.
        logs: A client of CloudWatch logs.
        image: The image of their containers; None for processes on this machine.
        cpus: The number of cores that each of them is given.
        resident: The process from which jobs are forked; None to start a new process for each.
    """

    folder: Path
    storage: Any
    logs: Any
    image: str | None
    cpus: int
    resident: Resident | None = None

    def download(self, location: str, path: Path) -> None:
        """Download an object.

        Raises:
            DownloadFailed: It is not there.
        """
        bucket, key = parts(location)
        with said(location):
            self.storage.download_file(bucket, key, str(path))

    def has(self, location: str) -> bool:
        """Return whether there is an object at a location."""
        from botocore.exceptions import ClientError

        try:
            bucket, key = parts(location)
            self.storage.head_object(Bucket=bucket, Key=key)
        except (DownloadFailed, ClientError):
            return False
        return True

    def log(self, group: str, stream: str, lines: Sequence[str]) -> None:
        """Send lines to CloudWatch."""
        events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines if line.strip()]
        if not lines:
            return
        names = {"logGroupName": group, "logStreamName": stream}
        with contextlib.suppress(self.logs.exceptions.ResourceAlreadyExistsException):
            self.logs.create_log_group(logGroupName=group)
        with contextlib.suppress(self.logs.exceptions.ResourceAlreadyExistsException):
            self.logs.create_log_stream(**names)
        for first in range(0, len(events), _LINES_A_CALL):
            self.logs.put_log_events(**names, logEvents=events[first : first + _LINES_A_CALL])


@contextlib.contextmanager
def said(location: str) -> Iterator[None]:
    """Raise what S3 refuses as a failed download."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        raise DownloadFailed(f"Data download failed:{location}: {error}") from error


def parts(location: str) -> tuple[str, str]:
    """Return bucket and key of a location.

    Raises:
        DownloadFailed: It is not on S3.
    """
    split = urlsplit(location)
    if split.scheme != "s3" or not split.netloc:
        raise DownloadFailed(f"{location!r} is not a location on S3")
    return split.netloc, split.path.lstrip("/")
