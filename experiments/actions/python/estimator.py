"""``byoe.EnsembleRegressor`` and ``byoe.EnsembleClassifier``: estimators of scikit-learn, fitted in this process."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from ensemble.arrays import Floats
from ensemble.column_encoding import coded
from ensemble.column_types import described
from ensemble.decision import Decision
from ensemble.intervals import LEVEL, Intervals, check_intervals
from ensemble.recipe import Recipe
from ensemble.serving.cells import check_numbers
from ensemble.serving.errors import RequestError
from ensemble.serving.rows import Matrix, Values
from ensemble.table import Column, Table, numbers
from ensemble.threads import one_blas_thread
from ensemble.training import fit_ensemble, with_intervals
from experiments.actions.python.frames import columns_to_predict, is_frame, is_pandas, training_table
from experiments.config.compose import Composed, compose
from experiments.config.groups import config_folders
from experiments.config.keywords import arguments_of
from experiments.data.datasets import Splits
from experiments.errors import InputError, brief
from experiments.planning.ensemble import plan_ensemble
from experiments.planning.recipe import plan_recipe

_PLACE = Path("X")
# Between a member's name and its parameter, in names of parameters.
_SEPARATOR = "__"


class InvalidInput(InputError, ValueError):
    """What an estimator was given cannot be used. It is a ``ValueError`` too, as scikit-learn expects."""


class InvalidType(InputError, TypeError):
    """What an estimator was given is not an array or table. It is a ``TypeError`` too, as scikit-learn expects."""


@contextmanager
def _as_value_errors() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        raise InvalidInput(str(error.details["message"])) from None
    except InputError as error:
        raise error if isinstance(error, InvalidType) else InvalidInput(str(error)) from error


@contextmanager
def _checking(name: str) -> Iterator[None]:
    """Raise what scikit-learn's checks of an argument find as byoe's error, which names the argument."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        kind = InvalidInput if isinstance(error, ValueError) else InvalidType
        text = str(error)
        raise kind(text if re.search(rf"\b{name}\b", text) else f"{name}: {text}") from None


