"""How much memory a serverless endpoint is given: what its model's rehearsal on this machine has found to do."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from experiments.config.schema import ServingConfig
from experiments.errors import ConfigError, storage_errors
from experiments.system.files import replace_file

# Below the folder of this machine's endpoints, whose names cannot begin like that.
_FOLDER = "_rehearsals"
# For a model that was not rehearsed, in MB.
DEFAULT_MEMORY = 2048


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal has found of a model.

    Attributes:
        memory_size_in_mb: The smallest that passes; None where none does.
        cold_start: Seconds from a container's start to its first answer.
        peak_bytes: Most memory that was used; None where the kernel does not say.
        largest_request: Seconds for the largest request.
        image: The container image.
    """

    memory_size_in_mb: int | None
    cold_start: float
    peak_bytes: int | None
    largest_request: float
    image: str


def keep(endpoints: Path, bundle_hash: str, rehearsal: Rehearsal) -> None:
    """Remember what was found of a model, in place of what was known of it.

    Raises:
        StorageError: The folder cannot be written.
    """
    path = _path(endpoints, bundle_hash)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(asdict(rehearsal), indent=1))


def recall(endpoints: Path, bundle_hash: str) -> Rehearsal | None:
    """Return what is known of a model, or None; a damaged file is nothing known."""
    with suppress(OSError, ValueError, TypeError):
        return Rehearsal(**json.loads(_path(endpoints, bundle_hash).read_text()))
    return None


def with_memory(serving: ServingConfig, endpoints: Path, bundle_hash: str, command: str) -> tuple[ServingConfig, str]:
    """Return the settings with a memory size, and a sentence that says where it is from, if not from the user.

    Args:
        serving: The settings; ``memory_size_in_mb`` of None is to be found.
        endpoints: The folder of this machine's endpoints.
        bundle_hash: Which model is served.
        command: The command that rehearses the model, for messages.

    Raises:
        ConfigError: No size passed when the model was rehearsed.
    """
    if serving.name != "serverless" or serving.memory_size_in_mb is not None:
        return serving, ""
    known = recall(endpoints, bundle_hash)
    if known is None:
        said = f"{DEFAULT_MEMORY:,} MB, since this model was not rehearsed here: {command} finds what it takes."
        return replace(serving, memory_size_in_mb=DEFAULT_MEMORY), said
    if known.memory_size_in_mb is None:
        raise ConfigError(
            "no memory size of a serverless endpoint passed when this model was rehearsed: add serving=realtime, or "
            "choose one all the same, such as serving.memory_size_in_mb=6144."
        )
    said = f"{known.memory_size_in_mb:,} MB, the smallest that passed when this model was rehearsed in {known.image}."
    return replace(serving, memory_size_in_mb=known.memory_size_in_mb), said


def _path(endpoints: Path, bundle_hash: str) -> Path:
    return endpoints / _FOLDER / f"{bundle_hash[:16]}.json"
