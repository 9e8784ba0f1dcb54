"""SageMaker passes the hosts' contract, on a double of AWS that serves the models; ``aws.endpoint`` is tested with it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from experiments.config.compose import compose
from experiments.serving.base import DeployFailed
from experiments.serving.client import RequestRefused
from experiments.serving.open import open_host
from experiments.serving.remote import RemoteHost
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import denied
from tests.doubles.aws.resident import Resident
from tests.experiments.serving.contract import HostContract
from tests.support.account import in_account
from tests.support.models import example, save_two_models, with_other_answers

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_two_models(tmp_path_factory.mktemp("models"))


class TestRemoteHost(HostContract):
    mode = "mode=remote"
    double: Double
    image: str

    @pytest.fixture(autouse=True)
    def _account(
        self, tmp_path: Path, bundles: tuple[Path, Path], resident: Resident, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        self.bundles = bundles
        with in_account(Double(tmp_path / "aws", resident=resident), monkeypatch) as self.double:
            self.image = self.double.put_image("byoe", "1")
            yield

    def settings(self) -> list[str]:
        return [
            f"mode.role={self.double.role}",
            f"mode.bucket={self.double.bucket}",
            f"mode.image.uri={self.image}",
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

    @pytest.mark.slow  # actions/test_remote_endpoints.py replaces a model, too
    def test_a_second_deployment_replaces_the_first_and_leaves_other_endpoints_alone(self, folder: Path) -> None:
        super().test_a_second_deployment_replaces_the_first_and_leaves_other_endpoints_alone(folder)

    def interrupt(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Deploy a model, interrupt its smoke test, and return what is printed."""

        def ctrl_c(*_: object) -> None:
            raise KeyboardInterrupt

        printed = io.StringIO()
        arguments = [
            self.mode,
            *self.settings(),
            "action=deploy",
            "endpoint=blue",
            f"model={model}",
            "serving=realtime",
        ]
        host = open_host(compose(arguments), Console(file=printed, width=10_000))
        with monkeypatch.context() as patch:
            patch.setattr(RemoteHost, "invoke", ctrl_c)
            with pytest.raises(KeyboardInterrupt):
                host.deploy(lambda _: None)
        return printed.getvalue()

    @pytest.mark.slow
    def test_the_next_deployment_completes_one_whose_smoke_test_was_interrupted(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = self.bundles
        printed = self.interrupt(one, monkeypatch)
        assert "Endpoint blue is in service, but its test or its rollback was not completed. It is billed." in printed
        assert "python run.py mode=remote action=delete endpoint=blue" in printed
        self.deploy(one)
        alone = self.resources()
        self.interrupt(two, monkeypatch)
        assert self.resources() == alone + 2  # both configurations and models
        self.deploy(two)
        assert self.resources() == alone
        assert self.predictions(two) == example(two)["predictions"]

    @pytest.mark.slow
    def test_an_interrupted_deployment_is_rolled_back_by_the_next_if_the_model_fails(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = self.bundles
        self.deploy(one)
        alone = self.resources()
        broken = with_other_answers(two, folder / "broken")
        self.interrupt(broken, monkeypatch)
        with pytest.raises(DeployFailed, match="not predict what the model predicted"):
            self.deploy(broken)
        assert self.resources() == alone
        assert self.predictions(one) == example(one)["predictions"]

    @pytest.mark.slow
    def test_a_deployment_that_cannot_be_rolled_back_says_so(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = self.bundles

        def refuse(*_: object) -> None:
            self.double.inject(denied("UpdateEndpoint", times=1))
            raise RequestRefused(500, {"message": "broken"})

        self.deploy(one)
        with monkeypatch.context() as patch:
            patch.setattr(RemoteHost, "invoke", refuse)
            with pytest.raises(DeployFailed, match="served no other model before"):
                self.deploy(one)
            self.double.heal()
            with pytest.raises(DeployFailed, match=r"could not be rolled back: .*sagemaker:UpdateEndpoint"):
                self.deploy(two)
        self.deploy(two)
        assert self.resources() == 3
        assert self.predictions(two) == example(two)["predictions"]
