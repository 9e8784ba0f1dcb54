"""Validate requests against the AWS service model in botocore, and against documented limits that it lacks.

botocore itself checks required fields, types and minimum lengths. Its model also has maximum lengths, patterns and
enumerations, which AWS enforces and botocore does not. They are checked here too.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from experiments.errors import InputError
from experiments.sagemaker_requests.limits import (
    ADDED_BY_TUNER,
    LOCAL_DISKS,
    MOST_HYPERPARAMETERS,
    MOST_JOBS,
    MOST_METRIC_DEFINITIONS,
    MOST_PARALLEL_JOBS,
    MOST_RANDOM_JOBS,
    MOST_RANGES,
    SERVERLESS_MEMORY,
)

if TYPE_CHECKING:
    from botocore.model import ServiceModel, Shape

# Values that SageMaker local mode accepts and the model does not allow, by field name.
LOCAL_EXCEPTIONS: dict[str, re.Pattern[str]] = {
    "InstanceType": re.compile(r"local"),
    "S3Uri": re.compile(r"file:///.+"),
    "S3OutputPath": re.compile(r"file:///.+"),
    "ModelDataUrl": re.compile(r"file:///.+"),
}
# The prefix of tags that AWS reserves.
RESERVED_TAG = "aws:"
# Unicode properties, which Python's regular expressions lack, and the nearest set of characters.
_PROPERTIES = {r"\p{Alnum}": "a-zA-Z0-9", r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s"}


class InvalidRequest(InputError):
    """A request that AWS would refuse.

    Attributes:
        operation: The operation's name.
        problems: A sentence for each problem.
    """

    def __init__(self, operation: str, problems: list[str]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"AWS would refuse this {operation} request:\n{lines}")
        self.operation = operation
        self.problems = problems


def check_request(operation: str, request: Mapping[str, Any], *, local: bool) -> None:
    """Check a request.

    Args:
        operation: Such as ``CreateTrainingJob``.
        request: The arguments of the boto3 call.
        local: Whether the exceptions of SageMaker local mode are allowed.

    Raises:
        InvalidRequest: The request breaks the service model, or a documented limit.
    """
    shape = _model().operation_model(operation).input_shape
    problems = list(_problems(shape, request, "", local=local))
    if not problems and operation == "CreateHyperParameterTuningJob":
        problems = list(_tuning_problems(request))
        if not local:  # this machine has no limit
            problems += _number_problems(request["HyperParameterTuningJobConfig"])
    if not problems and operation == "CreateEndpointConfig":
        problems = list(_endpoint_problems(request))
    if not problems:
        problems = list(_disk_problems(request))
    problems += [
        f"Tags: {tag['Key']!r} begins with {RESERVED_TAG!r}, which AWS reserves"
        for tag in request.get("Tags", ())
        if str(tag.get("Key", "")).lower().startswith(RESERVED_TAG)
    ]
    if problems:
        raise InvalidRequest(operation, problems)


@functools.cache
def _model() -> ServiceModel:
    # With a loader: a session would read the user's AWS settings, and fail if they are invalid.
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


def _problems(shape: Shape, value: Any, place: str, *, local: bool) -> Iterator[str]:
    kinds: dict[str, type | tuple[type, ...]] = {
        "structure": Mapping,
        "map": Mapping,
        "list": list | tuple,  # type: ignore[dict-item]  # isinstance accepts it
        "string": str,
        "integer": int,
        "long": int,
        "float": int | float,  # type: ignore[dict-item]
        "double": int | float,  # type: ignore[dict-item]
        "boolean": bool,
    }
    kind = kinds.get(shape.type_name)
    if kind is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        yield f"{place}: {value!r} must be of type {shape.type_name}"
    elif shape.type_name == "structure":
        yield from _structure_problems(shape, value, place, local=local)
    elif shape.type_name == "list":
        yield from _size_problems(shape, len(value), place, "entries")
        for number, entry in enumerate(value):
            yield from _problems(shape.member, entry, f"{place}[{number}]", local=local)
    elif shape.type_name == "map":
        yield from _size_problems(shape, len(value), place, "entries")
        for key, entry in value.items():
            yield from _problems(shape.key, key, f"{place} key", local=local)
            yield from _problems(shape.value, entry, f"{place}.{key}", local=local)
    elif shape.type_name == "string":
        yield from _text_problems(shape, value, place, local=local)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _size_problems(shape, value, place, "")


def _structure_problems(shape: Shape, value: Mapping[str, Any], place: str, *, local: bool) -> Iterator[str]:
    prefix = f"{place}." if place else ""
    for name in shape.required_members:
        if name not in value:
            yield f"{prefix}{name} is missing"
    for name, entry in value.items():
        if name not in shape.members:
            yield f"{prefix}{name} is unknown; known fields are {', '.join(sorted(shape.members))}"
        else:
            yield from _problems(shape.members[name], entry, f"{prefix}{name}", local=local)


def _text_problems(shape: Shape, value: str, place: str, *, local: bool) -> Iterator[str]:
    exception = LOCAL_EXCEPTIONS.get(place.rpartition(".")[2])
    if local and exception is not None and exception.fullmatch(value):
        return
    enum = getattr(shape, "enum", None)
    if enum and value not in enum:
        yield f"{place}: {value!r} must be one of {', '.join(enum)}"
        return
    yield from _size_problems(shape, len(value), place, "characters")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"{place}: {value!r} does not match {pattern}"


def _size_problems(shape: Shape, size: float, place: str, unit: str) -> Iterator[str]:
    low, high = shape.metadata.get("min", -math.inf), shape.metadata.get("max", math.inf)
    if size < low or size > high:
        bound = f"at least {low}" if size < low else f"at most {high}"
        yield f"{place}: {size}{unit and f' {unit}'}, and AWS allows {bound}"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for unknown, nearest in _PROPERTIES.items():
        pattern = pattern.replace(unknown, nearest)
    return re.compile(pattern)


def _tuning_problems(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield violations of a tuning job's documented rules that the model lacks."""
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    ranges = config.get("ParameterRanges", {})
    tuned = [entry["Name"] for kind in ranges.values() for entry in kind]
    fixed = definition.get("StaticHyperParameters", {})
    for name in sorted({name for name in tuned if tuned.count(name) > 1}):
        yield f"ParameterRanges: {name!r} occurs twice"
    for name in sorted(set(tuned) & set(fixed)):
        yield f"{name!r} is both tuned and fixed"
    total = len(tuned) + len(fixed) + ADDED_BY_TUNER
    if total > MOST_HYPERPARAMETERS:
        yield f"{total} hyperparameters, tuned, fixed and AMT's own, and AWS allows at most {MOST_HYPERPARAMETERS}"
    if len(tuned) > MOST_RANGES:
        yield f"ParameterRanges: {len(tuned)} ranges of all kinds, and AWS allows at most {MOST_RANGES}"
    for kind in ("ContinuousParameterRanges", "IntegerParameterRanges"):
        for entry in ranges.get(kind, ()):
            yield from _range_problems(entry, f"{kind}.{entry['Name']}")
    if config["Strategy"] == "Grid" and set(ranges) - {"CategoricalParameterRanges"}:
        yield "Strategy: a grid allows categorical ranges only"
    elif config["Strategy"] == "Grid":
        points = math.prod(len(entry["Values"]) for entry in ranges["CategoricalParameterRanges"])
        if config["ResourceLimits"].get("MaxNumberOfTrainingJobs", points) != points:
            jobs = config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
            yield f"ResourceLimits.MaxNumberOfTrainingJobs: {jobs}; a grid has {points}: use search.n_trials={points}"
    yield from _metric_problems(config, definition)
    limits = config["ResourceLimits"]
    if limits["MaxParallelTrainingJobs"] > limits.get("MaxNumberOfTrainingJobs", math.inf):
        yield "ResourceLimits: MaxParallelTrainingJobs is above MaxNumberOfTrainingJobs"


