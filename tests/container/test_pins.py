"""The packages that a job installs fit those of AWS's scikit-learn container and replace none of them.

``tests/data/sklearn_container.json`` has the pins that AWS publishes for the container, and ``added``: the packages that
``pip install --dry-run --report`` would add for byoe in a virtual environment with these pins and the container's
Python. Repeat that after a change of ``entry/requirements.txt`` or of the container's version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from experiments.docker.sdk_image import SKLEARN_VERSION
from experiments.study.source_dir import pinned_requirements

DATA = Path(__file__).resolve().parents[1] / "data" / "sklearn_container.json"
# The numeric libraries. A job uses the container's own for these, which pip keeps; the others are pinned exactly.
OF_THE_CONTAINER = {"numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "threadpoolctl"}
EXACT = {"catboost", "scikit-learn", "skops", "xgboost-cpu"}


@pytest.fixture(scope="module")
def container() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DATA.read_text())
    return content


@pytest.fixture(scope="module")
def pins() -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in pinned_requirements().splitlines())
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(pin.name): pin for pin in found}


def test_the_data_is_of_the_container_that_jobs_run_in(container: dict[str, Any]) -> None:
    assert container["version"] == SKLEARN_VERSION


def test_what_the_container_has_satisfies_the_pins(container: dict[str, Any], pins: dict[str, Requirement]) -> None:
    shared = set(pins) & set(container["packages"])
    assert shared == OF_THE_CONTAINER
    for name in shared:
        assert pins[name].specifier.contains(container["packages"][name]), f"{pins[name]} would replace the container's"


def test_what_it_lacks_was_resolved_as_pinned_and_replaces_nothing(
    container: dict[str, Any], pins: dict[str, Requirement]
) -> None:
    assert not set(container["added"]) & set(container["packages"])
    for name in set(pins) - OF_THE_CONTAINER:
        assert pins[name].specifier.contains(container["added"][name]), f"{pins[name]} was not resolved: see above"
    for name in EXACT:
        assert [part.operator for part in pins[name].specifier] == ["=="]
