"""Serves optuna-dashboard over the ledgers, on this machine only and without a way to change anything."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from experiments.errors import BackendUnavailable, ConfigError

ADDRESS = "127.0.0.1"
_PACKAGE = "optuna_dashboard"
_REQUIREMENT = "optuna-dashboard>=0.21,<0.22"
_READING = ("GET", "HEAD")

_Start = Callable[..., Any]
_App = Callable[[dict[str, Any], _Start], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Print nothing: the page asks every few seconds."""


def check_installed() -> None:
    """Raise BackendUnavailable if optuna-dashboard is missing."""
    if importlib.util.find_spec(_PACKAGE) is None:
        raise BackendUnavailable(
            f"action=dashboard needs optuna-dashboard, which is not installed: pip install '{_REQUIREMENT}', or "
            "install byoe with its extra [dashboard]."
        )


def open_dashboard(studies: Path, port: int | None) -> tuple[WSGIServer, list[str]]:
    """Return a server of the dashboard, which ``serve_forever`` runs and ``server_close`` ends, and notes.

    Args:
        studies: The folder of all studies.
        port: Its port on 127.0.0.1; None for a free one.

    Raises:
        BackendUnavailable: optuna-dashboard is missing.
        ConfigError: The port is not possible, or is taken.
    """
    check_installed()
    if port is not None and not 1 <= port <= 65535:
        raise ConfigError(f"dashboard.port={port} is not a port, from 1 to 65535. Leave it out for a free one.")
    from optuna_dashboard import wsgi

    from experiments.study.ledger_storage import LedgerStorage

    storage = LedgerStorage(studies)
    try:
        server = make_server(ADDRESS, port or 0, _refusing(wsgi(storage)), _Server, _Handler)
    except OSError as error:
        raise ConfigError(
            f"dashboard.port={port} cannot be used: {error.strerror or error}. Leave it out for a free one."
        ) from None
    return server, storage.unreadable()


def _refusing(app: _App) -> _App:
    """Return an application that refuses what would write, and requests that a page of another host has made.

    A page that the user has open elsewhere could let its own name point to this machine. Its requests carry that name.
    """
    from experiments.study.ledger_storage import READ_ONLY

    def answer(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("HTTP_HOST", "")
        reason = None
        if host not in (ADDRESS, "localhost"):
            reason = f"This is served to {ADDRESS} only."
        elif environ["REQUEST_METHOD"] not in _READING:
            reason = READ_ONLY
        if reason is None:
            return app(environ, start)
        start("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": reason}).encode()]

    return answer
