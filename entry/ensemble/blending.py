"""How members' predictions become one: a weighted sum, whose weights are given or fitted on out-of-fold predictions."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.base import Floats
from ensemble.own_class import own_class

GREEDY_ROUNDS = 50
STACKING_ALPHAS = tuple(10.0**power for power in np.arange(-3, 6.5, 0.5))


@dataclass(frozen=True)
class Passed:
    """One feature that a blend sees besides the members.

    Attributes:
        place: The column's position.
        fill: What a missing value counts as.
        weight: Per unit of the feature.
    """

    place: int
    fill: float
    weight: float


@dataclass(frozen=True)
class Blend:
    """A finished blend.

    Attributes:
        weights: One a member.
        intercept: Added to the sum.
        passed: Features that are added too.
    """

    weights: tuple[float, ...]
    intercept: float = 0.0
    passed: tuple[Passed, ...] = ()

    def predict(self, members: Floats, features: Floats) -> Floats:
        """Return the blend, shape (rows,), of members' predictions (rows x members) on ``features`` (rows x columns).

        Summed column after column: a matrix product may add up in another order on another machine.
        """
        total = np.full(len(members), self.intercept)
        for column, weight in zip(members.T, self.weights, strict=True):
            total += weight * column
        for passed in self.passed:
            values = features[:, passed.place]
            total += passed.weight * np.where(np.isnan(values), passed.fill, values)
        return total

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Blend:
        """Read what ``as_dict`` wrote."""
        passed = tuple(Passed(**entry) for entry in data["passed"])
        return cls(tuple(data["weights"]), data["intercept"], passed)


@dataclass(frozen=True)
class Rows:
    """What a blend is fitted on.

    Attributes:
        predictions: Out-of-fold predictions, shape (rows, members).
        target: Shape (rows,).
        features: Shape (rows, columns).
        weights: Shape (rows,), or None where every row counts alike.
        numbers: Positions of the features that are no categories.
    """

    predictions: Floats
    target: Floats
    features: Floats
    weights: Floats | None = None
    numbers: Sequence[int] = ()

    def take(self, index: Any) -> Rows:
        """Return the rows of ``index``."""
        weights = None if self.weights is None else self.weights[index]
        return Rows(self.predictions[index], self.target[index], self.features[index], weights, self.numbers)


class Blender(abc.ABC):
    """Finds a blend.

    Contract for one of your own: it is made without arguments; ``fit`` may be called many times and keeps nothing; the
    same rows give the same blend; any number of members gives one. An exception from ``fit`` means that the trial
    failed.

    Attributes:
        kind: Name in the registry; one of your own has none.
        fitted: Whether the blend depends on the target, so that a score needs one fitted on other rows.
        passthrough: Whether ``fit`` looks at the features.
    """

    kind: ClassVar[str]
    fitted: ClassVar[bool] = True
    passthrough: ClassVar[bool] = False

    @abc.abstractmethod
    def fit(self, rows: Rows) -> Blend:
        """Return the blend for these rows."""


class Mean(Blender):
    """Every member alike."""

    kind = "mean"
    fitted = False

    def fit(self, rows: Rows) -> Blend:
        """Return equal weights."""
        members = rows.predictions.shape[1]
        return Blend((1.0 / members,) * members)


class Fixed(Blender):
    """The user's own weights, scaled to sum to one."""

    kind = "fixed"
    fitted = False

    def __init__(self, given: Sequence[float]) -> None:
        """Keep ``given``, one non-negative number a member, not all zero."""
        self._weights = np.asarray(given, dtype=np.float64) / float(np.sum(given))

    def fit(self, rows: Rows) -> Blend:
        """Return the user's weights."""
        return Blend(tuple(self._weights.tolist()))


