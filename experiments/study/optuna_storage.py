"""Storages of Optuna, on disk or on a server: a search learns from their trials, and a study is exported to one."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from experiments.errors import ConfigError, StorageError, did_you_mean, listed
from experiments.study.learning import KEY, ScoredTrial, Source
from experiments.study.optuna_view import METRIC_NAMES, StudyAttribute, StudyView
from experiments.system.files import replacing

if TYPE_CHECKING:
    import optuna

EXAMPLE = "sqlite:///optuna.db:name"
_MOST_NAMED = 10
# Databases that Optuna's storages can be in, by the scheme of their addresses, and the clients that are installed with
# pip: by the module that is missing, the package.
_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql")
_CLIENTS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "oracledb": "oracledb",
    "pyodbc": "pyodbc",
}


@dataclass(frozen=True)
class _Address:
    """Where a study of Optuna is.

    Attributes:
        url: The storage's URL, as SQLAlchemy reads it.
        study: The study's name in it, or None.
        path: Its file, if it is one of SQLite.
    """

    url: str
    study: str | None
    path: Path | None


def read_storage(text: str, shown: str, data_hash: str) -> Source:
    """Return the finished trials of a study in one of Optuna's storages, which is not changed.

    Args:
        text: ``URL`` or ``URL:name``. Without a name, the storage must hold one study.
        shown: The same without a password.
        data_hash: The hash of the rows of the study that learns.

    Raises:
        ConfigError: There is no such storage or study, another version of Optuna wrote it, or it has several
            objectives.
    """
    import optuna

    place = f"{KEY}={shown}"
    address = _parsed(text, place)
    if address.path is not None and not address.path.is_file():
        raise ConfigError(
            f"{place}: there is no file {address.path}. Name one of Optuna's storages, such as {EXAMPLE}."
        )
    with _opened(address, place, write=False) as storage:
        names = [study.study_name for study in storage.get_all_studies()]
        name = _chosen(address.study, names, place)
        study = optuna.load_study(study_name=name, storage=storage)
        attributes = study.user_attrs
        if len(study.directions) != 1:
            raise ConfigError(
                f"{place}: Optuna's study {name!r} has {len(study.directions)} objectives. Name one with one."
            )
        objective = study.metric_names[0] if study.metric_names else attributes.get(StudyAttribute.OBJECTIVE)
        trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: _order(trial, attributes))
        own = StudyAttribute.IDENTITY in attributes
        scored = [trial for trial in trials if _value(trial, own=own) is not None]
        rows = attributes.get(StudyAttribute.DATA)
        return Source(
            text=shown,
            what=f"Optuna's study {name}",
            maximised=study.direction == optuna.study.StudyDirection.MAXIMIZE,
            objective=objective,
            target=attributes.get(StudyAttribute.TARGET),
            same_rows=None if rows is None else rows == data_hash,
            trials=tuple(ScoredTrial(dict(trial.params), float(_value(trial, own=own) or 0.0)) for trial in scored),
            unscored=len(trials) - len(scored),
        )


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        name: The study's name in the storage.
        added: How many trials were added.
        before: How many were there.
    """

    name: str
    added: int
    before: int


def check_output(text: str, shown: str) -> None:
    """Raise ConfigError unless ``output`` names a storage whose client is installed; ``shown`` has no password."""
    place = f"output={shown}"
    _check_client(_parsed(text, place), place)


def export(view: StudyView, text: str, shown: str) -> Exported:
    """Write the finished trials of a study into one of Optuna's storages; those that are there already stay.

    A new file of SQLite appears in one step, with its first trials.

    Args:
        view: The study.
        text: ``URL`` or ``URL:name``. Without a name, the study keeps its own.
        shown: The same without a password.

    Raises:
        ConfigError: The storage cannot be used, or has another study of this name.
        StorageError: It cannot be written.
    """
    place = f"output={shown}"
    address = _parsed(text, place)
    name = address.study or view.name
    if address.path is None or (address.path.exists() and address.path.stat().st_size):
        if address.path is not None:
            _check_optunas(address.path, place)
        with _opened(address, place, write=True) as storage:
            return _added(storage, view, name, place)
    if not address.path.parent.is_dir():
        raise ConfigError(f"{place}: there is no folder {address.path.parent}. Create it, or name another file.")
    try:
        with replacing(address.path) as partial:
            new = _Address(f"sqlite:///{partial.absolute()}", name, partial)
            with _opened(new, place, write=True) as storage:
                return _added(storage, view, name, place)
    except OSError as error:
        raise StorageError.at(address.path, error) from error


def _added(storage: optuna.storages.RDBStorage, view: StudyView, name: str, place: str) -> Exported:
    from optuna.exceptions import DuplicatedStudyError

    try:
        study_id = storage.create_new_study([view.direction], name)
    except DuplicatedStudyError:
        study_id = storage.get_study_id_from_name(name)
    there = storage.get_all_trials(study_id, deepcopy=False)
    found = storage.get_study_user_attrs(study_id)
    # A kill between the creation of a study and its attributes leaves one that has nothing.
    if (found or there) and found.get(StudyAttribute.IDENTITY) != view.attributes[StudyAttribute.IDENTITY]:
        raise ConfigError(
            f"{place}: the storage has another study {name!r}, which is not an export of study {view.name}. Give it "
            f"another name, such as sqlite:///optuna.db:{view.name}-2, or name another file. Nothing was changed."
        )
    known = {trial.user_attrs.get("trial") for trial in there}
    new = [trial for trial in view.finished() if trial.user_attrs["trial"] not in known]
    storage.set_study_system_attr(study_id, METRIC_NAMES, [view.objective])
    for key, value in view.attributes.items():
        storage.set_study_user_attr(study_id, key, value)
    for trial in new:
        storage.create_new_trial(study_id, template_trial=trial)
    return Exported(name, len(new), len(there))


