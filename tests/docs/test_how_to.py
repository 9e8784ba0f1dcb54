"""The examples of ``docs/how-to.md`` work as shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import PROJECT
from tests.docs.markdown import blocks
from tests.docs.shell import Shell

HOW_TO = PROJECT / "docs" / "how-to.md"
ON_THIS_MACHINE = (
    "Your own member",
    "Your own blender",
    "Your own search",
    "Your own recipe",
    "Resume, extend, move",
    "Export to Optuna",
)
# Sections that no test in this module runs, and why.
NOT_RUN = {
    "From any folder": "it installs a wheel, as tests/experiments/test_wheel.py does",
    "Your own image": "it builds one and pushes it to an account",
    "Learn from other studies": "its sources are a user's, as in tests/experiments/backends/test_learning.py",
    "Watch studies in optuna-dashboard": "it serves until Ctrl-C, as in tests/experiments/reporting/test_dashboard.py",
    "Say how sure a prediction is, and why": "its rows are a user's; test_batch.py and python/test_study.py do the same",
    "In CI": "it is for a CI service; test_readme.py and test_tutorial.py run such commands",
}


def test_every_section_is_run_or_listed_with_a_reason() -> None:
    assert {block.heading for block in blocks(HOW_TO)} == {*ON_THIS_MACHINE, *NOT_RUN}


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_examples_work(new_shell: Callable[[], Shell]) -> None:
    shell = new_shell()
    shell.make_quick()
    with shell.opened({}):
        shell.follow(block for block in blocks(HOW_TO) if block.heading in ON_THIS_MACHINE)
