"""The requests of a study that runs on SageMaker."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from experiments.aws.settings import RemoteSettings
from experiments.aws.uploads import code_digest, requirements_text
from experiments.config.schema import RemoteModeConfig
from experiments.errors import ConfigError
from experiments.sagemaker_requests.jobs import CODE_ARCHIVE, TRAINING, training_job
from experiments.sagemaker_requests.limits import USUAL_PARALLEL_JOBS
from experiments.sagemaker_requests.placement import Placement
from experiments.sagemaker_requests.study_requests import study_requests
from experiments.sagemaker_requests.validation import check_request
from experiments.study.folder import final_folder, spot_check_folder
from experiments.study.spec import StudySpec, TrialSpec


def parallelism_notes(study: StudySpec) -> list[str]:
    """Return a note if a search runs more jobs at a time than AWS permits a new account."""
    if not study.tuned_by_amt or study.parallel <= USUAL_PARALLEL_JOBS:
        return []
    note = (
        f"search.parallel={study.parallel}: AMT permits {USUAL_PARALLEL_JOBS} parallel training jobs if it "
        f"has not raised this for your account. If it refuses, use search.parallel={USUAL_PARALLEL_JOBS} or request an "
        "increase in the console under Service Quotas."
    )
    return [note]


class RemoteRequests:
    """Builds the requests of studies.

    Attributes:
        settings: Where and how jobs run.
        requirements: What a job installs when it starts; None where its image has everything.
    """

    def __init__(self, mode: RemoteModeConfig, settings: RemoteSettings) -> None:
        """Use checked settings of ``mode``.

        Raises:
            ConfigError: The file of requirements cannot be read.
        """
        self.settings = settings
        self._code: dict[tuple[Path, ...], str] = {}
        self.requirements = requirements_text(mode.image.requirements) if settings.requirements else None

    def build(self, study: StudySpec) -> dict[str, list[dict[str, Any]]]:
        """Return the study's requests by operation, checked.

        Raises:
            ConfigError: AMT does not support a setting.
            InvalidRequest: AWS would refuse one.
        """
        seconds = self.settings.options.keep_alive_seconds
        if study.tuned_by_amt and seconds:
            raise ConfigError(
                f"mode.keep_alive_seconds={seconds} has no effect on a search by SageMaker's tuner, which drops it "
                "from the jobs it starts. Use mode.keep_alive_seconds=0, or search.engine=optuna."
            )
        return study_requests(study, self._placement(study), local=False)

    def job(self, study: StudySpec, trial: TrialSpec) -> dict[str, Any]:
        """Return the request of one training of a study, checked.

        Raises:
            InvalidRequest: AWS would refuse it.
        """
        placement = self._placement(study)
        suffix = "-final" if trial.folder == final_folder(study.folder) else ""
        if trial.folder == spot_check_folder(study.folder, study.mode):  # again with another image, or other code
            suffix = f"-check-{hashlib.sha256(f'{placement.image} {placement.code}'.encode()).hexdigest()[:8]}"
        request = training_job(study, placement, trial.index, trial.hyperparameters, suffix)
        check_request(TRAINING, request, local=False)
        return request

    def _placement(self, study: StudySpec) -> Placement:
        """Return where the study's jobs run and where their files are."""
        settings = self.settings
        in_place = study.channels.in_place
        data = settings.location("data", study.channels.data_hash[:16]) if in_place is None else in_place.location
        # The code of the launch, which was uploaded then: later jobs run it too, if the user edits the files meanwhile.
        if study.dependencies not in self._code:
            self._code[study.dependencies] = code_digest(study, self.requirements)
        code = settings.location("code", self._code[study.dependencies])
        output = settings.location("studies", study.name)
        return Placement(
            image=settings.image,
            role=settings.role,
            channels={name: f"{data}/{name}/" for name in study.channels.for_jobs()},
            code=f"{code}/{CODE_ARCHIVE}",
            code_channel=f"{code}/" if settings.isolated else None,
            output=output,
            instance_type=settings.instance_type,
            max_runtime_seconds=settings.max_runtime_seconds,
            isolated=settings.isolated,
            volume_gb=settings.volume_gb,
            reading={} if in_place is None else in_place.hyperparameters,
            options=settings.options,
        )
