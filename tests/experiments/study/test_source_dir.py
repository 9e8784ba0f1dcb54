"""The source directory is named by its content and written whole, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.errors import BackendUnavailable, ConfigError, StorageError
from experiments.study.source_dir import (
    ENTRY,
    check_dependencies,
    pinned_requirements,
    place_source,
    source_folder,
)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "__init__.py").write_text("A = 1\n")
    (folder / "single.py").write_text("B = 2\n")
    return folder


def test_it_has_the_entry_script_and_the_users_packages_without_requirements(tmp_path: Path, packages: Path) -> None:
    place_source([packages], tmp_path)
    found = source_folder([packages], tmp_path)
    assert (found / "train.py").read_bytes() == (ENTRY / "train.py").read_bytes()
    assert (found / "mine" / "__init__.py").read_text() == "A = 1\n"
    assert (found / "single.py").read_text() == "B = 2\n"
    assert not (found / "requirements.txt").exists()
    assert not list(found.rglob("__pycache__"))


def test_its_name_changes_with_the_content_and_not_with_caches(tmp_path: Path, packages: Path) -> None:
    before = source_folder([packages], tmp_path)
    cache = packages / "mine" / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"x")
    assert source_folder([packages], tmp_path) == before
    (packages / "mine" / "__init__.py").write_text("A = 2\n")
    assert source_folder([packages], tmp_path) != before
    assert source_folder([], tmp_path) != before


def test_an_existing_source_dir_is_kept(tmp_path: Path, packages: Path) -> None:
    place_source([packages], tmp_path)
    folder = source_folder([packages], tmp_path)
    before = {path: path.stat().st_ino for path in folder.rglob("*")}
    place_source([packages], tmp_path)
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "single.py").write_text("B = 3\n"),
        lambda folder: (folder / "numpy.py").write_text("raise SystemExit\n"),
        lambda folder: (folder / "mine" / "more.py").touch(),
        lambda folder: (folder / "mine" / "__init__.py").unlink(),
        lambda folder: (folder / "requirements.txt").write_text("requests\n"),
        lambda folder: ((folder / "mine" / "__pycache__").mkdir(), (folder / "mine" / "__pycache__" / "a.pyc").touch()),
    ],
)
def test_a_source_dir_that_was_changed_is_written_again(
    tmp_path: Path, packages: Path, change: Callable[[Path], object]
) -> None:
    place_source([packages], tmp_path)
    folder = source_folder([packages], tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    change(folder)
    place_source([packages], tmp_path)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_package_with_a_name_that_is_taken_is_refused(tmp_path: Path, packages: Path) -> None:
    (packages / "mine").rename(packages / "ensemble")
    with pytest.raises(ConfigError, match=r"already contains the name of .*ensemble: rename it"):
        source_folder([packages], tmp_path)


def test_a_source_dir_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy", full)
    with pytest.raises(StorageError, match="No space left on device"):
        place_source([packages], tmp_path)
    assert list(source_folder([packages], tmp_path).parent.iterdir()) == []


def test_a_folder_of_packages_that_is_missing_is_named(tmp_path: Path) -> None:
    check_dependencies([tmp_path])
    with pytest.raises(BackendUnavailable, match="which is not a folder"):
        check_dependencies([tmp_path, tmp_path / "missing"])


def test_containers_get_the_same_pins_without_the_gpu_part() -> None:
    pins = pinned_requirements().splitlines()
    host = (ENTRY / "requirements.txt").read_text().splitlines()
    assert [pin.replace("xgboost-cpu==", "xgboost==") for pin in pins] == host
    assert any(pin.startswith("xgboost-cpu==") for pin in pins)
