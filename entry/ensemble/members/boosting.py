"""Gradient-boosted trees: XGBoost and CatBoost, saved in the libraries' own formats."""

from __future__ import annotations

import copy
import ctypes
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.classes import ALL_TASKS, Task, task_of
from ensemble.errors import BundleError, listed
from ensemble.members import losses
from ensemble.members.base import Member
from ensemble.members.growth import MOST, Growth
from ensemble.members.probabilities import in_columns, softmax, softmax_each
from ensemble.parameters import Parameter, ParamValue, choice, integer, real

# Predict with the trees of all rounds, as in Booster.inplace_predict: values (type 0), or what a class's probability is
# computed from (type 1), since XGBoost itself rounds probabilities to float32, and those near 1 to 1.
_PREDICTION, _MARGIN = (
    b'{"type":%d,"training":false,"iteration_begin":0,"iteration_end":0,"missing":NaN,"strict_shape":false,"cache_id":0}'
    % kind
    for kind in (0, 1)
)

# Objectives whose predictions are sums over the trees.
_SUMS = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror")
_FEW_ROWS = 10_000
# CatBoost fails if it draws no row for a tree.
_LEAST_SAMPLED = 4
# CatBoost's loss for any number of classes.
_SEVERAL = "MultiClass"


@functools.cache
def _library() -> ctypes.CDLL:
    """Return XGBoost's C library, which its Python package has loaded."""
    from xgboost.libpath import find_lib_path

    library = ctypes.CDLL(find_lib_path()[0])
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