class _Ensemble(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What estimators of quantities and of classes have in common."""

    def __init__(  # noqa: PLR0913  # scikit-learn's parameters are flat
        self,
        ensemble: str | Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        blend: str | None = None,
        weights: Mapping[str, float] | None = None,
        folds: int = 5,
        final: str = "bag",
        seed: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.ensemble = ensemble
        self.params = params
        self.blend = blend
        self.weights = weights
        self.folds = folds
        self.final = final
        self.seed = seed
        self.n_jobs = n_jobs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; ``deep``: those of members too, as ``member__parameter``."""
        found: dict[str, Any] = super().get_params(deep=deep)
        given = self.params if deep and isinstance(self.params, Mapping) else {}
        for member, params in given.items():
            if isinstance(params, Mapping):
                found |= {f"{member}{_SEPARATOR}{name}": value for name, value in params.items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of members as ``member__parameter``."""
        known = inspect.signature(type(self).__init__).parameters
        super().set_params(**{name: value for name, value in params.items() if name in known})
        for name in (name for name in params if name not in known):
            member, separator, parameter = name.partition(_SEPARATOR)
            if not separator or member in known:
                super().set_params(**{name: params[name]})  # which raises with the valid names
            of_member = {**(self.params or {}).get(member, {}), parameter: params[name]}
            self.params = {**(self.params or {}), member: of_member}
        return self

    def _train(self, X: Any, y: Any, target: Floats, sample_weight: Any, classes: tuple[str, ...] = ()) -> Self:  # noqa: N803
        with _as_value_errors():
            columns, features = self._columns(X, target)
            weights = _weights(sample_weight, features)
            name = y.name if isinstance(getattr(y, "name", None), str) else "y"
            positive = classes[1] if len(classes) == 2 else None
            table = Table(columns, name, features, target, weights, classes=classes, positive=positive)
            recipe = self._recipe(table)
            training = fit_ensemble(recipe, table, None, self._threads())
            training = with_intervals(training, table, recipe.seed)
        self.columns_ = columns
        self.ensemble_ = training.ensemble
        self.weights_ = training.ensemble.weights
        self.scores_ = training.metrics
        self.out_of_fold_ = training.out_of_fold_blended
        return self

    def _columns(self, X: Any, target: Floats) -> tuple[tuple[Column, ...], Floats]:  # noqa: N803
        """Return what the columns hold, and the features, shape (rows, columns)."""
        columns: tuple[Column, ...]
        if is_frame(X):
            with _checking("X"):
                validate_data(self, X, skip_check_array=True)
            if not hasattr(self, "feature_names_in_") and not is_pandas(X):
                self.feature_names_in_ = np.array(list(X.columns), dtype=object)
            read = training_table(_unindexed(X), None)[0].to_pandas(ignore_metadata=True)
            with _checking("y"):
                check_consistent_length(read, target)
            columns = tuple(described(read[name], _PLACE, name)[0] for name in read.columns)
            features = np.column_stack([coded(read[column.name], _PLACE, column) for column in columns])
        else:
            with _checking("X"):
                features = validate_data(
                    *(self, X), dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
                )
            with _checking("y"):
                check_consistent_length(features, target)
            columns = numbers(*(f"x{place}" for place in range(features.shape[1])))
        check_numbers(features, columns)
        return columns, np.ascontiguousarray(features)

    def _predict(self, X: Any) -> Floats:  # noqa: N803
        check_is_fitted(self)
        with _as_value_errors(), one_blas_thread():
            return self.ensemble_.predict(self._features(X))

    def _intervals(self, level: float) -> Intervals:
        """Return what is known of the errors, if it allows intervals of this level."""
        check_is_fitted(self)
        found = self.ensemble_.intervals
        with _as_value_errors():
            check_intervals(found, level, "level")
        if found is None:
            raise InvalidInput("the rows of fit allow no intervals.")
        return found

    def __sklearn_tags__(self) -> Tags:
        """Return that missing values are allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _features(self, X: Any) -> Floats:  # noqa: N803
        plain = all(column.is_plain for column in self.columns_)
        if plain and not is_frame(X):
            with _checking("X"):
                array = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
            return Matrix(np.ascontiguousarray(array)).features(self.columns_)
        with _checking("X"):
            if not is_frame(X):
                X = check_array(X, dtype=object, ensure_all_finite=False, ensure_min_samples=0)  # noqa: N806
            validate_data(self, X, skip_check_array=True, reset=False)
            if not is_frame(X):
                return Values(None, list(X.T)).features(self.columns_)
        by_name = hasattr(self, "feature_names_in_")
        X = _unindexed(X)  # noqa: N806
        names, values = columns_to_predict(X, [column.name for column in self.columns_] if by_name else X.columns)
        return Values(names if by_name else None, values).features(self.columns_)

    def _recipe(self, table: Table) -> Recipe:
        """Return what a command would train with these parameters, checked in the same way."""
        keywords: dict[str, Any] = {
            "ensemble" if isinstance(self.ensemble, str) else "ensemble.members": self.ensemble,
            "ensemble.params": self.params,
            "ensemble.blend": self.blend,
            "ensemble.weights": self.weights,
            "ensemble.final": self.final,
            "dataset.folds.k": self.folds,
            "search.seed": self.seed,
            **self._further(),
        }
        given = {key: value for key, value in keywords.items() if value is not None}
        files = [path for folder in config_folders() for path in sorted(folder.rglob("*.yaml"))]
        composed = _composed(tuple(arguments_of(given)), tuple((path, path.stat().st_mtime_ns) for path in files))
        config = composed.config
        preset = self.ensemble is None or isinstance(self.ensemble, str)
        ensemble = plan_ensemble(config.ensemble, config.search.shared).for_target(table, preset=preset)
        return plan_recipe(config, ensemble, Splits(table, None, None, {})).recipe

    def _threads(self) -> int:
        if self.n_jobs is not None and (not isinstance(self.n_jobs, Integral) or self.n_jobs == 0):
            raise InvalidInput(f"n_jobs={brief(self.n_jobs)}: give a number of threads, -1 for all cores, or None.")
        return int(effective_n_jobs(self.n_jobs))

    def _further(self) -> dict[str, Any]:
        """Return the keys of the configuration that only one of the estimators has."""
        return {}


class EnsembleRegressor(RegressorMixin, _Ensemble):  # type: ignore[misc]  # scikit-learn has no types
    """An ensemble of XGBoost, CatBoost and scikit-learn's models, blended on out-of-fold predictions.

    ``fit`` trains what a trial trains: each member on each fold, then the blend on their out-of-fold predictions. The
    same table, folds and seed give the scores of ``action=train``. Predictions are not those of its served model, which
    is fitted once more on all rows (``ensemble.final_rows``): by default they are the average of the folds' models, and
    ``final="refit"`` fits one model on all rows. Missing values need not be filled. Columns of a
    DataFrame may hold categories, text, dates, or true and false.

    Parameters of members are set by ``params``, and have the names ``member__parameter`` for ``set_params`` and for
    scikit-learn's searches, such as ``xgboost__max_depth``.

    Args:
        ensemble: Name of an ensemble of the configuration, such as ``wide``; or the members, as in
            ``ensemble.members``; None for the ensemble of a command without this key.
        params: By member, its parameters, as in ``ensemble.params``.
        blend: The blender; None for that of ``ensemble``, or ``mean`` for members that are listed.
        weights: With ``blend="fixed"``, the weight of each member.
        folds: Number of folds.
        final: ``bag``: predictions are the average of the folds' models. ``refit``: one model is fitted on all rows.
        seed: Seed of the folds and of every member.
        n_jobs: Threads that a member may use, as in scikit-learn: -1 for all cores. Predictions do not depend on it.

    Attributes:
        ensemble_: The fitted members and their blend.
        weights_: Each member's weight in the blend.
        scores_: The scores in cross-validation, such as ``cv_rmse_blended``.
        out_of_fold_: The blend's out-of-fold predictions, shape (rows,).
        n_features_in_: Number of columns.
        feature_names_in_: Their names, if ``fit`` got a DataFrame.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803  # scikit-learn's name
        """Fit the ensemble.

        Args:
            X: A DataFrame of pandas, polars or pyarrow, or an array of shape (rows, columns).
            y: The target, shape (rows,).
            sample_weight: Row weights, shape (rows,), not negative; None if all rows count equally.
        """
        with _checking("y"):
            target = _one_column(self, y)
            if target.dtype.kind == "O":
                target = target.astype(np.float64)
            assert_all_finite(target, input_name="y")
            target = np.ascontiguousarray(target, dtype=np.float64)
        return self._train(X, y, target, sample_weight)

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Return the predictions for rows like those of ``fit``, shape (rows,), float64."""
        return self._predict(X)

    def predict_interval(self, X: Any, level: float = LEVEL) -> Floats:  # noqa: N803
        """Return intervals that hold the target of a share of new rows, from the out-of-fold residuals of ``fit``.

        Args:
            X: Rows like those of ``fit``.
            level: That share, above 0 and below 1.

        Returns:
            The lower and the upper end for each row, shape (rows, 2), float64.
        """
        intervals = self._intervals(level)
        with _as_value_errors(), one_blas_thread():
            features = self._features(X)
            predicted = self.ensemble_.predict(features)
            half = intervals.half_widths(features, predicted, level, "level")
        return np.column_stack([predicted - half, predicted + half])


class EnsembleClassifier(ClassifierMixin, _Ensemble):  # type: ignore[misc]  # scikit-learn has no types
    """An ensemble of classifiers, blended on out-of-fold probabilities; as ``EnsembleRegressor``, for classes.

    Args:
        ensemble: As in ``EnsembleRegressor``.
        params: As in ``EnsembleRegressor``.
        blend: As in ``EnsembleRegressor``.
        weights: As in ``EnsembleRegressor``.
        class_weight: How much the rows of each class weigh: ``balanced``, or a number for each label.
        threshold: Of two classes, the probability from which a row gets the second label; or ``accuracy``, ``f1`` or
            costs, for which it is chosen out of fold.
        calibrate: Whether blended probabilities get a temperature, where there are enough rows.
        folds: As in ``EnsembleRegressor``.
        final: As in ``EnsembleRegressor``.
        seed: As in ``EnsembleRegressor``.
        n_jobs: As in ``EnsembleRegressor``.

    Attributes:
        classes_: The labels, sorted.
        ensemble_: The fitted members, their blend and the decision.
        weights_: Each member's weight in the blend.
        scores_: The scores in cross-validation, such as ``cv_logloss_blended``.
        out_of_fold_: The blend's out-of-fold probabilities, shape (rows, classes).
        n_features_in_: Number of columns.
        feature_names_in_: Their names, if ``fit`` got a DataFrame.
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's parameters are flat
        self,
        ensemble: str | Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        blend: str | None = None,
        weights: Mapping[str, float] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        threshold: float | str | Sequence[Sequence[float]] = 0.5,
        calibrate: bool = True,
        folds: int = 5,
        final: str = "bag",
        seed: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            ensemble, params=params, blend=blend, weights=weights, folds=folds, final=final, seed=seed, n_jobs=n_jobs
        )
        self.class_weight = class_weight
        self.threshold = threshold
        self.calibrate = calibrate

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the ensemble; ``y`` has the labels, and the rest is as in ``EnsembleRegressor.fit``."""
        with _checking("y"):
            labels = _one_column(self, y)
            assert_all_finite(labels, input_name="y")
            check_classification_targets(labels)
        self.classes_, places = np.unique(labels, return_inverse=True)
        classes = tuple(map(str, self.classes_.tolist()))
        if len(classes) < 2:
            found = f"one class only, {classes[0]!r}" if classes else "no class"
            raise InvalidInput(f"a classifier needs two classes or more, and y has {found}.")
        return self._train(X, y, places.astype(np.float64), sample_weight, classes)

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Return the probabilities of the classes, in the order of ``classes_``, shape (rows, classes), float64."""
        return self._predict(X)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return the labels for rows like those of ``fit``, shape (rows,)."""
        probabilities = self._predict(X)
        return self.classes_[(self.ensemble_.decision or Decision()).labels(probabilities)]

    def predict_set(self, X: Any, level: float = LEVEL) -> Any:  # noqa: N803
        """Return sets of labels that hold the class of a share of new rows, as the out-of-fold probabilities tell.

        Args:
            X: Rows like those of ``fit``.
            level: That share, above 0 and below 1.

        Returns:
            Which labels are in the set of each row, in the order of ``classes_``, shape (rows, classes), bool.
        """
        intervals, probabilities = self._intervals(level), self._predict(X)
        labels = (self.ensemble_.decision or Decision()).labels(probabilities)
        return intervals.sets(probabilities, labels, level, "level")

    def _further(self) -> dict[str, Any]:
        return {
            "ensemble.class_weight": self._weight_by_label(),
            "ensemble.threshold": self.threshold,
            "ensemble.calibrate": self.calibrate,
        }

    def _weight_by_label(self) -> Any:
        """Return the weights of classes by the text of the label that a key equals: 0 is also 0.0 and False."""
        if not isinstance(self.class_weight, Mapping):
            return self.class_weight
        labels = {label: str(label) for label in self.classes_.tolist()}
        return {labels.get(key, key): weight for key, weight in self.class_weight.items()}


def _weights(given: Any, features: Floats) -> Floats | None:
    if given is None:
        return None
    with _checking("sample_weight"):
        weights: Floats = _check_sample_weight(given, features, dtype=np.float64)
    if not np.isfinite(weights).all():
        raise InvalidInput("sample_weight has values that are missing or infinite.")
    if (weights < 0).any() or not weights.any():
        raise InvalidInput("sample_weight has negative values, or is 0 in every row.")
    return weights


def _one_column(estimator: BaseEstimator, y: Any) -> Any:
    """Return the target as an array of shape (rows,)."""
    if y is None:
        raise InvalidInput(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    return column_or_1d(y, warn=True)


@functools.lru_cache(maxsize=32)
def _composed(arguments: tuple[str, ...], files: tuple[tuple[Path, int], ...]) -> Composed:
    """Compose a configuration once for the many fits of a search; ``files`` are those it depends on, as they are."""
    return compose(arguments)


def _unindexed(frame: Any) -> Any:
    """Return a frame without an index, and with names for columns that have none."""
    if not is_pandas(frame):
        return frame
    frame = frame.reset_index(drop=True)
    if not any(isinstance(name, str) for name in frame.columns):
        frame.columns = [f"x{place}" for place in range(frame.shape[1])]
    return frame
