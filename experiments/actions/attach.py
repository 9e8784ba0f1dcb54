"""``action=attach``: follow a tuning job by its name, on any machine, and import its results."""

from __future__ import annotations

from rich.console import Console

from experiments.actions.tune import follow
from experiments.backends.open import open_attached
from experiments.config.compose import Composed
from experiments.config.paths import root_folder, studies_folder
from experiments.errors import StudyFailed
from experiments.reporting.console import print_plain
from experiments.reporting.progress import StudyProgress
from experiments.study.folder import final_folder
from experiments.study.ledger import Ledger
from experiments.study.spec import best_of
from experiments.system.archives import MODEL_ARCHIVE
from experiments.system.machine import check_folder
from experiments.tracking.runs import Tracker
from experiments.tracking.store import interface, store_uri
from experiments.tracking.views import TRIALS, runs_page


def attach(composed: Composed, console: Console) -> int:
    """Follow one of byoe's tuning jobs, import its trials and its best model, and print which is best; return 0.

    Raises:
        ConfigError: The mode has no tuning jobs, there is no such tuning job, or it is not one of byoe's.
        StudyFailed: None of its jobs has a score.
    """
    config = composed.config
    studies, root = studies_folder(config), root_folder(config)
    attached = open_attached(config.mode, config.job, studies)
    study = attached.study
    for folder in (root, studies):
        check_folder(folder)
    uri = store_uri(config.mlflow.uri, root)
    experiment = config.mlflow.experiment or f"byoe-{study.dataset}"
    with Ledger.open(study) as ledger, Tracker(study, uri, experiment, root, study.config) as tracker:
        handle = attached.follow(ledger)
        members = [member.name for member in study.recipe({}).members]
        progress = StudyProgress(study, members, console, len(ledger.results()), handle.note)
        results = follow(handle, tracker, progress)
        best = best_of(results, study.objective)
        if best is None:
            raise StudyFailed(f"no training job of {study.name} has a score.")
        with console.status(handle.final_status):
            handle.run_final(best.index)
    tracked = tracker.experiment_id
    page = None if tracked is None else runs_page(tracked, TRIALS)
    job, (command, purpose) = best.info["cloud"]["job"], interface(uri, root, page, "its trials, in the browser")
    print_plain(
        console,
        f"\nbest: training job {job}, {study.objective} = {best.metrics[study.objective]:.6g}\n"
        f"its model: {attached.model_location(job)}, here {final_folder(study.folder) / MODEL_ARCHIVE}\n"
        f"{command}   # {purpose}",
    )
    return 0
