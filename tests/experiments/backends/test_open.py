"""Each mode has its backend, which knows what can be done with its studies."""

from __future__ import annotations

from experiments.backends.local import LocalBackend
from experiments.backends.open import backend_type
from experiments.backends.remote import RemoteBackend
from experiments.backends.sagemaker import SageMakerBackend
from experiments.config.schema import LocalModeConfig, RemoteModeConfig, SageMakerModeConfig

COMMAND = ("mode=x", "mode.role=r", "mode.budget_usd=2", "paths.root=p", "search.seed=1")


def test_each_mode_has_its_backend() -> None:
    assert backend_type(LocalModeConfig()) is LocalBackend
    assert backend_type(SageMakerModeConfig()) is SageMakerBackend
    assert backend_type(RemoteModeConfig()) is RemoteBackend


def test_winners_are_served_on_this_machine_or_in_the_account_without_the_studys_budget() -> None:
    assert LocalBackend.serving_arguments(COMMAND) == ["mode=sagemaker", "paths.root=p"]
    assert SageMakerBackend.serving_arguments(COMMAND) == ["mode=sagemaker", "paths.root=p"]
    assert RemoteBackend.serving_arguments(COMMAND) == ["mode=remote", "mode.role=r", "paths.root=p"]
