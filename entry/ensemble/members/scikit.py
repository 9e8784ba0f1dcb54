"""scikit-learn regressors and classifiers, saved with skops, which loads only types from a fixed list."""

from __future__ import annotations

import abc
import copy
import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.classes import ALL_TASKS, Task
from ensemble.errors import BundleError, EnsembleError, listed
from ensemble.members import losses
from ensemble.members.base import Member
from ensemble.members.growth import MOST, Growth
from ensemble.members.probabilities import in_columns, normalised, softmax
from ensemble.parameters import Parameter, ParamValue, boolean, choice, integer, real

# The types that a file may contain besides those that skops trusts. A file with any other type is refused.
TRUSTED_TYPES: tuple[str, ...] = (
    "ensemble.members.calibrated_vectors.CalibratedVectors",
    "ensemble.members.hinges.Hinges",
    "ensemble.members.leaky_network.LeakyNetworkClassifier",
    "ensemble.members.leaky_network.LeakyNetworkRegressor",
    "ensemble.members.matern_classes.MaternClasses",
    "ensemble.members.matern_regression.MaternRegression",
    "numpy.dtype",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._kd_tree.KDTree64",
    "sklearn.tree._tree.Tree",
)
# scikit-learn's boosting grows this many rounds before its predictions are looked at.
CHUNK = 50
# Rarer values of a category with more values than this share one column.
MOST_CATEGORY_COLUMNS = 20


