"""``docs/configuration.md`` has every key, with what it means, and is what the code makes now."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pytest

from docs.configuration_page import ConfigFile, Setting, keys, reference, sections
from ensemble.recipe import Final, FoldKind
from experiments.config.compose import CHOSEN_BY_GROUP
from experiments.config.schema import known_keys
from experiments.study.spec import Sampler
from tests.conftest import PROJECT

PAGE = PROJECT / "docs" / "configuration.md"


def test_the_page_is_what_the_code_makes() -> None:
    assert PAGE.read_text() == reference(), "python -m docs.configuration_page > docs/configuration.md writes it anew"


def test_every_key_is_there_and_described() -> None:
    listed = [key for section in sections().values() for key in section]
    outer = {key.rpartition(".")[0] for key in known_keys()}
    assert {key.name for key in listed} == set(known_keys()) - outer - set(CHOSEN_BY_GROUP)
    assert [key.name for key in listed if not key.text] == []


@pytest.mark.parametrize("words", [Sampler, FoldKind, Final], ids=["sampler", "folds.kind", "final"])
def test_every_word_that_a_key_takes_is_there(words: object) -> None:
    assert [word for word in get_args(words) if f"`{word}`" not in PAGE.read_text()] == []


@dataclass
class Inner:
    """Inside.

    Attributes:
        deep: Of its class, in
            two lines.
        both: Of its class.
    """

    deep: list[str] = field(default_factory=list)
    both: bool = False


@dataclass
class Outer:
    """Outside."""

    plain: str | None = None
    bare: int = 3
    inner: Inner = field(default_factory=Inner)


FILE = """\
# @package _global_
# A file in
# two lines.
#
# More of it.
defaults:
  - base

plain: ${oc.env:HOME,a:b}   # with a=1, null,
                            # and b
inner:                      # a group
  # no comment of a key
  both: true                # in the file
"""


def test_comments_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(FILE)
    file = ConfigFile.read(tmp_path / "file.yaml")
    assert file.head == "A file in two lines."
    assert file.settings == {
        "defaults": Setting("", ""),
        "plain": Setting("${oc.env:HOME,a:b}", "with a=1, null, and b"),
        "inner": Setting("", "a group"),
        "inner.both": Setting("true", "in the file"),
    }
    found = {key.name: (key.type, key.default, key.text) for key in keys(Outer, "x.", file, "")}
    assert found == {
        "x.plain": ("text or null", "${oc.env:HOME,a:b}", "With `a=1`, `null`, and b."),
        "x.bare": ("integer", "3", ""),
        "x.inner.deep": ("list", "[]", "Of its class, in two lines."),
        "x.inner.both": ("true, false", "true", "Of its class."),
    }
