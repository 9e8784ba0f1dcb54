"""What the tests spare the libraries, without any change of what these return.

``spare`` is called in the processes of the tests and in the one that commands are forked from. A cold command does not get
it, nor does a user.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any


def spare() -> None:
    """Read each configuration file once, list what is composed once, and do not wait for the disk."""
    _keep_configuration_files()
    _keep_defaults_list()
    _do_not_wait_for_the_disk()


def _keep_configuration_files() -> None:
    """Have OmegaConf parse a file once while it does not change.

    Hydra reads every file of a configuration three times, which is half of the time of composing one. Most tests compose
    at least one.
    """
    from omegaconf import OmegaConf

    load, kept = OmegaConf.load, {}

    def load_once(source: Any) -> Any:
        name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
        path = Path(name) if isinstance(name, str | os.PathLike) else None
        if path is None or not path.is_file():
            return load(source)
        status = path.stat()
        key = (path.resolve(), status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in kept:
            kept[key] = pickle.dumps(load(source))
        return pickle.loads(kept[key])

    OmegaConf.load = staticmethod(load_once)  # type: ignore[assignment]


def _keep_defaults_list() -> None:
    """Have Hydra find out once which files a configuration consists of.

    It does so to compose one, and again when it is asked for the list afterwards, which is a third of the time.
    """
    from hydra._internal import config_loader_impl
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    create, compute, last = config_loader_impl.create_defaults_list, ConfigLoaderImpl.compute_defaults_list, {}

    def create_and_keep(*, config_name: Any, overrides_list: Any, **options: Any) -> Any:
        last.clear()
        key = (config_name, *(override.input_line for override in overrides_list))
        found = last[key] = create(config_name=config_name, overrides_list=overrides_list, **options)
        return found

    def of_the_last(loader: Any, config_name: Any, overrides: Any, run_mode: Any) -> Any:
        return last.get((config_name, *overrides)) or compute(loader, config_name, overrides, run_mode)

    config_loader_impl.create_defaults_list = create_and_keep
    ConfigLoaderImpl.compute_defaults_list = of_the_last  # type: ignore[method-assign]


def _do_not_wait_for_the_disk() -> None:
    """Have SQLite not wait until a commit is on the disk, which protects it from a power cut only, not from a kill."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def begin(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            with contextlib.suppress(
                sqlite3.DatabaseError
            ):  # a file that is not a database fails where it is first used
                connection.execute("PRAGMA synchronous=OFF").close()
