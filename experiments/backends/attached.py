"""A study on SageMaker that any machine has launched, found by the name of its tuning job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.aws.account import find_account
from experiments.aws.jobs import SageMakerJobs
from experiments.aws.pricing import find_price
from experiments.aws.results import artifact
from experiments.aws.storage import Storage
from experiments.backends.remote_jobs import Source, TuningHandle
from experiments.backends.study_document import read_study
from experiments.config.schema import RemoteModeConfig
from experiments.errors import ConfigError
from experiments.sagemaker_requests.tags import CONFIG_TAG
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec
from experiments.system.archives import MODEL_ARCHIVE


@dataclass(frozen=True)
class AttachedStudy:
    """A study whose tuning job exists.

    Attributes:
        study: The study; its rows are not on this machine.
        source: Where its results come from.
        definition: How its tuning job defines its training jobs.
    """

    study: StudySpec
    source: Source
    definition: Mapping[str, Any]

    def follow(self, ledger: Ledger) -> TuningHandle:
        """Return the running study, recorded in this open ledger."""
        return TuningHandle(self.study, ledger, self.source)

    def model_location(self, job: str) -> str:
        """Return where the training job of this name has left its model."""
        described = {"TrainingJobName": job, "OutputDataConfig": self.definition["OutputDataConfig"]}
        return artifact(described, MODEL_ARCHIVE)


def find_study(mode: RemoteModeConfig, name: str, studies: Path) -> AttachedStudy:
    """Return the study of the tuning job of this name; it has its folder below ``studies``.

    Raises:
        ConfigError: There is no such tuning job, or it is not one of byoe's.
    """
    account = find_account(mode.region, mode.profile)
    jobs, storage = SageMakerJobs(account), Storage(account.client("s3"))
    document = jobs.tuning_job(name)
    if document is None:
        raise ConfigError(f"job={name}: there is no such tuning job in {account.region}.")
    arn, created = document["HyperParameterTuningJobArn"], document["CreationTime"]
    config_hash = jobs.tags_when_visible(arn, created).get(CONFIG_TAG)
    definition = document.get("TrainingJobDefinition")
    if config_hash is None or definition is None:
        raise ConfigError(
            f"job={name} is not one of byoe's: it has no tag {CONFIG_TAG}, or trains by several definitions. "
            "action=attach follows what mode=remote action=tune has started; action=status lists it."
        )
    study = read_study(document, storage, config_hash, studies)
    price = find_price(definition["ResourceConfig"]["InstanceType"], account, mode.price_usd_per_hour)
    return AttachedStudy(study, Source(jobs, storage, price, mode.poll_seconds, lambda _: None), definition)
