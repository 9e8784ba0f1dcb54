"""Tables on their way to channels on disk."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ensemble.channel import SCHEMA_FILE, read_channel
from experiments.config.schema import DatasetConfig, LocalModeConfig, SplitConfig
from experiments.data import channels, datasets
from experiments.data.presplit import SPLITS


@pytest.fixture(scope="module")
def splits() -> datasets.Splits:
    return datasets.load(DatasetConfig("diabetes"), LocalModeConfig())


def test_rows_that_are_not_set_aside_are_training_rows(splits: datasets.Splits, tmp_path: Path) -> None:
    def load(**shares: float) -> datasets.Splits:
        return datasets.load(DatasetConfig("diabetes", split=SplitConfig(**shares)), LocalModeConfig())

    without = load(validation=0)
    assert splits.test is not None
    assert splits.validation is not None
    assert without.test is not None
    assert without.hashes["test"] == splits.hashes["test"]  # whatever else is set aside
    assert without.train.rows == splits.train.rows + splits.validation.rows
    bare = load(validation=0, test=0)
    assert (bare.validation, bare.test, bare.train.rows) == (None, None, 442)
    assert len({found.data_hash for found in (splits, without, bare, load(test=0))}) == 4
    channels.place_channels(bare, tmp_path)
    placed = channels.channels_of(bare, tmp_path)
    assert [path.name for path in placed.train.parent.iterdir()] == ["train"]
    assert list(placed.for_jobs()) == ["train"]


@pytest.fixture
def placed(splits: datasets.Splits, tmp_path: Path) -> Path:
    channels.place_channels(splits, tmp_path)
    return channels.channels_at(splits.data_hash, tmp_path)


def edit_schema(folder: Path, key: str, value: object) -> None:
    path = folder / "train" / SCHEMA_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def change_target(folder: Path) -> None:
    path = folder / "train" / "target.npy"
    np.save(path, np.load(path) + 100)


def change_one_byte_of_the_test_rows(folder: Path) -> None:
    path = folder / "test" / "features.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def store_single_precision(folder: Path) -> None:
    path = folder / "validation" / "features.npy"
    np.save(path, np.load(path).astype(np.float32))


def add_weights(folder: Path) -> None:
    rows = len(np.load(folder / "train" / "target.npy"))
    np.save(folder / "train" / "weights.npy", np.arange(rows, dtype=float))
    edit_schema(folder, "arrays", ["features", "target", "weights"])


def link_to_another_file(folder: Path) -> None:
    path = folder / "train" / "target.npy"
    other = folder.parent.parent / "other.npy"
    path.rename(other)
    path.symlink_to(other)


CHANGES: list[Callable[[Path], None]] = [
    change_target,
    change_one_byte_of_the_test_rows,
    store_single_precision,
    add_weights,
    link_to_another_file,
    lambda folder: edit_schema(folder, "target", "another"),
    lambda folder: edit_schema(folder, "columns", 7),
    lambda folder: (folder / "train" / SCHEMA_FILE).write_text("[" * 100_000),
    lambda folder: (folder / "train" / SCHEMA_FILE).write_text("[]"),
    lambda folder: (folder / "train" / SCHEMA_FILE).unlink(),
    lambda folder: (folder / "train" / "stray.csv").write_text("a,b\n1,2\n"),
    lambda folder: (folder / "train" / "target.npy").write_bytes(b""),
    lambda folder: ((folder / "train" / "target.npy").unlink(), os.mkfifo(folder / "train" / "target.npy")),
    lambda folder: shutil.rmtree(folder / "validation"),
    lambda folder: (shutil.rmtree(folder), folder.write_text("a file")),
    lambda folder: (shutil.rmtree(folder), folder.symlink_to(folder.parent.parent)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_channels_that_were_changed_are_written_again(
    splits: datasets.Splits, placed: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(placed)
    channels.place_channels(splits, tmp_path)
    for name in SPLITS:
        assert read_channel(placed / name).content_hash() == splits.hashes[name]
        assert {path.name for path in (placed / name).iterdir()} == {SCHEMA_FILE, "features.npy", "target.npy"}
        assert not any(path.is_symlink() for path in (placed / name).iterdir())
    assert list(placed.parent.iterdir()) == [placed]


def test_channels_that_hold_the_tables_are_kept(splits: datasets.Splits, placed: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_ino for path in placed.rglob("*")}
    channels.place_channels(splits, tmp_path)
    assert {path: path.stat().st_ino for path in placed.rglob("*")} == before


def test_processes_that_place_the_same_channels_at_once_use_one(splits: datasets.Splits, tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def place() -> None:
        try:
            channels.place_channels(splits, tmp_path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=place) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list((tmp_path / "_channels").iterdir()) == [channels.channels_at(splits.data_hash, tmp_path)]


def test_what_a_killed_process_has_left_is_removed_and_no_link_followed(
    splits: datasets.Splits, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").touch()
    root = tmp_path / "studies" / "_channels"
    (root / "partial-123" / "train").mkdir(parents=True)
    (root / "partial").symlink_to(mine)
    channels.place_channels(splits, tmp_path / "studies")
    assert list(root.iterdir()) == [channels.channels_at(splits.data_hash, tmp_path / "studies")]
    assert (mine / "file").exists()