def _parsed(text: str, place: str) -> _Address:
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][\w+]*", scheme):
        raise ConfigError(f"{place} is not the address of a storage: give one, such as {EXAMPLE}.")
    if scheme.partition("+")[0] != "sqlite":
        server, slash, database = rest.partition("/")
        database, _, study = database.partition(":")
        return _Address(f"{scheme}://{server}{slash}{database}", study or None, None)
    file, study = rest.removeprefix("/"), ""
    if not Path(file).is_file():
        file, _, study = file.partition(":")
    if not rest.startswith("/") or not file:
        raise ConfigError(f"{place} names no file: give one, such as {EXAMPLE}.")
    path = Path(file)
    return _Address(f"sqlite:///{file}", study or None, path)


@contextlib.contextmanager
def _opened(address: _Address, place: str, *, write: bool) -> Iterator[optuna.storages.RDBStorage]:
    """Open a storage; only ``write`` creates tables in it."""
    _check_client(address, place)
    import optuna
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import OperationalError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    url = address.url
    if address.path is not None and not write:
        url = f"sqlite:///file:{quote(os.fspath(address.path.absolute()))}?mode=ro&uri=true"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        # Without a pool, since a storage that refuses its tables in its constructor cannot be closed.
        storage = optuna.storages.RDBStorage(url, {"poolclass": NullPool}, skip_table_creation=not write)
        yield storage
    except RuntimeError as error:
        if "no longer compatible" not in str(error):
            raise
        written = re.search(r"set up by optuna ([^)\s]+)\)", str(error))
        raise ConfigError(
            f"{place}: version {written[1] if written else 'unknown'} of Optuna wrote this storage, and version "
            f"{optuna.__version__} cannot read it. Upgrade a copy of it with optuna storage upgrade --storage "
            "<address>, or install that version if it is a later one."
        ) from None
    except (StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        reason = str(getattr(cause, "orig", None) or cause).partition("\n")[0]
        if address.path is None and isinstance(cause, OperationalError):
            raise ConfigError(
                f"{place} cannot be reached: {reason}. Check host, port, database, user and password."
            ) from None
        if write:
            raise StorageError(f"{place} cannot be written: {reason}.") from None
        raise ConfigError(
            f"{place} is not a storage of Optuna that can be read ({reason}). Name one, such as {EXAMPLE}."
        ) from None
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _check_client(address: _Address, place: str) -> None:
    """Raise ConfigError unless there is such a kind of database, and its client is installed."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    if address.path is not None:
        return
    scheme = address.url.partition("://")[0]
    kind, _, driver = scheme.partition("+")
    try:
        make_url(address.url).get_dialect().import_dbapi()
    except NoSuchModuleError:
        if kind in _DATABASES:
            raise ConfigError(
                f"{place}: SQLAlchemy knows no driver {driver!r} for {kind}. Leave it out, {kind}://..., or name one "
                "that it knows."
            ) from None
        raise ConfigError(
            f"{place}: SQLAlchemy knows no database {kind!r}.{did_you_mean(kind, _DATABASES)} An address begins with "
            f"one of {', '.join(f'{name}://' for name in _DATABASES)}, such as {EXAMPLE}."
        ) from None
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            f"{place} is not the address of a database ({error}). Write "
            f"{scheme}://<user>:<password>@<host>:<port>/<database>:<study>."
        ) from None
    except ImportError as error:
        module = error.name or str(error)
        other = f", or write {kind}+pymysql:// and pip install pymysql" if module == "MySQLdb" else ""
        raise ConfigError(
            f"{place}: the module {module}, Python's client of this database, is not installed. Install it: pip "
            f"install '{_CLIENTS.get(module, module)}'{other}."
        ) from None


def _check_optunas(path: Path, place: str) -> None:
    """Raise ConfigError unless a file of SQLite is one of Optuna's, whose tables would be added to any other."""
    try:
        uri = f"file:{quote(os.fspath(path.absolute()))}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise ConfigError(f"{place}: the file exists, and is not a database ({error}). Name another file.") from None
    if not {"version_info", "studies", "trials"} <= tables:
        raise ConfigError(f"{place}: the file exists, and is not a storage of Optuna. Name another file.")


def _chosen(wanted: str | None, names: list[str], place: str) -> str:
    shown = f"{listed(sorted(names)[:_MOST_NAMED])}{' and more' if len(names) > _MOST_NAMED else ''}"
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None:
        there = f"{len(names)} studies: {shown}. Name one: {place}:<name>." if names else "no study."
        raise ConfigError(f"{place}: the storage has {there}")
    if wanted not in names:
        raise ConfigError(
            f"{place}: the storage has no study {wanted!r}.{did_you_mean(wanted, names)} It has: {shown or 'none'}."
        )
    return wanted


def _order(trial: optuna.trial.FrozenTrial, attributes: dict[str, Any]) -> int:
    """Return the place of a trial: of an exported one its index, since trials are exported as they finish."""
    index = trial.user_attrs.get("trial") if StudyAttribute.IDENTITY in attributes else None
    return index if isinstance(index, int) else trial.number


def _value(trial: optuna.trial.FrozenTrial, *, own: bool) -> float | None:
    """Return the objective of a trial. A pruned one has that of its last step, except where byoe has exported it."""
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, *((optuna.trial.TrialState.PRUNED,) if own else ()))
    value = trial.values[0] if trial.state in states and trial.values else None
    return value if value is not None and math.isfinite(value) else None
