"""The losses of each library that predict on the target's scale, and the targets on which they can be fitted.

For classes, that scale is the probability of each class. A loss that is not listed is refused, because some losses
predict a logarithm, a risk or a rank, which cannot be blended with predictions in the target's unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ensemble.arrays import Floats
from ensemble.classes import Task, task_of
from ensemble.parameters import Parameter, real

# The note on the parameters that choose a loss.
NOTE = "only what predicts on the target's scale"
Domain = Callable[[Floats], str | None]


def _above_zero(target: Floats) -> str | None:
    return None if target.min() > 0 else f"the target must be above 0, and its smallest value is {target.min():g}"


def _from_zero(target: Floats) -> str | None:
    if target.min() < 0:
        return f"the target must be 0 or more, and its smallest value is {target.min():g}"
    return None


def _not_only_zero(target: Floats) -> str | None:
    return _from_zero(target) or (None if target.any() else "the target is 0 in every row")


def _without_zero(target: Floats) -> str | None:
    return None if target.all() else "the target must not be 0, and is 0 in some row"


def _above_minus_one(target: Floats) -> str | None:
    return None if target.min() > -1 else f"the target must be above -1, and its smallest value is {target.min():g}"


# XGBoost transforms the prediction itself. Source of domains: src/objective/ of its repository.
XGBOOST: Mapping[str, Domain | None] = {
    "reg:squarederror": None,
    "reg:absoluteerror": None,
    "reg:pseudohubererror": None,
    "reg:squaredlogerror": _above_minus_one,
    "reg:gamma": _above_zero,
    "reg:tweedie": _not_only_zero,
    "count:poisson": _from_zero,
}
XGBOOST_CLASSES: Mapping[Task, Sequence[str]] = {
    "binary": ("binary:logistic", "multi:softprob"),
    "multiclass": ("multi:softprob",),
}
# By form: CatBoost's type of prediction, which is on the target's scale, and the domain.
# Source: https://catboost.ai/docs/en/concepts/loss-functions-regression
CATBOOST: Mapping[str, tuple[str, Domain | None]] = {
    "RMSE": ("RawFormulaVal", None),
    "MAE": ("RawFormulaVal", None),
    "MAPE": ("RawFormulaVal", None),
    "RMSPE": ("RawFormulaVal", _without_zero),
    "LogCosh": ("RawFormulaVal", None),
    "Quantile": ("RawFormulaVal", None),
    "Quantile:alpha=<number>": ("RawFormulaVal", None),
    "Expectile:alpha=<number>": ("RawFormulaVal", None),
    "Huber:delta=<number>": ("RawFormulaVal", None),
    "Lq:q=<number>": ("RawFormulaVal", None),
    "Poisson": ("Exponent", _from_zero),
    "Tweedie:variance_power=<number>": ("Exponent", _from_zero),
}
CATBOOST_CLASSES: Mapping[Task, Sequence[str]] = {"binary": ("Logloss", "MultiClass"), "multiclass": ("MultiClass",)}
# The options of these losses, from the messages of CatBoost's libs/metrics/metric.cpp. Larger powers overflow.
_CATBOOST_OPTIONS: Mapping[str, Parameter] = {
    "Quantile": real(0, 1),
    "Expectile": real(0, 1),
    "Huber": real(0),
    "Lq": real(1, 16),
    "Tweedie": real(1, 2, low_open=True, high_open=True),
}
# The losses whose best value of a leaf CatBoost computes, and those that have no second derivative.
CATBOOST_EXACT = ("Quantile", "MAE", "MAPE", "RMSPE", "LogCosh")
CATBOOST_WITHOUT_NEWTON = ("MAE", "MAPE", "Quantile", "Lq")
# Values of scikit-learn's parameters ``loss`` and ``criterion``; all others can be fitted on any target.
SCIKIT: Mapping[str, Domain] = {"gamma": _above_zero, "poisson": _not_only_zero}


def catboost_prediction(loss: str, classes: int = 0) -> str | None:
    """Return the type of prediction that is on the target's scale, None for a loss that is not listed.

    Args:
        loss: Its name, with or without options.
        classes: Number of classes, 0 for a quantity. Their probabilities follow from the logarithms of odds.
    """
    if classes:
        return "RawFormulaVal" if loss in CATBOOST_CLASSES[task_of(range(classes))] else None
    kinds = {form.partition(":")[0]: kind for form, (kind, _) in CATBOOST.items()}
    return kinds.get(loss.partition(":")[0])


def catboost_domain(loss: str) -> Domain | None:
    """Return the domain of a loss of CatBoost, by its name with or without options."""
    domains = {form.partition(":")[0]: domain for form, (_, domain) in CATBOOST.items()}
    return domains.get(loss.partition(":")[0])


def catboost_option_fault(loss: str) -> str | None:
    """Return what is wrong with the option of a loss of CatBoost, such as ``Quantile:alpha=2``; None if nothing is."""
    name, _, option = loss.partition(":")
    key, _, value = option.partition("=")
    declared = _CATBOOST_OPTIONS.get(name)
    if not option or declared is None:
        return None
    try:
        declared.decode(value)
    except ValueError:
        return f"{key} must be {declared.describe()}"
    return None


def tweedie_domain(power: float) -> Domain | None:
    """Return the domain of the Tweedie deviance of this power, as in ``sklearn.linear_model.TweedieRegressor``."""
    if power <= 0:
        return None
    return _from_zero if power < 2 else _above_zero