class XGBoost(Member):
    """XGBoost's histogram trees, with the parameter names of its native interface.

    Source: T. Chen and C. Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016;
    https://xgboost.readthedocs.io/en/stable/parameter.html
    """

    kind = "xgboost"
    suffix = ".ubj"
    libraries = ("xgboost",)
    parameters: ClassVar[dict[str, Parameter]] = {
        "num_round": integer(1, optional=True),
        "eta": real(0, 1),
        "max_depth": integer(0),
        "max_leaves": integer(0),
        "grow_policy": choice("depthwise", "lossguide"),
        "min_child_weight": real(0),
        "gamma": real(0),
        "lambda": real(0),
        "alpha": real(0),
        "subsample": real(0, 1, low_open=True),
        "colsample_bytree": real(0, 1, low_open=True),
        "colsample_bylevel": real(0, 1, low_open=True),
        "colsample_bynode": real(0, 1, low_open=True),
        "max_bin": integer(2),
        "max_cat_to_onehot": integer(1),
        "max_cat_threshold": integer(1),
        "max_delta_step": real(0),
        "num_parallel_tree": integer(1),
        "objective": choice(*losses.XGBOOST, *losses.XGBOOST_CLASSES["binary"], note=losses.NOTE),
        "tweedie_variance_power": real(1, 2, high_open=True),
        "huber_slope": real(0, low_open=True),
    }
    tasks = ALL_TASKS
    by_task: ClassVar[dict[str, dict[Task, Sequence[str]]]] = {
        "objective": {"regression": tuple(losses.XGBOOST), **losses.XGBOOST_CLASSES},
        "tweedie_variance_power": {"regression": ()},
        "huber_slope": {"regression": ()},
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"num_round": None}
    # On eight tables of classes, the log loss was 7% lower than with all rows and columns in each tree.
    class_defaults: ClassVar[dict[str, ParamValue]] = {"subsample": 0.8, "colsample_bytree": 0.8}
    rounds = "num_round"
    growing: ClassVar[dict[str, ParamValue]] = {"eta": 0.05}
    float32 = float32_target = True
    # A split must gain 1e-6, in the square of the target's unit; squares in float32 end at 3.4e38.
    spreads = (1e-2, 1e17)
    deciding = tuple(by_task)

    _booster: Any = None
    _objective: str | None = None

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Grow ``num_round`` rounds of trees on binned features."""
        import xgboost

        settings, data = self._prepared(features, target, weights)
        self._booster = xgboost.train(settings, data, num_boost_round=self.params["num_round"] or MOST)

    def grow(self, features: Floats, target: Floats, weights: Floats | None, growth: Growth) -> None:
        """Grow rounds of trees, as ``xgboost.train`` does, with predictions that XGBoost keeps and adds to."""
        import xgboost

        settings, data = self._prepared(features, target, weights)
        kinds = self._kinds(self, growth.features)
        scored = xgboost.DMatrix(
            growth.features, nthread=self.threads, feature_types=kinds, enable_categorical=bool(self.categories)
        )
        booster = xgboost.Booster(settings, [data, scored])
        for number in range(growth.most):
            booster.update(data, number)
            predicted = booster.predict(scored, output_margin=self.classes > 0).astype(np.float64)
            if not growth.after(softmax(predicted) if self.classes else predicted):
                break
        self._booster = booster[: booster.num_boosted_rounds()]  # without the rows, which it keeps otherwise

    def truncated(self, rounds: int) -> XGBoost:
        """Return the model of the first rounds."""
        shorter = copy.copy(self)
        shorter._booster = self._booster[: min(rounds, self._booster.num_boosted_rounds())]
        return shorter

    def _prepared(self, features: Floats, target: Floats, weights: Floats | None) -> tuple[dict[str, Any], Any]:
        """Return XGBoost's settings and the rows in its format."""
        import xgboost

        settings = {**self.params, "tree_method": "hist", "seed": self.seed, "nthread": self.threads, "verbosity": 1}
        del settings["num_round"]
        if settings.get("objective") == "reg:pseudohubererror":
            # XGBoost's own start is one Newton step from 0, which ends far from a target that is far from 0, and stays.
            settings["base_score"] = float(np.median(target))
        if self.classes:
            settings.setdefault("objective", losses.XGBOOST_CLASSES[task_of(range(self.classes))][0])
        if settings.get("objective") == "multi:softprob":
            settings["num_class"] = self.classes
        elif self.classes and np.ptp(target) == 0:
            settings["base_score"] = 0.5  # XGBoost's own would be the share of the second class, which must not be 0
        max_bin = settings.get("max_bin", 256)
        data = xgboost.QuantileDMatrix(
            features,
            target,
            weight=weights,
            nthread=self.threads,
            max_bin=max_bin,
            feature_types=self._kinds(self, features),
            enable_categorical=bool(self.categories),
        )
        return settings, data

    def predict(self, features: Floats) -> Floats:
        """Predict with the trees of all rounds.

        For classes, it computes probabilities from the logarithms of odds. It calls ``XGBoosterPredictFromDense`` of
        the library's documented C interface. ``Booster.inplace_predict`` makes the same call, but its checks in Python
        take three times as long as the prediction of one row.

        Raises:
            ValueError: The number of columns is not the model's.
            RuntimeError: XGBoost reports an error.
        """
        if self.classes:
            return softmax(self._margins(features))
        return np.asarray(self._read(features, _PREDICTION), dtype=np.float64)

    @classmethod
    def predict_each(cls, models: Sequence[Member], features: Floats) -> list[Floats]:
        """Predict with each model; probabilities of all are computed at once."""
        same = [model for model in models if isinstance(model, cls) and model.classes]
        return (
            softmax_each([model._margins(features) for model in same])
            if same
            else super().predict_each(models, features)
        )

    def _margins(self, features: Floats) -> Floats:
        return np.asarray(self._read(features, _MARGIN), dtype=np.float64)

    def _read(self, features: Floats, kind: bytes) -> Any:
        """Return what the library predicts, float32."""
        if features.shape[1] != self._booster.num_features():
            raise ValueError(
                f"{features.shape[1]} columns were given, but the model has {self._booster.num_features()}"
            )
        values = np.ascontiguousarray(features, dtype=np.float64)
        where = f'{{"data":[{values.ctypes.data},true],"shape":{list(values.shape)},"typestr":"<f8","version":3}}'
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        found = ctypes.POINTER(ctypes.c_float)()
        code = _library().XGBoosterPredictFromDense(
            self._booster.handle,
            where.encode(),
            kind,
            None,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(found),
        )
        if code != 0:
            raise RuntimeError(_library().XGBGetLastError().decode())
        if kind == _PREDICTION:
            return np.frombuffer(ctypes.string_at(found, 4 * len(values)), dtype=np.float32)
        return np.ctypeslib.as_array(found, [shape[place] for place in range(dimensions.value)])

    @property
    def explained(self) -> bool:
        """Whether the prediction is a sum over the trees."""
        if self._objective is None:
            self._objective = json.loads(self._booster.save_config())["learner"]["objective"]["name"]
        return self._objective in _SUMS

    def contributions(self, features: Floats, typical: Floats | None) -> Floats:
        """Return XGBoost's own Shapley values by the trees' paths, which it adds up in float32.

        Source: S. Lundberg, G. Erion, S.-I. Lee, "Consistent Individualized Feature Attribution for Tree Ensembles",
        2018.
        """
        import xgboost

        rows = xgboost.DMatrix(
            features,
            nthread=self.threads,
            feature_types=self._kinds(self, features),
            enable_categorical=bool(self.categories),
        )
        return np.asarray(self._booster.predict(rows, pred_contribs=True), dtype=np.float64)

    @staticmethod
    def _kinds(member: Member, features: Floats) -> list[str] | None:
        """Return XGBoost's type of each column, category or quantity; None if no column is a category."""
        if not member.categories:
            return None
        return ["c" if place in member.categories else "q" for place in range(features.shape[1])]

    @classmethod
    def refusal(cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int = 0) -> str | None:
        """Return why these rows cannot be fitted: the target is outside the objective's domain."""
        domain = losses.XGBOOST.get(str(params.get("objective")))
        return super().refusal(params, target, varies=varies, classes=classes) or (domain(target) if domain else None)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core; a round has a tree for each of several classes."""
        trees = classes if classes > 2 else 1
        return trees * cls.number("num_round", params, 400) / 100 * (0.03 + 1.5e-6 * rows * columns)

    def save(self, path: Path) -> None:
        """Write UBJSON."""
        self._booster.save_model(path)

    @classmethod
    def load(
        cls, path: Path, *, threads: int, categories: Mapping[int, int] | None = None, classes: int = 0
    ) -> XGBoost:
        """Read UBJSON."""
        import xgboost

        member = cls({}, seed=0, threads=threads, categories=categories, classes=classes)
        try:
            member._booster = xgboost.Booster({"nthread": threads}, model_file=path)
        except xgboost.core.XGBoostError as error:
            raise BundleError(f"{path} is not an XGBoost model: {str(error).splitlines()[0]}") from None
        return member


class _Stop:
    """Ends CatBoost's training when growth ends; CatBoost calls ``after_iteration``."""

    def __init__(self, score: str, growth: Growth, share: float = 1.0) -> None:
        """Keep what to watch; ``share`` is the part of the score rows' weight that CatBoost scores."""
        self._score = score
        self._growth = growth
        self._share = share

    def after_iteration(self, info: Any) -> bool:
        return self._growth.goes_on(info.metrics["validation"][self._score][-1] * self._share)


