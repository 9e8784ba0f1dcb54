"""What a call from the user's own program must leave as it was: environment, warnings, import paths, logging."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

# The loggers whose levels byoe sets while it uses their libraries.
_LOGGERS = ("alembic", "optuna")


@contextlib.contextmanager
def process_state_kept() -> Iterator[None]:
    """Restore the environment, the filters of warnings, the import paths and the levels of loggers at the end."""
    environ, paths = dict(os.environ), list(sys.path)
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        with warnings.catch_warnings():
            # From tqdm, when MLflow imports it in a notebook.
            warnings.filterwarnings("ignore", message="IProgress not found")
            yield
    finally:
        for name in set(os.environ) - set(environ):
            del os.environ[name]
        os.environ.update(environ)
        sys.path[:] = paths
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
