"""This machine passes the hosts' contract on a real engine, with ``docker.endpoint`` and ``serving.smoke_test``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from experiments.docker.engine import FOLDER_LABEL, connect, list_containers
from experiments.serving.records import Records
from tests.experiments.serving.contract import HostContract
from tests.support.docker import require_image
from tests.support.models import bundle_hash, save_two_models

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    require_image()
    return save_two_models(tmp_path_factory.mktemp("models"))


class TestLocalHost(HostContract):
    mode = "mode=sagemaker"
    folder: Path

    @pytest.fixture(autouse=True)
    def _engine(self, bundles: tuple[Path, Path], folder: Path) -> Iterator[None]:
        self.bundles, self.folder = bundles, folder
        yield
        for endpoint in Records(folder / "endpoints").all():
            self.host(f"endpoint={endpoint.name}").delete()
        assert self.resources() == 0

    def resources(self) -> int:
        """Count those of this folder only, since other tests may use the engine too."""
        below = f"{self.folder}/"
        with closing(connect()) as client:
            containers = list_containers(client, [FOLDER_LABEL])
            networks = client.networks.list(filters={"label": FOLDER_LABEL})
            labels = [*(one.labels for one in containers), *(one.attrs["Labels"] for one in networks)]
        return sum(label[FOLDER_LABEL].startswith(below) for label in labels)

    def test_a_version_has_a_folder_and_a_network_that_is_not_masqueraded(self, folder: Path) -> None:
        one, two = self.bundles
        records = Records(folder / "endpoints")
        self.deploy(one)
        first = records.get("blue")
        with closing(connect()) as client:
            (network,) = client.containers.get(first.container).attrs["NetworkSettings"]["Networks"]
            options = client.networks.get(network).attrs["Options"]
        assert network == first.network
        assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
        self.deploy(two)
        assert records.get("blue").bundle_hash == bundle_hash(two)
        assert not Path(first.folder).exists()
