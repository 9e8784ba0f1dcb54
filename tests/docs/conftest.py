"""Copies of the project to type a page's commands in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.shell import Shell


@pytest.fixture(scope="session")
def new_shell(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Callable[[], Shell]:
    """Make a copy of the project, with an empty MLflow store in it."""
    return lambda: Shell(tmp_path_factory.mktemp("copy") / "project", empty_store)
