"""Blenders: they combine members' predictions, with given weights or weights fitted out of fold."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from ensemble.arrays import Floats
from ensemble.classes import ALL_TASKS, CLASS_TASKS, Task
from ensemble.elementary import LEAST_PROBABILITY, log
from ensemble.errors import EnsembleError, InputError, did_you_mean, listed
from ensemble.evaluation import of_true_class
from ensemble.log_linear import Logarithms, fit_stack, fit_temperature, pool_weights, softmax
from ensemble.own_class import own_class
from ensemble.simplex import Derivatives, minimise_on_simplex, towards_equal

Rule = Literal["linear", "log", "vote"]
GREEDY_ROUNDS = 50
# Probabilities count as at least this where logarithms are added up: a forest of few trees often says exactly 0.
LEAST = 1e-3
# The share of the mean probabilities in those of a vote, so that they decide ties and no class has exactly 0.
TIE = 1e-9
# Fewer rows give no temperature.
CALIBRATION_ROWS = 50
# By how much probabilities, and weights of a mean of probabilities, may miss the sum 1.
SUM_ERROR = 1e-6
STACKING_ALPHAS = tuple(10.0**power for power in np.arange(-3, 6.5, 0.5))


@dataclass(frozen=True)
class Passed:
    """One feature that a blend adds to the members' predictions.

    Attributes:
        place: The column's position among the features, from 0.
        fill: The value that replaces a missing one, in the feature's unit.
        weight: The feature's coefficient: units of the target per unit of the feature.
    """

    place: int
    fill: float
    weight: float


@dataclass(frozen=True)
class Blend:
    """A combination of members' predictions.

    A quantity is a weighted sum. Probabilities of classes are combined by ``rule``, and their logarithms are then
    divided by the temperature:

    - ``linear``: their weighted sum.
    - ``log``: in proportion to the exponential of the class's bias and the weighted sum of their logarithms.
    - ``vote``: the weight of the members for which the class is the most probable one. A tie is decided by the weighted
      sum.

    Attributes:
        weights: One weight per member, without a unit.
        intercept: A constant that is added to the sum, in the target's unit.
        passed: The features that are added to the sum.
        rule: How probabilities are combined.
        biases: One bias per class, for the rule ``log``; empty if all are 0.
        temperature: Above 1 it makes probabilities more equal, below 1 less.
    """

    weights: tuple[float, ...]
    intercept: float = 0.0
    passed: tuple[Passed, ...] = ()
    rule: Rule = "linear"
    biases: tuple[float, ...] = ()
    temperature: float = 1.0

    def predict(self, members: Floats, features: Floats) -> Floats:
        """Blend predictions.

        The sum goes column by column: a matrix product may add up in a different order on another machine.

        Args:
            members: The members' predictions, float64: quantities, shape (rows, members), in the target's unit, or
                probabilities, shape (rows, members, classes).
            features: Shape (rows, columns), float64, NaN where missing.

        Returns:
            The blended predictions, float64: quantities, shape (rows,), in the target's unit, or probabilities, shape
            (rows, classes).

        Raises:
            ValueError: The number of members is not the number of weights.
        """
        if members.ndim == 3:
            return self._probabilities(members)
        total = np.full(len(members), self.intercept)
        for column, weight in zip(members.T, self.weights, strict=True):
            total += weight * column
        for passed in self.passed:
            values = features[:, passed.place]
            total += passed.weight * np.where(np.isnan(values), passed.fill, values)
        return total

    def _probabilities(self, members: Floats) -> Floats:
        if self.rule == "log":
            logarithms = self._sum(logarithm_of(members)) + (np.array(self.biases) if self.biases else 0.0)
            return _softmax(logarithms / self.temperature)
        blended = self._sum(members)
        if self.rule == "vote":
            votes = members.argmax(axis=2)[:, :, None] == np.arange(members.shape[2])
            blended = (self._sum(votes.astype(np.float64)) + TIE * blended) / (1.0 + TIE)
        return (
            blended
            if self.temperature == 1.0
            else _softmax(logarithm_of(blended, LEAST_PROBABILITY) / self.temperature)
        )

    def _sum(self, members: Floats) -> Floats:
        total = np.zeros((members.shape[0], members.shape[2]))
        for place, weight in zip(range(members.shape[1]), self.weights, strict=True):
            total += weight * members[:, place]
        return total

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back; what only classes need is left out at its default."""
        found = asdict(self)
        of_classes = ("rule", "biases", "temperature")
        return {name: value for name, value in found.items() if name not in of_classes or value != _DEFAULTS[name]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Blend:
        """Read what ``as_dict`` wrote."""
        passed = tuple(Passed(**entry) for entry in data["passed"])
        found = {name: data.get(name, default) for name, default in _DEFAULTS.items()}
        return cls(
            tuple(data["weights"]),
            data["intercept"],
            passed,
            found["rule"],
            tuple(found["biases"]),
            found["temperature"],
        )


_DEFAULTS: dict[str, Any] = {"rule": "linear", "biases": (), "temperature": 1.0}


def logarithm_of(probabilities: Floats, least: float = LEAST) -> Floats:
    """Return the logarithm of probabilities, of which none counts as less than ``least``."""
    return log(np.maximum(probabilities, least))


def _softmax(logarithms: Floats) -> Floats:
    return np.ascontiguousarray(softmax(logarithms.T).T)


@dataclass(frozen=True)
class Rows:
    """The rows on which a blend is fitted.

    Attributes:
        predictions: Out-of-fold predictions, float64: quantities, shape (rows, members), in the target's unit, or
            probabilities, shape (rows, members, classes).
        target: Shape (rows,), float64, finite: quantities, or class positions.
        features: Shape (rows, columns), float64, NaN where missing.
        weights: Row weights, shape (rows,), float64; None if all rows count equally.
        numbers: Positions of the features that are not categories.
    """

    predictions: Floats
    target: Floats
    features: Floats
    weights: Floats | None = None
    numbers: Sequence[int] = ()

    @property
    def classes(self) -> int:
        """Number of classes, 0 for a quantity."""
        return self.predictions.shape[2] if self.predictions.ndim == 3 else 0

    def take(self, index: Any) -> Rows:
        """Return the rows that ``index``, any NumPy index of the first axis, selects."""
        weights = None if self.weights is None else self.weights[index]
        return Rows(self.predictions[index], self.target[index], self.features[index], weights, self.numbers)


class Blender(abc.ABC):
    """Finds a blend of members' predictions.

    The contract for your own blender: it is constructed without arguments. ``fit`` may be called many times and keeps
    no state between calls. The same rows give the same blend, and any number of members, including one, gives a blend.
    An exception from ``fit`` fails the trial.

    Attributes:
        kind: Name in the registry. Your own blender does not need one.
        tasks: What it blends. If that includes classes, ``rows.predictions`` may be probabilities.
        fitted: Whether the blend depends on the target. The rows of a fold are then scored with a blend that was fitted
            on the other folds.
        passthrough: Whether ``fit`` uses the features.
        calibrated: Whether blended probabilities get a temperature, if the recipe asks for it.
    """

    kind: ClassVar[str]
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    fitted: ClassVar[bool] = True
    passthrough: ClassVar[bool] = False
    calibrated: ClassVar[bool] = True

    @abc.abstractmethod
    def fit(self, rows: Rows) -> Blend:
        """Return the blend for these rows, with one weight per column of ``rows.predictions``, in order."""

    def first(self, rows: Rows) -> Blend:
        """Return the blend where there are no rows to fit it on: equal weights, if it depends on the target."""
        return Mean().fit(rows) if self.fitted else self.fit(rows)


class Mean(Blender):
    """Equal weights."""

    kind = "mean"
    tasks = ALL_TASKS
    fitted = False

    def fit(self, rows: Rows) -> Blend:
        """Return equal weights."""
        members = rows.predictions.shape[1]
        return Blend((1.0 / members,) * members)


class Fixed(Blender):
    """Weights that the user gives, scaled to sum to one."""

    kind = "fixed"
    tasks = ALL_TASKS
    fitted = False

    def __init__(self, given: Sequence[float]) -> None:
        """Keep ``given``: one non-negative number per member, not all zero."""
        self._weights = np.asarray(given, dtype=np.float64) / float(np.sum(given))

    def fit(self, rows: Rows) -> Blend:
        """Return the user's weights."""
        return Blend(tuple(self._weights.tolist()))


class Weighted(Blender):
    """The non-negative weights with sum one that minimise the error (L. Breiman, "Stacked Regressions", 1996).

    The error of probabilities is the log loss; ``ensemble.simplex`` finds its minimum. For quantities it is the square.
    Since the weights sum to one, the blend's error is then the same mix of the members' errors E, so the task is to
    minimise ||E w|| on the simplex. Minimising ||E u||^2 + (sum(u) - 1)^2 over u >= 0 finds w exactly, up to scale:
    for a direction w the best scale leaves ||E w||^2 / (1 + ||E w||^2), which grows with ||E w||
    (C. Lawson and R. Hanson, "Solving Least Squares Problems", 1974, chapter 23).
    """

    kind = "weighted"
    tasks = ALL_TASKS
    fitted = True

    def fit(self, rows: Rows) -> Blend:
        """Return the best weights on these rows."""
        if rows.classes:
            return _blend(_weights_of_least_log_loss(rows))
        from scipy.optimize import nnls

        errors = rows.predictions - rows.target[:, None]
        if rows.weights is not None:
            errors = errors * np.sqrt(rows.weights / np.mean(rows.weights))[:, None]
        members = errors.shape[1]
        scale = float(np.sqrt(np.mean(errors**2)))
        if scale == 0.0:
            return Blend((1.0 / members,) * members)
        triangle = np.linalg.qr(errors / (scale * np.sqrt(len(errors))), mode="r")
        system = np.vstack([triangle, np.ones(members)])
        goal = np.zeros(len(system))
        goal[-1] = 1.0
        solution, _ = nnls(system, goal)
        return Blend(tuple((solution / solution.sum()).tolist()))


class Greedy(Blender):
    """Picks members one at a time, with replacement: in each round the one that most improves the mean of the picks.

    The error of probabilities is the log loss, that of quantities the square.

    Source: R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble Selection from Libraries of Models", ICML
    2004.
    """

    kind = "greedy"
    tasks = ALL_TASKS
    fitted = True

    def fit(self, rows: Rows) -> Blend:
        """Return each member's share of the picks in the best round."""
        counts = np.zeros(rows.predictions.shape[1])
        total = np.zeros(len(rows.target))
        best, best_error = counts, np.inf
        # The log loss depends on the probability of the true class alone.
        predictions = of_true_class(rows.predictions, rows.target) if rows.classes else rows.predictions
        for picks in range(1, GREEDY_ROUNDS + 1):
            together = (total[:, None] + predictions) / picks
            errors = (
                -log(np.maximum(together, LEAST_PROBABILITY))
                if rows.classes
                else (together - rows.target[:, None]) ** 2
            )
            mean = np.average(errors, axis=0, weights=rows.weights)
            pick = int(np.argmin(mean))
            counts[pick] += 1
            total += predictions[:, pick]
            if mean[pick] < best_error:
                best, best_error = counts / picks, float(mean[pick])
        return Blend(tuple(best.tolist()))


class Stacking(Blender):
    """Regression on the members' predictions, with a penalty that pulls towards weights that sum to one.

    For quantities it is ridge regression, and the penalty pulls towards the weights of ``weighted``.
    Generalised cross-validation chooses the penalty. With few rows, the weights are close to the non-negative ones that
    sum to one; with many rows, they are the best ones, which may be negative, and there is an intercept. The usual
    penalty, which pulls towards zero, made a blend of nine members worse on small tables by as much as it made it
    better on large ones.

    For classes it is multinomial logistic regression on the logarithms of the members' probabilities, with a weight for
    each member and a bias for each class (``ensemble.log_linear``). The penalty pulls towards ``log_pool`` with its
    temperature. Pulling towards the weights of ``weighted`` gave a log loss that was higher by 15%.

    Sources: D. H. Wolpert, "Stacked generalization", Neural Networks 5, 241-259, 1992; G. Golub, M. Heath, G. Wahba,
    "Generalized Cross-Validation as a Method for Choosing a Good Ridge Parameter", Technometrics 21, 215-223, 1979.
    """

    kind = "stacking"
    tasks = ALL_TASKS
    fitted = True

    def fit(self, rows: Rows) -> Blend:
        """Return the regression's coefficients."""
        if rows.classes:
            logarithms = _logarithms(rows)
            pool = pool_weights(logarithms)
            scale = fit_temperature(logarithms.sum(pool), rows.target, rows.weights)
            found = fit_stack(logarithms, pool / scale)
            return _blend(found.weights, rule="log", biases=tuple(found.biases.tolist()))
        from sklearn.linear_model import RidgeCV

        numbers = list(rows.numbers) if self.passthrough else []
        values = rows.features[:, numbers]
        known = ~np.isnan(values)
        present = [column[mask] for column, mask in zip(values.T, known.T, strict=True)]
        fills = [float(np.median(column)) if len(column) else 0.0 for column in present]
        values = np.where(known, values, np.asarray(fills)[None, :]) if numbers else values
        spread = values.std(axis=0)
        # Members share the target's unit, so one scale keeps them comparable; each feature has its own unit.
        unit = float(np.std(rows.target)) or 1.0
        members = rows.predictions.shape[1]
        scales = np.concatenate([np.full(members, unit), np.where(spread > 0, spread, 1.0)])
        inputs = np.column_stack([rows.predictions, values]) / scales
        start = Weighted().fit(rows)
        residual = rows.target - start.predict(rows.predictions, rows.features)
        model = RidgeCV(alphas=STACKING_ALPHAS).fit(inputs, residual, sample_weight=rows.weights)
        coefficients = (model.coef_ / scales).tolist()
        passed = tuple(
            Passed(place, fill, weight)
            for place, fill, weight in zip(numbers, fills, coefficients[members:], strict=True)
        )
        weights = tuple(old + change for old, change in zip(start.weights, coefficients[:members], strict=True))
        return Blend(weights, float(model.intercept_), passed)


class StackingPassthrough(Stacking):
    """Stacking that also uses the numeric features."""

    kind = "stacking_passthrough"
    tasks = frozenset({"regression"})
    passthrough = True


class LogPool(Blender):
    """The non-negative weights with sum one of the logarithmic opinion pool that minimise the log loss."""

    kind = "log_pool"
    tasks = CLASS_TASKS

    def fit(self, rows: Rows) -> Blend:
        """Return the best weights on these rows."""
        return _blend(pool_weights(_logarithms(rows)), rule="log")


class Vote(Blender):
    """A vote: the probability of a class is the share of the members that find it the most probable one."""

    kind = "vote"
    tasks = CLASS_TASKS
    fitted = False
    calibrated = False

    def fit(self, rows: Rows) -> Blend:
        """Return equal weights."""
        return replace(Mean().fit(rows), rule="vote")


def _blend(weights: Floats, **more: Any) -> Blend:
    return Blend(tuple(weights.tolist()), **more)


def _logarithms(rows: Rows) -> Logarithms:
    return Logarithms(logarithm_of(rows.predictions), rows.target, rows.weights)


def _weights_of_least_log_loss(rows: Rows) -> Floats:
    """Return the weights of the mean, not negative and with sum one, with the least log loss, shape (members,)."""
    columns = np.maximum(of_true_class(rows.predictions, rows.target).T, LEAST_PROBABILITY)
    share = np.ones(len(rows.target)) if rows.weights is None else rows.weights
    share = share / float(np.sum(share))

    def log_loss(weights: Floats) -> Derivatives:
        total = np.zeros(len(rows.target))
        for weight, column in zip(weights, columns, strict=True):
            total += weight * column
        ratios = columns / total
        weighed = share * ratios
        hessian = np.array([np.sum(weighed * row, axis=1) for row in ratios])
        return -float(np.sum(share * log(total))), -np.sum(weighed, axis=1), hessian

    return minimise_on_simplex(towards_equal(log_loss, len(columns), len(rows.target)), len(columns))


class Calibrated(Blender):
    """Another blender, whose probabilities get the temperature that suits the rows best.

    The temperature is fitted on the blend's probabilities for the rows on which the blend is fitted, which are made of
    out-of-fold predictions. Fewer than ``CALIBRATION_ROWS`` rows have the temperature 1.
    """

    def __init__(self, blender: Blender) -> None:
        """Calibrate the blends of ``blender``."""
        self._blender = blender

    def fit(self, rows: Rows) -> Blend:
        """Return the other blender's blend with a temperature."""
        blend = self._blender.fit(rows)
        if len(rows.target) < CALIBRATION_ROWS:
            return blend
        blended = logarithm_of(blend.predict(rows.predictions, rows.features), LEAST_PROBABILITY)
        return replace(blend, temperature=fit_temperature(blended.T, rows.target, rows.weights))

    def first(self, rows: Rows) -> Blend:
        """Return the other blender's, without a temperature."""
        return self._blender.first(rows)


def fit_blend(blender: Blender, rows: Rows) -> Blend:
    """Return a blender's blend of these rows.

    Raises:
        EnsembleError: The blender is the user's own, and its weights do not make probabilities of probabilities.
    """
    blend = blender.fit(rows)
    weights = np.array(blend.weights)
    mixes = blend.rule != "log"
    if rows.classes and mixes and not (weights.min() >= 0 and abs(float(np.sum(weights)) - 1) <= SUM_ERROR):
        raise EnsembleError(
            "the blender's weights do not give probabilities: for classes they must not be negative and must sum to "
            f"one, unless the blend's rule is log; they are {', '.join(f'{weight:.3g}' for weight in weights)}."
        )
    return blend


_BLENDERS: tuple[type[Blender], ...] = (
    Mean,
    Weighted,
    Greedy,
    Stacking,
    StackingPassthrough,
    LogPool,
    Vote,
    Fixed,
)
REGISTRY: dict[str, type[Blender]] = {blender.kind: blender for blender in _BLENDERS}


def make_blender(
    kind: str,
    members: Sequence[str],
    given: Mapping[str, float] | None,
    place: str,
    task: Task | None = None,
    *,
    calibrate: bool = False,
) -> Blender:
    """Return the blender ``kind`` for these members.

    Args:
        kind: Name in the registry, or ``module:Class`` for the user's own class.
        members: Member names, in order.
        given: Weights by member name, for ``fixed`` only.
        place: The key or parameter that holds ``kind``, for messages.
        task: What is blended; None if that is not known yet.
        calibrate: Whether the blended probabilities of classes get a temperature.

    Raises:
        InputError: There is no such blender, or the weights or the task do not fit it.
    """
    blender = _blender(kind, members, given, place)
    if task is not None and task not in blender.tasks:
        others = [name for name, other in REGISTRY.items() if task in other.tasks]
        raise InputError(
            f"{place}={kind} does not blend {'a quantity' if task == 'regression' else 'classes'}. Blenders that do: "
            f"{listed(others)}."
        )
    of_classes = task is not None and task != "regression"
    return Calibrated(blender) if calibrate and of_classes and blender.calibrated else blender


def _blender(kind: str, members: Sequence[str], given: Mapping[str, float] | None, place: str) -> Blender:
    own = ":" in kind
    if not own and kind not in REGISTRY:
        raise InputError(
            f"{place}: there is no blender {kind!r}.{did_you_mean(kind, REGISTRY)} Blenders: {listed(REGISTRY)}; or "
            "your own class as module:Class."
        )
    if kind != Fixed.kind:
        if given:
            raise InputError(f"weights are given, but {place} is {kind!r}: use {place}={Fixed.kind} with weights.")
        return _own_blender(kind, place) if own else REGISTRY[kind]()
    if not given or set(given) != set(members):
        raise InputError(
            f"{place}={Fixed.kind} needs one weight for each of {listed(members)}; got {listed(given or ()) or 'none'}."
        )
    values = [float(given[name]) for name in members]
    if any(not value >= 0 for value in values) or not 0 < sum(values) < np.inf:
        raise InputError(f"{place}={Fixed.kind} needs weights that are not negative and not all zero; got {values}.")
    return Fixed(values)


def _own_blender(kind: str, place: str) -> Blender:
    found: type[Blender] = own_class(kind, Blender, place)  # type: ignore[type-abstract]
    try:
        return found()
    except Exception as error:  # the class is the user's, and may raise anything
        raise InputError(f"{place}: {kind!r} cannot be made without arguments ({error}).") from None
