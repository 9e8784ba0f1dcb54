"""The limits that the planning enforces agree with the service model, where it has them."""

from __future__ import annotations

from botocore.loaders import Loader
from botocore.model import ServiceModel

from experiments.sagemaker_requests import limits


def test_the_limits_are_those_of_the_service_model() -> None:
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")

    def size(shape: str) -> tuple[int | None, int | None]:
        metadata = model.shape_for(shape).metadata
        return metadata.get("min"), metadata.get("max")

    assert size("ParameterValues") == (1, limits.MOST_VALUES)
    assert size("HyperParameters") == (0, limits.MOST_HYPERPARAMETERS)
    assert size("HyperParameterValue")[1] == limits.LONGEST_VALUE
    assert (size("MetricDefinitionList")[1] or 0) >= limits.MOST_METRIC_DEFINITIONS  # AMT's limit is in its guide alone
    assert size("ParentHyperParameterTuningJobs") == (1, limits.MOST_PARENTS)
    assert size("HyperParameterTuningMaxRuntimeInSeconds")[0] == limits.SHORTEST_TUNING_JOB
    assert size("HyperParameterTuningJobName") == (1, limits.STUDY_NAME_LENGTH)
    assert size("ServerlessMemorySizeInMB") == (min(limits.SERVERLESS_MEMORY), max(limits.SERVERLESS_MEMORY))


def test_instances_with_local_disks_are_recognised() -> None:
    for family in ("m5d", "c5d", "m5dn", "r5d", "m6id", "c6gd", "x2iedn", "g4dn", "g5", "p4d", "p4de", "i3en", "trn1"):
        assert limits.LOCAL_DISKS.fullmatch(f"ml.{family}.xlarge"), family
    for family in ("m5", "c5", "c5n", "r5", "m6i", "m7g", "p2", "p3", "t3", "inf1", "c6in"):
        assert not limits.LOCAL_DISKS.fullmatch(f"ml.{family}.xlarge"), family
