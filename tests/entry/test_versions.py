"""Versions are compared as versions, and nothing else becomes part of a requirement."""

from __future__ import annotations

import shlex

import pytest

from ensemble.versions import is_version, pin, unreadable


@pytest.mark.parametrize(
    ("here", "there", "library", "same"),
    [
        ("1.2.10", "1.2.10", "catboost", True),
        ("1.2", "1.2.0", "catboost", True),
        ("v1.2", "1.2", "catboost", True),
        ("1.2.1", "1.2.10", "catboost", False),
        ("1.2rc1", "1.2", "catboost", False),
        ("1.7.1", "1.7.2", "scikit-learn", True),
        ("1.7", "1.7.2", "scikit-learn", True),
        ("1.17", "1.7", "scikit-learn", False),
        ("1", "1.0.3", "scikit-learn", True),
        ("1.2", "unknown", "catboost", False),
        ("1.2", "1.2 ", "catboost", False),
    ],
)
def test_a_version_is_compared_by_its_numbers(
    here: str, there: str, library: str, *, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemble.versions.library_version", lambda _: here)
    assert (unreadable({library: there}, [library]) == []) is same


@pytest.mark.parametrize(
    "text", ["1.0; rm -rf ~", "1.0 --index-url=http://x", "$(id)", "", "1.0\n-r x", "`id`", "../x"]
)
def test_text_that_is_not_a_version_is_no_part_of_a_command(text: str) -> None:
    assert not is_version(text)
    assert shlex.join(["pip", "install", pin("catboost", text)]) == "pip install catboost"
    (problem,) = unreadable({"catboost": text}, ["catboost"])
    assert f"{text!r}, not a version, when saved" in problem


@pytest.mark.parametrize("text", ["1.2.3", "1.0rc1", "2.1.0.post1", "1.0.dev3", "3.0+cpu", "2.0.0b2"])
def test_versions_are_those_of_pep_440(text: str) -> None:
    assert is_version(text)
    assert pin("xgboost", text) == f"xgboost=={text}"
