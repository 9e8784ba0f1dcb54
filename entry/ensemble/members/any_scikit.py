"""Any scikit-learn regressor or classifier as a member, by its class name, with the hyperparameters it declares."""

from __future__ import annotations

import functools
import inspect
import tempfile
import warnings
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ensemble.arrays import Floats
from ensemble.classes import ALL_TASKS, CLASS_TASKS
from ensemble.errors import EnsembleError, InputError, did_you_mean
from ensemble.members import losses
from ensemble.members.scikit import ScikitMember
from ensemble.parameters import Parameter, ParamValue

# Set by the ensemble, not by the user.
_SET_BY_ENSEMBLE = ("random_state", "n_jobs", "verbose", "warm_start", "copy_X")
# Rows and columns of the fit that shows whether a model can be saved.
_TRIED = (40, 5)
# Regressors whose components are at most as many as targets, of which there is one.
_ONE_COMPONENT = ("CCA", "PLSCanonical")
# Regressors that search their own parameter by five folds.
_OWN_FOLDS = ("ElasticNetCV", "LarsCV", "LassoCV", "LassoLarsCV", "OrthogonalMatchingPursuitCV")
_FOLDS = 5
# Regressors whose loss is in their name: the power of their Tweedie deviance.
_POWERS = {"PoissonRegressor": 1.0, "GammaRegressor": 2.0, "TweedieRegressor": 0.0}


@functools.cache
def scikit_member(name: str, place: str) -> type[ScikitMember]:
    """Return a member around the class ``name``, such as ``HuberRegressor`` or ``GaussianNB``.

    Numbers are standardised and their missing values filled, since most estimators need that; categories become
    columns.

    Raises:
        InputError: scikit-learn has no such regressor or classifier, it needs other estimators or several targets, or
            it does not take standardised numbers or predict probabilities.
    """
    from sklearn.utils import all_estimators
    from sklearn.utils.validation import has_fit_parameter

    regressors: dict[str, type[Any]] = dict(all_estimators(type_filter="regressor"))
    classifiers: dict[str, type[Any]] = dict(all_estimators(type_filter="classifier"))
    known = regressors | classifiers
    if name not in known:
        raise InputError(f"{place}: scikit-learn has no regressor or classifier {name!r}.{did_you_mean(name, known)}")
    estimator, classifies = known[name], name in classifiers
    signature = inspect.signature(estimator).parameters
    needed = [key for key, parameter in signature.items() if parameter.default is inspect.Parameter.empty]
    if needed or name.startswith("MultiTask") or name == "IsotonicRegression":
        raise InputError(f"{place}: {name} does not predict one target from a table on its own: choose another.")
    if classifies and not hasattr(estimator, "predict_proba"):
        raise InputError(f"{place}: {name} has no predict_proba, and members predict probabilities: choose another.")
    if estimator().__sklearn_tags__().input_tags.positive_only:
        raise InputError(f"{place}: {name} takes no negative numbers, and features are standardised: choose another.")
    declared = {
        key: parameter
        for key, constraints in estimator._parameter_constraints.items()
        if key not in _SET_BY_ENSEMBLE and key in signature and (parameter := _declared(constraints)) is not None
    }

    class AnyScikit(ScikitMember):
        """One regressor or classifier of scikit-learn."""

        kind = name
        tasks = CLASS_TASKS if classifies else ALL_TASKS - CLASS_TASKS
        scaled = True
        # It has no intercept, so that it would predict around 0.
        target_scaled = name == "KernelRidge"
        weighs = has_fit_parameter(estimator, "sample_weight")
        seeded = "random_state" in signature
        parameters = declared
        float32 = estimator.__module__.startswith(("sklearn.tree", "sklearn.ensemble")) and "Hist" not in name
        deciding = tuple(declared)

        @classmethod
        def refusal(
            cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int = 0
        ) -> str | None:
            """Return why these rows cannot be fitted."""
            choices = {key: value for key, value in params.items() if isinstance(value, str | bool) or key == "power"}
            return (
                _invalid(cls(params, seed=0, threads=1, classes=classes))
                or cls._misfit(params, target, varies=varies, classes=classes)
                or _unsaved(name, tuple(sorted(choices.items())))
            )

        @classmethod
        def _misfit(cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int) -> str | None:
            if "n_neighbors" in declared:
                neighbors = cls.number("n_neighbors", params, 5)
                few = f"there are {len(target)} rows, fewer than n_neighbors={neighbors:g}"
                return few if len(target) < neighbors else None
            if name in _ONE_COMPONENT and cls.number("n_components", params, 2) != 1:
                return "with one target n_components can be 1 only, which is not the default"
            if name in _OWN_FOLDS and len(target) < _FOLDS:
                return f"there are {len(target)} rows, fewer than the {_FOLDS} folds by which it finds its parameter"
            if name in _POWERS:
                domain = losses.tweedie_domain(cls.number("power", params, _POWERS[name]))
                return domain(target) if domain else None
            return super().refusal(params, target, varies=varies, classes=classes)

        def build(self) -> Any:
            """Return the regressor or classifier."""
            # One job: with several, joblib starts processes that outlive the training, or sums change their order.
            settings = {"random_state": self.seed}
            return estimator(**self.params, **{key: value for key, value in settings.items() if key in signature})

    AnyScikit.__name__ = AnyScikit.__qualname__ = name
    return AnyScikit


