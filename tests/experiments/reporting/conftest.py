"""A planned study, whose name and objective users see."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.planning.study import plan_study
from experiments.study.spec import StudySpec


@pytest.fixture
def study(folder: Path) -> StudySpec:
    """A study of three trials, planned and not run."""
    return plan_study(compose(["study=shown", "ensemble=pair", "search.n_trials=3"])).study
