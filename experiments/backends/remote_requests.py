"""The requests of a study that runs on SageMaker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.aws.settings import RemoteSettings
from experiments.aws.uploads import code_digest, requirements_text
from experiments.config.schema import RemoteModeConfig
from experiments.sagemaker_requests.jobs import CODE_ARCHIVE
from experiments.sagemaker_requests.placement import Placement
from experiments.sagemaker_requests.study_requests import study_requests
from experiments.study.spec import StudySpec


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
        self.requirements = requirements_text(mode.image.requirements) if settings.requirements else None

    def build(self, study: StudySpec) -> dict[str, list[dict[str, Any]]]:
        """Return the study's requests by operation, checked.

        Raises:
            InvalidRequest: AWS would refuse one.
        """
        return study_requests(study, self._placement(study), local=False)

    def _placement(self, study: StudySpec) -> Placement:
        """Return where the study's jobs run and where their files are."""
        settings = self.settings
        in_place = study.channels.in_place
        data = settings.location("data", study.channels.data_hash[:16]) if in_place is None else in_place.location
        code = settings.location("code", code_digest(study, self.requirements))
        output = settings.location("studies", study.name)
        options = settings.options
        if options.spot_wait_seconds is not None:
            # Each job gets a folder of its own there, by its name.
            options = replace(options, checkpoints=f"{output}/checkpoints")
        return Placement(
            image=settings.image,
            role=settings.role,
            train=f"{data}/train/",
            validation=f"{data}/validation/",
            code=f"{code}/{CODE_ARCHIVE}",
            code_channel=f"{code}/" if settings.isolated else None,
            output=output,
            instance_type=settings.instance_type,
            max_runtime_seconds=settings.max_runtime_seconds,
            isolated=settings.isolated,
            volume_gb=settings.volume_gb,
            reading={} if in_place is None else in_place.hyperparameters,
            options=options,
        )
