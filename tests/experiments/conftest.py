"""Fixtures of the tests of ``mode=sagemaker``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import until
from tests.support.docker import left_behind, owners, require_image


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The name of byoe's image; at the end byoe has nothing left on the engine."""
    yield require_image().tag
    assert left_behind() == []


@pytest.fixture
def nothing_left(image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that the test left nothing on the engine or in the temporary folder, and no file of another user."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    yield
    assert until(lambda: left_behind() == [])
    assert list(temporary.iterdir()) == []
    assert owners(tmp_path) <= {os.getuid()}
