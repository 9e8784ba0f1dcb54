"""The host of each mode."""

from __future__ import annotations

from rich.console import Console

from experiments.config.compose import Composed
from experiments.config.schema import RemoteModeConfig, SageMakerModeConfig
from experiments.serving.base import Host


def open_host(composed: Composed, console: Console) -> Host:
    """Return the host that serves models in the configured mode. Nothing is checked, created or sent.

    Args:
        composed: The configuration.
        console: Where the host shows progress.
    """
    mode = composed.config.mode
    if isinstance(mode, RemoteModeConfig):
        from experiments.serving.remote import RemoteHost

        return RemoteHost(composed, mode, console)
    from experiments.serving.local import LocalHost

    # mode=local has no containers, so it cannot deploy. It uses and deletes what mode=sagemaker has deployed here.
    return LocalHost(composed, mode if isinstance(mode, SageMakerModeConfig) else None, console)
