"""Archives: the same files give the same bytes, and nothing is unpacked outside the folder."""

from __future__ import annotations

import errno
import os
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from experiments.system.archives import name_errors, pack, unpack


def test_the_same_files_give_the_same_bytes_and_come_back(tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        (folder / "code" / "__pycache__").mkdir(parents=True)
        (folder / "code" / "train.py").write_text("print()")
        (folder / "code" / "__pycache__" / "train.pyc").write_text(name)
        (folder / "a.txt").write_text("a")
    (tmp_path / "second" / "a.txt").chmod(0o600)
    os.utime(tmp_path / "second" / "a.txt", (0, 0))
    for name in ("first", "second"):
        pack(tmp_path / name, tmp_path / f"{name}.tar.gz", {"more/b.txt": b"b"})
    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()
    unpack(tmp_path / "first.tar.gz", tmp_path / "out")
    files = {str(path.relative_to(tmp_path / "out")): path.read_text() for path in (tmp_path / "out").rglob("*.*")}
    assert files == {"a.txt": "a", "code/train.py": "print()", "more/b.txt": "b"}


def test_a_full_disk_is_not_the_archives_fault(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), name_errors(tmp_path / "a.tar.gz"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../outside", tarfile.REGTYPE, ""),
        ("/outside", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("link", tarfile.SYMTYPE, "../../outside"),
        ("device", tarfile.CHRTYPE, ""),
    ],
)
def test_archive_that_reaches_outside_is_refused(name: str, kind: bytes, target: str, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
        tar.addfile(entry, BytesIO(b"abc"))
    folder = tmp_path / "inside" / "folder"
    with pytest.raises(tarfile.TarError, match="is not a file or folder inside"):
        unpack(archive, folder)
    assert list(folder.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"model.tar.gz", "inside"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "names", [("metrics.json", "metrics.json/x"), ("a/b", "a"), (".",), ("n" * 300,), ("a\0b",)], ids=repr
)
def test_archive_with_names_that_cannot_be_unpacked_is_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    archive = tmp_path / "output.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = 3, {"path": name}
            tar.addfile(entry, BytesIO(b"abc"))
    with pytest.raises(tarfile.TarError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "folder")


def test_archive_that_is_too_large_unpacked_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "output.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("first", "second"):
            entry = tarfile.TarInfo(name)
            entry.size = 3000
            tar.addfile(entry, BytesIO(bytes(3000)))
    unpack(archive, tmp_path / "folder", 6000)
    with pytest.raises(tarfile.TarError, match="it has more than"):
        unpack(archive, tmp_path / "folder", 5999)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["first"]


def test_archive_replaces_what_was_there(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    (tmp_path / "new.txt").write_text("new")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "new.txt", "new.txt")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old.txt").write_text("old")
    unpack(archive, tmp_path / "folder")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new.txt"]
