"""``action=dashboard``: optuna-dashboard over the recorded studies, until it is interrupted."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console

from experiments.config.compose import Composed
from experiments.config.paths import studies_folder
from experiments.errors import ConfigError
from experiments.reporting.console import print_plain
from experiments.reporting.dashboard import ADDRESS, check_installed, open_dashboard
from experiments.study.ledger import recorded_studies
from experiments.system.project import COMMAND


def serve_dashboard(composed: Composed, console: Console) -> int:
    """Serve the dashboard on 127.0.0.1 until Ctrl-C; return 0.

    Raises:
        InputError: optuna-dashboard is missing, there is no study, or the port cannot be used.
    """
    config = composed.config
    studies = studies_folder(config)
    check_installed()
    if not recorded_studies(studies):
        raise ConfigError(f"there are no studies in {studies}. Run one: {COMMAND} mode=local.")
    server, notes = open_dashboard(studies, config.dashboard.port)
    with server, suppress(KeyboardInterrupt):
        for note in notes:
            print_plain(console, f"note: left out: {note}")
        print_plain(console, f"the studies in {studies}: http://{ADDRESS}:{server.server_port}/dashboard")
        print_plain(console, "It shows new trials as they finish. Ctrl-C ends it.")
        server.serve_forever()
    print_plain(console, "the dashboard has ended.")
    return 0
