"""Train, validation and test channels on disk, named by their content."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ensemble.channel import write_channel
from experiments.data.datasets import Splits
from experiments.data.presplit import SPLITS
from experiments.errors import StorageError
from experiments.study.spec import Channels
from experiments.system import crash_points

CHANNELS_FOLDER = "_channels"


def channels_at(data_hash: str, studies: Path) -> Path:
    """Return where the channels of the data of this hash are, or will be."""
    return studies / CHANNELS_FOLDER / data_hash[:16]


def channels_of(splits: Splits, studies: Path) -> Channels:
    """Return the channels of these tables below ``studies``; ``place_channels`` writes them."""
    folder = channels_at(splits.data_hash, studies)
    read = {name: splits.hashes[name] for name in ("train", "validation")}
    return Channels(folder / "train", folder / "validation", folder / "test", splits.data_hash, read, splits.in_place)


def place_channels(splits: Splits, studies: Path) -> None:
    """Write the tables below ``studies`` unless they are there; half-written ones of a killed process are removed.

    Raises:
        StorageError: The folder cannot be written.
    """
    folder = channels_at(splits.data_hash, studies)
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
        if not folder.exists():  # else another process has written the same meanwhile
            raise StorageError.at(root, error) from error
    crash_points.point("channels_written")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
