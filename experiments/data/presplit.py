"""Rows that the user has split: a folder, here or on S3, that holds ``train/``, ``validation/`` and ``test/``.

Each of the three is one table, a CSV or Parquet file or several of one kind. What a column is and which values a
category has is found out on the training rows alone, since a job on SageMaker that reads the same files does not see
the test rows: so the numbers are the same wherever a trial runs.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ensemble.files import part_names
from ensemble.reading import Roles, read_folder
from ensemble.table import Table
from experiments.config.paths import user_path
from experiments.config.schema import ModeConfig
from experiments.errors import ConfigError, InputError, did_you_mean, listed, storage_errors

SPLITS = ("train", "validation", "test")
S3 = "s3://"


def is_own_split(path: str) -> bool:
    """Whether a path is that of a folder: on S3 it ends with a slash."""
    # os.path answers for a folder that this user may not enter; Path.is_dir raises.
    return path.endswith("/") if path.startswith(S3) else os.path.isdir(user_path(path))  # noqa: PTH112


def check_not_split_again(path: str | None, given: list[str]) -> None:
    """Raise ConfigError if rows that are split already are to be split.

    Args:
        path: The file or folder of the data, if it is the user's.
        given: What the configuration sets of ``dataset.split``, as ``key=value``.
    """
    if given and path is not None and is_own_split(path):
        raise ConfigError(
            f"{', '.join(given)}: dataset.path={path} is a folder of rows that are split already, and no row is moved. "
            f"Leave {'it' if len(given) == 1 else 'them'} out, or give one file."
        )


def location_of(path: str) -> str:
    """Return a folder on S3 as ``s3://bucket/prefix``, with no slash at its end and no two side by side.

    Raises:
        ConfigError: It names no bucket.
    """
    names = [name for name in path.removeprefix(S3).split("/") if name]
    if not names:
        raise ConfigError(f"dataset.path={path} names no bucket: write s3://bucket/path/.")
    return S3 + "/".join(names)


def read_own_split(path: str, roles: Roles, mode: ModeConfig) -> dict[str, Table]:
    """Return the three tables by name.

    Args:
        path: The folder.
        roles: What the columns are for.
        mode: Has the AWS settings by which S3 is read.

    Raises:
        InputError: One of the three is missing, is not a table, or has other columns; the message names it.
        StorageError: What is on S3 could not be written to this machine's disk.
    """
    if not path.startswith(S3):
        folder = user_path(path)
        try:
            _check_folders([found.name for found in folder.iterdir() if found.is_dir()], path)
            return _read(folder, roles)
        except PermissionError as error:
            raise ConfigError(f"{error.filename} cannot be read by this user: change its permissions.") from None
    with tempfile.TemporaryDirectory(prefix="byoe-") as text:
        folder = Path(text)
        with storage_errors(folder):
            _download(location_of(path), folder, mode)
        try:
            return _read(folder, roles)
        except InputError as error:
            raise ConfigError(str(error).replace(str(folder), location_of(path))) from None


def _read(folder: Path, roles: Roles) -> dict[str, Table]:
    first, *others = SPLITS
    train = read_folder(folder / first, roles)
    return {first: train} | {name: read_folder(folder / name, roles, train) for name in others}


def _download(location: str, folder: Path, mode: ModeConfig) -> None:
    from experiments.aws.storage import user_storage

    storage = user_storage(mode)
    _check_folders([name.rstrip("/") for name in storage.listing(f"{location}/").folders], f"{location}/")
    for split in SPLITS:
        place = f"{location}/{split}"
        found = storage.listing(f"{place}/")
        (folder / split).mkdir()
        for name in part_names([*found.folders, *found.files], place):
            storage.download(f"{place}/{name}", folder / split / name)


def _check_folders(found: list[str], path: str) -> None:
    missing = [f"{name}/" for name in SPLITS if name not in found]
    if len(missing) == len(SPLITS):
        raise ConfigError(
            f"dataset.path={path} is a folder, and not one of {', '.join(missing)} is in it: give the file in it as "
            "dataset.path, or a folder with these three, each with a table of rows that are split already."
        )
    if missing:
        others = [f"{name}/" for name in found if name not in SPLITS]
        near = "".join(did_you_mean(name, others) for name in missing)
        raise ConfigError(
            f"dataset.path={path} is a folder of rows that are split already, and lacks {' and '.join(missing)}.{near} "
            f"It has: {listed(f'{name}/' for name in found)}."
        )
