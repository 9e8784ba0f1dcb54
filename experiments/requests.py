"""``action=plan``: the requests that a study comes to, checked as AWS would, with nothing started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console

from experiments.aws.documents import trial_job
from experiments.aws.validation import check_document
from experiments.backends.sagemaker import SageMakerBackend
from experiments.config import Composed
from experiments.errors import ConfigError
from experiments.modes import sagemaker_settings
from experiments.planning import plan_study
from experiments.proposals import make_proposer
from experiments.schema import SageMakerModeConfig
from experiments.study import StudySpec


def show_requests(composed: Composed, console: Console) -> int:
    """Print the requests of this configuration's search as JSON, and what travels beside them; return 0.

    Raises:
        InputError: A mistake in the configuration, or a request that AWS would refuse.
    """
    mode = composed.config.mode
    if not isinstance(mode, SageMakerModeConfig):
        raise ConfigError(f"mode={mode.name} makes no requests: python run.py mode=sagemaker action=plan.")
    plan = plan_study(replace(composed, config=replace(composed.config, action="tune")))
    study = plan.study
    requests = SageMakerBackend(sagemaker_settings(mode)).requests(study)
    requests["CreateTrainingJob"] = [_first_job(study, requests["CreateHyperParameterTuningJob"][0])]
    beside = {
        "window": study.search.window,
        "startup_trials": study.search.startup_trials,
        "first": study.space.first(),
    }
    # The requests alone go to standard output, to be read by a program.
    words = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for note in plan.notes:
        words.print(f"note: {note}")
    console.file.write(json.dumps({**requests, "beside the request": beside}, indent=1) + "\n")
    words.print(
        f"study {study.name}: the tuning job's request and that of its first training job hold against AWS's service "
        "model. Nothing was started."
    )
    return 0


def _first_job(study: StudySpec, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request of the first training job that the tuning job makes."""
    params = make_proposer(study).ask(0, None)
    wire = study.hyperparameters(params)
    job = trial_job(document, 0, {name: wire[name] for name in params})
    check_document("CreateTrainingJob", job, local=True)
    return job
