"""What a launch uploads; ``tests/experiments/actions/test_remote.py`` has the uploads of a whole study."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.aws.uploads import requirements_text
from experiments.errors import ConfigError


def test_the_users_own_requirements_follow_the_pins(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("lightgbm==4.6.0\n")
    pins = requirements_text(None)
    assert "scikit-learn==" in pins
    assert requirements_text(str(own)) == pins + "lightgbm==4.6.0\n"


def test_requirements_that_cannot_be_read_are_named() -> None:
    with pytest.raises(ConfigError, match=r"mode\.image\.requirements=/none/own\.txt: No such file or directory"):
        requirements_text("/none/own.txt")
