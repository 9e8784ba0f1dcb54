"""The requests of a search in its mode, without a launch: what ``action=plan`` shows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from experiments.aws.budget import PRICE_HINT
from experiments.aws.settings import planned_settings
from experiments.aws.uploads import uploads
from experiments.backends.measured_runtime import runtime_note
from experiments.backends.remote_requests import RemoteRequests, parallelism_notes
from experiments.backends.sagemaker import SageMakerBackend, sagemaker_settings
from experiments.config.arguments import typed_command
from experiments.config.compose import compose
from experiments.config.schema import RemoteModeConfig, SageMakerModeConfig
from experiments.data.channels import channels_of, place_channels
from experiments.data.datasets import Splits
from experiments.sagemaker_requests.jobs import TRAINING, TUNING, trial_job
from experiments.sagemaker_requests.validation import check_request
from experiments.study.sampling import make_proposer
from experiments.study.source_dir import place_source
from experiments.study.spec import StudySpec


@dataclass(frozen=True)
class PlannedRequests:
    """A search's requests.

    Attributes:
        requests: The tuning job's request and that of its first training job, by operation.
        beside: What the requests cannot hold, by name.
        notes: Sentences for the user.
    """

    requests: Mapping[str, list[dict[str, Any]]]
    beside: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def plan_local_requests(mode: SageMakerModeConfig, study: StudySpec) -> PlannedRequests:
    """Return the requests that ``mode=sagemaker`` executes.

    Raises:
        InputError: A setting is not possible, or AWS would refuse a request.
    """
    requests = SageMakerBackend(sagemaker_settings(mode)).requests(study)
    beside = {
        "window": study.search.window,
        "startup_trials": study.search.startup_trials,
        "first": study.space.first(),
    }
    return PlannedRequests(_with_first_job(study, requests, local=True), beside)


def plan_remote_requests(
    mode: RemoteModeConfig, study: StudySpec, splits: Splits, arguments: Sequence[str]
) -> PlannedRequests:
    """Return the requests that ``mode=remote`` would send, with what it would upload and what it costs.

    Args:
        mode: The configuration; a missing value is shown as a placeholder.
        study: The study.
        splits: Its data.
        arguments: The command as typed.

    Raises:
        InputError: A setting is not possible, or AWS would refuse a request.
    """
    planned = planned_settings(mode, typed_command(text for text in arguments if not text.startswith("action=")))
    settings = planned.settings
    builder = RemoteRequests(mode, settings)
    requests = builder.build(study)
    with tempfile.TemporaryDirectory(prefix="byoe-") as scratch:
        folder = Path(scratch)
        place_channels(splits, folder)
        place_source(study.dependencies, folder)
        placed = replace(study, folder=folder / "study", channels=channels_of(splits, folder))
        sizes = {upload.location: upload.size for upload in uploads(placed, settings, builder.requirements, folder)}
    bound = settings.bound(study)
    in_place = study.channels.in_place
    operation = TUNING if study.tuned_by_amt else TRAINING
    (request,) = requests[operation]
    beside: dict[str, Any] = {
        "uploads, in bytes": sizes,
        "data in place": None if in_place is None else f"{in_place.location}/",
        "cost at most, in USD": bound.usd,
        "still to be set": list(planned.missing),
        "differences from mode=sagemaker": dict(_differences(_local_request(study), request)),
    }
    if study.tuned_by_amt:
        beside["not sent to AMT"] = {"first": study.space.first(), "startup_trials": study.search.startup_trials}
        requests = _with_first_job(study, requests, local=False)
    missing = [f"still to be set: {key} (shown as {shown})" for key, shown in planned.missing.items()]
    runtime = runtime_note(study, mode.max_runtime_seconds)
    price = [f"the price: {PRICE_HINT}."] if bound.price is None else []
    notes = (f"it costs {bound.describe()}.", *price, runtime, *parallelism_notes(study), *missing)
    return PlannedRequests(requests, beside, notes)


def _local_request(study: StudySpec) -> dict[str, Any]:
    """Return the request that ``mode=sagemaker`` executes for the same search, or for its first trial."""
    local = cast(SageMakerModeConfig, compose(["mode=sagemaker"]).config.mode)
    backend = SageMakerBackend(sagemaker_settings(local))
    if not study.tuned_by_amt:  # only a given point is a training job there
        study = replace(study, points=(make_proposer(study).ask(0, None),))
    ((document,),) = backend.requests(replace(study, mode="sagemaker")).values()
    return document


def _differences(there: Any, here: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each dotted place in which two documents differ, with both values; None for a missing one."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in dict.fromkeys([*there, *here]):
            yield from _differences(there.get(key), here.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(one, other, f"{place}[{number}]")
    elif there != here:
        yield place, {"mode=sagemaker": there, "mode=remote": here}


def _with_first_job(
    study: StudySpec, requests: Mapping[str, list[dict[str, Any]]], *, local: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return the requests with that of the first training job that the tuning job makes."""
    first = make_proposer(study).ask(0, None)
    hyperparameters = study.hyperparameters(first)
    job = trial_job(requests[TUNING][0], 0, {name: hyperparameters[name] for name in first})
    check_request(TRAINING, job, local=local)
    return {**requests, TRAINING: [job]}
