"""Where the project is on disk."""

from __future__ import annotations

from pathlib import Path

# The folder of run.py, configs/, entry/ and container/.
PROJECT = Path(__file__).resolve().parents[2]
