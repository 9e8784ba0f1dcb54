"""The contract between the commands on endpoints and the places that serve models."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

from experiments.errors import EnsembleError
from experiments.serving.client import Answer
from experiments.serving.models import Model


class DeployFailed(EnsembleError):
    """The model could not be served; the endpoint serves its previous model, or does not exist.

    If that could not be achieved, the message says so.
    """


@dataclass(frozen=True)
class Deployment:
    """A model that an endpoint serves.

    Attributes:
        model: The model.
        summary: Where it is served, as a sentence for the user.
    """

    model: Model
    summary: str


@dataclass(frozen=True)
class StatusEntry:
    """An endpoint, or something else that is billed.

    Attributes:
        title: What it is, and its state.
        details: Further lines about it.
        healthy: Whether it serves its model; None if the host does not check that.
    """

    title: str
    details: tuple[str, ...] = ()
    healthy: bool | None = None


@dataclass(frozen=True)
class Status:
    """What runs on a host.

    Attributes:
        entries: The endpoints; on SageMaker also jobs, which are billed too.
        summary: Closing lines; empty if the entries say everything.
        warnings: What could not be read, a sentence each.
    """

    entries: tuple[StatusEntry, ...]
    summary: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether all records could be read and every endpoint that was checked serves its model."""
        return not self.warnings and all(entry.healthy is not False for entry in self.entries)


class Host(abc.ABC):
    """A place that serves models by endpoints.

    ``tests/experiments/serving/contract.py`` is this contract as a suite, which every host passes.

    - A host belongs to one configuration, which names the endpoint, the model and the settings. Opening a host checks
      nothing, creates nothing and sends nothing. It is used by one thread.
    - A deployment succeeds only after the model has predicted its stored example as it did in training. On this machine
      the endpoint serves its previous model until then. SageMaker has to be switched first, and is switched back.
    - A deployment that fails leaves nothing behind: the endpoint serves its previous model, or does not exist. If the
      host fails too, something may be left, and the message says so. An endpoint on SageMaker that already served the
      same model is kept. What a killed or interrupted deployment leaves is completed or removed by the next ``deploy``
      or ``delete`` of the same endpoint.
    - An endpoint serves until it is deleted, also after the process that deployed it has ended.
    - Any method may raise the error of a host that fails while it works: EngineFailed on this machine,
      BackendUnavailable on SageMaker.
    - A host changes only endpoints that byoe has deployed: those recorded in the configured folder, or those tagged in
      the account.
    - Progress is shown on the host's console. Results are returned, and the caller shows them.

    Attributes:
        endpoint: The name of the configuration's endpoint on this host. On this machine it may be an address, such as
            ``http://127.0.0.1:34567``, to which ``invoke`` alone can be applied.
    """

    endpoint: str

    @abc.abstractmethod
    def deploy(self, announce: Callable[[Deployment], None]) -> None:
        """Serve the configured model, in place of what the endpoint served before.

        Args:
            announce: Called once, as soon as the endpoint serves the model. The host may have work left then, such as
                draining the previous version or rehearsing serverless limits.

        Raises:
            InputError: A mistake in the configuration, or the host is not available. Nothing is left.
            BundleError: The model is not a bundle that can be served.
            DeployFailed: The endpoint did not start, or predicts something else than the model did in training.
        """

    @abc.abstractmethod
    def next_commands(self, model: Model) -> tuple[str, ...]:
        """Return what to type after a deployment, such as a request with a row of the model's example.

        Raises:
            ConfigError: There is no such endpoint on this machine, or no AWS region is configured.
        """

    @abc.abstractmethod
    def invoke(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Send one request to the endpoint, and return its answer.

        Args:
            body: The rows.
            content_type: The format of the rows.
            accept: The format of the predictions.

        Raises:
            InputError: There is no such endpoint, or it does not answer.
            RequestRefused: The model's container answered with an error.
        """

    @abc.abstractmethod
    def status(self) -> Status:
        """Return what runs on this host. Changes nothing.

        On this machine, these are the endpoint that was named on the command line, or all of the configured folder. On
        SageMaker it is everything in the account, whichever endpoint is named.

        Raises:
            InputError: The host is not available, or the named endpoint does not exist on this machine.
        """

    @abc.abstractmethod
    def delete(self) -> None:
        """Delete the endpoint with everything that was created for it. Returns when that is done.

        Raises:
            InputError: There is no such endpoint, or byoe did not deploy it.
        """
