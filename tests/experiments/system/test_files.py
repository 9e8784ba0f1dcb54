"""A file is replaced whole or kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.errors import StorageError
from experiments.system.files import replace_file, replacing


def test_a_file_is_made_and_replaced_with_its_permissions_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "naïve")
    assert path.read_bytes() == "naïve".encode()
    path.chmod(0o640)
    replace_file(path, b"\0")
    assert path.read_bytes() == b"\0"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_kept_if_the_new_content_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match=r"file cannot be written: No space left on device"):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_link_is_followed_and_no_name_foreseen(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path = tmp_path / "file"
    with replacing(path) as partial:
        assert partial.parent == tmp_path
        first = partial.name
        partial.write_text("new")
    with replacing(path) as partial:
        assert partial.name != first
    path.unlink()
    path.symlink_to(precious)
    replace_file(path, "new")
    assert (precious.read_text(), path.is_symlink()) == ("mine", False)
