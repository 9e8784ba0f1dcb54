"""The part of a study that a tuning job's request cannot hold: stored beside its results, and read back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ensemble.documents import read_json
from experiments.aws.storage import Storage
from experiments.errors import BackendUnavailable, ConfigError, InputError
from experiments.sagemaker_requests.jobs import read_tuning_job
from experiments.study.identity import differences
from experiments.study.search_space import Choices, SearchSpace, first_values
from experiments.study.spec import Channels, SearchSpec, StudySpec


def study_file(config_hash: str) -> str:
    """Return the name of the file beside a study's results that describes it. It depends on the configuration."""
    return f"study-{config_hash[:16]}.json"


def describe_study(study: StudySpec) -> dict[str, Any]:
    """Return what a tuning job's request cannot hold, as JSON-ready data."""
    return {
        "identity": study.recorded_identity(),
        "dataset": study.dataset,
        "config": study.config,
        "order": list(study.space.ranges),
        "first": {name: list(range_.first) for name, range_ in study.space.ranges.items()},
        "window": study.search.window,
        "startup_trials": study.search.startup_trials,
        "code": dict(study.code),
    }


def read_study(document: Mapping[str, Any], storage: Storage, config_hash: str, studies: Path) -> StudySpec:
    """Return the study of a tuning job, from its request and the file that its launch stored beside its results."""
    name = document["HyperParameterTuningJobName"]
    folder = document["TrainingJobDefinition"]["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    location = f"{folder}/{study_file(config_hash)}"
    try:
        study, identity = _read(document, _download(storage, location), studies)
    except BackendUnavailable as error:
        raise ConfigError(f"job={name} cannot be attached to: {location}, which a launch leaves: {error}") from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, InputError) as error:
        raise ConfigError(
            f"job={name} cannot be attached to: {location}, which a launch leaves, is damaged or of another version of "
            f"this project ({type(error).__name__}: {error}). The command that launched it follows it too."
        ) from None
    if differences(identity, study.identity()):
        raise ConfigError(f"job={name} was launched by another version of this project: attach with that one.")
    return study


def _download(storage: Storage, location: str) -> Any:
    with tempfile.TemporaryDirectory(prefix="byoe-") as folder:
        path = Path(folder) / "study.json"
        storage.download(location, path)
        return read_json(path)


def _read(document: Mapping[str, Any], beside: Any, studies: Path) -> tuple[StudySpec, Any]:
    """Return the study of a tuning job, and the identity that it was launched with."""
    name, identity = document["HyperParameterTuningJobName"], beside["identity"]
    known = SearchSpace({name: Choices((), first_values(beside["first"].get(name))) for name in beside["order"]})
    nowhere = studies / "_none"  # its rows are not downloaded
    has = {channel["ChannelName"] for channel in document["TrainingJobDefinition"]["InputDataConfig"]}
    bare = StudySpec(
        name=name,
        mode="remote",
        action="tune",
        folder=studies / name,
        channels=Channels(nowhere, nowhere if "validation" in has else None, None, identity["data"]),
        static={},
        space=known,
        # AWS's description of the tuning job may lack the seed.
        search=SearchSpec(
            "tpe", identity.get("search.seed", 0), 1, beside["window"], beside["startup_trials"], engine="amt"
        ),
        objective=identity["objective"],
        parallel=1,
        threads=1,
        max_failure_rate=1.0,
        code=beside["code"],
        config=beside["config"],
        dataset=beside["dataset"],
    )
    return replace(read_tuning_job(document, bare), timeout=None), identity
