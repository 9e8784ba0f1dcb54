"""The file that ``output=`` names. ``tests/experiments/actions/test_compare.py`` tests the mistakes as a user makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from experiments.errors import ConfigError
from experiments.system.output_file import check_not_input, output_file


def test_a_link_is_resolved_and_nothing_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real.csv").write_text("a\n")
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert output_file("~/link.csv", "p.csv") == tmp_path / "real.csv"
    assert output_file(str(tmp_path / "new.csv"), "p.csv") == tmp_path / "new.csv"
    assert not (tmp_path / "new.csv").exists()


def test_an_unusable_output_is_named_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "kept.csv").touch(0o444)
    os.mkfifo("pipe")
    for text, message in {
        "folder": "output=folder is a folder: name a file in it, such as output=folder/p.csv.",
        "none/p.csv": "output=none/p.csv: there is no folder none. Create it, or name another file.",
        "pipe": "output=pipe is not a regular file: name one, such as output=p.csv.",
        "kept.csv": f"output=kept.csv is write-protected: name another file, or run chmod +w {tmp_path / 'kept.csv'}.",
    }.items():
        with pytest.raises(ConfigError) as refused:
            output_file(text, "p.csv")
        assert str(refused.value) == message


def test_predictions_do_not_replace_their_rows(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.touch()
    (tmp_path / "link.csv").symlink_to(rows)
    with pytest.raises(ConfigError, match="is also the input: name another file"):
        check_not_input(str(rows), str(tmp_path / "link.csv"))
    for source, output in (
        (None, str(rows)),
        ("-", str(rows)),
        (str(rows), None),
        (str(rows), str(tmp_path / "new.csv")),
    ):
        check_not_input(source, output)
