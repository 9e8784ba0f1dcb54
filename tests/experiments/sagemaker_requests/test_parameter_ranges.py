"""A search space as AMT's parameter ranges, and back."""

from __future__ import annotations

import pytest

from ensemble.parameters import Parameter
from ensemble.wire import declaration
from experiments.sagemaker_requests.parameter_ranges import (
    CATEGORICAL,
    CONTINUOUS,
    INTEGER,
    decode_point,
    parameter_ranges,
    search_space,
)
from experiments.study.search_space import Choices, Interval, SearchSpace

SPACE = SearchSpace(
    {
        "xgboost__max_depth": Interval(2, 9, log=False, whole=True, first=(4,)),
        "xgboost__eta": Interval(0.001, 0.5, log=True, whole=False),
        "xgboost__grow_policy": Choices(("depthwise", "lossguide")),
    }
)


def declared(name: str) -> Parameter:
    return declaration({"xgboost": "xgboost"}, name)


def test_the_kind_of_a_range_is_that_of_its_range() -> None:
    assert parameter_ranges(SPACE, grid=False) == {
        INTEGER: [{"Name": "xgboost__max_depth", "MinValue": "2", "MaxValue": "9", "ScalingType": "Linear"}],
        CONTINUOUS: [{"Name": "xgboost__eta", "MinValue": "0.001", "MaxValue": "0.5", "ScalingType": "Logarithmic"}],
        CATEGORICAL: [{"Name": "xgboost__grow_policy", "Values": ["depthwise", "lossguide"]}],
    }


def test_a_grid_lists_whole_numbers() -> None:
    space = SearchSpace({"xgboost__max_depth": Interval(2, 4, log=False, whole=True)})
    assert parameter_ranges(space, grid=True) == {
        CATEGORICAL: [{"Name": "xgboost__max_depth", "Values": ["2", "3", "4"]}]
    }


def test_a_space_survives_the_request_in_its_order() -> None:
    found = search_space(parameter_ranges(SPACE, grid=False), declared, SPACE)
    assert found == SPACE
    assert list(found.ranges) == list(SPACE.ranges)


def test_a_point_is_decoded_by_the_space() -> None:
    tuned = {"xgboost__max_depth": "3", "xgboost__eta": "0.25", "xgboost__grow_policy": "depthwise", "seed": "0"}
    assert decode_point(SPACE, tuned) == {
        "xgboost__max_depth": 3,
        "xgboost__eta": 0.25,
        "xgboost__grow_policy": "depthwise",
    }
    with pytest.raises(ValueError, match="xgboost__eta is missing"):
        decode_point(SPACE, {"xgboost__max_depth": "3"})
    with pytest.raises(ValueError, match="xgboost__grow_policy=approx is not one of depthwise, lossguide"):
        decode_point(SPACE, tuned | {"xgboost__grow_policy": "approx"})
