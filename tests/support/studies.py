"""A study and its placement, for tests of requests."""

from __future__ import annotations

import dataclasses

from experiments.config.compose import compose
from experiments.planning.study import plan_study
from experiments.sagemaker_requests.placement import Placement
from experiments.study.spec import StudySpec

PLACEMENT = Placement(
    image="byoe:0123456789ab",
    role="arn:aws:iam::000000000000:role/byoe-local",
    channels={name: f"file:///studies/_channels/{name}" for name in ("train", "validation")},
    code="file:///studies/_code/0123456789abcdef",
    output="file:///studies/snapshot",
    instance_type="local",
    max_runtime_seconds=3600,
    isolated=True,
)


def study(*arguments: str) -> StudySpec:
    """Return a study of these arguments, planned and not placed, independent of the cores of this machine."""
    found = plan_study(compose(["mode=local", "search.parallel=2", *arguments])).study
    return dataclasses.replace(found, name="snapshot")
