"""The project's folder, and what a user types to run a command."""

from __future__ import annotations

import sys
from pathlib import Path

# The folder with configs/, entry/ and container/: the project's own, or the one that the wheel installs.
PROJECT = Path(__file__).resolve().parents[2]
# The command without its arguments: as this process was started, or what the wheel installs.
COMMAND = "byoe" if "byoe" in (Path(sys.argv[0]).name, PROJECT.name.removesuffix("_project")) else "python run.py"
