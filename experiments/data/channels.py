"""Train, validation and test channels on disk, named by their content."""

from __future__ import annotations

from pathlib import Path

from ensemble.channel import SCHEMA_FILE, read_channel, write_channel
from ensemble.errors import InputError
from experiments.data.datasets import Splits
from experiments.study.spec import Channels
from experiments.system import crash_points
from experiments.system.files import place_folder

CHANNELS_FOLDER = "_channels"


def channels_at(data_hash: str, studies: Path) -> Path:
    """Return where the channels of the data of this hash are, or will be."""
    return studies / CHANNELS_FOLDER / data_hash[:16]


def channels_of(splits: Splits, studies: Path) -> Channels:
    """Return the channels of these tables below ``studies``; ``place_channels`` writes them."""
    folder = channels_at(splits.data_hash, studies)
    return Channels(
        train=folder / "train",
        validation=None if splits.validation is None else folder / "validation",
        test=None if splits.test is None else folder / "test",
        data_hash=splits.data_hash,
        hashes=dict(splits.hashes),
        in_place=splits.in_place,
    )


def place_channels(splits: Splits, studies: Path) -> None:
    """Write the tables below ``studies``, unless they are there and have the content by which they are named.

    Raises:
        StorageError: The folder cannot be written.
    """

    def write(folder: Path) -> None:
        for name, table in splits.tables.items():
            (folder / name).mkdir()
            write_channel(table, folder / name)

    place_folder(channels_at(splits.data_hash, studies), write, lambda folder: _hold(folder, splits))
    crash_points.point("channels_written")


def _hold(folder: Path, splits: Splits) -> bool:
    """Whether the channels in a folder are these tables, and nothing besides."""
    for name, table in splits.tables.items():
        names = {SCHEMA_FILE, *(f"{array}.npy" for array in table.arrays())}
        try:
            there = {path.name for path in (folder / name).iterdir() if path.is_file() and not path.is_symlink()}
            if there != names or read_channel(folder / name).content_hash() != splits.hashes[name]:
                return False
        except (OSError, InputError):
            return False
    return True
