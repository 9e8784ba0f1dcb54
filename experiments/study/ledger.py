"""The record of a study: one SQLite file with one writer, and one transaction for each finished trial."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ensemble.parameters import ParamValue
from experiments.errors import ConfigError, InputError, StorageError, StudyTaken, did_you_mean, listed
from experiments.study.identity import differences
from experiments.study.learning import LEARNED
from experiments.study.recorded_json import DamagedRecord, read_document, read_fact, read_point, read_result
from experiments.study.spec import ENGINE, StudySpec, TrialResult
from experiments.system.locks import AlreadyLocked, Lock, is_locked, lock_file
from experiments.system.project import COMMAND

FILE = "ledger.sqlite"
_LOCK = "lock"
LEDGER_VERSION = 1

_SCHEMA = """
CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    params TEXT NOT NULL,
    asked REAL NOT NULL,
    state TEXT,
    result TEXT
) STRICT;
"""

_FINISHED = "SELECT result FROM trials WHERE result IS NOT NULL ORDER BY number"


class LedgerEmpty(InputError):
    """A ledger without tables, since its creation was interrupted."""


def is_held(folder: Path) -> bool:
    """Whether a process on this machine runs the study in this folder."""
    return is_locked(folder / _LOCK)


class Ledger:
    """The record of a study on disk. Use as a context manager.

    One process at a time holds the study, by a lock that the kernel releases however the process ends. A trial is
    recorded when it is asked, with its parameters, and again when it has finished. A trial that was asked and did not
    finish is run again with the same index.
    """

    def __init__(self, connection: sqlite3.Connection, lock: Lock, path: Path) -> None:
        """Own an open connection and the study's lock; use ``open``."""
        self._connection = connection
        self._lock = lock
        self.path = path

    @classmethod
    def open(cls, spec: StudySpec) -> Ledger:
        """Open the ledger of ``spec``; create it in one transaction if it does not exist.

        Raises:
            StudyTaken: A different study has this name, or another process runs the study.
            StorageError: The folder cannot be written.
        """
        path = spec.folder / FILE
        with _storage(path):
            spec.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = lock_file(spec.folder / _LOCK)
            except AlreadyLocked as error:
                raise StudyTaken(
                    f"study {spec.name!r} is being run by process {error.holder}: wait for it, or give another name "
                    "with study=<name>."
                ) from None
        try:
            check_identity(spec)
            with _storage(path):
                connection = sqlite3.connect(path, isolation_level=None)
                _create(connection, spec)
        except BaseException:
            lock.release()
            raise
        return cls(connection, lock, path)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._lock.release()

    def asked(self) -> dict[int, dict[str, ParamValue]]:
        """Return the parameters of every trial asked so far, by index."""
        with _damage(self.path):
            rows = self._connection.execute("SELECT number, params FROM trials ORDER BY number")
            return {number: read_point(params) for number, params in rows}

    def results(self) -> list[TrialResult]:
        """Return every finished trial, in order of index."""
        with _damage(self.path):
            return [read_result(text) for (text,) in self._connection.execute(_FINISHED)]

    def record_asked(self, points: Mapping[int, Mapping[str, ParamValue]]) -> None:
        """Record proposals; those that are recorded already do not change."""
        rows = [(index, json.dumps(dict(params)), time.time()) for index, params in points.items()]
        with self._transaction():
            self._connection.executemany("INSERT OR IGNORE INTO trials (number, params, asked) VALUES (?, ?, ?)", rows)

    def record(self, result: TrialResult) -> None:
        """Record a finished trial, once."""
        text = json.dumps({**vars(result), "params": dict(result.params)})
        with self._transaction():
            changed = self._connection.execute(
                "UPDATE trials SET state = ?, result = ? WHERE number = ? AND result IS NULL",
                (result.state, text, result.index),
            ).rowcount
        if changed != 1:
            raise StorageError(f"trial {result.index} was recorded twice in {self.path}: this is a defect, report it.")

    def note(self, key: str, value: Any) -> None:
        """Record a fact about the study as JSON, replacing its earlier value."""
        with self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO study VALUES (?, ?)", (key, json.dumps(value)))

    def noted(self, key: str) -> Any:
        """Return a fact about the study, or None."""
        with _damage(self.path):
            row = self._connection.execute("SELECT value FROM study WHERE key = ?", (key,)).fetchone()
            return None if row is None else read_fact(key, row[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _storage(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise


@dataclass(frozen=True)
class Unfinished:
    """A trial that was asked and has no result.

    Attributes:
        params: The searched values.
        seconds: When it was asked, in seconds since the epoch.
    """

    params: Mapping[str, ParamValue]
    seconds: float


@dataclass(frozen=True)
class Peek:
    """The content of a ledger, read without locking it.

    Attributes:
        results: Every finished trial, in order of index.
        facts: The recorded facts.
        asked: By index, the trials that were asked and did not finish.
        path: The ledger's file.
    """

    results: list[TrialResult]
    facts: Mapping[str, Any]
    asked: Mapping[int, Unfinished]
    path: Path

    @property
    def identity(self) -> Mapping[str, Any]:
        """The study's recorded identity.

        Raises:
            StudyTaken: It lacks data or objective.
        """
        found: Mapping[str, Any] = self.facts.get("identity", {})
        missing = [name for name in ("data", "objective") if name not in found]
        if missing:
            raise StudyTaken(_damaged(self.path, DamagedRecord(f"it does not record the study's {missing[0]}")))
        return found


def peek(spec: StudySpec) -> Peek | None:
    """Return what is recorded of this study, or None, without locking or changing it.

    Raises:
        StudyTaken: The name belongs to another study, or the file is not a ledger of this version.
    """
    check_identity(spec)
    path = spec.folder / FILE
    if not path.exists():
        return None
    try:
        return read(path)
    except LedgerEmpty:  # a process died before it created the tables
        return None


def read(path: Path) -> Peek:
    """Return what is recorded in a ledger's file, without locking or changing it.

    Raises:
        LedgerEmpty: It has no tables.
        StudyTaken: It is not a ledger, or one of another version.
    """
    with _damage(path), contextlib.closing(_existing(path)) as connection:
        if not _has_tables(connection):
            raise LedgerEmpty(f"{path} has no trials yet: its study was interrupted as it started.")
        rows = connection.execute(_FINISHED).fetchall()
        _check_version(connection, path)
        facts = connection.execute("SELECT key, value FROM study").fetchall()
        asked = connection.execute("SELECT number, params, asked FROM trials WHERE result IS NULL ORDER BY number")
        unfinished = {number: Unfinished(read_point(params), seconds) for number, params, seconds in asked}
        results = [read_result(text) for (text,) in rows]
        return Peek(results, {str(key): read_fact(key, text) for key, text in facts}, unfinished, path)


def recorded_studies(studies: Path) -> list[Path]:
    """Return the folders of all studies below ``studies`` that have a ledger, sorted by name."""
    return sorted(path.parent for path in studies.glob(f"*/{FILE}"))


def find_study(studies: Path, name: str, place: str) -> Path:
    """Return the folder of the study of this name.

    Args:
        studies: The folder of all studies.
        name: The study's name.
        place: Where the name was given, for the message.

    Raises:
        ConfigError: There is none.
    """
    known = [folder.name for folder in recorded_studies(studies)]
    if name not in known:
        if name and Path(name).name == name and (studies / name).is_dir():
            raise ConfigError(f"{place}={name}: {studies / name} has no {FILE}, where a study's trials are recorded.")
        there = f"There is: {listed(known)}." if known else f"There are no studies yet. Run one: {COMMAND} mode=local."
        raise ConfigError(f"{place}={name}: there is no such study in {studies}.{did_you_mean(name, known)} {there}")
    return studies / name


def check_identity(spec: StudySpec) -> None:
    """Raise StudyTaken if this name belongs to a study of another identity or version, or to files of another kind.

    This changes nothing.
    """
    path = spec.folder / FILE
    if not os.path.lexists(path):
        _check_unused(spec.folder)
        return
    with _damage(path), contextlib.closing(_existing(path)) as connection:
        if not _has_tables(connection):
            return
        _check_version(connection, path)
        row = connection.execute("SELECT value FROM study WHERE key = 'identity'").fetchone()
        if row is None:
            return
        recorded, wanted = read_fact("identity", row[0]), spec.identity()
    if lines := differences(recorded, wanted):
        hint = "leave it out to have one made from the configuration"
        if spec.tuned_by_amt and any(line.startswith(f"  {ENGINE}:") for line in lines):
            hint = "continue it with search.engine=optuna, since SageMaker's tuner finds other points"
        raise StudyTaken(
            f"study {spec.name!r} exists with another configuration:\n" + "\n".join(lines) + "\n"
            f"Give another name with study=<name>, or {hint}."
        )


def _check_unused(folder: Path) -> None:
    """Raise StudyTaken if a folder has files that no study has put there; its own would be mixed with them."""
    if folder.is_dir():
        other = sorted(path.name for path in folder.iterdir() if path.name != _LOCK)
        if other:
            raise StudyTaken(
                f"{folder} has files, such as {other[0]!r}, but no {FILE}, so it is not a study's folder. Give another "
                "name with study=<name>, or move the folder away."
            )
    elif os.path.lexists(folder):
        raise StudyTaken(f"{folder} is not a folder. Give another name with study=<name>, or move it away.")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    row = connection.execute("SELECT value FROM study WHERE key = 'ledger_version'").fetchone()
    if row is not None and (version := read_document(row[0])) != LEDGER_VERSION:
        raise StudyTaken(
            f"{path} has version {version}, and this release of byoe reads version {LEDGER_VERSION}: use the release "
            f"that wrote it, or move {path.parent} away."
        )


def _existing(path: Path) -> sqlite3.Connection:
    if not path.is_file():  # SQLite would wait for the writer of a pipe
        raise DamagedRecord("it is not a regular file")
    # Writable if possible: the next connection rolls back a commit that a kill interrupted.
    mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True)


def _has_tables(connection: sqlite3.Connection) -> bool:
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    missing = [name for name in ("study", "trials") if name not in found]
    if len(missing) == 1:
        raise DamagedRecord(f"it has no table {missing[0]}")
    return not missing


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Raise what goes wrong in the block because of the file's content as StudyTaken."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StorageError(f"{path} cannot be read now ({error}): run the same command again.") from None
        raise StudyTaken(_damaged(path, error)) from None
    except (sqlite3.Error, DamagedRecord, UnicodeDecodeError) as error:
        raise StudyTaken(_damaged(path, error)) from None


def _damaged(path: Path, error: Exception) -> str:
    return f"{path} is not a ledger that can be read ({error}): move it away, or give another name with study=<name>."


def _create(connection: sqlite3.Connection, spec: StudySpec) -> None:
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'study'").fetchone()
    if exists:
        return
    facts = {
        "ledger_version": LEDGER_VERSION,
        "identity": spec.recorded_identity(),
        "name": spec.name,
        "created": time.time(),
        "action": spec.action,
        "replay_of": spec.replay_of,
        "dataset": spec.dataset,
        "target": spec.target_label,
        "has_test_rows": spec.channels.test is not None,
        "words": spec.arguments,
        "space": spec.space.as_dict() if spec.points is None else {},
        **({LEARNED: [source.as_dict() for source in spec.learned]} if spec.learned else {}),
    }
    rows = [(key, json.dumps(value)) for key, value in facts.items()]
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.strip().split(";\n"):
        connection.execute(statement)
    connection.executemany("INSERT INTO study VALUES (?, ?)", rows)
    connection.execute("COMMIT")


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StorageError.at(path, reason) from error
