"""The contract of ``experiments.serving.base`` as a suite: a host's test module inherits it and prepares the host."""

from __future__ import annotations

import abc
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from ensemble.errors import BundleError
from ensemble.serving.answers import encode
from ensemble.serving.predictor import Predictor
from experiments.config.compose import compose
from experiments.errors import ConfigError, InputError
from experiments.serving.base import DeployFailed, Deployment, Host
from experiments.serving.client import RequestRefused
from experiments.serving.open import open_host
from tests.support.models import (
    LABELS,
    as_csv,
    example,
    save_model_of_classes,
    with_other_answers,
    with_other_predictions,
)


class HostContract(abc.ABC):
    """Every test here is a sentence of ``Host``'s docstring.

    Attributes:
        mode: The argument that chooses the host.
    """

    mode: ClassVar[str]
    bundles: tuple[Path, Path]

    @abc.abstractmethod
    def resources(self) -> int:
        """Return how many containers, or models, configurations and endpoints, exist on the host."""

    def settings(self) -> list[str]:
        """Return the arguments that the host needs besides its mode."""
        return []

    def host(self, *arguments: str) -> Host:
        composed = compose([self.mode, *self.settings(), "endpoint=blue", *arguments])
        return open_host(composed, Console(quiet=True))

    def deploy(self, model: Path, *arguments: str) -> list[Deployment]:
        announced: list[Deployment] = []
        self.host("action=deploy", f"model={model}", "serving=realtime", *arguments).deploy(announced.append)
        return announced

    def predictions(self, model: Path, *arguments: str) -> list[float]:
        answer = self.host(*arguments).invoke(as_csv(model), "text/csv", "application/json")
        assert answer.status == 200
        return list(json.loads(answer.body)["predictions"])

    def test_opening_a_host_creates_nothing(self, folder: Path) -> None:
        assert self.host().endpoint == "blue"
        assert list(folder.iterdir()) == []
        assert self.resources() == 0

    def test_a_model_is_served_as_it_was_trained_until_it_is_deleted(self, folder: Path) -> None:
        one, _ = self.bundles
        (deployment,) = self.deploy(one)
        assert deployment.model.origin == str(one)
        assert "endpoint blue serves" in deployment.summary
        assert self.predictions(one) == example(one)["predictions"]
        (command, *_) = self.host().next_commands(deployment.model)
        assert '"columns": ["a", "b"]' in command
        status = self.host().status()
        assert status.healthy
        assert any("blue" in entry.title for entry in status.entries)
        self.host().delete()
        assert self.resources() == 0
        with pytest.raises(InputError, match="blue"):
            self.predictions(one)

    def test_a_second_deployment_replaces_the_first_and_leaves_other_endpoints_alone(self, folder: Path) -> None:
        one, two = self.bundles
        self.deploy(one)
        alone = self.resources()
        self.deploy(two)
        assert self.predictions(two) == example(two)["predictions"]
        assert self.resources() == alone
        self.deploy(one, "endpoint=green")
        assert self.predictions(one, "endpoint=green") == example(one)["predictions"]
        self.host("endpoint=green").delete()
        assert self.predictions(two) == example(two)["predictions"]
        assert self.resources() == alone

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (with_other_predictions, "could not be served"),
            (with_other_answers, "not predict what the model predicted"),
        ],
    )
    def test_a_model_that_predicts_something_else_is_not_served(
        self, change: Callable[[Path, Path], Path], reason: str, folder: Path
    ) -> None:
        one, two = self.bundles
        broken = change(two, folder / "broken")
        with pytest.raises(DeployFailed, match=reason):
            self.deploy(broken)
        assert self.resources() == 0
        self.deploy(one)
        alone = self.resources()
        with pytest.raises(DeployFailed, match=reason):
            self.deploy(broken)
        assert self.resources() == alone
        assert self.predictions(one) == example(one)["predictions"]

    def test_rows_that_do_not_fit_are_refused_by_the_model(self, folder: Path) -> None:
        one, _ = self.bundles
        self.deploy(one)
        with pytest.raises(RequestRefused, match="column 'b' is missing") as refused:
            self.host().invoke(as_csv(one, ["a", "c"]), "text/csv", "text/csv")
        assert (refused.value.status, refused.value.exit_code) == (400, 2)

    def test_an_endpoint_that_does_not_exist_is_named(self, folder: Path) -> None:
        one, _ = self.bundles
        with pytest.raises(InputError, match="blue"):
            self.host().invoke(as_csv(one), "text/csv", "text/csv")
        with pytest.raises(ConfigError, match="endpoint=blue: there is no such endpoint"):
            self.host().delete()

    def test_status_of_an_endpoint_that_does_not_exist_is_refused(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match="endpoint=blue: there is no such endpoint"):
            self.host().status()

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("endpoint=a_b", "letters, digits and inner hyphens"),
            ("serving.port=70000", "not from 1 to 65535"),
            ("serving.max_concurrency=5", "is for serving=serverless"),
            ("model=none", "there is no such study"),
            ("serving.inference_output=[probabilty]", "Did you mean 'probability'"),
            ("serving.interval=90", r"serving\.interval=90: the level of an interval is above 0 and below 1"),
        ],
    )
    def test_a_mistake_in_the_configuration_starts_nothing(self, argument: str, message: str, folder: Path) -> None:
        with pytest.raises(InputError, match=message):
            self.deploy(self.bundles[0], argument)
        assert list(folder.iterdir()) == []
        assert self.resources() == 0

    def test_a_folder_that_is_not_a_bundle_is_refused(self, folder: Path) -> None:
        (folder / "empty").mkdir()
        with pytest.raises(BundleError, match="is not a model bundle"):
            self.deploy(folder / "empty")
        assert self.resources() == 0

    def test_classes_are_served_as_labels_or_as_awss_containers_answer(self, folder: Path, tmp_path: Path) -> None:
        model = save_model_of_classes(tmp_path / "classes")
        expected, rows = example(model)["predictions"], as_csv(model)
        (deployment,) = self.deploy(model, "serving.inference_output=[predicted_label,probability]")
        assert "predicts y (3 classes)" in deployment.summary
        own = json.loads(self.host().invoke(rows, "text/csv", "application/json; detail=probabilities").body)
        assert own["probabilities"] == expected
        assert own["labels"] == sorted(LABELS)
        labels = [sorted(LABELS)[max(range(3), key=row.__getitem__)] for row in expected]
        assert own["predicted_label"] == labels
        selected = json.loads(self.host().invoke(rows, "text/csv", "application/json").body)["predictions"]
        assert selected == [
            {"predicted_label": label, "probability": max(row)} for label, row in zip(labels, expected, strict=True)
        ]
        answer = json.loads(self.host().invoke(rows, "text/csv", "application/json; detail=interval; level=0.7").body)
        predictor = Predictor.load(model, threads=1)
        found = replace(predictor.predict(predictor.bundle.example()[0]), level=0.7)
        assert (answer["set"], answer["level"]) == (found.sets(), 0.7)
        explained = self.host().invoke(rows, "text/csv", "application/json; detail=explanation").body
        assert explained == encode(found, "application/json; detail=explanation")[0]
        with pytest.raises(RequestRefused, match=r"allow a level up to 0\.9836"):
            self.host().invoke(rows, "text/csv", "text/csv; detail=interval; level=0.99")

    def test_what_a_model_cannot_answer_is_not_selected(self, folder: Path) -> None:
        with pytest.raises(InputError, match=r"serving\.inference_output=labels: the model predicts a number"):
            self.deploy(self.bundles[0], "serving.inference_output=[labels]")
        with pytest.raises(InputError, match=r"serving\.interval=0\.99: the training rows of this model allow"):
            self.deploy(self.bundles[0], "serving.interval=0.99")
        with pytest.raises(ConfigError, match=r"serving\.interval and serving\.inference_output"):
            self.deploy(self.bundles[0], "serving.interval=0.9", "serving.inference_output=[predicted_score]")
        assert self.resources() == 0
