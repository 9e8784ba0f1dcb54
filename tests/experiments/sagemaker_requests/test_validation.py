"""Requests that AWS would refuse are refused here, with the name and the place of the value."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ParamValidationError
from botocore.validate import validate_parameters

from experiments.sagemaker_requests.jobs import tuning_job
from experiments.sagemaker_requests.validation import InvalidRequest, _compiled, check_request
from tests.support.studies import PLACEMENT, study

OPERATION = "CreateHyperParameterTuningJob"
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def document(folder: Path) -> dict[str, Any]:
    return copy.deepcopy(tuning_job(study(), PLACEMENT))


def config(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["HyperParameterTuningJobConfig"]
    return found


def definition(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["TrainingJobDefinition"]
    return found


def continuous(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config(document)["ParameterRanges"]["ContinuousParameterRanges"][0]
    return found


BROKEN: dict[str, tuple[Edit, list[str]]] = {
    "missing field": (lambda d: d.pop("HyperParameterTuningJobName"), ["HyperParameterTuningJobName is missing"]),
    "unknown field": (lambda d: d.update(Nme="x"), ["Nme is unknown"]),
    "wrong type": (lambda d: config(d).update(RandomSeed="0"), ["RandomSeed", "'0' must be of type integer"]),
    "true for a number": (lambda d: config(d).update(RandomSeed=True), ["RandomSeed", "True must be of type integer"]),
    "number below the minimum": (lambda d: config(d).update(RandomSeed=-1), ["RandomSeed", "-1", "at least 0"]),
    "name too long": (
        lambda d: d.update(HyperParameterTuningJobName="a" * 33),
        ["HyperParameterTuningJobName", "33 characters", "at most 32"],
    ),
    "name with an underscore": (
        lambda d: d.update(HyperParameterTuningJobName="a_b"),
        ["HyperParameterTuningJobName", "'a_b' does not match"],
    ),
    "unknown strategy": (
        lambda d: config(d).update(Strategy="TPE"),
        ["Strategy", "'TPE' must be one of Bayesian"],
    ),
    "value too long": (
        lambda d: definition(d)["StaticHyperParameters"].update(members="x" * 2501),
        ["StaticHyperParameters.members", "2501 characters", "at most 2500"],
    ),
    "invalid role": (lambda d: definition(d).update(RoleArn="arn:aws:iam::1:role/x"), ["RoleArn", "match"]),
    "unknown instance type": (
        lambda d: definition(d)["ResourceConfig"].update(InstanceType="ml.m5.huge"),
        ["ResourceConfig.InstanceType", "ml.m5.huge"],
    ),
    "time limit too short": (
        lambda d: config(d)["ResourceLimits"].update(MaxRuntimeInSeconds=60),
        ["ResourceLimits.MaxRuntimeInSeconds", "60", "at least 120"],
    ),
    "too many metrics": (
        lambda d: definition(d)["AlgorithmSpecification"].update(
            MetricDefinitions=[{"Name": f"m{n}", "Regex": "x"} for n in range(41)]
        ),
        ["MetricDefinitions", "41 entries", "at most 40"],
    ),
    "expression too long": (
        lambda d: definition(d)["AlgorithmSpecification"]["MetricDefinitions"][0].update(Regex="x" * 501),
        ["MetricDefinitions[0].Regex", "501 characters", "at most 500"],
    ),
    "too many ranges": (
        lambda d: config(d)["ParameterRanges"].update(
            IntegerParameterRanges=[{"Name": f"p{n}", "MinValue": "1", "MaxValue": "2"} for n in range(31)]
        ),
        ["IntegerParameterRanges", "31 entries", "at most 30"],
    ),
    "tag of AWS": (lambda d: d["Tags"].append({"Key": "aws:x", "Value": ""}), ["Tags", "'aws:x'"]),
    "reversed range": (lambda d: continuous(d).update(MinValue="2"), ["xgboost__eta", "not below"]),
    "logarithm of zero": (lambda d: continuous(d).update(MinValue="0"), ["xgboost__eta", "above 0"]),
    "reverse logarithm of one": (
        lambda d: continuous(d).update(ScalingType="ReverseLogarithmic", MaxValue="1"),
        ["xgboost__eta", "reverse logarithmic"],
    ),
    "range twice": (
        lambda d: config(d)["ParameterRanges"]["ContinuousParameterRanges"].append(dict(continuous(d))),
        ["'xgboost__eta' occurs twice"],
    ),
    "tuned and fixed": (
        lambda d: definition(d)["StaticHyperParameters"].update(xgboost__eta="0.1"),
        ["'xgboost__eta' is both tuned and fixed"],
    ),
    "too many hyperparameters": (
        lambda d: definition(d)["StaticHyperParameters"].update({f"p{n}": "1" for n in range(85)}),
        ["hyperparameters, tuned, fixed and AMT's own", "at most 100"],
    ),
    "too many ranges of all kinds": (
        lambda d: [
            config(d)["ParameterRanges"][f"{kind}ParameterRanges"].extend(
                {**config(d)["ParameterRanges"][f"{kind}ParameterRanges"][0], "Name": f"{kind}{n}"} for n in range(14)
            )
            for kind in ("Continuous", "Integer")
        ],
        ["ranges of all kinds, and AWS allows at most 30"],
    ),
    "part of a grid": (
        lambda d: config(d).update(
            Strategy="Grid",
            ParameterRanges={"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2", "3", "4", "5"]}]},
        ),
        ["MaxNumberOfTrainingJobs", "search.n_trials=5"],
    ),
    "grid of ranges": (lambda d: config(d).update(Strategy="Grid"), ["a grid allows categorical ranges only"]),
    "objective that nothing prints": (
        lambda d: config(d)["HyperParameterTuningJobObjective"].update(MetricName="accuracy"),
        ["'accuracy' has no MetricDefinition"],
    ),
    "more jobs at a time than in total": (
        lambda d: config(d)["ResourceLimits"].update(MaxParallelTrainingJobs=99),
        ["MaxParallelTrainingJobs is above"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_value_that_aws_would_refuse_is_named_with_its_place(case: str, document: dict[str, Any]) -> None:
    edit, fragments = BROKEN[case]
    edit(document)
    with pytest.raises(InvalidRequest) as refused:
        check_request(OPERATION, document, local=True)
    assert [text for text in fragments if text not in str(refused.value)] == []


def test_a_valid_document_also_passes_botocores_validation(document: dict[str, Any]) -> None:
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model(OPERATION).input_shape
    validate_parameters(document, shape)
    with pytest.raises(ParamValidationError):
        validate_parameters({**document, "HyperParameterTuningJobName": 3}, shape)


def test_only_local_mode_accepts_local_locations(document: dict[str, Any]) -> None:
    check_request(OPERATION, document, local=True)
    with pytest.raises(InvalidRequest) as refused:
        check_request(OPERATION, document, local=False)
    places = {problem.partition(":")[0].rpartition(".")[2] for problem in refused.value.problems}
    assert places == {"InstanceType", "S3Uri", "S3OutputPath"}


def test_local_exceptions_are_for_their_own_fields(document: dict[str, Any]) -> None:
    definition(document)["RoleArn"] = "local"
    with pytest.raises(InvalidRequest, match="RoleArn"):
        check_request(OPERATION, document, local=True)


def test_every_pattern_of_the_operations_used_is_understood() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    operations = (OPERATION, "CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint")
    seen: set[str] = set()

    def walk(shape: Any) -> None:
        if shape.name in seen:
            return
        seen.add(shape.name)
        if "pattern" in shape.metadata:
            assert isinstance(_compiled(shape.metadata["pattern"]), re.Pattern)
        for inner in getattr(shape, "members", {}).values():
            walk(inner)
        for name in ("member", "key", "value"):
            if hasattr(shape, name):
                walk(getattr(shape, name))

    for operation in operations:
        walk(model.operation_model(operation).input_shape)
    assert len(seen) > 100
    assert _compiled(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("Größe 1:ok")
