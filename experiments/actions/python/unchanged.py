"""The block in which a call runs, so that it leaves the user's own program as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from experiments.system.process_state import process_state_kept
from experiments.tracking.store import store_kept


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Restore what a call changes in this process: environment, warnings, import paths, loggers and MLflow's store."""
    with process_state_kept(), store_kept():
        yield
