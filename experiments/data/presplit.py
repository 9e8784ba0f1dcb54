"""Rows that the user has split: a folder, here or on S3, that holds ``train/``, ``validation/`` and ``test/``.

``dataset.split.validation=0`` says that there is no ``validation/``, and ``dataset.split.test=0`` that there is no
``test/``. Each of the folders is one table, a CSV or Parquet file or several of one kind. What a column is and which
values a category has is found out on the training rows alone, since a job on SageMaker that reads the same files does
not see the test rows: so the numbers are the same wherever a trial runs.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ensemble.files import part_names
from ensemble.reading import Roles, read_folder
from ensemble.table import Table
from experiments.config.paths import user_path
from experiments.config.schema import ModeConfig, SplitConfig
from experiments.errors import ConfigError, InputError, did_you_mean, listed, storage_errors

SPLITS = ("train", "validation", "test")
S3 = "s3://"


def is_own_split(path: str) -> bool:
    """Whether a path is that of a folder: on S3 it ends with a slash."""
    # os.path answers for a folder that this user may not enter; Path.is_dir raises.
    return path.endswith("/") if path.startswith(S3) else os.path.isdir(user_path(path))  # noqa: PTH112


def check_not_split_again(path: str | None, split: SplitConfig, given: list[str]) -> None:
    """Raise ConfigError if rows that are split already are to be split.

    Args:
        path: The file or folder of the data, if it is the user's.
        split: The configured shares; a share of 0 says that the folder has no such rows.
        given: What the configuration sets of ``dataset.split``, as ``key=value``.
    """
    absent = [f"dataset.split.{name}" for name in ("validation", "test") if getattr(split, name) == 0]
    given = [text for text in given if text.partition("=")[0] not in absent]
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


def read_own_split(path: str, roles: Roles, mode: ModeConfig, names: tuple[str, ...]) -> dict[str, Table]:
    """Return the tables by name.

    Args:
        path: The folder.
        roles: What the columns are for.
        mode: Has the AWS settings by which S3 is read.
        names: Those of ``SPLITS`` that the folder must have; it must not have another.

    Raises:
        InputError: One of them is missing, is not a table, or has other columns; the message names it.
        StorageError: What is on S3 could not be written to this machine's disk.
    """
    if not path.startswith(S3):
        folder = user_path(path)
        try:
            _check_folders([found.name for found in folder.iterdir() if found.is_dir()], path, names)
            return _read(folder, roles, names)
        except PermissionError as error:
            raise ConfigError(f"{error.filename} cannot be read by this user: change its permissions.") from None
    with tempfile.TemporaryDirectory(prefix="byoe-") as text:
        folder = Path(text)
        with storage_errors(folder):
            _download(location_of(path), folder, mode, names)
        try:
            return _read(folder, roles, names)
        except InputError as error:
            raise ConfigError(str(error).replace(str(folder), location_of(path))) from None


def _read(folder: Path, roles: Roles, names: tuple[str, ...]) -> dict[str, Table]:
    first, *others = names
    train = read_folder(folder / first, roles)
    return {first: train} | {name: read_folder(folder / name, roles, train) for name in others}


def _download(location: str, folder: Path, mode: ModeConfig, names: tuple[str, ...]) -> None:
    from experiments.aws.storage import user_storage

    storage = user_storage(mode)
    _check_folders([name.rstrip("/") for name in storage.listing(f"{location}/").folders], f"{location}/", names)
    for split in names:
        place = f"{location}/{split}"
        found = storage.listing(f"{place}/")
        (folder / split).mkdir()
        for name in part_names([*found.folders, *found.files], place):
            storage.download(f"{place}/{name}", folder / split / name)


def _check_folders(found: list[str], path: str, names: tuple[str, ...]) -> None:
    missing = [f"{name}/" for name in names if name not in found]
    if not set(SPLITS) & set(found):
        raise ConfigError(
            f"dataset.path={path} is a folder, and not one of {', '.join(missing)} is in it: give the file in it as "
            "dataset.path, or a folder with these three, each with a table of rows that are split already."
        )
    unused = [name for name in SPLITS if name in found and name not in names]
    if unused:
        raise ConfigError(
            f"dataset.split.{unused[0]}=0 says that there are no rows in {unused[0]}/, and dataset.path={path} has "
            "this folder: leave the key out, or give a folder without it."
        )
    if missing:
        others = [f"{name}/" for name in found if name not in SPLITS]
        near = "".join(did_you_mean(name, others) for name in missing)
        raise ConfigError(
            f"dataset.path={path} is a folder of rows that are split already, and lacks {' and '.join(missing)}.{near} "
            f"It has: {listed(f'{name}/' for name in found)}.{_without(missing)}"
        )


def _without(missing: list[str]) -> str:
    """Return how a folder without these folders is read, in a sentence."""
    keys = [f"dataset.split.{name.rstrip('/')}=0" for name in missing]
    return "" if "train/" in missing else f" To go without: {' '.join(keys)}"
