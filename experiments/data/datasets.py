"""Named data to channels on disk: read once, split once, addressed by content."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import get_args

import numpy as np
import numpy.typing as npt

from ensemble.classes import DeclaredTask, all_booleans, all_numbers, positive_of, sorted_labels
from ensemble.reading import Roles, read_file
from ensemble.table import Table, numbers
from ensemble.targets import named_label, named_labels
from ensemble.wire import encode_roles
from experiments.config.paths import user_path
from experiments.config.schema import DatasetConfig, ModeConfig, SplitConfig
from experiments.data.presplit import S3, SPLITS, is_own_split, location_of, read_own_split
from experiments.errors import BackendUnavailable, ConfigError, InputError, StorageError, did_you_mean, listed, one_of
from experiments.study.spec import InPlace

# A target with no more different whole numbers, and with at least this many rows for each, may be classes.
MOST_WHOLE, ROWS_A_CLASS = 20, 5


@dataclass(frozen=True)
class Splits:
    """The tables of a study, in memory.

    Attributes:
        train: Rows that are cross-validated.
        validation: Rows that every trial scores and none fits; None if there are none.
        test: Rows that only the winner is scored on; None if there are none.
        hashes: By name, the SHA-256 of the content of each one that there is.
        own: Whether the user has split them.
        in_place: The same rows on S3, where they are the user's own channels.
    """

    train: Table
    validation: Table | None
    test: Table | None
    hashes: Mapping[str, str]
    own: bool = False
    in_place: InPlace | None = None

    @property
    def data_hash(self) -> str:
        """SHA-256 over the content of all of them."""
        return hashlib.sha256(json.dumps([self.hashes.get(name) for name in SPLITS]).encode()).hexdigest()

    @property
    def tables(self) -> dict[str, Table]:
        """Those that there are, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: table for name, table in found.items() if table is not None}

    def notes(self, config: DatasetConfig) -> list[str]:
        """Return notes on what the target was taken for, and on rows that the user has split."""
        notes = _target_notes(self.train, config)
        if self.own:
            rows = ", ".join(f"{table.rows} rows in {name}/" for name, table in self.tables.items())
            notes.append(f"dataset.path={config.path} is split already and stays as it is: {rows}.")
        if self.test is not None:
            missing = [label for place, label in enumerate(self.test.classes) if place not in self.test.target]
            if missing:
                notes.append(f"no test row is of the class {named_labels(missing)}: the test scores say nothing of it.")
        return notes


def _target_notes(train: Table, config: DatasetConfig) -> list[str]:
    """Return in a sentence what the target was taken for, if that is not plain."""
    target, classes = f"the target {train.target_name}", named_labels(train.classes)
    if config.task == "multiclass" and len(train.classes) == 2:
        return [f"dataset.task=multiclass: {target} has two classes, {classes}, so that the task is binary."]
    if config.task != "auto":
        return []
    if train.classes:
        positive = (
            "" if train.positive is None else f"; {named_label(train.positive)} is the positive one (dataset.positive)"
        )
        number = all_numbers(train.classes) or all_booleans(train.classes)
        quantity = " If it is a quantity: dataset.task=regression." if number else ""
        return [f"dataset.task=auto takes {target} for {len(train.classes)} classes, {classes}{positive}.{quantity}"]
    values = np.unique(train.target)
    if (
        len(values) > MOST_WHOLE
        or len(values) * ROWS_A_CLASS > train.rows
        or not np.array_equal(values, np.rint(values))
    ):
        return []
    found = named_labels([f"{value:.0f}" for value in values])
    task = "binary" if len(values) == 2 else "multiclass"
    return [
        f"dataset.task=auto takes {target} for a quantity: it is {found}. If they are classes: dataset.task={task}."
    ]


def load(config: DatasetConfig, mode: ModeConfig) -> Splits:
    """Read the data and split it, unless it is split already.

    Args:
        config: Which data, and how it is split.
        mode: Has the AWS settings by which S3 is read.

    Raises:
        InputError: The data does not exist, a table is damaged, or it has too few rows for this split.
    """
    splits = _SOURCES[_known(config.name)](config, mode)
    if splits.train.rows < config.folds.k:
        rows = splits.train.rows
        if splits.own:
            raise ConfigError(f"dataset.folds.k={config.folds.k}: train/ has {rows} rows only. Lower dataset.folds.k.")
        total = sum(table.rows for table in splits.tables.values())
        raise ConfigError(
            f"dataset.folds.k={config.folds.k}: only {rows} of {total} rows are left for training. Lower "
            "dataset.folds.k, or dataset.split.test and dataset.split.validation."
        )
    return splits


def label(config: DatasetConfig) -> str:
    """Return the data's name for people: the stem of a file or folder."""
    return Path(config.path).absolute().stem if config.path else config.name


