"""The README's commands work as shown: on this machine, in containers, and on the double of AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.docker.image import configured_image
from tests.conftest import ENGINE, PROJECT
from tests.docs.markdown import blocks, commands, steps
from tests.docs.shell import Shell, unlike
from tests.doubles.aws.double import Double
from tests.doubles.aws.resident import Resident
from tests.support.docker import left_behind

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # raised by moto
    pytest.mark.timeout(400),
    pytest.mark.xdist_group(ENGINE),  # with and without an engine from one copy of the project
]

README = PROJECT / "README.md"
LOCAL, CONTAINERS, REMOTE = "On this machine", "SageMaker local mode: containers on this machine", "On SageMaker"
SAME, SERVED = "Compare studies", "Serve"
MOST_LINES = 265
THREE_PLACES = next(block for block in blocks(README) if any("study=mine" in line for line in block.lines))
# Commands that no test in this module runs, and why.
NOT_RUN = {
    "mlflow ui": "it does not end; test_tune.py opens it",
    "python run.py mode=remote action=push": "test_push.py runs it, on a registry of its own",
    "python run.py mode=sagemaker search.n_trials=4": ".ci/run types it",
    **dict.fromkeys(
        (step.command for step in steps(THREE_PLACES)),
        "test_one_study_in_three_places.py runs it, and kills it in between",
    ),
    "pip install .": "test_wheel.py installs a wheel",
    "mlflow deployments -t sagemaker": "a command of another project, for comparison",
    "source .venv/bin/activate": "the environment that runs this",
    "pytest tests/endpoint --endpoint=local": "test_endpoint_commands.py runs it on a deployed endpoint",
}


@pytest.fixture(scope="module")
def on_this_machine(new_shell: Callable[[], Shell]) -> Shell:
    """A copy of the project in which the commands of the first section have run."""
    shell = new_shell()
    shell.make_quick()
    with shell.opened({}):
        shell.follow(section(LOCAL), NOT_RUN)
    return shell


def section(*headings: str) -> list:
    return [block for block in blocks(README) if block.heading in headings]


def test_ci_runs_the_first_two_blocks() -> None:
    typed = [block.lines for block in blocks(README) if block.language == "bash"]
    assert len(typed) == 2
    script = (PROJECT / ".ci" / "run").read_text()
    typed_too = ("typed < <(block 1)", "typed < <(block 2)", "python run.py mode=sagemaker search.n_trials=4")
    assert [line for line in typed_too if line not in script] == []


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) < MOST_LINES


def test_every_command_is_run_or_listed_with_a_reason() -> None:
    run = [
        step.command
        for block in section(LOCAL, CONTAINERS, REMOTE, SAME, SERVED)
        if block.language == "console"
        for step in steps(block)
    ]
    by_ci = [line for block in blocks(README) if block.language == "bash" for line in block.lines]
    assert sorted(set(commands(README)) - set(run) - set(by_ci) - set(NOT_RUN)) == []
    assert [command for command in NOT_RUN if command not in commands(README)] == []


@pytest.mark.slow
def test_the_main_job_ends_as_shown(on_this_machine: Shell) -> None:
    shown = next(block.lines for block in blocks(README) if block.language == "text")
    on_this_machine.make_quick("search: {n_trials: 2}")  # which finds the boosting rounds
    with on_this_machine.opened({}):
        code, printed = on_this_machine.run("python run.py mode=local")
    on_this_machine.make_quick()
    assert code == 0, printed
    assert unlike(shown, printed) is None, printed


@pytest.mark.docker
def test_in_containers_and_served(image: None, on_this_machine: Shell) -> None:
    with on_this_machine.opened({}):
        on_this_machine.follow(section(CONTAINERS, SAME, SERVED), NOT_RUN)
    assert left_behind() == []


@pytest.mark.slow
def test_on_sagemaker(new_shell: Callable[[], Shell], tmp_path: Path, resident: Resident) -> None:
    shell = new_shell()
    shell.make_quick()
    own = shell.folder / "configs" / "local" / "mode"
    own.mkdir()
    with Double(tmp_path / "aws", resident=resident) as double:
        settings = {"role": double.role, "bucket": double.bucket, "poll_seconds": 0.05}
        mode = compose(["mode=remote"]).config.mode
        assert mode.account is not None
        double.put_image("byoe", configured_image(mode.account.image).version)  # test_push.py pushes it
        (own / "remote.yaml").write_text(json.dumps(settings))
        with shell.opened(double.environment):
            shell.follow(section(REMOTE), NOT_RUN)
        assert [job.status for job in double.jobs] == ["Completed", "Completed"]
        assert len(double.calls("CreateEndpoint")) == len(double.calls("DeleteEndpoint")) == 1
        double.heal()
