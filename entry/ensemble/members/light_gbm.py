"""LightGBM's gradient-boosted trees, saved as the library's own text."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ensemble.arrays import Floats
from ensemble.classes import ALL_TASKS
from ensemble.errors import BundleError
from ensemble.members.base import Member
from ensemble.members.growth import MOST, Growth
from ensemble.members.probabilities import softmax
from ensemble.parameters import Parameter, ParamValue, boolean, integer, real

# Values in a table from which on a second thread pays: on a busy machine, threads that wait for each other are slow.
_PAYS = 500_000
# How the library ends the text of a model, so that one which was cut off is found.
_END = "\npandas_categorical:null\n"


class LightGBM(Member):
    """LightGBM's trees, which grow leaf by leaf, with the parameter names of the library.

    It needs the extra ``byoe[lightgbm]``. ``extra_trees`` draws one threshold for each feature at random.

    Source: G. Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017;
    https://lightgbm.readthedocs.io/en/stable/Parameters.html
    """

    kind = "lightgbm"
    suffix = ".txt"
    libraries = ("lightgbm",)
    parameters: ClassVar[dict[str, Parameter]] = {
        "num_iterations": integer(1, optional=True),
        "learning_rate": real(0, 1, low_open=True),
        "num_leaves": integer(2, 131_072),
        "max_depth": integer(-1),
        "min_data_in_leaf": integer(0),
        "min_sum_hessian_in_leaf": real(0),
        "bagging_fraction": real(0, 1, low_open=True),
        "feature_fraction": real(0, 1, low_open=True),
        "feature_fraction_bynode": real(0, 1, low_open=True),
        "extra_trees": boolean(),
        "lambda_l1": real(0),
        "lambda_l2": real(0),
        "min_gain_to_split": real(0),
        "linear_tree": boolean(),
        "max_bin": integer(2, 65_535),
        "cat_smooth": real(0),
        "cat_l2": real(0),
        "max_cat_to_onehot": integer(1),
    }
    # The library's 20 rows in a leaf are too many for a small table.
    defaults: ClassVar[dict[str, ParamValue]] = {"num_iterations": None, "min_data_in_leaf": 5}
    # On four tables of classes, the log loss was an eighth lower than with the library's own.
    class_defaults: ClassVar[dict[str, ParamValue]] = {
        "min_sum_hessian_in_leaf": 1.0,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
    }
    rounds = "num_iterations"
    growing: ClassVar[dict[str, ParamValue]] = {"learning_rate": 0.05}
    tasks = ALL_TASKS
    float32_target = True
    deciding = ("bagging_fraction",)

    _booster: Any = None
    _is_linear: bool | None = None

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Grow ``num_iterations`` rounds of trees on binned features."""
        booster = self._begun(features, target, weights)
        for _ in range(int(self.number("num_iterations", self.params, MOST))):
            if booster.update():
                break
        self._keep(booster)

    def grow(self, features: Floats, target: Floats, weights: Floats | None, growth: Growth) -> None:
        """Grow rounds of trees, with predictions for the score rows that LightGBM keeps and adds to."""
        booster = self._begun(features, target, weights)
        watched = booster.train_set.create_valid(growth.features, growth.target, params=booster.train_set.params)
        booster.add_valid(watched, "watched")
        predicted: list[Floats] = []

        def keep(current: Floats, rows: Any) -> tuple[str, float, bool]:
            predicted[:] = [current.copy()]  # of classes, probabilities
            return "", 0.0, False

        finished, goes_on = False, True
        while goes_on:
            finished = finished or booster.update()  # then no split gains anything, and the model stays as it is
            booster.eval_valid(keep)
            found = predicted[0]
            goes_on = growth.after(np.column_stack([1 - found, found]) if self.classes == 2 else found)
        self._keep(booster)

    def truncated(self, rounds: int) -> LightGBM:
        """Return the model of the first rounds."""
        shorter = copy.copy(self)
        shorter._booster = self._read(self._booster.model_to_string(num_iteration=rounds))
        return shorter

    def predict(self, features: Floats) -> Floats:
        """Predict with the trees of all rounds.

        Raises:
            ValueError: The number of columns is not the model's.
        """
        found = self._booster.predict(features, raw_score=self.classes > 0, num_threads=self.threads)
        return softmax(found) if self.classes else np.asarray(found, dtype=np.float64)

    @property
    def explained(self) -> bool:
        """Whether the leaves are numbers; LightGBM does not explain those that are linear models."""
        if self._is_linear is None:
            self._is_linear = "\nis_linear=1\n" in self._booster.model_to_string()
        return not self._is_linear

    def contributions(self, features: Floats, typical: Floats | None) -> Floats:
        """Return LightGBM's own Shapley values by the trees' paths."""
        return np.asarray(self._booster.predict(features, pred_contrib=True, num_threads=self.threads))

    def _begun(self, features: Floats, target: Floats, weights: Floats | None) -> Any:
        import lightgbm

        settings = {
            "objective": "regression",
            "metric": "none",
            "seed": self.seed,
            "num_threads": self.threads if features.size >= _PAYS else 1,
            "deterministic": True,
            "force_col_wise": True,
            "feature_pre_filter": False,
            "bagging_freq": 1,
            "verbosity": -1,
        }
        if self.classes:
            settings |= (
                {"objective": "binary"} if self.classes == 2 else {"objective": "multiclass", "num_class": self.classes}
            )
        settings |= {name: value for name, value in self.params.items() if value is not None}
        rows = lightgbm.Dataset(
            features, target, weight=weights, categorical_feature=list(self.categories), params=settings
        )
        return lightgbm.Booster(settings, rows)

    def _keep(self, booster: Any) -> None:
        # Read back as text, it has no rows, and predicts what a loaded model does.
        self._booster = self._read(booster.model_to_string())

    @classmethod
    def _read(cls, text: str) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=text)

    @classmethod
    def refusal(cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int = 0) -> str | None:
        """Return why these rows cannot be fitted: no row would be drawn for a tree."""
        refused = super().refusal(params, target, varies=varies, classes=classes)
        if refused is not None:
            return refused
        drawn = cls.number("bagging_fraction", params, 1.0, classes)
        return None if int(drawn * len(target)) else f"bagging_fraction={drawn:g} takes none of {len(target)} rows"

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        trees = classes if classes > 2 else 1
        return trees * cls.number("num_iterations", params, 400) / 100 * (0.03 + 4e-7 * rows * columns)

    def save(self, path: Path) -> None:
        """Write the library's text."""
        path.write_text(self._booster.model_to_string(), encoding="utf-8")

    @classmethod
    def load(
        cls, path: Path, *, threads: int, categories: Mapping[int, int] | None = None, classes: int = 0
    ) -> LightGBM:
        """Read the library's text."""
        import lightgbm

        member = cls({}, seed=0, threads=threads, categories=categories, classes=classes)
        try:
            text = path.read_text(encoding="utf-8")
            if not text.endswith(_END):
                raise ValueError("its end is missing")
            member._booster = cls._read(text)
        except (ValueError, lightgbm.basic.LightGBMError) as error:
            raise BundleError(f"{path} is not a LightGBM model: {str(error).splitlines()[0]}") from None
        return member