def _metric_problems(config: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[str]:
    objective = config.get("HyperParameterTuningJobObjective", {}).get("MetricName")
    metrics = [entry["Name"] for entry in definition["AlgorithmSpecification"].get("MetricDefinitions", ())]
    if len(metrics) > MOST_METRIC_DEFINITIONS:
        yield f"MetricDefinitions: {len(metrics)} metrics, and AWS allows at most {MOST_METRIC_DEFINITIONS}"
    if objective not in metrics:
        yield f"the objective {objective!r} has no MetricDefinition"


def _number_problems(config: Mapping[str, Any]) -> Iterator[str]:
    jobs = config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 0)
    most = MOST_RANDOM_JOBS if config["Strategy"] == "Random" else MOST_JOBS
    if jobs > most:
        yield f"ResourceLimits.MaxNumberOfTrainingJobs: {jobs}; AWS allows {most}: use search.n_trials={most} or less"
    parallel = config["ResourceLimits"]["MaxParallelTrainingJobs"]
    if parallel > MOST_PARALLEL_JOBS:
        yield (
            f"ResourceLimits.MaxParallelTrainingJobs: {parallel}; AWS allows {MOST_PARALLEL_JOBS}: use "
            f"search.parallel={MOST_PARALLEL_JOBS} or less"
        )


def _endpoint_problems(request: Mapping[str, Any]) -> Iterator[str]:
    for variant in request["ProductionVariants"]:
        memory = variant.get("ServerlessConfig", {}).get("MemorySizeInMB")
        if memory is not None and memory not in SERVERLESS_MEMORY:
            sizes = ", ".join(map(str, SERVERLESS_MEMORY))
            yield f"ServerlessConfig.MemorySizeInMB: {memory}, and AWS allows one of {sizes}"


def _disk_problems(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield each instance type whose local disks AWS does not encrypt with the requested key."""
    definition = request.get("TrainingJobDefinition", request)
    machine = definition.get("ResourceConfig", {})
    encrypted = [machine.get("InstanceType", "")] if "VolumeKmsKeyId" in machine else []
    if "KmsKeyId" in request:
        encrypted += [variant.get("InstanceType", "") for variant in request["ProductionVariants"]]
    for instance_type in encrypted:
        if LOCAL_DISKS.fullmatch(instance_type):
            yield (
                f"mode.volume_kms_key: {instance_type} has local disks, which its hardware encrypts, and AWS accepts "
                "no key for them: omit mode.volume_kms_key, or use another instance type"
            )


def _range_problems(entry: Mapping[str, Any], place: str) -> Iterator[str]:
    low, high = float(entry["MinValue"]), float(entry["MaxValue"])
    scale = entry.get("ScalingType", "Auto")
    if not low < high:
        yield f"{place}: MinValue {low:g} is not below MaxValue {high:g}"
    if scale == "Logarithmic" and low <= 0:
        yield f"{place}: a logarithmic scale needs values above 0"
    if scale == "ReverseLogarithmic" and not 0 <= low <= high < 1:
        yield f"{place}: a reverse logarithmic scale needs values from 0 to below 1"
