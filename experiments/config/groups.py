"""The groups of the configuration: the folders of ``configs/``, each with files of which a command uses one."""

from __future__ import annotations

from experiments.config.schema import known_keys
from experiments.system.project import PROJECT

CONFIG_FOLDER = PROJECT / "configs"
# Keys that a group's file sets to its own name.
CHOSEN_BY_GROUP = ("mode.name", "dataset.name", "serving.name")


def group_files() -> dict[str, list[str]]:
    """Return the names of every group's files."""
    return {
        folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
        for folder in sorted(CONFIG_FOLDER.iterdir())
        if folder.is_dir() and folder.name != "local"
    }


def valid_keys() -> list[str]:
    """Return everything that may precede the equals sign of an argument: the schema's keys and the groups."""
    return [*known_keys(), *group_files()]
