"""The registry of members: a new one is a class and a line here."""

from __future__ import annotations

from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.base import Floats, Member
from ensemble.members.boosting import CatBoost, XGBoost
from ensemble.members.scikit import (
    ExtraTrees,
    HistGradientBoosting,
    MultiLayerPerceptron,
    NearestNeighbors,
    RandomForest,
    Ridge,
    SupportVectors,
)
from ensemble.own_class import own_class

REGISTRY: dict[str, type[Member]] = {
    member.kind: member
    for member in (
        XGBoost,
        CatBoost,
        RandomForest,
        ExtraTrees,
        HistGradientBoosting,
        Ridge,
        SupportVectors,
        MultiLayerPerceptron,
        NearestNeighbors,
    )
}


def member_class(kind: str, place: str) -> type[Member]:
    """Return the member registered as ``kind``, or scikit-learn's regressor of that class name, or ``module:Class``.

    Raises:
        InputError: There is none; the message names ``place`` and the nearest.
    """
    if ":" in kind:
        return own_class(kind, Member, place)  # type: ignore[type-abstract]
    if kind[:1].isupper():
        from ensemble.members.any_scikit import scikit_member

        return scikit_member(kind, place)
    if kind not in REGISTRY:
        raise InputError(
            f"{place}: there is no member {kind!r}.{did_you_mean(kind, REGISTRY)} Members: {listed(REGISTRY)}; "
            "under a name of your own, a scikit-learn regressor by its class name, or your own class as module:Class."
        )
    return REGISTRY[kind]


__all__ = ["REGISTRY", "Floats", "Member", "member_class"]