class CatBoost(Member):
    """CatBoost's oblivious trees, with the parameter names of its Python package.

    Source: L. Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018;
    https://catboost.ai/docs/en/references/training-parameters/
    """

    kind = "catboost"
    suffix = ".cbm"
    libraries = ("catboost",)
    parameters: ClassVar[dict[str, Parameter]] = {
        "iterations": integer(1, optional=True),
        "learning_rate": real(1e-6, 1),
        "depth": integer(1, 16),
        "l2_leaf_reg": real(0),
        "random_strength": real(0),
        "bagging_temperature": real(0),
        "bootstrap_type": choice("Bayesian", "Bernoulli", "MVS", "No"),
        "subsample": real(0, 1, low_open=True),
        "rsm": real(0, 1, low_open=True),
        "border_count": integer(1, 65535),
        "min_data_in_leaf": integer(1),
        "max_leaves": integer(2),
        "grow_policy": choice("SymmetricTree", "Depthwise", "Lossguide"),
        "leaf_estimation_iterations": integer(1),
        "leaf_estimation_method": choice("Newton", "Gradient", "Exact", "Simple"),
        "boosting_type": choice("Ordered", "Plain"),
        "max_ctr_complexity": integer(1, 16),
        "score_function": choice("Cosine", "L2"),
        "model_shrink_rate": real(0, 1),
        "loss_function": choice(*losses.CATBOOST, *losses.CATBOOST_CLASSES["binary"], note=losses.NOTE),
    }
    tasks = ALL_TASKS
    by_task: ClassVar[dict[str, dict[Task, Sequence[str]]]] = {
        "loss_function": {"regression": tuple(losses.CATBOOST), **losses.CATBOOST_CLASSES}
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"iterations": None}
    rounds = "iterations"
    # CatBoost itself chooses all three by the number of iterations; the last two as for fewer than 500.
    growing: ClassVar[dict[str, ParamValue]] = {
        "learning_rate": 0.1,
        "boosting_type": "Plain",
        "max_ctr_complexity": 1,
    }
    # CatBoost itself takes one step or ten, by the numbers of iterations and classes. Five need fewer rounds than one,
    # and the log loss is lower where classes are separated; docs/decisions/081 has the measurements.
    class_growing: ClassVar[dict[str, ParamValue]] = {"leaf_estimation_iterations": 5}
    float32 = float32_target = True
    deciding = (
        "loss_function",
        "bootstrap_type",
        "subsample",
        "bagging_temperature",
        "grow_policy",
        "max_leaves",
        "boosting_type",
        "leaf_estimation_method",
        "leaf_estimation_iterations",
    )

    _model: Any = None
    _training: str | None = None
    _prediction: str | None = None

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Grow ``iterations`` trees; if the target is constant, which CatBoost refuses, predict the constant."""
        if self._is_constant(target):
            self._fit_constant(features.shape[1], target)
            return
        self._model = self._unfitted(**{**self._settings(), "iterations": self.params["iterations"] or MOST})
        self._model.fit(self._pool(features, target, weights))
        self._finish()

    def grow(self, features: Floats, target: Floats, weights: Floats | None, growth: Growth) -> None:
        """Grow trees; CatBoost's own scores tell when to stop, and its predictions by stage tell the errors."""
        if self._is_constant(target):
            self._fit_constant(features.shape[1], target)
            growth.stays(self.predict(growth.features))
            return
        score = self._loss() if self.classes else "MAE" if growth.loss == "absolute" else "RMSE"
        self._model = self._unfitted(**{**self._settings(), "iterations": growth.most, "eval_metric": score})
        scored = self._pool(growth.features, growth.target, growth.weights)
        # Scores of predictions of a logarithm tell nothing.
        watched: dict[str, Any] = {"eval_set": scored, "use_best_model": False}
        if self._kind_of_prediction() != "Exponent":
            watched["callbacks"] = [_Stop(score, growth)]
        if self.classes and not np.isin(growth.target, target).all():
            watched = self._watched_known(score, growth, np.isin(growth.target, target))
        self._model.fit(self._pool(features, target, weights), **watched)
        self._finish()
        # One thread, since a stage has little to do.
        for predicted in self._model.staged_predict(scored, prediction_type=self._prediction, thread_count=1):
            growth.after(self._on_scale(np.asarray(predicted, dtype=np.float64)))

    def _watched_known(self, score: str, growth: Growth, known: npt.NDArray[np.bool_]) -> dict[str, Any]:
        """Return how to watch the score rows of known classes; CatBoost refuses the others, whose errors stay.

        Args:
            score: The name of CatBoost's score.
            growth: What to watch.
            known: Whether each score row's class is among the rows of the fit.
        """
        if not known.any():
            return {}
        weights = np.ones(len(known)) if growth.weights is None else growth.weights
        return {
            "eval_set": self._pool(growth.features[known], growth.target[known], weights[known]),
            "use_best_model": False,
            "callbacks": [_Stop(score, growth, float(weights[known].sum() / weights.sum()))],
        }

    def truncated(self, rounds: int) -> CatBoost:
        """Return the model of the first trees."""
        if rounds >= self._model.tree_count_:
            return self
        shorter = copy.copy(self)
        shorter._model = self._model.copy()
        shorter._model.shrink(rounds)
        return shorter

    def _finish(self) -> None:
        self._prediction = self._kind_of_prediction()
        # The history of the scores is not needed, and CatBoost cannot read back what it writes of scores above 2^53.
        del self._model.get_metadata()["training"]

    def _settings(self) -> dict[str, ParamValue]:
        """Return CatBoost's parameters, with the loss for classes, which would depend on the classes of a fold."""
        if not self.classes:
            return self.params
        simple = {"leaf_estimation_iterations": 1} if self.params.get("leaf_estimation_method") == "Simple" else {}
        return {**self.params, **simple, "loss_function": self._loss()}

    def _loss(self) -> str:
        return str(self.params.get("loss_function", self._default_loss(self.classes)))

    @staticmethod
    def _default_loss(classes: int) -> str:
        return losses.CATBOOST_CLASSES[task_of(range(classes))][0] if classes else "RMSE"

    def _kind_of_prediction(self) -> str | None:
        return losses.catboost_prediction(self._loss(), self.classes)

    @staticmethod
    def _is_constant(target: Floats) -> bool:
        rounded = target.astype(np.float32)
        return bool(np.all(rounded == rounded[0]))

    def _fit_constant(self, columns: int, target: Floats) -> None:
        value: float | list[float] = float(target[0] if np.ptp(target) == 0 else target.mean())
        loss: dict[str, Any] = {}
        if self.classes:
            # One row more of each class: Laplace's rule of succession.
            rows = np.bincount(target.astype(np.intp), minlength=self.classes) + 1
            value, loss = np.log(rows / rows.sum()).tolist(), {"loss_function": _SEVERAL}
        # Any model will do whose trees count nothing: this one is fitted on two rows, or one for each class.
        different = np.arange(float(max(self.classes, 2)))
        self._model = self._unfitted(iterations=1, **loss)
        self._model.fit(self._pool(np.repeat(different[:, None] % 2, columns, axis=1), different))
        self._model.set_scale_and_bias(0.0, value)
        self._prediction = "RawFormulaVal"

    def _unfitted(self, **params: Any) -> Any:
        import catboost

        library = catboost.CatBoostClassifier if self.classes else catboost.CatBoostRegressor
        return library(
            **params, random_seed=self.seed, thread_count=self.threads, allow_writing_files=False, verbose=False
        )

    def predict(self, features: Floats) -> Floats:
        """Predict with all trees."""
        return self._predict_pool(self._pool(features))

    @classmethod
    def predict_each(cls, models: Sequence[Member], features: Floats) -> list[Floats]:
        """Predict with each model; the rows are converted to CatBoost's format only once."""
        same = [model for model in models if isinstance(model, cls)]
        # CatBoost converts a few rows five times as fast if they are stored column by column.
        pool = same[0]._pool(np.asfortranarray(features) if len(features) <= _FEW_ROWS else features)
        found = [model._raw(pool) for model in same]
        if not same[0].classes:
            return found
        return [model._in_columns(each) for model, each in zip(same, softmax_each(found), strict=True)]

    @property
    def explained(self) -> bool:
        """Whether the prediction is a sum over the trees."""
        return self._prediction == "RawFormulaVal"

    def contributions(self, features: Floats, typical: Floats | None) -> Floats:
        """Return CatBoost's own Shapley values by the trees' paths."""
        found = np.zeros((len(features), features.shape[1] + 1))
        scale, bias = self._model.get_scale_and_bias()
        if scale == 0:  # a constant
            found[:, -1] = bias
            return found
        # The order of the columns in a pool.
        categories = list(self.categories)
        numbers = [place for place in range(features.shape[1]) if place not in self.categories]
        found[:, [*numbers, *categories, -1]] = self._model.get_feature_importance(
            self._pool(features), type="ShapValues", thread_count=self.threads
        )
        return found

    def _predict_pool(self, pool: Any) -> Floats:
        return self._on_scale(self._raw(pool))

    def _raw(self, pool: Any) -> Floats:
        found = self._model.predict(pool, prediction_type=self._prediction, thread_count=self.threads)
        return np.asarray(found, dtype=np.float64)

    def _on_scale(self, predicted: Floats) -> Floats:
        return self._in_columns(softmax(predicted)) if self.classes else predicted

    def _in_columns(self, probabilities: Floats) -> Floats:
        return in_columns(probabilities, self._model.classes_, self.classes)

    def _pool(self, features: Floats, target: Floats | None = None, weights: Floats | None = None) -> Any:
        import catboost

        if not self.categories:
            return catboost.Pool(features, target, weight=weights, thread_count=self.threads)
        # CatBoost converts all numbers to float32, and needs categories as bytes.
        numbers = [place for place in range(features.shape[1]) if place not in self.categories]
        codes = np.nan_to_num(features[:, list(self.categories)], nan=-1.0).astype(np.int64)
        most = max(self.categories.values())
        names = np.array([str(code).encode() for code in range(-1, most + 1)], dtype=object)
        data = catboost.FeaturesData(
            num_feature_data=features[:, numbers].astype(np.float32) if numbers else None,
            cat_feature_data=names[codes + 1],
        )
        return catboost.Pool(data, target, weight=weights, thread_count=self.threads)

    @classmethod
    def refusal(cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int = 0) -> str | None:
        """Return why these rows cannot be fitted.

        The parameters contradict each other, features have no difference, or the target is outside the loss's domain.
        """
        domain = losses.catboost_domain(str(params.get("loss_function")))
        constant = None if varies or np.ptp(target) == 0 else "every feature is constant"
        subsample = params.get("subsample")
        few = isinstance(subsample, float) and subsample * len(target) < _LEAST_SAMPLED
        return (
            super().refusal(params, target, varies=varies, classes=classes)
            or cls._contradiction(params, cls._default_loss(classes))
            or (f"subsample={subsample:g} takes fewer than {_LEAST_SAMPLED} of {len(target)} rows" if few else None)
            or constant
            or (domain(target) if domain else None)
        )

    @staticmethod
    def _contradiction(params: Mapping[str, ParamValue], default_loss: str) -> str | None:
        """Return which parameters CatBoost does not combine; from its messages, in catboost/private/libs/options."""
        loss = str(params.get("loss_function", default_loss))
        name, bootstrap = loss.partition(":")[0], params.get("bootstrap_type")
        growth, leaves = params.get("grow_policy", "SymmetricTree"), params.get("leaf_estimation_method")
        faults = {
            f"bootstrap_type={bootstrap} does not take subsample": (
                "subsample" in params and bootstrap in ("Bayesian", "No")
            ),
            f"bootstrap_type={bootstrap} does not take bagging_temperature": (
                "bagging_temperature" in params and bootstrap not in (None, "Bayesian")
            ),
            "max_leaves needs grow_policy=Lossguide": "max_leaves" in params and growth != "Lossguide",
            f"boosting_type=Ordered needs grow_policy=SymmetricTree, and it is {growth}": (
                params.get("boosting_type") == "Ordered" and growth != "SymmetricTree"
            ),
            f"leaf_estimation_method=Exact needs loss_function to be one of {listed(losses.CATBOOST_EXACT)}": (
                leaves == "Exact" and name not in losses.CATBOOST_EXACT
            ),
            f"leaf_estimation_method=Newton cannot be used with loss_function={name}": (
                leaves == "Newton" and name in losses.CATBOOST_WITHOUT_NEWTON
            ),
            "leaf_estimation_method=Simple needs leaf_estimation_iterations=1": (
                leaves == "Simple" and params.get("leaf_estimation_iterations", 1) != 1
            ),
        }
        return next((fault for fault, found in faults.items() if found), None) or losses.catboost_option_fault(loss)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core; a leaf has a value for each of several classes."""
        values = max(classes / 2, 1.0)
        return values * cls.number("iterations", params, 600) / 200 * (0.15 + 4e-6 * rows * columns)

    def save(self, path: Path) -> None:
        """Write CatBoost's binary format."""
        metadata = self._model.get_metadata()
        if self._training is not None:  # from which a later load knows the loss
            metadata["params"] = self._training
        self._model.save_model(str(path), format="cbm")
        if self._training is not None:
            del metadata["params"]

    @classmethod
    def load(
        cls, path: Path, *, threads: int, categories: Mapping[int, int] | None = None, classes: int = 0
    ) -> CatBoost:
        """Read CatBoost's binary format."""
        import catboost

        member = cls({}, seed=0, threads=threads, categories=categories, classes=classes)
        member._model = member._unfitted()
        try:
            member._model.load_model(str(path), format="cbm")
        except catboost.CatBoostError as error:
            raise BundleError(f"{path} is not a CatBoost model: {error}") from None
        # CatBoost parses the training parameters, as JSON, again at each prediction: 20 times the time of one row.
        metadata = member._model.get_metadata()
        if "params" in metadata.keys():  # noqa: SIM118  # it has no __contains__
            member._training = metadata["params"]
            del metadata["params"]
        loss = json.loads(member._training or "{}").get("loss_function", {}).get("type", "RMSE")
        member._prediction = losses.catboost_prediction(loss, classes)
        if member._prediction is None:
            raise BundleError(
                f"{path} was trained with loss_function={loss}, which does not predict the target. Train again with "
                f"one of {listed(cls.by_task['loss_function'][task_of(range(classes))])}."
            )
        return member
