"""Copies of the project in which to run a page's commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.serving.records import Records
from tests.conftest import run_command
from tests.docs.shell import Shell
from tests.support.docker import require_image


@pytest.fixture(scope="module")
def image() -> None:
    """Skip, before the steps that need no Docker are run, if there is no engine."""
    require_image()


@pytest.fixture(scope="module")
def new_shell(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Callable[[], Shell]]:
    """Make a copy of the project with an empty MLflow store; endpoints that a page leaves are deleted at the end."""
    made: list[Shell] = []

    def make() -> Shell:
        made.append(Shell(tmp_path_factory.mktemp("copy") / "project", empty_store))
        return made[-1]

    yield make
    for root in (shell.folder / "endpoints" for shell in made):
        for endpoint in Records(root).all():
            run_command("action=delete", f"endpoint={endpoint.name}", f"paths.endpoints={root}")
