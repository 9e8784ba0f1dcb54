"""``mode=sagemaker`` passes the backends' contract, in containers on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from experiments.backends.base import Backend
from experiments.backends.sagemaker import SageMakerBackend, SageMakerSettings
from experiments.study.spec import StudySpec
from tests.experiments.backends.contract import BackendContract
from tests.support.docker import containers, require_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def image() -> str:
    return require_image().tag


class TestSageMakerBackend(BackendContract):
    mode = "mode=sagemaker"
    tag: str

    @pytest.fixture(autouse=True)
    def _image(self, image: str) -> Iterator[None]:
        self.tag = image
        yield
        assert containers("contract") == []

    @contextmanager
    def backend(self, study: StudySpec) -> Iterator[Backend]:
        yield SageMakerBackend(self.settings())

    def settings(self, **changes: object) -> SageMakerSettings:
        given: dict[str, object] = {
            "image": self.tag,
            "network": "none",
            "max_runtime_seconds": 600,
            "cpus": None,
            "memory_gb": None,
        }
        return SageMakerSettings(**(given | changes))  # type: ignore[arg-type]

    def running(self) -> int:
        return len(containers("contract"))
