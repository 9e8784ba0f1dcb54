"""``action=attach``: follow a tuning job by its name, on any machine, and import its results."""

from __future__ import annotations

from rich.console import Console

from experiments.actions.tune import follow
from experiments.aws.account import find_account
from experiments.aws.jobs import SageMakerJobs
from experiments.aws.pricing import find_price
from experiments.aws.results import artifact
from experiments.aws.storage import Storage
from experiments.backends.remote import CONFIG_TAG
from experiments.backends.remote_jobs import Source, TuningHandle
from experiments.backends.study_document import read_study
from experiments.config.compose import Composed
from experiments.config.paths import root_folder, studies_folder
from experiments.errors import ConfigError, StudyFailed
from experiments.reporting.console import print_plain
from experiments.study.folder import final_folder
from experiments.study.ledger import Ledger
from experiments.study.spec import best_of
from experiments.system.archives import MODEL_ARCHIVE
from experiments.system.machine import check_folder
from experiments.tracking.runs import Tracker
from experiments.tracking.store import interface_command, store_uri


def attach(composed: Composed, console: Console) -> int:
    """Follow one of byoe's tuning jobs, import its trials and its best model, and print which is best; return 0.

    Raises:
        ConfigError: The mode has no tuning jobs, there is no such tuning job, or it is not one of byoe's.
        StudyFailed: None of its jobs has a score.
    """
    config, mode = composed.config, composed.config.mode.account
    if mode is None:
        name = config.mode.name
        raise ConfigError(f"mode={name} has no tuning jobs: python run.py mode=remote action=attach job=<name>.")
    if config.job is None:
        raise ConfigError(
            "action=attach needs the name of a tuning job: add job=<name>; python run.py mode=remote action=status "
            "lists them."
        )
    account = find_account(mode.region, mode.profile)
    jobs, storage = SageMakerJobs(account), Storage(account.client("s3"))
    document = jobs.tuning_job(config.job)
    if document is None:
        raise ConfigError(f"job={config.job}: there is no such tuning job in {account.region}.")
    config_hash = jobs.tags(document["HyperParameterTuningJobArn"]).get(CONFIG_TAG)
    definition = document.get("TrainingJobDefinition")
    if config_hash is None or definition is None:
        raise ConfigError(
            f"job={config.job} is not one of byoe's: it has no tag {CONFIG_TAG}, or trains by several definitions. "
            "action=attach follows what mode=remote action=tune has started; action=status lists it."
        )
    studies = studies_folder(config)
    root = root_folder(config)
    for folder in (root, studies):
        check_folder(folder)
    study = read_study(document, storage, config_hash, studies)
    price = find_price(definition["ResourceConfig"]["InstanceType"], account.region, mode.price_usd_per_hour)
    uri = store_uri(config.mlflow.uri, root)
    with Ledger.open(study) as ledger:
        tracker = Tracker(study, uri, config.mlflow.experiment or f"byoe-{study.dataset}", root, study.config)
        status = "FAILED"
        handle = TuningHandle(study, ledger, Source(jobs, storage, price, mode.poll_seconds))
        try:
            results = follow(study, handle, tracker, console, len(ledger.results()))
            best = best_of(results, study.objective)
            if best is None:
                raise StudyFailed(f"no training job of {study.name} has a score.")
            with console.status(handle.final_status):
                handle.run_final(best.index)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            tracker.drain()
            tracker.close(status)
    job = {"TrainingJobName": best.info["cloud"]["job"], "OutputDataConfig": definition["OutputDataConfig"]}
    print_plain(
        console,
        f"\nbest: training job {job['TrainingJobName']}, {study.objective} = {best.metrics[study.objective]:.6g}\n"
        f"its model: {artifact(job, MODEL_ARCHIVE)}, here {final_folder(study.folder) / MODEL_ARCHIVE}\n"
        f"{interface_command(uri, root)}   # its trials, in the browser",
    )
    return 0
