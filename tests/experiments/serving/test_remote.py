"""SageMaker passes the hosts' contract, on a double of AWS that serves the models; ``aws.endpoint`` is tested with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.aws.double import Double
from tests.experiments.serving.contract import HostContract
from tests.support.models import save_two_models

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_two_models(tmp_path_factory.mktemp("models"))


class TestRemoteHost(HostContract):
    mode = "mode=remote"
    double: Double

    @pytest.fixture(autouse=True)
    def _account(self, tmp_path: Path, bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self.bundles = bundles
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        with Double(tmp_path / "aws") as self.double:
            for name, value in self.double.environment.items():
                monkeypatch.setenv(name, value)
            yield
            self.double.heal()

    def settings(self) -> list[str]:
        return [
            f"mode.role={self.double.role}",
            f"mode.bucket={self.double.bucket}",
            "mode.poll_seconds=0.05",
            "mode.budget_usd=99",
        ]

    def resources(self) -> int:
        sagemaker = self.double.client("sagemaker")
        return (
            len(sagemaker.list_endpoints()["Endpoints"])
            + len(sagemaker.list_endpoint_configs()["EndpointConfigs"])
            + len(sagemaker.list_models()["Models"])
        )

    @pytest.mark.skip(reason="mode=remote action=status lists the whole account, whichever endpoint is named")
    def test_status_of_an_endpoint_that_does_not_exist_is_refused(self, folder: Path) -> None: ...
