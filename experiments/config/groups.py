"""The groups of the configuration: the folders of ``configs/``, each with files of which a command uses one."""

from __future__ import annotations

from pathlib import Path

from experiments.config.schema import known_keys
from experiments.system.project import PROJECT

CONFIG_FOLDER = PROJECT / "configs"
# Keys that a group's file sets to its own name.
CHOSEN_BY_GROUP = ("mode.name", "dataset.name", "serving.name")


def config_folders() -> list[Path]:
    """Return the folders of the configuration: byoe's own, and ``configs`` in the working directory if it is another.

    A file of the first one overrides a file with the same path in the second one.
    """
    here = Path("configs").absolute()
    return [CONFIG_FOLDER, here] if here.is_dir() and here.resolve() != CONFIG_FOLDER.resolve() else [CONFIG_FOLDER]


def config_file(path: str) -> Path | None:
    """Return the file of a path below ``configs`` without its suffix, None if there is none."""
    files = (folder / f"{path}.yaml" for folder in config_folders())
    return next((file for file in files if file.is_file()), None)


def group_files() -> dict[str, list[str]]:
    """Return the names of every group's files."""
    groups = [path.name for path in sorted(CONFIG_FOLDER.iterdir()) if path.is_dir() and path.name != "local"]
    return {
        group: sorted({path.stem for folder in config_folders() for path in (folder / group).glob("*.yaml")})
        for group in groups
    }


def valid_keys() -> list[str]:
    """Return everything that may precede the equals sign of an argument: the schema's keys and the groups."""
    return [*known_keys(), *group_files()]