def _split(table: Table, config: DatasetConfig) -> Splits:
    split = config.split
    if not 0 <= split.seed < 2**32:
        raise ConfigError(f"dataset.split.seed={split.seed} is not from 0 to {2**32 - 1}.")
    for name, share in (("test", split.test), ("validation", split.validation)):
        if not 0 <= share < 1:
            raise ConfigError(
                f"dataset.split.{name}={share:g} is not a share between 0 and 1, such as 0.2; 0 sets no rows aside."
            )
    if split.test + split.validation >= 1:
        raise ConfigError(
            f"dataset.split.test={split.test:g} and dataset.split.validation={split.validation:g} leave no rows "
            "to train on: lower them."
        )
    part = _parts(table, config)
    shares = {"train": 1.0, "validation": split.validation, "test": split.test}
    parts = {name: table.take(np.flatnonzero(part == number)) for number, name in enumerate(SPLITS) if shares[name] > 0}
    for name, rows in parts.items():
        if rows.weights is not None and rows.rows and not rows.weights.any():
            raise ConfigError(
                f"dataset.weights={config.weights} is 0 in every row of the {name} part: give more rows a weight, or "
                "another dataset.split.seed."
            )
    empty = [name for name, rows in parts.items() if rows.rows == 0]
    if empty and table.fold_keys is not None:
        units = len(np.unique(table.fold_keys))
        raise ConfigError(
            f"dataset.folds.column={config.folds.column} has {units} different value{'' if units == 1 else 's'} in "
            f"{table.rows} rows, and rows of one value stay together: nothing is left for {listed(empty)}. Choose "
            "another column, or dataset.folds.kind=kfold."
        )
    if empty:
        raise ConfigError(
            f"{table.rows} rows are too few to split: nothing is left for {listed(empty)}. Give a larger table."
        )
    return _as_splits(parts)


def _as_splits(parts: Mapping[str, Table], *, own: bool = False, in_place: InPlace | None = None) -> Splits:
    hashes = {name: table.content_hash() for name, table in parts.items()}
    return Splits(parts["train"], parts.get("validation"), parts.get("test"), hashes, own, in_place)


def _parts(table: Table, config: DatasetConfig) -> npt.NDArray[np.intp]:
    """Return for each row the place in ``SPLITS`` of the part it goes to: what divides the folds divides these too.

    Each part has about the same share of every class, except in time.
    """
    train, validation, test = range(len(SPLITS))
    keys = np.arange(table.rows) if table.fold_keys is None else table.fold_keys
    units, unit_of_row, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    # RandomState's stream is frozen (NEP 19), so a seed means the same rows under every numpy.
    if config.folds.kind == "time":
        order = np.arange(len(units))[::-1]
    else:
        order = np.random.RandomState(config.split.seed).permutation(len(units))
        if table.classes:
            order = order[_stratified(table, unit_of_row, order)]
    shares = {test: config.split.test, validation: config.split.validation}
    wanted = {part: max(1, round(share * table.rows)) if share else 0 for part, share in shares.items()}
    # Units are dealt out in order: the test rows first, then those for validation, whole units only.
    before = np.cumsum(sizes[order]) - sizes[order]
    part_of_unit = np.full(len(units), train)
    part_of_unit[order[before < wanted[test] + wanted[validation]]] = validation
    part_of_unit[order[before < wanted[test]]] = test
    return part_of_unit[unit_of_row]


@dataclass(frozen=True)
class _BuiltIn:
    """A table of scikit-learn.

    Attributes:
        loader: The function of ``sklearn.datasets`` that loads it.
        target: What is predicted.
    """

    loader: str
    target: str

    def __call__(self, config: DatasetConfig, mode: ModeConfig) -> Splits:
        """Return the table, split."""
        import sklearn.datasets

        _check_built_in(config)
        data = getattr(sklearn.datasets, self.loader)()
        table = Table(
            numbers(*(re.sub(r"\W+", "_", name) for name in data.feature_names)),
            self.target,
            np.ascontiguousarray(data.data, dtype=np.float64),
            np.ascontiguousarray(data.target, dtype=np.float64),
        )
        if "target_names" in data:
            names = [str(name) for name in data.target_names]
            classes = sorted_labels(names)
            places = np.array([classes.index(name) for name in names], dtype=np.float64)
            table = replace(table, target=places[data.target], classes=classes)
        place = f"dataset={config.name}: target {self.target!r}"
        several = config.task == "multiclass" and table.task == "binary"  # as in a file, with a note
        if config.task not in ("auto", table.task) and not several:
            raise ConfigError(
                f"dataset.task={config.task}: the task of dataset={config.name} is {table.task}. Leave the key out."
            )
        return _split(replace(table, positive=positive_of(table.classes, config.positive, place)), config)


