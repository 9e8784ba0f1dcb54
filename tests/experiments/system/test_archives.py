"""Archives are unpacked below their folder only, and a damaged one is not mistaken for a full disk."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tarfile
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.system import archives
from experiments.system.archives import DamagedArchive, pack, unpack
from tests.support.damage import damaged_bytes
from tests.support.examples import examples


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        folder = tmp_path / name
        (folder / "below").mkdir(parents=True)
        (folder / "below" / "file").write_text("text")
        pack(folder, tmp_path / f"{name}.tar.gz", {"extra": b"\0"})
    (tmp_path / "other" / "below" / "file").touch()
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "other.tar.gz").read_bytes()
    unpack(tmp_path / "one.tar.gz", tmp_path / "again")
    assert (tmp_path / "again" / "below" / "file").read_text() == "text"
    assert (tmp_path / "again" / "extra").read_bytes() == b"\0"


@pytest.mark.parametrize("cut", [0, 1, 20, 100])
def test_a_damaged_archive_is_reported_as_damaged(cut: int, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "file").write_bytes(bytes(range(256)) * 40)
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path / "inside", archive)
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(DamagedArchive):
        unpack(archive, tmp_path / "folder")


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
    with pytest.raises(DamagedArchive, match="is not a file or folder below"):
        unpack(archive, folder)
    assert list(folder.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"model.tar.gz", "inside"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "names", [("metrics.json", "metrics.json/x"), ("a/b", "a"), (".",), ("n" * 300,), ("a\0b",)], ids=repr
)
def test_archive_with_impossible_names_is_reported_as_damaged(names: tuple[str, ...], tmp_path: Path) -> None:
    archive = tmp_path / "output.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = 3, {"path": name}
            tar.addfile(entry, BytesIO(b"abc"))
    with pytest.raises(DamagedArchive, match="cannot be written"):
        unpack(archive, tmp_path / "folder")


def test_archive_that_is_too_large_unpacked_is_refused_before_it_is(tmp_path: Path) -> None:
    archive = tmp_path / "output.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("first", "second"):
            entry = tarfile.TarInfo(name)
            entry.size = 3000
            tar.addfile(entry, BytesIO(bytes(3000)))
    unpack(archive, tmp_path / "folder", 6000)
    with pytest.raises(DamagedArchive, match="unpacked it has more than"):
        unpack(archive, tmp_path / "folder", 5999)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["first"]


def test_archive_replaces_an_earlier_folder(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    (tmp_path / "new.txt").write_text("new")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "new.txt", "new.txt")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old.txt").write_text("old")
    unpack(archive, tmp_path / "folder")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new.txt"]


def test_links_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("text")
    (folder / "linked").symlink_to(tmp_path / "secret" / "key")
    (folder / "below").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    pack(folder, tmp_path / "model.tar.gz")
    unpack(tmp_path / "model.tar.gz", tmp_path / "again")
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["file"]


def write_archive(path: Path, *names: str) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 1
            tar.addfile(entry, BytesIO(b"a"))


def test_archive_that_is_too_deep_or_has_too_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "model.tar.gz"
    write_archive(archive, "a/" * (archives.MOST_DEPTH - 1) + "file")
    unpack(archive, tmp_path / "folder")
    write_archive(archive, "a/" * archives.MOST_DEPTH + "file")
    with pytest.raises(DamagedArchive, match="is more than 32 folders deep"):
        unpack(archive, tmp_path / "folder")
    monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
    write_archive(archive, *"abc")
    unpack(archive, tmp_path / "folder")
    write_archive(archive, *"abcd")
    with pytest.raises(DamagedArchive, match="it has more than 3 files"):
        unpack(archive, tmp_path / "folder")


def test_a_header_that_is_huge_when_it_is_unpacked_is_not_read(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    size = 200_000_000
    with gzip.open(archive, "wb", compresslevel=9) as zipped:
        entry = tarfile.TarInfo("header")
        entry.type, entry.size = tarfile.XHDTYPE, size
        zipped.write(entry.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(size // 1_000_000):
            zipped.write(bytes(1_000_000))
    assert archive.stat().st_size < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(DamagedArchive, match="it has a header of more than"):
            unpack(archive, tmp_path / "folder")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["pipe", "folder", "plain tar"])
def test_what_is_no_compressed_archive_is_refused(kind: str, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    if kind == "pipe":
        os.mkfifo(archive)
    elif kind == "folder":
        archive.mkdir()
    else:
        with tarfile.open(archive, "w"):
            pass
    with pytest.raises(DamagedArchive):
        unpack(archive, tmp_path / "folder")


def test_a_link_in_place_of_the_folder_is_replaced_and_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "folder").symlink_to(tmp_path / "precious")
    write_archive(tmp_path / "model.tar.gz", "a")
    unpack(tmp_path / "model.tar.gz", tmp_path / "folder")
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["file"]
    assert not (tmp_path / "folder").is_symlink()


@examples(250)
@given(data=st.data())
def test_any_damage_to_an_archive_leaves_nothing_outside(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp() / "any-archive"
    shutil.rmtree(place, ignore_errors=True)
    (place / "inside" / "below").mkdir(parents=True)
    (place / "inside" / "file").write_bytes(bytes(range(256)) * 4)
    (place / "inside" / "below" / "x").write_text("x")
    archive = place / "model.tar.gz"
    pack(place / "inside", archive)
    content = archive.read_bytes()
    if data.draw(st.booleans()):
        archive.write_bytes(gzip.compress(data.draw(damaged_bytes(gzip.decompress(content))), 1))
    else:
        archive.write_bytes(data.draw(damaged_bytes(content)))
    with contextlib.suppress(DamagedArchive):
        unpack(archive, place / "folder", most_bytes=100_000)
    assert {path.name for path in place.iterdir()} == {"inside", "model.tar.gz", "folder"}
    assert not any(path.is_symlink() for path in place.rglob("*"))
    assert sum(path.stat().st_size for path in (place / "folder").rglob("*") if path.is_file()) <= 100_000
