"""A neural network as a member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ensemble.classes import ALL_TASKS
from ensemble.members.scikit import ScikitMember
from ensemble.parameters import Parameter, ParamValue, integer, real


class Network(ScikitMember):
    """A fully connected network with the tricks of RealMLP, on features that are scaled by their quartiles.

    From a few thousand rows on it is better than ``mlp``, in about the same time.

    Source: D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
    Tabular Data", NeurIPS 2024.
    """

    kind = "network"
    tasks = ALL_TASKS
    scaled = True
    target_scaled = True
    parameters: ClassVar[dict[str, Parameter]] = {
        "width": integer(1, 4096),
        "layers": integer(1, 10),
        "updates": integer(1, 1_000_000),
        "learning_rate": real(0, 10, low_open=True),
        "batch_size": integer(1),
        "decay": real(0),
        "smoothing": real(0, 1, high_open=True),
    }
    defaults: ClassVar[dict[str, ParamValue]] = {
        "width": 64,
        "layers": 3,
        "updates": 600,
        "learning_rate": 0.04,
        "batch_size": 256,
        "decay": 300.0,
    }

    def build(self) -> Any:
        """Return the network."""
        from ensemble.members.leaky_network import LeakyNetworkClassifier, LeakyNetworkRegressor

        library = LeakyNetworkClassifier if self.classes else LeakyNetworkRegressor
        return library({"smoothing": 0.03, **self.params}, self.seed)

    def of_numbers(self) -> Any:
        """Return the transformer of the numbers."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import RobustScaler

        return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), RobustScaler())

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        width, layers, updates = (cls.number(name, params, 0, classes) for name in ("width", "layers", "updates"))
        batch = min(cls.number("batch_size", params, 256, classes), max(32, rows // 8))
        connections = columns * width + width**2 * (layers - 1)
        steps = max(min(updates, 100 * max(rows / batch, 1)), 15 * rows / batch)
        return steps * (1.5e-4 + 1.5e-10 * batch * connections + 6e-9 * connections)
