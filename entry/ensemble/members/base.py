"""The interface of every member of an ensemble."""

from __future__ import annotations

import abc
import contextlib
import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ensemble.arrays import Floats
from ensemble.classes import Task, task_of
from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.growth import Growth
from ensemble.parameters import Parameter, ParamValue, choice

_TARGETS: Mapping[Task, str] = {
    "regression": "a quantity",
    "binary": "two classes",
    "multiclass": "three or more classes",
}


class Member(abc.ABC):
    """One regressor or classifier behind a common interface.

    The contract, which ``tests/entry/test_members.py`` checks for every registered member:

    - The constructor only keeps the settings. Heavy libraries are imported in ``fit`` and ``load``.
    - ``fit`` is called at most once, and ``predict`` only after ``fit`` or ``load``. Neither changes its arguments.
    - Features are one float64 matrix. A category is a whole number from 0 to its number of levels minus 1. The member
      must handle categories in ``predict`` that were not in the rows of ``fit``.
    - The member must handle missing features (NaN). It learns everything that it needs for this in ``fit``.
    - The same parameters, seed and rows give the same model, regardless of the number of threads.
    - A model that was saved and loaded predicts exactly the same numbers as before.
    - An exception from ``fit`` or ``predict`` fails this trial and has no other effect.
    - For classes, the target is the position of each row's class, and predictions are probabilities. A class that is
      not among the rows of ``fit`` still has its column. ``tests/entry/test_class_members.py`` checks this.

    Attributes:
        kind: Name in the registry.
        suffix: File name suffix of a saved model, with the dot.
        tasks: What it can predict.
        parameters: All hyperparameters that may be set, with their declared types.
        by_task: The values of those parameters that depend on the task, by task; empty if any value is allowed. A task
            that is not listed does not have the parameter.
        defaults: Defaults of this member that differ from the library's.
        class_defaults: The defaults for classes that differ from ``defaults``.
        libraries: Distributions whose version decides what a saved model predicts.
        weighs: Whether ``fit`` uses row weights. A study with row weights refuses a member that does not.
        seeded: Whether another seed gives another model of the same rows. Models of several seeds are then averaged.
        float32: Whether the library rounds features to float32, which has 24 bits.
        float32_target: Whether it rounds the target to float32.
        spreads: Standard deviations of the target between which the library learns as well as from 1; measured.
        deciding: The parameters on which ``refusal`` depends.
        rounds: The parameter that is the number of boosting rounds, None if the member is not grown in rounds. Where it
            is not set or ``None``, a training finds the number with ``grow``, ``truncated`` and ``fit_rounds``.
        growing: Further defaults where the number of rounds is found. A library must not choose by that number.
        class_growing: Those for classes that differ from ``growing``.
    """

    kind: ClassVar[str]
    suffix: ClassVar[str]
    tasks: ClassVar[frozenset[Task]] = frozenset(("regression",))
    parameters: ClassVar[Mapping[str, Parameter]]
    by_task: ClassVar[Mapping[str, Mapping[Task, Sequence[str]]]] = {}
    defaults: ClassVar[Mapping[str, ParamValue]] = {}
    class_defaults: ClassVar[Mapping[str, ParamValue]] = {}
    libraries: ClassVar[tuple[str, ...]]
    weighs: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    float32: ClassVar[bool] = False
    float32_target: ClassVar[bool] = False
    spreads: ClassVar[tuple[float, float]] = (0.0, math.inf)
    deciding: ClassVar[Sequence[str]] = ()
    rounds: ClassVar[str | None] = None
    growing: ClassVar[Mapping[str, ParamValue]] = {}
    class_growing: ClassVar[Mapping[str, ParamValue]] = {}

    def __init__(
        self,
        params: Mapping[str, ParamValue],
        *,
        seed: int,
        threads: int,
        categories: Mapping[int, int] | None = None,
        classes: int = 0,
    ) -> None:
        """Keep the settings.

        Args:
            params: Values for any of ``parameters``; ``defaults`` and ``growing`` apply to the rest.
            seed: Seed of all random numbers.
            threads: Number of threads that ``fit`` and ``predict`` may use, at least 1.
            categories: Number of levels of each column that is a category, by the column's position.
            classes: Number of classes of the target, 0 if it is a quantity. Given only if it is above 0.
        """
        self.params: dict[str, ParamValue] = {**self.defaults_for(classes), **params}
        if self.finds_rounds(params):
            self.params = {**self.params, **self.growing, **(self.class_growing if classes else {}), **params}
        self.seed = seed
        self.threads = threads
        self.categories = dict(categories or {})
        self.classes = classes

    def import_libraries(self) -> None:
        """Import what ``fit`` needs, so that the time of a fit does not include it. It may be called often."""
        for library in getattr(self, "libraries", ()):
            with contextlib.suppress(ImportError):  # a distribution of another name than its module
                importlib.import_module(library.replace("-", "_"))

    @abc.abstractmethod
    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Fit the model.

        Args:
            features: Shape (rows, columns), float64, NaN where missing.
            target: Shape (rows,), float64, finite; for classes, the position of each row's class.
            weights: Row weights, shape (rows,), float64, not negative; None if all rows count equally.
        """

    @abc.abstractmethod
    def predict(self, features: Floats) -> Floats:
        """Return the predictions for ``features``.

        Args:
            features: Shape (rows, columns), float64, NaN where missing.

        Returns:
            One finite number per row, shape (rows,), float64, in the target's unit; for classes, their probabilities,
            shape (rows, classes), each row of which sums to 1.
        """

    def grow(self, features: Floats, target: Floats, weights: Floats | None, growth: Growth) -> None:
        """Fit the model round by round, as long as ``growth`` tells.

        ``growth.after`` gets the predictions for ``growth.features`` after each round, in order. The rounds are those
        that ``fit`` would grow. Called instead of ``fit``, if ``rounds`` names a parameter.

        Args:
            features: As in ``fit``.
            target: As in ``fit``.
            weights: As in ``fit``.
            growth: Where errors are noted, and what decides when growth ends.
        """
        raise NotImplementedError

    def truncated(self, rounds: int) -> Member:
        """Return this fitted member with its first ``rounds`` rounds only, or with all that it has.

        This member stays as it is. Called if ``rounds`` names a parameter.
        """
        raise NotImplementedError

    def fit_rounds(self, features: Floats, target: Floats, weights: Floats | None, rounds: int) -> None:
        """Fit the model with a number of rounds that was found. The other arguments are those of ``fit``."""
        self.params = {**self.params, str(self.rounds): rounds}
        self.fit(features, target, weights)

    @classmethod
    def finds_rounds(cls, params: Mapping[str, ParamValue]) -> bool:
        """Return whether the number of boosting rounds is to be found, because these parameters do not set it."""
        return cls.rounds is not None and {**cls.defaults, **params}.get(cls.rounds) is None

    @classmethod
    def predict_each(cls, models: Sequence[Member], features: Floats) -> list[Floats]:
        """Return what ``predict`` returns for each of several fitted models of this class with equal ``categories``.

        Override it if the library prepares rows before it predicts, to prepare them only once.
        """
        return [model.predict(features) for model in models]

    @property
    def explained(self) -> bool:
        """Whether this fitted model, which predicts a quantity, has ``contributions``. If not, they are sampled."""
        return False

    def contributions(self, features: Floats, typical: Floats | None) -> Floats:
        """Return the parts that columns have in predictions, and the base value.

        In each row, parts and base value add up to the prediction, except for what the library rounds. The parts of a
        row do not depend on the other rows.

        Args:
            features: As in ``predict``.
            typical: Rows like those of ``fit``, whose columns are independent, shape (rows, columns); None if unknown,
                or if no column is a category.

        Returns:
            Shape (rows, columns + 1), float64, in the target's unit, the base value last.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted model to ``path`` in a format that needs no pickle."""

    @classmethod
    @abc.abstractmethod
    def load(cls, path: Path, *, threads: int, categories: Mapping[int, int] | None = None, classes: int = 0) -> Member:
        """Read a model that ``save`` wrote.

        Args:
            path: The file.
            threads: Number of threads that ``predict`` may use, at least 1.
            categories: As given to the constructor of the saved member.
            classes: As given to the constructor of the saved member.

        Raises:
            BundleError: The file does not hold a model of this member.
        """

    @classmethod
    def refusal(cls, params: Mapping[str, ParamValue], target: Floats, *, varies: bool, classes: int = 0) -> str | None:
        """Return why the library cannot be fitted on these rows, as a sentence about the rows; None if it can.

        A study asks this for each fold before its first trial.

        Args:
            params: The parameters that are set; defaults apply to the rest.
            target: The target of the rows, shape (rows,).
            varies: Whether any feature has two different values in the rows.
            classes: Number of classes of the target, 0 if it is a quantity. Given only if it is above 0.
        """
        task = task_of(range(classes))
        for name, allowed in cls.by_task.items():
            value = params.get(name)
            if value is None:
                continue
            if task not in allowed:
                return f"{name} is not for a target of {_TARGETS[task]}"
            try:
                choice(*allowed[task]).check(value) if allowed[task] else None
            except ValueError:
                return f"{name}={value} is not for a target of {_TARGETS[task]}, which takes {listed(allowed[task])}"
        return None

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core, to compare members; measured on an AMD EPYC of 2024.

        Args:
            rows: Number of rows to fit on.
            columns: Number of features.
            params: The parameters that are set; defaults apply to the rest.
            classes: Number of classes of the target, 0 if it is a quantity. Given only if it is above 0.
        """
        return 1e-7 * rows * columns

    @classmethod
    def defaults_for(cls, classes: int) -> dict[str, ParamValue]:
        """Return the defaults for a target with this number of classes, 0 if it is a quantity."""
        return {**cls.defaults, **(cls.class_defaults if classes else {})}

    @classmethod
    def number(cls, name: str, params: Mapping[str, ParamValue], otherwise: float, classes: int = 0) -> float:
        """Return the value of a numeric parameter: from ``params``, from the defaults, or ``otherwise``."""
        value = {**cls.defaults_for(classes), **params}.get(name)
        return float(value) if isinstance(value, int | float) else otherwise

    @classmethod
    def check(cls, params: Mapping[str, object], place: str) -> dict[str, ParamValue]:
        """Return ``params`` with declared types.

        Args:
            params: Values by parameter name.
            place: The key that holds them, for messages; ``{}`` in it is replaced by the parameter's name.

        Raises:
            InputError: A name is unknown, or a value is not in its domain.
        """
        checked = {}
        for name, value in params.items():
            try:
                checked[name] = cls.parameter(name, place).check(value)
            except ValueError as error:
                raise InputError(f"{place.format(name)}: {error}.") from None
        return checked

    @classmethod
    def parameter(cls, name: str, place: str) -> Parameter:
        """Return the declaration of one parameter.

        Raises:
            InputError: This member does not have the parameter; the message lists its parameters.
        """
        if name not in cls.parameters:
            raise InputError(
                f"{place.format(name)}: {cls.kind} has no parameter {name!r}.{did_you_mean(name, cls.parameters)} "
                f"It has: {listed(cls.parameters)}."
            )
        return cls.parameters[name]
