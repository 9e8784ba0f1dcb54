"""``action=plan``: the requests that a study comes to, checked as AWS would, with nothing started."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from experiments.aws.budget import Bound
from experiments.backends.open import sagemaker_settings
from experiments.backends.sagemaker import SageMakerBackend
from experiments.config.arguments import typed_command
from experiments.config.compose import Composed, compose
from experiments.config.schema import RemoteModeConfig, SageMakerModeConfig
from experiments.data.channels import channels_of, place_channels
from experiments.errors import ConfigError
from experiments.planning.study import Plan, plan_study
from experiments.sagemaker_requests.jobs import TRAINING, TUNING, trial_job
from experiments.sagemaker_requests.validation import check_request
from experiments.study.sampling import make_proposer
from experiments.study.source_dir import place_source
from experiments.study.spec import StudySpec


def show_requests(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    """Print the requests of this configuration's search as JSON, and what travels beside them; return 0.

    Raises:
        InputError: A mistake in the configuration, or a request that AWS would refuse.
    """
    mode = composed.config.mode
    # The requests alone go to standard output, to be read by a program.
    tell = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    plan = plan_study(replace(composed, config=replace(composed.config, action="tune")))
    study = plan.study
    for note in plan.notes:
        tell.print(f"note: {note}")
    if isinstance(mode, SageMakerModeConfig):
        requests = SageMakerBackend(sagemaker_settings(mode)).requests(study)
        beside: dict[str, Any] = {
            "window": study.search.window,
            "startup_trials": study.search.startup_trials,
            "first": study.space.first(),
        }
    elif isinstance(mode, RemoteModeConfig):
        requests, beside = _remote(mode, plan, arguments, tell)
    else:
        raise ConfigError(f"mode={mode.name} makes no requests: python run.py mode=sagemaker action=plan.")
    local = not isinstance(mode, RemoteModeConfig)
    requests[TRAINING] = [_first_job(study, requests[TUNING][0], local=local)]
    console.file.write(json.dumps({**requests, "beside the request": beside}, indent=1) + "\n")
    tell.print(
        f"study {study.name}: the tuning job's request and that of its first training job hold against AWS's service "
        "model. Nothing was started."
    )
    return 0


def _remote(
    mode: RemoteModeConfig, plan: Plan, arguments: Sequence[str], tell: Console
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the requests of ``mode=remote`` and what is done beside them; say what it costs and still wants."""
    from experiments.aws.settings import planned_settings
    from experiments.aws.uploads import code_digest, requirements_text, uploads
    from experiments.backends.remote import RemoteBackend

    planned = planned_settings(
        mode, typed_command(argument for argument in arguments if not argument.startswith("action="))
    )
    settings = planned.settings
    requirements = requirements_text(mode.image.requirements) if settings.requirements else None
    backend = RemoteBackend(settings, lambda study: code_digest(study, requirements), _nothing)
    requests = backend.requests(plan.study)
    with tempfile.TemporaryDirectory(prefix="byoe-") as scratch:
        folder = Path(scratch)
        place_channels(plan.splits, folder)
        place_source(plan.study.dependencies, folder)
        there = replace(plan.study, folder=folder / "study", channels=channels_of(plan.splits, folder))
        sizes = {upload.location: upload.size for upload in uploads(there, settings, requirements, folder)}
    bound = settings.bound(plan.study)
    tell.print(f"it costs {bound.describe()}.")
    for key, shown in planned.missing.items():
        tell.print(f"still to be set: {key} (shown as {shown})")
    in_place = plan.study.channels.in_place
    beside = {
        "uploads, in bytes": sizes,
        "data in place": None if in_place is None else f"{in_place.location}/",
        "cost at most, in USD": bound.usd,
        "still to be set": list(planned.missing),
        "otherwise than mode=sagemaker": dict(_differences(_rehearsal(plan.study), requests[TUNING][0])),
        "not known to AMT": {"first": plan.study.space.first(), "startup_trials": plan.study.search.startup_trials},
    }
    return requests, beside


def _nothing(study: StudySpec, bound: Bound) -> None:
    """Do what a plan does before a launch."""


def _rehearsal(study: StudySpec) -> dict[str, Any]:
    """Return the request that ``mode=sagemaker`` executes for the same search."""
    local = cast(SageMakerModeConfig, compose(["mode=sagemaker"]).config.mode)
    backend = SageMakerBackend(sagemaker_settings(local))
    (document,) = backend.requests(replace(study, mode="sagemaker"))[TUNING]
    return document


def _differences(there: Any, here: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield by dotted place what two documents have otherwise; None where one has nothing."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in dict.fromkeys([*there, *here]):
            yield from _differences(there.get(key), here.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(one, other, f"{place}[{number}]")
    elif there != here:
        yield place, {"mode=sagemaker": there, "mode=remote": here}


def _first_job(study: StudySpec, document: Mapping[str, Any], *, local: bool) -> dict[str, Any]:
    """Return the request of the first training job that the tuning job makes."""
    first = make_proposer(study).ask(0, None)
    hyperparameters = study.hyperparameters(first)
    job = trial_job(document, 0, {name: hyperparameters[name] for name in first})
    check_request(TRAINING, job, local=local)
    return job
