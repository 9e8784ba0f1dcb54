"""Tests stay in the groups that ``tests/conftest.py`` makes; pytest-xdist drops groups that it cannot read without a word."""

from __future__ import annotations

import os

import pytest


def test_a_worker_gets_whole_groups(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("this process is not a worker of pytest-xdist. To run it: leave out -n 0 and -p no:xdist")
    (mark,) = request.node.iter_markers("xdist_group")
    assert request.node.nodeid.endswith(f"@{mark.args[0]}")
