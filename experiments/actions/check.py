"""``action=check``: a first run on the account, from two training jobs to a request, for under one dollar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from rich.console import Console

from experiments.actions.tune import run_study
from experiments.aws.account import find_account
from experiments.aws.jobs import ENDED, SageMakerJobs
from experiments.aws.settings import remote_settings
from experiments.config.compose import Composed, compose
from experiments.config.schema import RemoteModeConfig
from experiments.errors import ConfigError, EnsembleError
from experiments.planning.replay import over_arguments_of_study
from experiments.reporting.console import print_plain
from experiments.serving.base import Deployment, Host
from experiments.serving.example import EXAMPLE_ACCEPT, check_predictions, example_request
from experiments.serving.models import Model
from experiments.serving.open import open_host
from experiments.system.project import COMMAND

BUDGET_USD = 1
# Small enough to end within minutes, of which a job in AWS's container needs some for the installation.
_STUDY = (
    *("ensemble=pair", "search.n_trials=2", "search.parallel=2", "mode.max_runtime_seconds=1800"),
    *("ensemble.params.xgboost.num_round=20", "ensemble.params.catboost.iterations=20"),
)


def check(composed: Composed, console: Console) -> int:
    """Run every step on the account, remove what costs money, and print PASS, or what differs; return 0 or 1.

    Raises:
        ConfigError: The mode has no account, or a setting of the account is missing or invalid. Nothing was started.
        BackendUnavailable: No AWS region is set.
    """
    mode = composed.config.mode.account
    if mode is None:
        name = composed.config.mode.name
        raise ConfigError(f"mode={name} has no account to check: {COMMAND} mode=remote action=check.")
    kept = ("mode=", "mode.", "paths.", "mlflow.")
    other = [text for text in composed.arguments if not text.startswith((*kept, "action="))]
    if other or any(text.startswith("mode.budget_usd=") for text in composed.arguments):
        raise ConfigError(
            f"action=check runs a study of its own, for at most {BUDGET_USD} USD: omit "
            f"{(other or ['mode.budget_usd'])[0]}."
        )
    remote_settings(mode, "")
    given = [text for text in composed.arguments if text.startswith(kept)]
    name = f"check-{datetime.now(UTC):%m%d%H%M%S}"
    image = mode.image.uri is None and not mode.image.push
    steps = _Steps(name, given, [*given, "mode.image.push=true"] if image else given, console)
    failed = None
    with _cleaned_up(mode, name, steps.host, console):
        for number, (title, step) in enumerate(steps.all().items(), 1):
            print_plain(console, f"\n{number} of {len(steps.all())}: {title}.", "bold")
            try:
                problem = step()
            except EnsembleError as error:
                problem = str(error)
            if problem is not None:
                failed = f"FAIL: {title}: {problem}"
                break
    passed = "PASS: the jobs, the image, the endpoint and the request work in this account."
    print_plain(console, f"\n{passed if failed is None else failed}")
    print_plain(
        console,
        f"Kept: study {name} on this machine, data and results in s3://{mode.bucket}/{mode.prefix}/, and the pushed "
        "image in your ECR.",
    )
    return 0 if failed is None else 1


class _Steps:
    """The steps of a check, each of which returns what differs from what is expected, or None."""

    def __init__(self, name: str, given: list[str], serving: list[str], console: Console) -> None:
        """Start nothing yet.

        Args:
            name: The name of the study and the endpoint.
            given: The arguments that select the account.
            serving: Those arguments with an image that can serve.
            console: Where progress is shown.
        """
        self._name = name
        self._given = given
        self._console = console
        deploy = [*serving, "action=deploy", f"model={name}", f"endpoint={name}", "serving=serverless"]
        self.host: Host = open_host(compose(deploy), console)
        self._model: Model | None = None

    def all(self) -> dict[str, Callable[[], str | None]]:
        """Return the steps by title, in order."""
        return {
            "two training jobs, as a tuning job": self._tune,
            "the same two trials on this machine": self._replay,
            "the image and a serverless endpoint": self._deploy,
            "a request": self._request,
        }

    def _tune(self) -> str | None:
        arguments = [*self._given, *_STUDY, f"study={self._name}", f"mode.budget_usd={BUDGET_USD}"]
        code = run_study(compose(arguments), arguments, self._console)
        return None if code == 0 else f"the study ended with exit code {code}"

    def _replay(self) -> str | None:
        here = [text for text in self._given if text.startswith(("paths.", "mlflow."))]
        replayed = [f"replay.study={self._name}", "replay.top=2", f"study={self._name}-here"]
        arguments = ["mode=local", "action=replay", *here, *replayed]
        code = run_study(over_arguments_of_study(compose(arguments)), arguments, self._console)
        return None if code == 0 else "the numbers differ from those on this machine, as shown above"

    def _deploy(self) -> str | None:
        def announce(deployment: Deployment) -> None:
            self._model = deployment.model
            print_plain(self._console, deployment.summary)

        self.host.deploy(announce)
        return None

    def _request(self) -> str | None:
        if self._model is None:
            return "the endpoint was not announced"
        body, expected = example_request(self._model.manifest)
        answer = self.host.invoke(body, "application/json", EXAMPLE_ACCEPT)
        return check_predictions(answer.json(), expected)


@contextmanager
def _cleaned_up(mode: RemoteModeConfig, name: str, host: Host, console: Console) -> Iterator[None]:
    """Stop the tuning job of the check and delete its endpoint at the end, however it ends."""
    try:
        yield
    finally:
        print_plain(console, "\nremoving what costs money.", "bold")
        jobs = SageMakerJobs(find_account(mode.region, mode.profile))
        with _shown(console):
            job = jobs.tuning_job(name)
            if job is not None and job["HyperParameterTuningJobStatus"] not in ENDED:
                jobs.stop_tuning(name)
        with _shown(console), suppress(ConfigError):  # there is no endpoint
            host.delete()


@contextmanager
def _shown(console: Console) -> Iterator[None]:
    """Show an error of the clean-up with the command that repeats it."""
    try:
        yield
    except ConfigError:
        raise
    except EnsembleError as error:
        fix = f"{COMMAND} mode=remote action=clean removes what still costs money."
        print_plain(console, f"warning: {error} {fix}", "yellow")
