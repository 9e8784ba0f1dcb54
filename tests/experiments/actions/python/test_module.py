"""``import byoe`` beside a user's own modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment


@pytest.mark.parametrize("name", ["experiments/__init__.py", "experiments.py", "ensemble.py", "ensemble/__init__.py"])
def test_a_users_module_with_the_name_of_a_package_is_named(name: str, tmp_path: Path) -> None:
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("raise RuntimeError('it ran')\n")
    code = "import byoe\ntry:\n    byoe.tune\nexcept ImportError as error:\n    print(error)"
    # A process of its own: which file an import finds is decided once in a process.
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    package = Path(name).parts[0].removesuffix(".py")
    assert done.stdout == (
        f"{own} is imported instead of byoe's own package '{package}'. Rename it, or run Python from another folder.\n"
    ), done.stderr
