"""The registry of members. A new member is a class, and a line in ``REGISTRY``."""

from __future__ import annotations

from ensemble.arrays import Floats
from ensemble.errors import InputError, did_you_mean, listed
from ensemble.members.additive import Additive
from ensemble.members.base import Member
from ensemble.members.boosting import CatBoost, XGBoost
from ensemble.members.classifiers import Linear, SupportVectorClasses
from ensemble.members.gaussian_process import GaussianProcess
from ensemble.members.light_gbm import LightGBM
from ensemble.members.network import Network
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
from ensemble.versions import library_version

REGISTRY: dict[str, type[Member]] = {
    member.kind: member
    for member in (
        XGBoost,
        CatBoost,
        LightGBM,
        RandomForest,
        ExtraTrees,
        HistGradientBoosting,
        Ridge,
        SupportVectors,
        MultiLayerPerceptron,
        Network,
        NearestNeighbors,
        GaussianProcess,
        Additive,
        Linear,
        SupportVectorClasses,
    )
}


def member_class(kind: str, place: str) -> type[Member]:
    """Return the class of a member.

    Args:
        kind: Name in the registry, class name in scikit-learn, or ``module:Class``.
        place: The key or parameter that holds ``kind``, for messages.

    Raises:
        InputError: There is no such member, and the message suggests the nearest name; or its library is not installed.
    """
    if ":" in kind:
        return own_class(kind, Member, place)  # type: ignore[type-abstract]
    if kind[:1].isupper():
        from ensemble.members.any_scikit import scikit_member

        return scikit_member(kind, place)
    if kind not in REGISTRY:
        raise InputError(
            f"{place}: there is no member {kind!r}.{did_you_mean(kind, REGISTRY)} Members: {listed(REGISTRY)}; "
            "under a name of your own, a scikit-learn regressor or classifier by its class name, or your own class as "
            "module:Class."
        )
    absent = [name for name in REGISTRY[kind].libraries if library_version(name) is None]
    if absent:
        raise InputError(
            f"{place}: member {kind} needs {listed(absent)}, which is not installed: pip install -e '.[{kind}]'. "
            f"Containers need a line {absent[0]} in the file of mode.image.requirements."
        )
    return REGISTRY[kind]


__all__ = ["REGISTRY", "Floats", "Member", "member_class"]
