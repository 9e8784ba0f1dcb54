"""Records of the endpoints on this machine: a folder for each, with a record that is replaced in one step."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ensemble.documents import read_json
from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.paths import endpoints_folder
from experiments.errors import ConfigError, did_you_mean, listed, storage_errors
from experiments.system.files import replace_file
from experiments.system.locks import AlreadyLocked, lock_file
from experiments.system.project import COMMAND

RECORD = "current.json"
_LOCK = "lock"
_TYPES = {"since": int | float}
# SageMaker's rule, with room for a version behind it in the model's name.
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,39}")


@dataclass(frozen=True)
class Endpoint:
    """One endpoint on this machine.

    Attributes:
        name: The endpoint's name.
        url: The address at which it answers, such as ``http://127.0.0.1:34567``.
        container: The container's name.
        network: The network's name.
        folder: The folder of this version: archive, model and requests.
        model_dir: The unpacked model.
        origin: Where the model is from, for messages.
        bundle_hash: The hash of the model.
        serving: ``serverless`` or ``realtime``.
        since: When this version began to serve, in seconds since 1970.
    """

    name: str
    url: str
    container: str
    network: str
    folder: str
    model_dir: str
    origin: str
    bundle_hash: str
    serving: str
    since: float


class Records:
    """The records in one folder."""

    def __init__(self, root: Path) -> None:
        """Use a folder, which need not exist."""
        self.root = root

    def all(self) -> list[Endpoint]:
        """Return every endpoint whose record can be read, the newest first."""
        found = []
        for path in self.root.glob(f"*/{RECORD}"):
            with contextlib.suppress(ConfigError):
                found.append(self._read(path))
        return sorted(found, key=lambda endpoint: -endpoint.since)

    def damaged(self) -> list[str]:
        """Return, for each record that cannot be read, what is wrong with it."""
        faults = []
        for path in sorted(self.root.glob(f"*/{RECORD}")):
            try:
                self._read(path)
            except ConfigError as error:
                faults.append(str(error))
        return faults

    def find(self, name: str) -> Endpoint | None:
        """Return an endpoint, or None."""
        check_name(name)
        path = self.root / name / RECORD
        return self._read(path) if os.path.lexists(path) else None

    def get(self, name: str) -> Endpoint:
        """Return an endpoint.

        Raises:
            ConfigError: There is no such endpoint; the message has the command that deploys it.
        """
        found = self.find(name)
        if found is None:
            names = [endpoint.name for endpoint in self.all()]
            others = f"{did_you_mean(name, names)} There are: {listed(names)}." if names else ""
            argument = [] if name == "local" else [f"endpoint={name}"]
            raise ConfigError(
                f"endpoint={name}: there is no such endpoint on this machine.{others} "
                f"{typed_command(['mode=sagemaker', 'action=deploy', *argument])} creates it."
            )
        return found

    def put(self, endpoint: Endpoint) -> None:
        """Record this as the endpoint of its name, in one step."""
        replace_file(self.root / endpoint.name / RECORD, json.dumps(asdict(endpoint), indent=1))

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[Path]:
        """Lock an endpoint's folder against other commands, and yield it; the lock ends with this process.

        A folder that has no record at the end is removed.

        Raises:
            ConfigError: Another command is deploying or deleting it.
            StorageError: The folder cannot be written.
        """
        check_name(name)
        folder = self.root / name
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = lock_file(folder / _LOCK)
            except AlreadyLocked:
                raise ConfigError(
                    f"endpoint={name} is being deployed or deleted by another command: wait until it has finished."
                ) from None
        with lock:
            try:
                yield folder
            finally:
                if not (folder / RECORD).exists():  # it was not deployed, or it was deleted
                    shutil.rmtree(folder, ignore_errors=True)
                    with contextlib.suppress(OSError):  # it has other endpoints
                        self.root.rmdir()

    @staticmethod
    def _read(path: Path) -> Endpoint:
        try:
            found = Endpoint(**read_json(path))
            wrong = [name for name, value in asdict(found).items() if not isinstance(value, _TYPES.get(name, str))]
            if wrong:
                raise ValueError(f"its {wrong[0]} is wrong")
            return found
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{path} is damaged ({error}). Remove it; {COMMAND} action=clean then removes its container."
            ) from None


def check_name(name: str) -> None:
    """Raise ConfigError unless SageMaker would accept the name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"endpoint={name}: a name has letters, digits and inner hyphens, at most 40 of them.")


def records_of(composed: Composed) -> Records:
    """Return the records of the endpoints on this machine."""
    return Records(endpoints_folder(composed.config))