class ScikitMember(Member):
    """A member that wraps one scikit-learn regressor or classifier.

    Each value of a category becomes one column. If there are more than ``MOST_CATEGORY_COLUMNS``, the rarer values
    share a column, which values that were not in the rows of ``fit`` then use too. ``fit`` learns all of this.

    Attributes:
        scaled: Whether missing numbers are replaced by the median, and numbers are standardised.
        target_scaled: Whether a target that is a quantity is standardised.
    """

    suffix = ".skops"
    libraries = ("scikit-learn",)
    scaled: ClassVar[bool] = False
    target_scaled: ClassVar[bool] = False

    deciding: ClassVar[Sequence[str]] = ("loss", "criterion")

    _estimator: Any = None

    @classmethod
    def refusal(cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int = 0) -> str | None:
        """Return why these rows cannot be fitted: the target is outside the domain of the loss."""
        refused = super().refusal(params, target, varies=varies, classes=classes)
        if refused is not None or classes:
            return refused
        for name in ("loss", "criterion"):
            domain = losses.SCIKIT.get(str(params.get(name)))
            if domain is not None:
                return domain(target)
        return None

    @property
    def _step(self) -> str:
        return "classifier" if self.classes else "regressor"

    def import_libraries(self) -> None:
        """Import what the pipeline is made of, and what the regressor or classifier is defined in."""
        import sklearn.compose
        import sklearn.dummy
        import sklearn.impute
        import sklearn.pipeline
        import sklearn.preprocessing  # noqa: F401

        self.build()

    @abc.abstractmethod
    def build(self) -> Any:
        """Return the unfitted regressor or classifier for these parameters."""

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Fit the preparation and the regressor or classifier."""
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        if self.classes:
            self._fit_classifier(features, target, weights)
            return
        regressor = self.build()
        if self.target_scaled:
            regressor = TransformedTargetRegressor(regressor, transformer=StandardScaler())
        steps, features = self._prepared(features)
        arguments = {} if weights is None else {"sample_weight": weights}
        regressor.fit(features, target, **arguments, **self.fit_arguments(dict(steps)))
        if self.target_scaled and np.ptp(target) == 0:
            # scikit-learn gives a constant the scale 1, which would add what the regressor makes of zeros.
            regressor.transformer_.scale_ = np.zeros(1)
        self._predict_in_order(regressor)
        self._estimator = Pipeline([*steps, (self._step, regressor)])

    def _fit_classifier(self, features: Floats, target: Floats, weights: Floats | None) -> None:
        from sklearn.pipeline import Pipeline

        steps, features = self._prepared(features)
        classifier = self._classifier(target)
        arguments = {} if weights is None else {"sample_weight": weights}
        if np.ptp(target) > 0:
            arguments |= self.fit_arguments(dict(steps))
        classifier.fit(features, target.astype(np.int64), **arguments)
        self._predict_in_order(classifier)
        self._estimator = Pipeline([*steps, (self._step, classifier)])

    def _classifier(self, target: Floats) -> Any:
        """Return the unfitted classifier; where only one class is present, which few take, one that predicts it."""
        from sklearn.dummy import DummyClassifier

        return DummyClassifier() if np.ptp(target) == 0 else self.build()

    def _prepared(self, features: Floats) -> tuple[list[tuple[str, Any]], Floats]:
        """Return the fitted preparation, as the first steps of a pipeline, and the prepared features."""
        empty = np.isnan(features).all(axis=0)
        if not (self.scaled or self.categories or empty.any()):
            return [], features
        preparation = self._preparation(np.flatnonzero(~empty).tolist())
        prepared = preparation.fit_transform(features)
        return [("preparation", preparation)], prepared

    def fit_arguments(self, steps: Mapping[str, Any]) -> dict[str, Any]:
        """Return further arguments of the estimator's ``fit``, which may depend on the fitted steps before it."""
        return {}

    def predict(self, features: Floats) -> Floats:
        """Predict with the regressor, or return the classifier's probabilities."""
        if not self.classes:
            return np.asarray(self._estimator.predict(features), dtype=np.float64)
        prepared, classifier = features, self._estimator[-1]
        if len(self._estimator) > 1:
            prepared = self._estimator[:-1].transform(features)
        if type(classifier) is not type(self.build()):  # the only class of its rows
            found = classifier.predict_proba(prepared)
        else:
            found = self.probabilities(classifier, prepared)
        return in_columns(found, classifier.classes_, self.classes)

    @property
    def explained(self) -> bool:
        """Whether it is a linear model of one target."""
        from sklearn.linear_model._base import LinearModel

        last = self._estimator[-1]
        return isinstance(last, LinearModel) and np.ndim(last.coef_) == 1

    def contributions(self, features: Floats, typical: Floats | None) -> Floats:
        """Return each column's part of a linear model against the mean of the rows of ``fit``, which is the base value.

        The mean of a category is that of ``typical``; without it, each level counts equally.
        """
        model, preparation = self._estimator[-1], self._estimator[:-1]
        places = self.places(preparation[0]) if len(preparation) else np.arange(features.shape[1])
        found = np.zeros((len(features), features.shape[1] + 1))
        found[:, -1] = model.intercept_
        prepared = preparation.transform(features) if len(preparation) else features
        for place, coefficient, values in zip(places, model.coef_, prepared.T, strict=True):
            found[:, place] += coefficient * values
        if not self.categories:
            return found
        levels = None if typical is None else preparation.transform(typical)
        for category in self.categories:
            own = places == category
            shares = np.full(own.sum(), 1 / own.sum()) if levels is None else levels[:, own].mean(axis=0)
            mean = float(np.sum(shares * model.coef_[own]))
            found[:, category] -= mean
            found[:, -1] += mean
        return found

    def probabilities(self, classifier: Any, prepared: Floats) -> Floats:
        """Return the probabilities of the classes that were among the rows of ``fit``.

        Override it if the classifier's own change with the number of rows, or are worse than they need to be.

        Args:
            classifier: What ``build`` returned, fitted.
            prepared: Prepared features.
        """
        return normalised(np.asarray(classifier.predict_proba(prepared), dtype=np.float64))

    def save(self, path: Path) -> None:
        """Write a skops archive.

        Raises:
            EnsembleError: The regressor holds a type that ``load`` would refuse.
        """
        import zipfile

        import skops.io

        skops.io.dump(self._estimator, path, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        foreign = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
        if foreign:
            raise EnsembleError(f"{self.kind} cannot be saved without pickle: it holds {listed(foreign)}.")

    @classmethod
    def load(
        cls, path: Path, *, threads: int, categories: Mapping[int, int] | None = None, classes: int = 0
    ) -> ScikitMember:
        """Read a skops archive, if it holds only types that skops or ``TRUSTED_TYPES`` allow."""
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        member = cls({}, seed=0, threads=threads, categories=categories, classes=classes)
        try:
            member._estimator = skops.io.load(path, trusted=list(TRUSTED_TYPES))
        except UntrustedTypesFoundException:
            found = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
            raise BundleError(f"{path} holds types that no member writes: {listed(found)}") from None
        except Exception as error:  # skops raises many types of exception for a broken archive
            raise BundleError(f"{path} is not a skops archive: {type(error).__name__}: {error}") from None
        if type(member._regressor()) not in member._types():
            raise BundleError(f"{path} holds a {type(member._regressor()).__name__}, which is not a {cls.kind}.")
        return member

    def _types(self) -> list[type]:
        """Return the types that a loaded regressor or classifier may have."""
        from sklearn.dummy import DummyClassifier

        return [type(self.build()), *([DummyClassifier] if self.classes else [])]

    def _regressor(self) -> Any:
        """Return the regressor or classifier inside the pipeline and the target scaling, or what was loaded instead."""
        last = self._estimator[-1] if hasattr(self._estimator, "steps") else self._estimator
        return getattr(last, "regressor_", last)

    def _preparation(self, columns: list[int]) -> Any:
        """Return the transformer of the features; ``columns`` are those that have a value in any row.

        If none has, the first one is filled, since a regressor needs a column.
        """
        from sklearn.compose import ColumnTransformer
        from sklearn.preprocessing import OneHotEncoder

        numbers = [place for place in columns if place not in self.categories]
        parts: list[tuple[str, Any, list[int]]] = []
        if self.scaled or not (numbers or self.categories):
            filled = self.of_numbers()
            parts.append(("numbers", filled, numbers or ([] if self.categories else [0])))
        else:
            parts.append(("numbers", "passthrough", numbers))
        if self.categories:
            encoder = OneHotEncoder(
                handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORY_COLUMNS, sparse_output=False
            )
            parts.append(("categories", encoder, list(self.categories)))
        return ColumnTransformer(parts)

    def of_numbers(self) -> Any:
        """Return the transformer of the numbers, whose missing values become the median."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())

    def places(self, preparation: Any) -> npt.NDArray[np.intp]:
        """Return the position of the column from which each prepared column is made, in their order.

        Args:
            preparation: What ``_preparation`` returned, fitted.
        """
        places = list(preparation.transformers_[0][2])
        if self.categories:
            encoder = preparation.named_transformers_["categories"]
            rare = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
            for category, values, shared in zip(self.categories, encoder.categories_, rare, strict=True):
                places += [category] * (len(values) - (0 if shared is None else len(shared) - 1))
        return np.array(places, dtype=np.intp)

    @staticmethod
    def _predict_in_order(estimator: Any) -> None:
        # With several threads, a forest adds up its trees in the order in which they finish, which changes last bits.
        if hasattr(estimator, "n_jobs"):
            estimator.n_jobs = 1


# Each node of a tree keeps a number for each class: with many classes, leaves are as large as it takes for a forest to
# keep about this many numbers, 8 bytes each.
MANY_CLASSES, MOST_NUMBERS = 20, 25_000_000
# By task; the entropy and the log loss are one criterion under two names.
_CRITERIA = ("squared_error", "absolute_error", "poisson")
_CLASS_CRITERIA = ("gini", "entropy", "log_loss")
_FOREST_PARAMETERS: dict[str, Parameter] = {
    "n_estimators": integer(1),
    "criterion": choice(*_CRITERIA, *_CLASS_CRITERIA),
    "max_depth": integer(1, optional=True),
    "min_samples_split": integer(2),
    "min_samples_leaf": integer(1),
    "max_features": real(0, 1, low_open=True),
    "max_leaf_nodes": integer(2, 1_000_000, optional=True),
    "min_impurity_decrease": real(0),
    "max_samples": real(0, 1, low_open=True, optional=True),
    "ccp_alpha": real(0),
    "bootstrap": boolean(),
}


class _Forest(ScikitMember):
    """A forest of trees, each of some of the rows.

    With many classes ``min_samples_leaf`` is larger than what was given, if the forest would need too much memory.

    Attributes:
        bootstraps: Whether rows are drawn for each tree unless ``bootstrap`` says otherwise.
    """

    tasks = ALL_TASKS
    by_task: ClassVar[dict[str, dict[Task, Sequence[str]]]] = {
        "criterion": {"regression": _CRITERIA, "binary": _CLASS_CRITERIA, "multiclass": _CLASS_CRITERIA}
    }
    float32 = True
    # A node whose squared error is below 2.2e-16 is not split.
    spreads = (1e-6, math.inf)
    parameters: ClassVar[dict[str, Parameter]] = _FOREST_PARAMETERS
    defaults: ClassVar[dict[str, ParamValue]] = {"n_estimators": 200}
    bootstraps: ClassVar[bool]
    deciding = (*ScikitMember.deciding, "bootstrap", "max_samples")

    @classmethod
    def refusal(cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int = 0) -> str | None:
        """Return why these rows cannot be fitted: parameters contradict each other, or the loss the target."""
        if params.get("max_samples") is not None and not params.get("bootstrap", cls.bootstraps):
            return "max_samples needs bootstrap=true"
        return super().refusal(params, target, varies=varies, classes=classes)

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Fit the trees."""
        if self.classes > MANY_CLASSES:
            given = self.number("min_samples_leaf", self.params, 1)
            self.params["min_samples_leaf"] = max(int(given), self.least_leaf(len(features)))
        super().fit(features, target, weights)

    def least_leaf(self, rows: int) -> int:
        """Return the fewest rows of a leaf with which the trees keep no more than ``MOST_NUMBERS``.

        Args:
            rows: Rows that they are fitted on.
        """
        drawn = self.number("max_samples", self.params, 1.0) * rows
        numbers = self.number("n_estimators", self.params, 100) * self.classes
        return max(1, math.ceil(2 * drawn * numbers / MOST_NUMBERS))

    def probabilities(self, classifier: Any, prepared: Floats) -> Floats:
        """Return the mean of the trees' probabilities and of the classes' frequencies, as if these were a further tree.

        A class for which no tree votes is rare, not impossible, and would have an infinite log loss.
        """
        roots = np.array([tree.tree_.value[0, 0] for tree in classifier.estimators_])
        trees = len(roots)
        frequencies = np.array([column.sum() / trees for column in roots.T])
        return normalised(classifier.predict_proba(prepared) * trees + frequencies)


class RandomForest(_Forest):
    """Breiman's forest of bootstrapped trees.

    Source: L. Breiman, "Random Forests", Machine Learning 45, 5-32, 2001.
    """

    kind = "random_forest"
    bootstraps = True

    def build(self) -> Any:
        """Return the forest."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        forest = RandomForestClassifier if self.classes else RandomForestRegressor
        return forest(**self.params, random_state=self.seed, n_jobs=self.threads)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        return _forest_seconds(2e-6, cls, rows, columns, params, classes)


class ExtraTrees(_Forest):
    """A forest whose trees split at random thresholds.

    Source: P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", Machine Learning 63, 3-42, 2006.
    """

    kind = "extra_trees"
    bootstraps = False

    def build(self) -> Any:
        """Return the forest."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        forest = ExtraTreesClassifier if self.classes else ExtraTreesRegressor
        return forest(**self.params, random_state=self.seed, n_jobs=self.threads)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        return _forest_seconds(0.8e-6, cls, rows, columns, params, classes)


class HistGradientBoosting(ScikitMember):
    """scikit-learn's gradient boosting on binned features, after LightGBM.

    Source: G. Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017.
    """

    kind = "hist_gradient_boosting"
    seeded = False  # up to 200,000 rows and with all features in each tree
    parameters: ClassVar[dict[str, Parameter]] = {
        "max_iter": integer(1, optional=True),
        "learning_rate": real(0, low_open=True),
        "max_leaf_nodes": integer(2, optional=True),
        "max_depth": integer(1, optional=True),
        "min_samples_leaf": integer(1),
        "l2_regularization": real(0),
        "max_features": real(0, 1, low_open=True),
        "max_bins": integer(2, 255),
        "loss": choice("squared_error", "absolute_error", "gamma", "poisson", "log_loss"),
    }
    tasks = ALL_TASKS
    by_task: ClassVar[dict[str, dict[Task, Sequence[str]]]] = {
        "loss": {
            "regression": ("squared_error", "absolute_error", "gamma", "poisson"),
            "binary": ("log_loss",),
            "multiclass": ("log_loss",),
        }
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"max_iter": None}
    rounds = "max_iter"

    def build(self) -> Any:
        """Return the model, without early stopping, which would withhold rows from the fit."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        # Categories are columns by now. Its own treatment of categories would be saved as a function.
        settings = {**self.params, "max_iter": self.params["max_iter"] or MOST}
        library = HistGradientBoostingClassifier if self.classes else HistGradientBoostingRegressor
        return library(**settings, early_stopping=False, random_state=self.seed, categorical_features=None)

    def grow(self, features: Floats, target: Floats, weights: Floats | None, growth: Growth) -> None:
        """Grow ``CHUNK`` rounds at a time, and continue where the last ones ended."""
        from sklearn.pipeline import Pipeline

        if self.classes and np.ptp(target) == 0:
            self.fit(features, target, weights)
            growth.stays(self.predict(growth.features))
            return
        steps, features = self._prepared(features)
        scored = growth.features
        for _, preparation in steps:
            scored = preparation.transform(scored)
        model = self.build().set_params(warm_start=True, max_iter=0)
        goes_on = True
        while goes_on:
            before = model.max_iter
            model.set_params(max_iter=min(before + CHUNK, growth.most))
            model.fit(features, target.astype(np.int64) if self.classes else target, weights)
            stages = model.staged_decision_function(scored) if self.classes else model.staged_predict(scored)
            for stage in itertools.islice(stages, before, None):
                found = in_columns(softmax(stage), model.classes_, self.classes) if self.classes else stage
                goes_on = growth.after(found) and goes_on
        model.set_params(warm_start=False)
        self._estimator = Pipeline([*steps, (self._step, model)])

    def truncated(self, rounds: int) -> HistGradientBoosting:
        """Return the model of the first rounds."""
        from sklearn.pipeline import Pipeline

        model = copy.copy(self._regressor())
        if not hasattr(model, "_predictors"):  # the only class of its rows
            return self
        model._predictors = model._predictors[:rounds]
        model.set_params(max_iter=len(model._predictors))
        shorter = copy.copy(self)
        shorter._estimator = Pipeline([*self._estimator.steps[:-1], (self._step, model)])
        return shorter

    def probabilities(self, classifier: Any, prepared: Floats) -> Floats:
        """Compute probabilities class by class: scikit-learn adds up one row in a different order than many rows."""
        return softmax(classifier.decision_function(prepared))

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        trees = classes if classes > 2 else 1
        return trees * cls.number("max_iter", params, 300) / 100 * (0.05 + 1.2e-6 * rows * columns)


class Ridge(ScikitMember):
    """Linear regression with an L2 penalty on standardised features, missing values set to the median.

    Source: A. E. Hoerl and R. W. Kennard, "Ridge Regression", Technometrics 12, 55-67, 1970.
    """

    kind = "ridge"
    scaled = True
    seeded = False
    parameters: ClassVar[dict[str, Parameter]] = {"alpha": real(0), "fit_intercept": boolean()}

    def build(self) -> Any:
        """Return the linear model."""
        from sklearn.linear_model import Ridge as RidgeRegressor

        return RidgeRegressor(**self.params, random_state=self.seed)

    def predict(self, features: Floats) -> Floats:
        """Predict column by column: a matrix product may add up one row in a different order than many rows."""
        return linear_scores(self._regressor(), self._estimator[:-1].transform(features))[:, 0]


class SupportVectors(ScikitMember):
    """Support vector regression on standardised features and target.

    Source: A. J. Smola and B. Schoelkopf, "A tutorial on support vector regression", Statistics and Computing 14,
    199-222, 2004. The time of a fit grows with the square of the number of rows.

    A fit ends after ``max_iter`` steps, with a warning in the trial's output: with a huge ``C`` it would never end.
    With ``C`` up to 100, 1,350 rows took at most 120,000 steps.
    """

    kind = "svr"
    scaled = True
    seeded = False
    target_scaled = True
    parameters: ClassVar[dict[str, Parameter]] = {
        "C": real(0, low_open=True),
        "epsilon": real(0),
        "gamma": real(0, low_open=True),
        "kernel": choice("rbf", "linear", "poly", "sigmoid"),
        "degree": integer(1),
        "coef0": real(-1e6),
        "tol": real(0, low_open=True),
        "max_iter": integer(-1),
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"C": 10.0, "epsilon": 0.05, "max_iter": 2_000_000}

    def build(self) -> Any:
        """Return the regressor."""
        from sklearn.svm import SVR

        return SVR(**self.params)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        return 1.2e-7 * rows**2


class MultiLayerPerceptron(ScikitMember):
    """A small fully connected network on standardised features, and a standardised target if that is a quantity.

    ``max_iter`` is the number of passes over the rows. ``none`` means as many as make ``UPDATES`` steps, within
    ``EPOCHS``: enough passes for a small table, and not too many for a large one.

    Source: D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """

    # scikit-learn's batch size, and values that did well on the tables of docs/benchmarks.md.
    BATCH = 200
    UPDATES = 500
    EPOCHS = (10, 100)

    kind = "mlp"
    scaled = True
    target_scaled = True
    parameters: ClassVar[dict[str, Parameter]] = {
        "width": integer(1, 4096),
        "layers": integer(1, 10),
        "alpha": real(0),
        "learning_rate_init": real(0, 1000, low_open=True),
        "batch_size": integer(1),
        "max_iter": integer(1, optional=True),
        "activation": choice("relu", "tanh", "logistic", "identity"),
    }
    defaults: ClassVar[dict[str, ParamValue]] = {
        "width": 100,
        "layers": 2,
        "learning_rate_init": 0.005,
        "alpha": 0.1,
        "max_iter": None,
    }
    # A network learns the classes of noisy rows by heart: on six tables, the log loss was a third lower.
    class_defaults: ClassVar[dict[str, ParamValue]] = {"layers": 1, "learning_rate_init": 0.002, "alpha": 1.0}
    tasks = ALL_TASKS

    def build(self) -> Any:
        """Return the network, ``layers`` hidden layers of ``width`` units each."""
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        settings = {name: value for name, value in self.params.items() if value is not None}
        width, layers = settings.pop("width"), settings.pop("layers")
        network = MLPClassifier if self.classes else MLPRegressor
        return network(hidden_layer_sizes=(width,) * int(str(layers)), random_state=self.seed, **settings)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        width, layers = (cls.number(name, params, 0, classes) for name in ("width", "layers"))
        connections = columns * width + width**2 * (layers - 1)
        return cls.number("max_iter", params, cls.epochs(rows)) * rows * connections * 3.5e-10

    @classmethod
    def epochs(cls, rows: int) -> int:
        """Return how many passes over the rows make ``UPDATES`` steps, within ``EPOCHS``."""
        steps = math.ceil(rows / min(cls.BATCH, rows))
        return int(np.clip(math.ceil(cls.UPDATES / steps), *cls.EPOCHS))

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Fit for at most ``max_iter`` epochs, without a warning if it stops there."""
        from sklearn.exceptions import ConvergenceWarning

        if self.params["max_iter"] is None:
            self.params["max_iter"] = self.epochs(len(features))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(features, target, weights)
        # The optimiser is not needed to predict, and its type would be refused by load.
        self._regressor()._optimizer = None

    def predict(self, features: Floats) -> Floats:
        """Predict unit by unit: a matrix product may add up one row in a different order than many rows."""
        if self.classes:
            return super().predict(features)
        scaling = self._estimator[-1].transformer_
        output = self._outputs(self._regressor(), self._estimator[:-1].transform(features))[:, 0]
        return np.asarray(output * scaling.scale_[0] + scaling.mean_[0], dtype=np.float64)

    def probabilities(self, classifier: Any, prepared: Floats) -> Floats:
        """Compute probabilities from the last units, of which two classes have one."""
        scores = self._outputs(classifier, prepared)
        return softmax(scores[:, 0] if scores.shape[1] == 1 else scores)

    @staticmethod
    def _outputs(network: Any, values: Floats) -> Floats:
        """Return the last units' values before the output function, shape (rows, outputs)."""
        for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
            values = _ACTIVATIONS[network.activation](product(values, weights, bias))
        return product(values, network.coefs_[-1], network.intercepts_[-1])


class NearestNeighbors(ScikitMember):
    """The mean target of the nearest rows, by standardised features; of all rows if there are fewer than wanted.

    For classes, it is the share of each class among them.

    Source: T. M. Cover and P. E. Hart, "Nearest neighbor pattern classification", IEEE Transactions on Information
    Theory 13, 21-27, 1967. It does not support row weights.
    """

    kind = "nearest_neighbors"
    scaled = True
    seeded = False
    weighs = False
    parameters: ClassVar[dict[str, Parameter]] = {
        "n_neighbors": integer(1),
        "weights": choice("uniform", "distance"),
        "p": real(1),
        "leaf_size": integer(1),
    }
    tasks = ALL_TASKS
    defaults: ClassVar[dict[str, ParamValue]] = {"n_neighbors": 10, "weights": "distance"}

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Keep the rows."""
        self.params["n_neighbors"] = min(int(self.number("n_neighbors", self.params, 5)), len(target))
        super().fit(features, target, weights)

    def build(self) -> Any:
        """Return the model, with a tree, whose distances do not depend on how many rows are predicted at once."""
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        library = KNeighborsClassifier if self.classes else KNeighborsRegressor
        return library(**self.params, algorithm="kd_tree", n_jobs=self.threads)

    def probabilities(self, classifier: Any, prepared: Floats) -> Floats:
        """Return the classes' shares of the neighbours and of one more, with the frequencies of classes."""
        frequencies = np.bincount(classifier._y, minlength=len(classifier.classes_)) / len(classifier._y)
        return normalised(classifier.predict_proba(prepared) * classifier.n_neighbors + frequencies)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that the prediction of a fold takes, since ``fit`` does almost nothing."""
        return 5e-9 * rows**2


def _forest_seconds(
    unit: float, member: type[Member], rows: int, columns: int, params: Mapping[str, ParamValue], classes: int
) -> float:
    tried = member.number("max_features", params, columns**-0.5 if classes else 1.0) * columns
    drawn = member.number("max_samples", params, 1.0) * rows
    unit *= 1 + classes / 10  # a split is judged by the frequencies of all classes
    return member.number("n_estimators", params, 100) / 60 * unit * drawn * tried * float(np.log2(rows + 2))


def linear_scores(model: Any, prepared: Floats) -> Floats:
    """Return what a fitted linear model of scikit-learn adds up for each row, shape (rows, outputs)."""
    return product(prepared, np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))


def product(values: Floats, weights: Floats, bias: Floats) -> Floats:
    """Return ``values @ weights + bias``, summed in the same order for one row as for many."""
    total = np.repeat(np.asarray(bias, dtype=np.float64)[None, :], len(values), axis=0)
    for column, row in zip(values.T, weights, strict=True):
        total += column[:, None] * row[None, :]
    return total


_ACTIVATIONS: dict[str, Any] = {
    "relu": lambda values: np.maximum(values, 0.0),
    "tanh": np.tanh,
    "logistic": lambda values: 1.0 / (1.0 + np.exp(-values)),
    "identity": lambda values: values,
}
