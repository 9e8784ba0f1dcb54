"""Named data to channels on disk: read once, split once, addressed by content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.table import Table, read_csv, write_channel
from experiments import faults
from experiments.config import DatasetConfig, SplitConfig
from experiments.errors import ConfigError, StorageError, did_you_mean, listed
from experiments.study import Channels

SPLITS = ("train", "validation", "test")
CHANNELS_FOLDER = "_channels"


@dataclass(frozen=True)
class Splits:
    """The three tables of a study, in memory.

    Attributes:
        train: Rows that are cross-validated.
        validation: Rows that every trial scores and none fits.
        test: Rows that only the winner is scored on.
        data_hash: SHA-256 over the content of all three.
    """

    train: Table
    validation: Table
    test: Table
    data_hash: str


def load(config: DatasetConfig) -> Splits:
    """Read the data and split it.

    Raises:
        InputError: No such data, a broken table, or too few rows for this split.
    """
    table = _SOURCES[_known(config.name)](config)
    splits = _split(table, config.split)
    if splits.train.rows < config.folds.k:
        raise ConfigError(
            f"dataset.folds.k={config.folds.k}: only {splits.train.rows} of {table.rows} rows are left for training. "
            "Lower dataset.folds.k, or dataset.split.test and dataset.split.validation."
        )
    return splits


def label(config: DatasetConfig) -> str:
    """Return the data's name for people: the file's stem for a file."""
    return Path(config.path).stem if config.path else config.name


def channels_folder(splits: Splits, studies: Path) -> Path:
    """Return where the channels of these tables are, or will be."""
    return studies / CHANNELS_FOLDER / splits.data_hash[:16]


def channels(splits: Splits, studies: Path) -> Channels:
    """Return the channels of these tables below ``studies``; ``place_channels`` writes them."""
    folder = channels_folder(splits, studies)
    return Channels(folder / "train", folder / "validation", folder / "test", splits.data_hash)


def place_channels(splits: Splits, studies: Path) -> None:
    """Write the tables below ``studies`` unless they are there; half-written ones of a killed process are removed.

    Raises:
        StorageError: The folder cannot be written.
    """
    folder = channels_folder(splits, studies)
    root = folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        for partial in root.glob("partial-*"):
            if not _is_running(int(partial.name.partition("-")[2])):
                shutil.rmtree(partial, ignore_errors=True)
        if not folder.exists():
            partial = root / f"partial-{os.getpid()}"
            for name in SPLITS:
                (partial / name).mkdir(parents=True)
                write_channel(getattr(splits, name), partial / name)
            partial.rename(folder)
    except OSError as error:
        shutil.rmtree(root / f"partial-{os.getpid()}", ignore_errors=True)
        raise StorageError.at(root, error.strerror or str(error)) from error
    faults.point("channels_written")


def _split(table: Table, config: SplitConfig) -> Splits:
    for name, share in (("test", config.test), ("validation", config.validation)):
        if not 0 < share < 1:
            raise ConfigError(f"dataset.split.{name}={share:g} is not a share between 0 and 1, such as 0.2.")
    if config.test + config.validation >= 1:
        raise ConfigError(
            f"dataset.split.test={config.test:g} and dataset.split.validation={config.validation:g} leave no rows "
            "to train on: lower them."
        )
    # RandomState's stream is frozen (NEP 19), so a seed means the same rows under every numpy.
    order = np.random.RandomState(config.seed).permutation(table.rows)
    test = max(1, round(config.test * table.rows))
    validation = max(1, round(config.validation * table.rows))
    parts = {
        "test": table.take(np.sort(order[:test])),
        "validation": table.take(np.sort(order[test : test + validation])),
        "train": table.take(np.sort(order[test + validation :])),
    }
    if parts["train"].rows == 0:
        raise ConfigError(f"{table.rows} rows are too few to split: give a larger table.")
    digest = hashlib.sha256(json.dumps([parts[name].content_hash() for name in SPLITS]).encode())
    return Splits(**parts, data_hash=digest.hexdigest())


def _diabetes(config: DatasetConfig) -> Table:
    if config.path is not None or config.target is not None or config.drop:
        raise ConfigError(
            "dataset.path, dataset.target and dataset.drop are for your own table: add dataset=file to the command."
        )
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    return Table(
        tuple(data.feature_names),
        "progression",
        np.ascontiguousarray(data.data, dtype=np.float64),
        np.ascontiguousarray(data.target, dtype=np.float64),
    )


def _file(config: DatasetConfig) -> Table:
    for key, example in (("path", "your.csv"), ("target", "price")):
        if getattr(config, key) is None:
            raise ConfigError(f"dataset=file wants dataset.{key}, such as dataset.{key}={example}.")
    return read_csv(Path(str(config.path)).expanduser(), str(config.target), config.drop)


_SOURCES: dict[str, Callable[[DatasetConfig], Table]] = {"diabetes": _diabetes, "file": _file}


def _known(name: str) -> str:
    if name not in _SOURCES:
        raise ConfigError(
            f"dataset.name={name!r}: there is no such data.{did_you_mean(name, _SOURCES)} "
            f"It can be: {listed(_SOURCES)}."
        )
    return name


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