def _invalid(member: ScikitMember) -> str | None:
    """Return why scikit-learn does not take the parameters of a member, None if it does."""
    from sklearn.utils._param_validation import InvalidParameterError

    built = member.build()
    try:
        built._validate_params()
    except InvalidParameterError as error:
        return str(error).splitlines()[0].rstrip(".")
    if member.classes and not hasattr(built, "predict_proba"):
        return f"{member.kind} has no predict_proba with these parameters"
    return None


@functools.cache
def _unsaved(name: str, choices: tuple[tuple[str, ParamValue], ...]) -> str | None:
    """Return why a model with these parameters cannot be saved and loaded, None if it can.

    A small fit shows it. Other errors may be due to the rows of this fit, so they are left to the trial.
    """
    rows, columns = _TRIED
    features = np.random.RandomState(0).normal(size=(rows, columns))
    cls = scikit_member(name, name)
    classes = 0 if "regression" in cls.tasks else 2
    member = cls(dict(choices), seed=0, threads=1, classes=classes)
    target = np.arange(float(rows)) % classes if classes else np.exp(features[:, 0])
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder, "it")
        try:
            member.fit(features, target)
            member.save(path)
            cls.load(path, threads=1, classes=classes)
        except EnsembleError as error:
            return str(error).replace(str(path), "the saved file").rstrip(".")
        except Exception:  # scikit-learn raises many types
            return None
    return None


def _declared(constraints: Any) -> Parameter | None:
    """Return the declaration of a hyperparameter, None if no number, string or boolean can set it.

    It has no range: scikit-learn itself checks the value, which ``refusal`` asks.
    """
    from sklearn.utils._param_validation import Interval, Options, StrOptions

    if not isinstance(constraints, list):
        return None
    types: list[Literal["int", "float", "bool", "str"]] = []
    choices: set[str] = set()
    for constraint in constraints:
        if isinstance(constraint, Interval):
            types.append("int" if constraint.type is Integral else "float")
        elif isinstance(constraint, StrOptions | Options):
            strings = {option for option in constraint.options if isinstance(option, str)}
            choices |= strings
            types.extend(["str"] if strings else [])
        elif isinstance(constraint, str) and constraint == "boolean":
            types.append("bool")
    order: tuple[Literal["int", "float", "bool", "str"], ...] = ("int", "float", "bool", "str")
    known = tuple(kind for kind in order if kind in types)
    return Parameter(known, choices=tuple(sorted(choices)), optional=None in constraints) if known else None
