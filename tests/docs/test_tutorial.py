"""The tutorial works to its end as shown, and prints what it shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import ENGINE, PROJECT
from tests.docs.markdown import Block, blocks, commands, steps
from tests.docs.shell import Shell
from tests.support.docker import left_behind

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.xdist_group(ENGINE),  # with and without an engine from one copy of the project
]

TUTORIAL = PROJECT / "docs" / "tutorial.md"
WITH_DOCKER = ("7", "8")
# Of the table's 1,030: whole mixes, since samples of a mix follow each other.
ROWS = 200
# A quick forest; the number of boosting rounds is found, as the page shows.
SETTINGS = "ensemble: {params: {random_forest: {n_estimators: 5}}}"
# Commands that no test in this module runs, and why.
NOT_RUN = {
    "python3 -m venv .venv": "the environment that runs this was made so, by README's",
    "source .venv/bin/activate": "as above",
    "pip install -e '.[test]'": "as above",
    "mlflow ui": "it does not end; test_tune.py opens it",
    "python run.py action=train dataset=cancer study=cancer ensemble.threshold=f1": "test_classes.py runs such studies",
    "pytest tests/endpoint --endpoint=local": "test_endpoint_commands.py runs it on a deployed endpoint",
}


def sections(*, docker: bool) -> list[Block]:
    return [block for block in blocks(TUTORIAL) if block.heading.startswith(WITH_DOCKER) == docker]


@pytest.fixture(scope="module")
def without_docker(new_shell: Callable[[], Shell]) -> Shell:
    """A copy of the project in which every step that does not need Docker has run, on fewer rows of the table."""
    shell = new_shell()
    table = shell.folder / "docs" / "data" / "concrete.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[: 1 + ROWS]))
    shell.make_quick(SETTINGS)
    with shell.opened({}):
        shell.follow(sections(docker=False), NOT_RUN)
    return shell


def test_every_command_is_run_or_listed_with_a_reason() -> None:
    run = [step.command for block in blocks(TUTORIAL) if block.language == "console" for step in steps(block)]
    assert sorted(set(commands(TUTORIAL)) - set(run) - set(NOT_RUN)) == []
    assert [command for command in NOT_RUN if command not in commands(TUTORIAL)] == []


@pytest.mark.slow
def test_it_can_be_followed_without_docker(without_docker: Shell) -> None:
    assert len((without_docker.folder / "predictions.csv").read_text().splitlines()) == 1 + ROWS


@pytest.mark.docker
def test_it_can_be_followed_to_a_served_ensemble(image: None, without_docker: Shell) -> None:
    with without_docker.opened({}):
        without_docker.follow(sections(docker=True), NOT_RUN)
    assert left_behind() == []