class Weighted(Blender):
    """The non-negative weights with sum one that minimise the squared error (L. Breiman, "Stacked Regressions", 1996).

    Since the weights sum to one, the blend's error is the same mix of the members' errors E, so the task is to
    minimise ||E w|| on the simplex. Minimising ||E u||^2 + (sum(u) - 1)^2 over u >= 0 finds it exactly up to scale:
    for a direction w the best scale leaves ||E w||^2 / (1 + ||E w||^2), which grows with ||E w||
    (C. Lawson and R. Hanson, "Solving Least Squares Problems", 1974, chapter 23).
    """

    kind = "weighted"
    fitted = True

    def fit(self, rows: Rows) -> Blend:
        """Return the best weights on these rows."""
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
    """Members are picked one after another, with replacement, each time the one that helps the mean of the picks most.

    Source: R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble Selection from Libraries of Models", ICML
    2004.
    """

    kind = "greedy"
    fitted = True

    def fit(self, rows: Rows) -> Blend:
        """Return the shares of the picks in the best round."""
        counts = np.zeros(rows.predictions.shape[1])
        total = np.zeros(len(rows.target))
        best, best_error = counts, np.inf
        for picks in range(1, GREEDY_ROUNDS + 1):
            errors = ((total[:, None] + rows.predictions) / picks - rows.target[:, None]) ** 2
            mean = np.average(errors, axis=0, weights=rows.weights)
            pick = int(np.argmin(mean))
            counts[pick] += 1
            total += rows.predictions[:, pick]
            if mean[pick] < best_error:
                best, best_error = counts / picks, float(mean[pick])
        return Blend(tuple(best.tolist()))


class Stacking(Blender):
    """Ridge regression on the members' predictions, whose penalty pulls towards the weights of ``weighted``.

    The penalty is chosen by generalised cross-validation: few rows give about the non-negative weights with sum one,
    many rows whatever is best, negative weights and an intercept included. Pulled towards zero instead, as usual, the
    blend of nine members lost on small tables what it won on large ones.

    Sources: D. H. Wolpert, "Stacked generalization", Neural Networks 5, 241-259, 1992; G. Golub, M. Heath, G. Wahba,
    "Generalized Cross-Validation as a Method for Choosing a Good Ridge Parameter", Technometrics 21, 215-223, 1979.
    """

    kind = "stacking"
    fitted = True

    def fit(self, rows: Rows) -> Blend:
        """Return the regression's coefficients."""
        from sklearn.linear_model import RidgeCV

        numbers = list(rows.numbers) if self.passthrough else []
        values = rows.features[:, numbers]
        known = ~np.isnan(values)
        present = [column[mask] for column, mask in zip(values.T, known.T, strict=True)]
        fills = [float(np.median(column)) if len(column) else 0.0 for column in present]
        values = np.where(known, values, np.asarray(fills)[None, :]) if numbers else values
        spread = values.std(axis=0)
        # Members share the target's unit, so that one scale keeps them comparable; features have each their own.
        unit = float(np.std(rows.target)) or 1.0
        members = rows.predictions.shape[1]
        scales = np.concatenate([np.full(members, unit), np.where(spread > 0, spread, 1.0)])
        inputs = np.column_stack([rows.predictions, values]) / scales
        start = Weighted().fit(rows)
        left = rows.target - start.predict(rows.predictions, rows.features)
        model = RidgeCV(alphas=STACKING_ALPHAS).fit(inputs, left, sample_weight=rows.weights)
        moved = (model.coef_ / scales).tolist()
        passed = tuple(
            Passed(place, fill, weight) for place, fill, weight in zip(numbers, fills, moved[members:], strict=True)
        )
        weights = tuple(old + change for old, change in zip(start.weights, moved[:members], strict=True))
        return Blend(weights, float(model.intercept_), passed)


class StackingPassthrough(Stacking):
    """Stacking that sees the numeric features too."""

    kind = "stacking_passthrough"
    passthrough = True


_BLENDERS: tuple[type[Blender], ...] = (Mean, Weighted, Greedy, Stacking, StackingPassthrough, Fixed)
REGISTRY: dict[str, type[Blender]] = {blender.kind: blender for blender in _BLENDERS}


def make_blender(kind: str, members: Sequence[str], given: Mapping[str, float] | None, place: str) -> Blender:
    """Return the blender ``kind`` for these members.

    Args:
        kind: Name in the registry, or ``module:Class`` of the user's own.
        members: Member names in order.
        given: Weights by member name, for ``fixed`` only.
        place: Where ``kind`` stands, for the message.

    Raises:
        InputError: No such blender, or weights that do not fit it.
    """
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
