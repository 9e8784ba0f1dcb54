"""One trial of two folds on this machine, before a study is sent where each mistake costs money and minutes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ensemble.wire import read_metric
from experiments.backends.local import LocalRunner
from experiments.backends.worker_pool import WorkerPool
from experiments.errors import StudyFailed
from experiments.sagemaker_requests.jobs import objective_regex
from experiments.study.folder import log_path
from experiments.study.sampling import make_proposer
from experiments.study.spec import StudySpec, TrialSpec

FOLDER = "smoke"
FOLDS = {"folds_k": "2", "folds_repeats": "1"}


def smoke_trial(study: StudySpec, document: Mapping[str, Any], pool: WorkerPool) -> None:
    """Train the study's first point with two folds, and read its log as SageMaker would.

    Args:
        study: The study.
        document: A request that has its metric definitions.
        pool: Workers on this machine.

    Raises:
        StudyFailed: It failed, or the objective cannot be read from its log.
    """
    params = study.points[0] if study.points is not None else make_proposer(study).ask(0, None)
    folder = study.folder / FOLDER
    given = study.hyperparameters(params)
    folds = {name: text for name, text in FOLDS.items() if name in given}
    trial = TrialSpec(0, params, {**given, **folds}, folder, keep_model=True, threads=study.threads)
    result = LocalRunner(replace(study, folder=folder), pool).run(trial)
    if result.state == "failed":
        raise StudyFailed(
            f"a trial of two folds on this machine failed, so nothing was sent: {result.reason} "
            f"(output: {log_path(folder)})"
        )
    read = read_metric(objective_regex(document, study.objective), log_path(folder).read_text(errors="replace"))
    if read != result.metrics[study.objective]:
        raise StudyFailed(
            f"nothing was sent: SageMaker would read {study.objective} as {read!r} in the log ({log_path(folder)}), "
            f"and metrics.json has {result.metrics[study.objective]!r}. Something else prints a line like it, or "
            "none is printed: the entry script prints it once, by ensemble.wire.metric_line."
        )
    shutil.rmtree(folder, ignore_errors=True)
