"""What every member of an ensemble is able to do."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ensemble.errors import InputError, did_you_mean, listed
from ensemble.parameters import Parameter, ParamValue

Floats = npt.NDArray[np.float64]


class Member(abc.ABC):
    """One regressor behind a common face.

    Contract, which ``tests/entry/test_members.py`` runs over every registered member:

    - The constructor does no work; heavy libraries are imported by ``fit`` and ``load``.
    - ``fit`` is called at most once, and ``predict`` only after ``fit`` or ``load``. Neither changes its arguments.
    - Features are one matrix of float64. A category is a whole number below its number of levels in ``categories``; one
      that was not seen in ``fit`` may come in ``predict``, and is the member's to handle.
    - The same parameters, seed and rows give the same model, whatever the number of threads.
    - ``load(save(m))`` predicts exactly what ``m`` predicts.
    - Missing feature values (NaN) are the member's to handle; whatever it learns for that, it learns in ``fit``.
    - Any exception from ``fit`` or ``predict`` means that this trial failed, and nothing more.

    Attributes:
        kind: Name in the registry.
        suffix: File name ending of a saved model, with the dot.
        parameters: Every hyperparameter that may be set, with its declared type.
        defaults: Our own defaults where they are not the library's.
        libraries: Distributions whose version decides what a saved model predicts.
        weighs: Whether ``fit`` heeds weights; a study with weights refuses a member that does not.
    """

    kind: ClassVar[str]
    suffix: ClassVar[str]
    parameters: ClassVar[Mapping[str, Parameter]]
    defaults: ClassVar[Mapping[str, ParamValue]] = {}
    libraries: ClassVar[tuple[str, ...]]
    weighs: ClassVar[bool] = True

    def __init__(
        self,
        params: Mapping[str, ParamValue],
        *,
        seed: int,
        threads: int,
        categories: Mapping[int, int] | None = None,
    ) -> None:
        """Keep the settings.

        Args:
            params: Values for any of ``parameters``; ``defaults`` fill in.
            seed: Seed of everything random.
            threads: Threads that ``fit`` and ``predict`` may use, at least 1.
            categories: Number of levels of each column that is a category, by the column's position.
        """
        self.params: dict[str, ParamValue] = {**self.defaults, **params}
        self.seed = seed
        self.threads = threads
        self.categories = dict(categories or {})

    @abc.abstractmethod
    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Learn.

        Args:
            features: Shape (rows, columns), NaN where missing.
            target: Shape (rows,), finite.
            weights: Shape (rows,), not negative; None where every row counts alike.
        """

    @abc.abstractmethod
    def predict(self, features: Floats) -> Floats:
        """Return one prediction a row of ``features`` (rows x columns), as float64 of shape (rows,)."""

    @classmethod
    def predict_each(cls, models: Sequence[Member], features: Floats) -> list[Floats]:
        """Return what each of several fitted models of this class and these categories predicts, as ``predict`` does.

        A library that prepares rows before it predicts can do so once for all.
        """
        return [model.predict(features) for model in models]

    @abc.abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted model to ``path`` in a format that needs no pickle."""

    @classmethod
    @abc.abstractmethod
    def load(cls, path: Path, *, threads: int, categories: Mapping[int, int] | None = None) -> Member:
        """Read what ``save`` wrote, by a member of the same categories.

        Raises:
            BundleError: The file holds something else than this member writes.
        """

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue]) -> float:
        """Return roughly how long ``fit`` takes on one core, to compare members with; measured on an AMD EPYC of 2024.

        Args:
            rows: Rows to fit on.
            columns: Features.
            params: Parameters that are set; the rest are defaults.
        """
        return 1e-7 * rows * columns

    @classmethod
    def number(cls, name: str, params: Mapping[str, ParamValue], otherwise: float) -> float:
        """Return a numeric parameter as it is set, or our default, or ``otherwise``, the library's."""
        value = {**cls.defaults, **params}.get(name)
        return float(value) if isinstance(value, int | float) else otherwise

    @classmethod
    def check(cls, params: Mapping[str, object], place: str) -> dict[str, ParamValue]:
        """Return ``params`` with declared types.

        Args:
            params: Values by parameter name.
            place: Where they stand, for the message; a ``{}`` in it becomes the parameter's name.

        Raises:
            InputError: A name is unknown, or a value is outside its domain.
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
            InputError: This member has no such parameter; the message lists those that it has.
        """
        if name not in cls.parameters:
            raise InputError(
                f"{place.format(name)}: {cls.kind} has no parameter {name!r}.{did_you_mean(name, cls.parameters)} "
                f"It has: {listed(cls.parameters)}."
            )
        return cls.parameters[name]
