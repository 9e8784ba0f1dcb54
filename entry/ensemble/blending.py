"""How members' predictions become one: weights that are given, or fitted on out-of-fold predictions."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.base import Floats


class Blender(abc.ABC):
    """Finds one non-negative weight a member, summing to one.

    Attributes:
        kind: Name in the registry.
        fitted: Whether the weights depend on the target, so that a score needs weights fitted on other rows.
    """

    kind: ClassVar[str]
    fitted: ClassVar[bool]

    @abc.abstractmethod
    def weights(self, predictions: Floats, target: Floats) -> Floats:
        """Return the weights, shape (members,), for ``predictions`` (rows x members) of ``target`` (rows,)."""


class Mean(Blender):
    """Every member alike."""

    kind = "mean"
    fitted = False

    def weights(self, predictions: Floats, target: Floats) -> Floats:
        """Return equal weights."""
        members = predictions.shape[1]
        return np.full(members, 1.0 / members)


class Fixed(Blender):
    """The user's own weights, scaled to sum to one."""

    kind = "fixed"
    fitted = False

    def __init__(self, given: Sequence[float]) -> None:
        """Keep ``given``, one non-negative number a member, not all zero."""
        self._weights = np.asarray(given, dtype=np.float64) / float(np.sum(given))

    def weights(self, predictions: Floats, target: Floats) -> Floats:
        """Return the user's weights."""
        return self._weights.copy()


class Weighted(Blender):
    """The non-negative weights with sum one that minimise the squared error (L. Breiman, "Stacked Regressions", 1996).

    Since the weights sum to one, the blend's error is the same mix of the members' errors E, so the task is to
    minimise ||E w|| on the simplex. Minimising ||E u||^2 + (sum(u) - 1)^2 over u >= 0 finds it exactly up to scale:
    for a direction w the best scale leaves ||E w||^2 / (1 + ||E w||^2), which grows with ||E w||
    (C. Lawson and R. Hanson, "Solving Least Squares Problems", 1974, chapter 23).
    """

    kind = "weighted"
    fitted = True

    def weights(self, predictions: Floats, target: Floats) -> Floats:
        """Return the best weights on these rows."""
        from scipy.optimize import nnls

        errors = predictions - target[:, None]
        members = errors.shape[1]
        scale = float(np.sqrt(np.mean(errors**2)))
        if scale == 0.0:
            return np.full(members, 1.0 / members)
        triangle = np.linalg.qr(errors / (scale * np.sqrt(len(errors))), mode="r")
        system = np.vstack([triangle, np.ones(members)])
        goal = np.zeros(len(system))
        goal[-1] = 1.0
        solution, _ = nnls(system, goal)
        return np.asarray(solution / solution.sum(), dtype=np.float64)


REGISTRY: dict[str, type[Blender]] = {blender.kind: blender for blender in (Mean, Weighted, Fixed)}


def make_blender(kind: str, members: Sequence[str], given: Mapping[str, float] | None, place: str) -> Blender:
    """Return the blender ``kind`` for these members.

    Args:
        kind: Name in the registry.
        members: Member names in order.
        given: Weights by member name, for ``fixed`` only.
        place: Where ``kind`` stands, for the message.

    Raises:
        InputError: No such blender, or weights that do not fit it.
    """
    if kind not in REGISTRY:
        raise InputError(
            f"{place}: there is no blender {kind!r}.{did_you_mean(kind, REGISTRY)} Blenders: {listed(REGISTRY)}."
        )
    if kind != Fixed.kind:
        if given:
            raise InputError(f"weights are given, but {place} is {kind!r}: use {place}={Fixed.kind} with weights.")
        return REGISTRY[kind]()
    if not given or set(given) != set(members):
        raise InputError(
            f"{place}={Fixed.kind} wants one weight for each of {listed(members)}; got {listed(given or ()) or 'none'}."
        )
    values = [float(given[name]) for name in members]
    if any(not value >= 0 for value in values) or not 0 < sum(values) < np.inf:
        raise InputError(f"{place}={Fixed.kind} wants weights that are not negative and not all zero; got {values}.")
    return Fixed(values)
