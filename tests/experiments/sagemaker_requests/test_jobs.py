"""Requests as whole documents, and a study read back from one."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.config.groups import group_files
from experiments.sagemaker_requests.jobs import read_tuning_job, training_job, trial_job, tuning_job
from experiments.sagemaker_requests.parameter_ranges import parameter_ranges, search_space
from experiments.sagemaker_requests.validation import check_request
from experiments.study.sampling import make_proposer
from experiments.study.search_space import Choices, Interval, Range, SearchSpace
from tests.support.studies import PLACEMENT, study

SNAPSHOTS = Path(__file__).parent / "snapshots"


def check_snapshot(name: str, document: dict[str, Any]) -> None:
    path = SNAPSHOTS / f"{name}.json"
    text = json.dumps(document, indent=1) + "\n"
    if os.environ.get("BYOE_WRITE_SNAPSHOTS") == "1":
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; BYOE_WRITE_SNAPSHOTS=1 writes it again"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("blog", ("experiment=blog",)),
        ("wide", ("ensemble=wide", "search.sampler=random", "search.timeout=600")),
        (
            "grid",
            (
                "search=blank",
                "search.sampler=grid",
                "search.objective=cv_r2_blended",
                "search.space.xgboost.max_depth={low: 2, high: 4}",
                "search.space.catboost.grow_policy={choices: [Depthwise, Lossguide]}",
            ),
        ),
    ],
)
def test_tuning_job_is_that_of_the_snapshot(name: str, arguments: tuple[str, ...], folder: Path) -> None:
    document = tuning_job(study(*arguments), PLACEMENT)
    check_request("CreateHyperParameterTuningJob", document, local=True)
    check_snapshot(name, document)


def test_a_study_without_validation_rows_has_no_such_channel_and_no_such_metrics(folder: Path) -> None:
    spec = study("dataset.split.validation=0")
    placement = dataclasses.replace(PLACEMENT, channels={name: f"file:///{name}" for name in spec.channels.for_jobs()})
    document = tuning_job(spec, placement)
    check_request("CreateHyperParameterTuningJob", document, local=True)
    definition = document["TrainingJobDefinition"]
    assert [channel["ChannelName"] for channel in definition["InputDataConfig"]] == ["train"]
    reported = [metric["Name"] for metric in definition["AlgorithmSpecification"]["MetricDefinitions"]]
    assert reported == ["cv_rmse_blended", "cv_rmse_xgboost", "cv_rmse_catboost", "cv_rmse_ridge"]


@pytest.mark.parametrize(
    ("arguments", "objective", "direction"),
    [
        ((), "cv_logloss_blended", "Minimize"),
        (("search.objective=cv_auc_blended",), "cv_auc_blended", "Maximize"),
        (("search.objective=validation_brier_xgboost",), "validation_brier_xgboost", "Minimize"),
        (("search.objective=cv_balanced_accuracy_catboost",), "cv_balanced_accuracy_catboost", "Maximize"),
    ],
)
def test_a_tuning_job_of_classes_has_the_direction_of_its_objective(
    arguments: tuple[str, ...], objective: str, direction: str, folder: Path
) -> None:
    document = tuning_job(study("dataset=cancer", "ensemble=pair", *arguments), PLACEMENT)
    check_request("CreateHyperParameterTuningJob", document, local=True)
    found = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    assert found == {"Type": direction, "MetricName": objective}
    names = [
        metric["Name"] for metric in document["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    ]
    scores = [f"{split}_logloss_{who}" for who in ("blended", "xgboost", "catboost") for split in ("cv", "validation")]
    assert names == list(dict.fromkeys([objective, *scores]))


def test_at_most_twenty_metrics_are_reported_of_many_members(folder: Path) -> None:
    document = tuning_job(study("dataset=cancer", "ensemble=wide"), PLACEMENT)
    check_request("CreateHyperParameterTuningJob", document, local=True)
    definitions = document["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert 10 <= len(definitions) <= 20
    assert definitions[0]["Name"] == "cv_logloss_blended"


def test_training_job_is_that_of_the_snapshot(folder: Path) -> None:
    spec = study("experiment=blog_single", "action=train")
    document = training_job(spec, PLACEMENT, 0, spec.hyperparameters({}), "-final")
    check_request("CreateTrainingJob", document, local=True)
    check_snapshot("blog_single", document)


def test_trial_of_a_tuning_job_is_the_training_job_that_the_tuner_creates(folder: Path) -> None:
    spec = study("experiment=blog")
    tuning = tuning_job(spec, PLACEMENT)
    document = trial_job(tuning, 3, {"eta": "0.25", "max_depth": "3"})
    check_request("CreateTrainingJob", document, local=True)
    added = {"_tuning_objective_metric": "validation_rmse_blended"}
    alone = training_job(spec, PLACEMENT, 3, spec.hyperparameters({"eta": 0.25, "max_depth": 3}))
    assert document["HyperParameters"] == alone["HyperParameters"] | added
    assert {key: value for key, value in document.items() if key != "HyperParameters"} == {
        key: value for key, value in alone.items() if key != "HyperParameters"
    }
    assert spec.recipe({"eta": 0.25, "max_depth": 3}).fingerprint() == (
        dataclasses.replace(spec, static=document["HyperParameters"]).recipe({}).fingerprint()
    )


EVERY = [
    (f"ensemble={ensemble}", f"search={search}", f"search.sampler={sampler}")
    for ensemble in group_files()["ensemble"]
    for search in ("quick", "thorough")
    for sampler in ("tpe", "random")
]


@pytest.mark.parametrize("arguments", [*EVERY, ("experiment=blog",)], ids=" ".join)
def test_every_ensemble_and_search_is_valid_by_the_service_model_and_is_read_back(
    arguments: tuple[str, ...], folder: Path
) -> None:
    spec = study(*arguments)
    document = json.loads(json.dumps(tuning_job(spec, PLACEMENT)))
    check_request("CreateHyperParameterTuningJob", document, local=True)
    read = read_tuning_job(document, spec)
    assert read == spec
    assert list(read.space.ranges) == list(spec.space.ranges)
    assert read.identity_hash() == spec.identity_hash()
    built, read_back = make_proposer(spec), make_proposer(read)
    assert [built.ask(index, None) for index in range(3)] == [read_back.ask(index, None) for index in range(3)]


def test_the_study_that_is_read_back_is_that_of_the_document(folder: Path) -> None:
    spec = study()
    document = tuning_job(spec, PLACEMENT)
    config = document["HyperParameterTuningJobConfig"]
    config["Strategy"] = "Random"
    config["RandomSeed"] = 5
    config["ResourceLimits"] = {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 900}
    config["HyperParameterTuningJobObjective"] = {"Type": "Maximize", "MetricName": "cv_r2_blended"}
    config["ParameterRanges"] = {
        "IntegerParameterRanges": [
            {"Name": "xgboost__max_depth", "MinValue": "3", "MaxValue": "4", "ScalingType": "Linear"}
        ]
    }
    read = read_tuning_job(document, spec)
    assert (read.search.sampler, read.search.seed, read.n_trials, read.parallel) == ("random", 5, 3, 1)
    assert (read.timeout, read.objective, read.maximise) == (900, "cv_r2_blended", True)
    assert read.space.ranges == {"xgboost__max_depth": Interval(3, 4, log=False, whole=True, first=(3, 6, 9))}


FLOATS = st.floats(1e-300, 1e300, allow_nan=False)
RANGES = st.one_of(
    st.builds(
        lambda ends, log: Interval(min(ends), max(ends), log, whole=False),
        st.lists(FLOATS, min_size=2, max_size=2, unique=True),
        st.booleans(),
    ),
    st.builds(
        lambda ends, log: Interval(min(ends), max(ends), log, whole=True),
        st.lists(st.integers(1, 10**9), min_size=2, max_size=2, unique=True),
        st.booleans(),
    ),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=30, unique=True).map(lambda values: Choices(tuple(values))),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["a__n", "b__n", "c__n", "rate"]), RANGES, min_size=1))
def test_a_space_is_read_back_from_ranges_exactly(ranges: dict[str, Range]) -> None:
    from ensemble.parameters import integer

    space = SearchSpace(ranges)
    ranges = json.loads(json.dumps(parameter_ranges(space, grid=False)))
    assert search_space(ranges, lambda name: integer(1), space) == space
