"""A study's data and code on S3, each under a name derived from its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from experiments.aws.settings import RemoteSettings
from experiments.aws.storage import Upload
from experiments.config.paths import user_path
from experiments.errors import ConfigError, storage_errors
from experiments.sagemaker_requests.jobs import CODE_ARCHIVE
from experiments.study.source_dir import pinned_requirements, source_folder
from experiments.study.spec import StudySpec
from experiments.system.archives import pack

REQUIREMENTS = "requirements.txt"


def requirements_text(extra: str | None) -> str:
    """Return the requirements of a job in AWS's container: this machine's pins and the user's own.

    Args:
        extra: ``mode.image.requirements``, a file with more requirements.

    Raises:
        ConfigError: The file cannot be read.
    """
    if extra is None:
        return pinned_requirements()
    path = user_path(extra)
    try:
        return pinned_requirements() + path.read_text()
    except OSError as error:
        raise ConfigError(f"mode.image.requirements={extra}: {error.strerror}.") from None


def code_digest(study: StudySpec, requirements: str | None) -> str:
    """Return a hash of the code that the study's jobs run."""
    source = source_folder(study.dependencies, study.folder.parent).name
    return hashlib.sha256(f"{source}\0{requirements}".encode()).hexdigest()[:16]


def uploads(study: StudySpec, settings: RemoteSettings, requirements: str | None, scratch: Path) -> list[Upload]:
    """Return what a launch uploads, and pack the code into ``scratch``. Channels and source directory must exist.

    Raises:
        StorageError: The archive cannot be written.
    """
    return [*_data(study, settings), _code(study, settings, requirements, scratch)]


def _data(study: StudySpec, settings: RemoteSettings) -> Iterator[Upload]:
    if study.channels.in_place is not None:
        return
    for channel, folder in study.channels.for_jobs().items():  # the test rows are never uploaded
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                location = settings.location("data", study.channels.data_hash[:16], channel, name)
                yield Upload(path, location)


def _code(study: StudySpec, settings: RemoteSettings, requirements: str | None, scratch: Path) -> Upload:
    archive = scratch / CODE_ARCHIVE
    extra = {} if requirements is None else {REQUIREMENTS: requirements.encode()}
    with storage_errors(archive):
        pack(source_folder(study.dependencies, study.folder.parent), archive, extra)
    return Upload(archive, settings.location("code", code_digest(study, requirements), CODE_ARCHIVE))
