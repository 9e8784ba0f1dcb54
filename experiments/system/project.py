"""The project's folder."""

from __future__ import annotations

from pathlib import Path

# The folder with run.py, configs/, entry/ and container/.
PROJECT = Path(__file__).resolve().parents[2]
