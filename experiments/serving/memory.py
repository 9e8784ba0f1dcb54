"""The memory of a serverless endpoint: the smallest that passed its model's rehearsal on this machine."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ensemble.documents import read_json
from experiments.config.schema import ServingConfig
from experiments.errors import ConfigError, storage_errors
from experiments.system.files import replace_file

# Below the folder of this machine's endpoints, whose names cannot begin with an underscore.
_FOLDER = "_rehearsals"
# In MB, for a model that was not rehearsed.
DEFAULT_MEMORY = 2048


@dataclass(frozen=True)
class Rehearsal:
    """The findings of a model's rehearsal.

    Attributes:
        memory_size_in_mb: The smallest memory size that passes; None if none does.
        cold_start: Seconds from a container's start to its first answer.
        peak_bytes: Peak memory; None if the kernel does not report it.
        largest_request: Seconds until the largest request was answered.
        image: The container image.
    """

    memory_size_in_mb: int | None
    cold_start: float
    peak_bytes: int | None
    largest_request: float
    image: str


def record_rehearsal(endpoints: Path, bundle_hash: str, rehearsal: Rehearsal) -> None:
    """Record a model's rehearsal in place of an earlier one.

    Raises:
        StorageError: The folder cannot be written.
    """
    path = _path(endpoints, bundle_hash)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(asdict(rehearsal), indent=1))


def find_rehearsal(endpoints: Path, bundle_hash: str) -> Rehearsal | None:
    """Return a model's rehearsal, or None if there is none or its file is damaged."""
    with suppress(OSError, ValueError, TypeError):
        found = Rehearsal(**read_json(_path(endpoints, bundle_hash)))
        numbers = (found.memory_size_in_mb, found.cold_start, found.peak_bytes, found.largest_request)
        if isinstance(found.image, str) and all(value is None or isinstance(value, int | float) for value in numbers):
            return found
    return None


def with_memory(serving: ServingConfig, endpoints: Path, bundle_hash: str, command: str) -> tuple[ServingConfig, str]:
    """Return the settings with a memory size, and where the size is from; that is empty if the user has set it.

    Args:
        serving: The settings; without ``memory_size_in_mb`` it is looked up.
        endpoints: The folder of this machine's endpoints.
        bundle_hash: The hash of the model.
        command: The command that rehearses the model, for messages.

    Raises:
        ConfigError: No size passed when the model was rehearsed.
    """
    if serving.name != "serverless" or serving.memory_size_in_mb is not None:
        return serving, ""
    known = find_rehearsal(endpoints, bundle_hash)
    if known is None:
        source = f"{DEFAULT_MEMORY:,} MB, since this model was not rehearsed here: {command} finds what it needs."
        return replace(serving, memory_size_in_mb=DEFAULT_MEMORY), source
    if known.memory_size_in_mb is None:
        raise ConfigError(
            "no memory size of a serverless endpoint passed when this model was rehearsed. Add serving=realtime, or "
            "set a size all the same, such as serving.memory_size_in_mb=6144."
        )
    source = f"{known.memory_size_in_mb:,} MB, the smallest that passed when this model was rehearsed in {known.image}."
    return replace(serving, memory_size_in_mb=known.memory_size_in_mb), source


def _path(endpoints: Path, bundle_hash: str) -> Path:
    return endpoints / _FOLDER / f"{bundle_hash[:16]}.json"
