"""Tables on their way to channels on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensemble.table import Table
from experiments.config.schema import DatasetConfig, LocalModeConfig
from experiments.data import channels, datasets
from experiments.data.presplit import SPLITS


def test_channels_that_another_process_writes_meanwhile_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = datasets.load(DatasetConfig("diabetes"), LocalModeConfig())
    write = channels.write_channel
    written: list[Path] = []

    def write_after_the_other(table: Table, folder: Path) -> None:
        if not written:
            for name in SPLITS:
                place = channels.channels_at(splits.data_hash, tmp_path) / name
                place.mkdir(parents=True)
                write(getattr(splits, name), place)
        written.append(folder)
        write(table, folder)

    monkeypatch.setattr(channels, "write_channel", write_after_the_other)
    channels.place_channels(splits, tmp_path)
    assert len(written) == len(SPLITS)
    assert list((tmp_path / "_channels").iterdir()) == [channels.channels_at(splits.data_hash, tmp_path)]
