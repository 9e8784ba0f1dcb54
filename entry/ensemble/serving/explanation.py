"""Why a model predicts what it does: for each column a part of the prediction, which add up to it with a base value.

The parts are Shapley values (S. Lundberg and S.-I. Lee, "A Unified Approach to Interpreting Model Predictions", NIPS
2017): what a column adds to the prediction once it is known, on average over the orders in which they become known.
Each member has its own way to average over what is not known yet, and the parts of the blend are the weighted sum of
those of the members, as its base value is that of theirs:

- Members of trees use the shares in which training rows went down each tree, by the algorithm of their library.
- Linear members compare with the mean of the training rows, in closed form.
- All others, and classes, are compared with typical rows (``ensemble.typical_rows``), whose values become those of the
  row one by one, in random orders (E. Strumbelj and I. Kononenko, "Explaining prediction models and individual
  predictions with feature contributions", Knowledge and Information Systems 41, 647-665, 2014) and the same from their
  ends. The parts of each order add up exactly. Their standard error is that of the orders.

Probabilities of classes are not a sum over trees, so the blend is sampled as a whole: the probability of the positive
class of two, and of more that of each class, from the same samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.nested_blend import averaged
from ensemble.serving.errors import NOT_ACCEPTABLE, TOO_LARGE, RequestError
from ensemble.sketch import Sketch
from ensemble.table import Column
from ensemble.training import FittedEnsemble
from ensemble.typical_rows import typical_rows

# Typical rows with which a row is compared, each in two orders and from both ends of these: as many as make this many
# predictions for a row, within these bounds.
PREDICTIONS_A_ROW, FEWEST_TYPICAL, MOST_TYPICAL = 2_000, 4, 32
# With more columns a single row would take seconds.
MOST_SAMPLED_COLUMNS = 1_000
# Rows from which a linear member's mean is found.
MEAN_ROWS = 1_000
# Cells that a member predicts at once, values of samples that are kept at once, and rows that are explained at once.
_CELLS, _KEPT, _ROWS = 4_000_000, 4_000_000, 64
# The first rows of a request show how long the others take. A row alone takes several times as long as among others.
_FIRST, _ALONE = (1, 7, 56), 4.0


@dataclass(frozen=True)
class Limit:
    """The most that is explained at once.

    Attributes:
        rows: The number of rows.
        values: The number of parts, one for each row and column.
        predictions: The number of predictions of sampled members.
        remedy: What to do, as the end of a message.
        seconds: How long it may take. It is half of the time that a server has for an answer.
    """

    rows: int
    values: int
    predictions: int
    remedy: str
    seconds: float = math.inf


REQUEST = Limit(
    1_000,
    1_000_000,
    2_000_000,
    "Send fewer rows at a time, or use action=batch, which explains any number of rows.",
    seconds=30.0,
)
CALL = Limit(
    10_000, 10_000_000, 20_000_000, "Explain fewer rows at a time, or use action=batch, which shows its progress."
)


@dataclass(frozen=True)
class Explanation:
    """The parts of some predictions.

    Attributes:
        base: The base values, shape (rows,): what is predicted on average where no column is known.
        parts: Each column's part, shape (rows, columns), in the target's unit, or in probability.
        errors: The standard error of each part, of the same shape; None if nothing is sampled.
        predicted: What base and parts add up to, shape (rows,): the prediction, or the probability of a class.
        classes: The position of that class, shape (rows,); None for a number.
        each: Of more than two classes, the same for the probability of each class in order; otherwise empty.
    """

    base: Floats
    parts: Floats
    errors: Floats | None
    predicted: Floats
    classes: npt.NDArray[np.intp] | None = None
    each: tuple[Explanation, ...] = ()


@dataclass(frozen=True)
class Explainer:
    """Explains the predictions of a model.

    Attributes:
        ensemble: The model.
        columns: Its features, in order.
        sketch: What the rows were like that it learnt from; None in a model of an earlier version.
        positive: The position of the positive class of two; None for numbers and for more classes.
        classes: The number of classes; 0 for numbers.
    """

    ensemble: FittedEnsemble
    columns: Sequence[Column]
    sketch: Sketch | None
    positive: int | None = None
    classes: int = 0

    @cached_property
    def exact(self) -> tuple[str, ...]:
        """The members whose parts are computed and not sampled."""
        models = {} if self.ensemble.decision is not None else self.ensemble.models
        return tuple(name for name in self._counting if name in models and all(one.explained for one in models[name]))

    @cached_property
    def sampled(self) -> tuple[str, ...]:
        """The members whose parts are sampled."""
        return tuple(name for name in self._counting if name not in self.exact)

    @cached_property
    def _counting(self) -> tuple[str, ...]:
        return tuple(name for name, weight in self.ensemble.weights.items() if weight != 0)

    @cached_property
    def _typical(self) -> int:
        """The number of typical rows."""
        return int(np.clip(PREDICTIONS_A_ROW // (4 * len(self.columns)), FEWEST_TYPICAL, MOST_TYPICAL))

    def check(self, rows: int = 0, limit: Limit | None = None) -> None:
        """Raise RequestError if rows of this model cannot be explained, or are more than ``limit`` allows."""
        count = len(self.columns)
        if self.sampled and self.sketch is None:
            raise RequestError(
                NOT_ACCEPTABLE,
                "no_explanation",
                "detail=explanation: this model was saved by an earlier version, without what the rows were like that "
                f"it learnt from, which {', '.join(self.sampled)} needs. Train it again.",
                got="explanation",
            )
        if self.sampled and count > MOST_SAMPLED_COLUMNS:
            raise RequestError(
                NOT_ACCEPTABLE,
                "too_many_columns",
                f"detail=explanation: this model has {count:,} columns, and the parts of {', '.join(self.sampled)} are "
                f"sampled, which is possible for up to {MOST_SAMPLED_COLUMNS:,}. Train it with fewer columns, or for a "
                "number with members that are not sampled: xgboost, catboost, lightgbm, ridge and additive.",
                expected=MOST_SAMPLED_COLUMNS,
                got=f"{count} columns",
            )
        if limit is not None and rows > (most := self.most_rows(limit)):
            raise RequestError(
                TOO_LARGE,
                "too_much_to_explain",
                f"detail=explanation: {rows:,} rows are too many to explain at once: of this model it is up to "
                f"{most:,}. {limit.remedy}",
                expected=most,
                got=f"{rows} rows",
            )

    def most_rows(self, limit: Limit) -> int:
        """Return how many rows are within a limit, at least one. How long they take shows when some are explained."""
        count = len(self.columns)
        most = min(limit.rows, limit.values // (count * len(self._outputs)))
        if self.sampled:
            most = min(most, limit.predictions // (4 * self._typical * count))
        return max(most, 1)

    @cached_property
    def _outputs(self) -> list[int]:
        """Positions of what is explained among the outputs of the ensemble: a number, one of two classes, or each."""
        if self.ensemble.decision is None:
            return [0]
        return list(range(self.classes)) if self.positive is None else [self.positive]

    def explain(
        self,
        features: Floats,
        members: Floats,
        blended: Floats,
        labels: npt.NDArray[np.intp],
        limit: Limit | None = None,
    ) -> Explanation:
        """Return the parts of predictions. The same row has the same parts among any others.

        Args:
            features: The rows, shape (rows, columns), float64, NaN where missing.
            members: The members' predictions for them, as in ``Prediction``.
            blended: The blend's.
            labels: The position of each row's predicted class, shape (rows,); ignored for a number.
            limit: The most that is explained; None for any number of rows.

        Raises:
            RequestError: As in ``check``; or the rows would take longer than ``limit`` allows.
        """
        self.check(len(features), limit)
        of_classes = self.ensemble.decision is not None
        predicted = blended[:, self._outputs] if of_classes else blended[:, None]
        ends = predicted if of_classes else self._sampled_sum(members)[:, None]
        base = np.zeros(predicted.shape)
        parts = np.zeros((*features.shape, len(self._outputs)))
        errors = np.zeros(parts.shape) if self.sampled else None
        began = time.perf_counter()
        for rows in self._slices(len(features)):
            if not of_classes:
                self._add_known(features[rows], base[rows, 0], parts[rows, :, 0])
            if errors is not None:
                found = self._sample(features[rows], ends[rows])
                base[rows] += found[0]
                parts[rows] += found[1]
                errors[rows] = found[2]
            if limit is not None:
                _check_time(time.perf_counter() - began, rows.stop, len(features), limit)
        each = []
        for place in range(len(self._outputs)):
            one = base[:, place].copy(), parts[:, :, place].copy()
            _share_rest(predicted[:, place], *one)
            each.append(Explanation(*one, None if errors is None else errors[:, :, place], predicted[:, place]))
        if len(each) == 1:
            return replace(each[0], classes=np.full(len(features), self.positive) if of_classes else None)
        return _of_rows(each, labels)

    def _slices(self, rows: int) -> Iterator[slice]:
        """Yield the parts of some rows that are explained at once."""
        kept = 2 * self._typical * len(self.columns) * len(self._outputs) if self.sampled else 1
        most = min(_ROWS, max(1, _KEPT // kept))
        sizes, start = iter(_FIRST), 0
        while start < rows:
            stop = min(start + min(next(sizes, most), most), rows)
            yield slice(start, stop)
            start = stop

    def _add_known(self, features: Floats, base: Floats, parts: Floats) -> None:
        """Add what is computed in closed form: the intercept, features in the blend, and the exact members."""
        blend, weights = self.ensemble.blend, self.ensemble.weights
        base += blend.intercept
        for passed in blend.passed:
            values = features[:, passed.place]
            base += passed.weight * passed.fill
            parts[:, passed.place] += passed.weight * np.where(np.isnan(values), 0.0, values - passed.fill)
        for name in self.exact:
            found = averaged([one.contributions(features, self._mean_rows) for one in self.ensemble.models[name]])
            parts += weights[name] * found[:, :-1]
            base += weights[name] * found[:, -1]

    @cached_property
    def _mean_rows(self) -> Floats | None:
        if self.sketch is None or not any(column.type == "category" for column in self.columns):
            return None
        return typical_rows(self.sketch, self.columns, MEAN_ROWS)

    def _sampled_sum(self, members: Floats) -> Floats:
        """Return the weighted sum of the sampled members' predictions, shape (rows,)."""
        weights, total = self.ensemble.weights, np.zeros(len(members))
        for place, name in enumerate(self.ensemble.models):
            if name in self.sampled:
                total += weights[name] * members[:, place]
        return total

    @cached_property
    def _function(self) -> Callable[[Floats], Floats]:
        """What is sampled: the predictions for rows, shape (rows, outputs)."""
        if self.ensemble.decision is not None:
            return self.ensemble.predict
        models = {name: self.ensemble.models[name] for name in self.sampled}

        def weighted_sum(features: Floats) -> Floats:
            total = np.zeros((len(features), 1))
            for name, found in models.items():
                mean = averaged(type(found[0]).predict_each(found, features))
                total[:, 0] += self.ensemble.weights[name] * mean
            return total

        return weighted_sum

    @cached_property
    def _walks(self) -> _Walks:
        if self.sketch is None:
            raise ValueError("nothing can be sampled without a sketch")
        rows = np.repeat(typical_rows(self.sketch, self.columns, self._typical), 2, axis=0)
        random = np.random.default_rng(0)
        orders: list[npt.NDArray[np.intp]] = []
        while len(orders) < len(rows):
            order = random.permutation(len(self.columns))
            # The second order of a typical row is another one than the first, from either end.
            first = orders[-1] if len(orders) % 2 and len(order) > 2 else None
            if first is None or not (np.array_equal(order, first) or np.array_equal(order[::-1], first)):
                orders.append(order)
        return _Walks(rows, np.array(orders), self._function(rows)[:, self._outputs])

    def _sample(self, features: Floats, ends: Floats) -> tuple[Floats, Floats, Floats]:
        """Return base values, parts and standard errors of what is sampled.

        Args:
            features: Rows.
            ends: The predictions for them, shape (rows, outputs).

        Returns:
            Shape (outputs,), and twice (rows, columns, outputs).
        """
        walks, count, outputs = self._walks, features.shape[1], len(self._outputs)
        orders = len(walks.rows)
        found = np.empty((len(features), orders, count, outputs))
        steps = 2 * (count - 1)
        pairs = [(row, order) for row in range(len(features)) for order in range(orders)]
        at_once = max(1, _CELLS // max(steps * count, 1))
        for start in range(0, len(pairs), at_once):
            row, order = np.array(pairs[start : start + at_once]).T
            between = np.empty((len(row), 0, outputs))
            if steps:
                mixed = np.where(walks.known[order], features[row][:, None, :], walks.rows[order][:, None, :])
                values = self._function(mixed.reshape(-1, count))
                between = values[:, self._outputs].reshape(len(row), steps, outputs)
            first, last = walks.starts[order][:, None], ends[row][:, None]
            one = np.diff(np.concatenate([first, between[:, : count - 1], last], axis=1), axis=1)
            other = np.diff(np.concatenate([first, between[:, count - 1 :], last], axis=1), axis=1)[:, ::-1]
            found[row[:, None], order[:, None], walks.orders[order]] = (one + other) / 2
        mean = averaged([found[:, order] for order in range(orders)])
        # Two orders for each typical row tell how much the order matters.
        apart = averaged([(found[:, order] - found[:, order + 1]) ** 2 for order in range(0, orders, 2)])
        return averaged(list(walks.starts)), mean, np.sqrt(apart / (2 * orders))


def _of_rows(each: Sequence[Explanation], labels: npt.NDArray[np.intp]) -> Explanation:
    """Return the explanation of each row's own class, with those of all classes."""
    rows = np.arange(len(labels))
    base, predicted = (np.stack([getattr(one, name) for one in each])[labels, rows] for name in ("base", "predicted"))
    parts = np.stack([one.parts for one in each])[labels, rows]
    errors = np.stack([np.asarray(one.errors) for one in each])[labels, rows]
    return Explanation(base, parts, errors, predicted, labels, tuple(each))


def _check_time(seconds: float, done: int, rows: int, limit: Limit) -> None:
    """Raise RequestError if rows would take longer than a limit allows, by how long the first of them took."""
    each = seconds / done
    if done < rows and each * rows > limit.seconds * (_ALONE if done == 1 else 1.0):
        most = max(1, int(limit.seconds / each))
        raise RequestError(
            TOO_LARGE,
            "too_much_to_explain",
            f"detail=explanation: {rows:,} rows are too many to explain at once: this model takes {each:.2g} s for "
            f"each, so that up to {most:,} are possible. {limit.remedy}",
            expected=most,
            got=f"{rows} rows",
        )


@dataclass(frozen=True)
class _Walks:
    """Ways from typical rows to any row, on each of which one column after the other becomes known.

    Attributes:
        rows: The typical row of each order, shape (orders, columns): each one twice in succession.
        orders: Positions of the columns, shape (orders, columns).
        starts: What is predicted for ``rows``, shape (orders, outputs).
    """

    rows: Floats
    orders: npt.NDArray[np.intp]
    starts: Floats

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which columns are known after each step but the last, shape (orders, 2 * (columns - 1), columns).

        First come the steps in the order, then those in the order from its end.
        """
        count = self.rows.shape[1]
        rank = np.argsort(self.orders, axis=1)[:, None, :]
        steps = np.arange(1, count)[None, :, None]
        return np.concatenate([rank < steps, rank >= count - steps], axis=1)


def _share_rest(predicted: Floats, base: Floats, parts: Floats) -> None:
    """Add what is missing to the predictions to the parts in proportion to their size; without parts to the base value.

    It is what libraries round: XGBoost adds up in float32.
    """
    rest = predicted - base - _added(parts)
    sizes = _added(np.abs(parts))
    any_part = sizes > 0
    base[~any_part] += rest[~any_part]
    parts[any_part] += np.abs(parts[any_part]) * (rest[any_part] / sizes[any_part])[:, None]


def _added(parts: Floats) -> Floats:
    """Return the sum over the columns, added up in order."""
    total = np.zeros(len(parts))
    for column in parts.T:
        total += column
    return total