def _stratified(table: Table, unit_of_row: npt.NDArray[np.intp], order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return an order of ``order`` in which every beginning has about the same share of each class.

    A unit, which is a row or a group of rows, counts as of the class that it has most of compared with the table. The
    last unit of a class comes at the end, where the training rows are, so that these have every class.
    """
    class_of_row = table.target.astype(np.intp)
    pairs, counts = np.unique(unit_of_row * len(table.classes) + class_of_row, return_counts=True)
    unit, class_of_pair = np.divmod(pairs, len(table.classes))
    share = counts / np.bincount(class_of_row)[class_of_pair]
    largest_last = np.lexsort((-class_of_pair, share, unit))
    class_of_unit = np.empty(len(order), dtype=np.intp)
    class_of_unit[unit[largest_last]] = class_of_pair[largest_last]
    class_of_unit = class_of_unit[order]
    rows_of_unit = np.bincount(unit_of_row)[order]
    passed = np.empty(len(order))
    for place in np.unique(class_of_unit):
        units = class_of_unit == place
        passed[units] = np.cumsum(rows_of_unit[units]) / rows_of_unit[units].sum()
    return np.argsort(passed, kind="stable")


def _check_built_in(config: DatasetConfig) -> None:
    """Raise ConfigError for a key that is for the user's own tables."""
    own = {key: getattr(config, key) for key in ("path", "target", "weights", "drop", "columns", "missing")}
    own["folds.column"] = config.folds.column
    given = [f"dataset.{key}" for key, value in own.items() if value or (key == "missing" and value is not None)]
    if given:
        verb = "is" if len(given) == 1 else "are"
        raise ConfigError(f"{listed(given)} {verb} for your own table: add dataset=file to the command.")
    if config.folds.kind in ("group", "time"):
        raise ConfigError(
            f"dataset.folds.kind={config.folds.kind} needs a column, which {config.name} lacks: use kfold."
        )


def _file(config: DatasetConfig, mode: ModeConfig) -> Splits:
    for key, example in (("path", "your.csv"), ("target", "price")):
        if getattr(config, key) in (None, ""):
            raise ConfigError(f"dataset=file needs dataset.{key}, such as dataset.{key}={example}.")
    by_column = config.folds.kind in ("group", "time")
    if by_column != (config.folds.column is not None):
        raise ConfigError(
            f"dataset.folds.kind={config.folds.kind} divides by a column: name it with dataset.folds.column."
            if by_column
            else f"dataset.folds.column={config.folds.column} goes with dataset.folds.kind=group or time: add it."
        )
    roles = Roles(
        target=str(config.target),
        weights=config.weights,
        fold_key=config.folds.column,
        fold_kind="time" if config.folds.kind == "time" else "group",
        drop=tuple(config.drop),
        types=tuple((str(name), str(declared)) for name, declared in config.columns.items()),
        missing=None if config.missing is None else tuple(config.missing),
        task=one_of("dataset.task", config.task, get_args(DeclaredTask)),
        positive=config.positive,
    )
    text = str(config.path)
    if is_own_split(text):
        parts = read_own_split(text, roles, mode, _set_aside(config.split))
        in_place = InPlace(location_of(text), encode_roles(roles)) if text.startswith(S3) else None
        return _as_splits(parts, own=True, in_place=in_place)
    table = _read_from_s3(text, roles, mode) if text.startswith(S3) else read_file(user_path(text), roles)
    return _split(table, config)


def _set_aside(split: SplitConfig) -> tuple[str, ...]:
    """Return the names of the tables of a folder of rows that are split already."""
    absent = [name for name, share in (("validation", split.validation), ("test", split.test)) if share == 0]
    return tuple(name for name in SPLITS if name not in absent)


def _read_from_s3(location: str, roles: Roles, mode: ModeConfig) -> Table:
    """Download a table and read it; it is split like any other, and known by its content."""
    from experiments.aws.account import error_code
    from experiments.aws.storage import user_storage

    with tempfile.TemporaryDirectory(prefix="byoe-") as folder:
        path = Path(folder) / PurePosixPath(location).name
        try:
            user_storage(mode).download(location, path)
        except OSError as error:
            raise StorageError.at(path, error) from error
        except BackendUnavailable as error:
            if error_code(error) != "NoSuchKey":
                raise
            raise ConfigError(
                f"dataset.path={location}: there is no such object. A folder of rows that are split already, into "
                f"{', '.join(f'{name}/' for name in SPLITS)}, ends with a slash: {location}/"
            ) from None
        try:
            return read_file(path, roles)
        except InputError as error:
            raise ConfigError(str(error).replace(str(path), location)) from None


_SOURCES: dict[str, Callable[[DatasetConfig, ModeConfig], Splits]] = {
    "cancer": _BuiltIn("load_breast_cancer", "diagnosis"),
    "diabetes": _BuiltIn("load_diabetes", "progression"),
    "wine": _BuiltIn("load_wine", "cultivar"),
    "file": _file,
}


def _known(name: str) -> str:
    if name not in _SOURCES:
        raise ConfigError(
            f"dataset.name={name!r}: there is no such dataset.{did_you_mean(name, _SOURCES)} "
            f"It can be: {listed(_SOURCES)}."
        )
    return name
