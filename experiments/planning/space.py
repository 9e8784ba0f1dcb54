"""The search space as configured: ranges for members, for kinds of members and for shared parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensemble.members import REGISTRY
from ensemble.wire import wire_name
from experiments.errors import ConfigError, did_you_mean, listed
from experiments.planning.ensemble import EnsemblePlan, MemberParam
from experiments.study.search_space import Dimension, SearchSpace, read_dimension


class SpacePlan:
    """A checked search space.

    Attributes:
        space: What is searched, by names on the wire.
        targets: For each shared name that is searched, the wire names that it sets.
        notes: What of the configured space is not searched, and why.
    """

    def __init__(self, config: Mapping[str, Any], ensemble: EnsemblePlan) -> None:
        """Check ``search.space`` for this ensemble.

        Raises:
            InputError: An owner or parameter is unknown, or a range is not valid.
        """
        self._config = {str(owner): entry for owner, entry in config.items() if entry is not None}
        self._ensemble = ensemble
        self._dimensions: dict[str, Dimension] = {}
        self._owners: dict[MemberParam, str] = {}
        self.targets: dict[str, list[str]] = {}
        self.notes: list[str] = []
        for owner, entry in self._config.items():
            if owner in ensemble.shared:
                self._add_shared(owner, entry)
            else:
                self._check_owner(owner, entry)
        for name in ensemble.members:
            self._add_member(name)
        self.space = SearchSpace(self._dimensions)

    def _add_shared(self, name: str, entry: Any) -> None:
        place = f"search.space.{name}"
        free = [pair for pair in self._ensemble.shared[name] if not self._is_fixed(*pair)]
        if not free:
            return
        readings = [
            read_dimension(entry, self._ensemble.classes[member].parameter(param, place), place)
            for member, param in free
        ]
        if any(reading != readings[0] for reading in readings):
            pairs = listed(".".join(pair) for pair in free)
            raise ConfigError(f"{place}: its targets are of different types: {pairs}.")
        self._dimensions[name] = readings[0]
        self.targets[name] = [wire_name(member, param) for member, param in free]
        self._owners |= dict.fromkeys(free, place)

    def _check_owner(self, owner: str, entry: Any) -> None:
        place = f"search.space.{owner}"
        if owner not in (*self._ensemble.members, *self._ensemble.left_out, *REGISTRY):
            near = did_you_mean(owner, [*self._ensemble.members, *self._ensemble.shared])
            raise ConfigError(f"{place}: {owner!r} is neither a member nor a shared parameter.{near}")
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{place}={entry!r}: write {place}.<parameter>={{low: 1, high: 10}}.")

    def _add_member(self, name: str) -> None:
        member = self._ensemble.classes[name]
        # A member with its own name has the space of its kind, unless there is one for the name.
        owner = name if name in self._config else member.kind
        for param, entry in self._config.get(owner, {}).items():
            place = f"search.space.{owner}.{param}"
            if entry is None:
                continue
            declared = member.parameter(str(param), place)
            if (name, param) in self._owners:
                self.notes.append(f"{name}.{param} is searched as {self._owners[name, param]}, and not by {place}.")
            elif not self._is_fixed(name, str(param)):
                self._dimensions[wire_name(name, str(param))] = read_dimension(entry, declared, place)

    def _is_fixed(self, member: str, param: str) -> bool:
        fixed = self._ensemble.fixed[member]
        if param in fixed:
            self.notes.append(f"{member}.{param} is fixed at {fixed[param]} and not searched.")
        return param in fixed
