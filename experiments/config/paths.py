"""The folders that the configuration names."""

from __future__ import annotations

from pathlib import Path

from experiments.config.schema import Config


def user_path(text: str) -> Path:
    """Return a path that the user typed, with ``~`` expanded."""
    return Path(text).expanduser()


def root_folder(config: Config) -> Path:
    """Return the folder of MLflow's store and of reports."""
    return user_path(config.paths.root)


def studies_folder(config: Config) -> Path:
    """Return the folder with one folder for each study."""
    return user_path(config.paths.studies).absolute()


def endpoints_folder(config: Config) -> Path:
    """Return the folder with one folder for each endpoint on this machine."""
    return user_path(config.paths.endpoints).absolute()
