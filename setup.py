"""Build the wheel: the project's folders as they are, in one folder that a path file makes importable.

The configuration, the image and the entry script must lie in a wheel as they do in the project, since SageMaker's jobs
and the image are made of the same files. Everything else about the package is in ``pyproject.toml``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("configs", "container", "entry", "experiments")
MODULES = ("byoe.py",)
INSTALLED = "byoe_project"
# A user's own settings, such as an AWS account, stay here.
LEFT_OUT = ("__pycache__", "local")


class BuildProject(build_py):
    """Copies the project's folders; an editable installation finds them where they are."""

    def run(self) -> None:
        """Build."""
        if self.editable_mode:
            super().run()
            return
        target = Path(self.build_lib)
        shutil.rmtree(target, ignore_errors=True)
        for folder in FOLDERS:
            shutil.copytree(folder, target / INSTALLED / folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for module in MODULES:
            shutil.copy(module, target / INSTALLED)
        (target / "byoe.pth").write_text(f"{INSTALLED}\n{INSTALLED}/entry\n")


setup(cmdclass={"build_py": BuildProject})
