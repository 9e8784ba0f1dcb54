"""The configured search space: each range checked against the declared type of its member's parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ensemble.members import REGISTRY
from ensemble.parameters import Parameter, ParamValue, encode
from ensemble.wire import wire_name
from experiments.errors import ConfigError, did_you_mean, listed
from experiments.planning.ensemble import EnsemblePlan, MemberParam
from experiments.study.search_space import Choices, Interval, Range, SearchSpace


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
        self._ranges: dict[str, Range] = {}
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
        self.space = SearchSpace(self._ranges)

    def _add_shared(self, name: str, entry: Any) -> None:
        place = f"search.space.{name}"
        free = [pair for pair in self._ensemble.shared[name] if not self._is_fixed(*pair)]
        if not free:
            return
        readings = [
            read_range(entry, self._ensemble.classes[member].parameter(param, place), place) for member, param in free
        ]
        if any(reading != readings[0] for reading in readings):
            pairs = listed(".".join(pair) for pair in free)
            raise ConfigError(f"{place}: its targets are of different types: {pairs}.")
        self._ranges[name] = readings[0]
        self.targets[name] = [wire_name(member, param) for member, param in free]
        self._owners |= dict.fromkeys(free, place)

    def _check_owner(self, owner: str, entry: Any) -> None:
        place = f"search.space.{owner}"
        if owner not in (*self._ensemble.members, *self._ensemble.left_out, *REGISTRY):
            near = did_you_mean(owner, [*self._ensemble.members, *self._ensemble.shared])
            raise ConfigError(f"{place}: {owner!r} is neither a member nor a shared parameter.{near}")
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{place}={entry!r}: write {place}.<parameter>={{low: 1, high: 10}}.")
        if owner in REGISTRY and owner not in self._ensemble.members:  # those of members are read by ``_add_member``
            for param, range_ in entry.items():
                declared = REGISTRY[owner].parameter(str(param), f"{place}.{param}")
                if range_ is not None:
                    read_range(range_, declared, f"{place}.{param}")

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
                self._ranges[wire_name(name, str(param))] = read_range(entry, declared, place)

    def _is_fixed(self, member: str, param: str) -> bool:
        fixed = self._ensemble.fixed[member]
        if param in fixed:
            self.notes.append(f"{member}.{param} is fixed at {fixed[param]} and not searched.")
        return param in fixed


def read_range(value: Any, declared: Parameter, place: str) -> Range:
    """Read one entry of ``search.space``.

    Args:
        value: ``{low, high}`` with optional ``log``, or ``{choices}``; either with an optional ``first``,
            one value or a list of them.
        declared: The parameter's declared type; ends and choices must be in its domain.
        place: The entry's key, for messages.

    Raises:
        ConfigError: The value is neither, or is outside the domain.
    """
    if isinstance(value, Mapping):
        value = {key: entry for key, entry in value.items() if entry is not None}
    if not isinstance(value, Mapping) or not ({"low", "high"} <= set(value) or "choices" in value):
        raise ConfigError(
            f"{place}={value!r} is not a range: write {{low: 1, high: 10}}, {{low: 0.01, high: 1, log: true}} "
            f"or {{choices: [3, 4]}}."
        )
    allowed = {"choices", "first"} if "choices" in value else {"low", "high", "log", "first"}
    if set(value) - allowed:
        stray = listed(set(value) - allowed)
        raise ConfigError(
            f"{place}: {stray} cannot be combined with {listed(allowed & set(value))}. If ranges of two files are "
            "merged, set the unwanted keys to null."
        )
    first = _read_first(value["first"], declared, f"{place}.first") if "first" in value else ()
    if "choices" in value:
        return _read_choices(value["choices"], first, declared, place)
    low, high = (_check(declared, value[end], f"{place}.{end}") for end in ("low", "high"))
    if isinstance(low, bool) or not isinstance(low, int | float) or not isinstance(high, int | float):
        raise ConfigError(f"{place} is a range, but its values are {declared.describe()}: write {{choices: [...]}}.")
    if low >= high:
        raise ConfigError(f"{place}: low ({low}) is not below high ({high}): swap them, or fix the parameter.")
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{place}.log={log!r} is neither true nor false.")
    if log and low <= 0:
        raise ConfigError(f"{place}: a log range starts above 0, not at {low}: raise low or set log to false.")
    for number in first:
        if isinstance(number, int | float) and not low <= number <= high:
            raise ConfigError(f"{place}.first={number} is not from {low} to {high}.")
    whole = isinstance(low, int) and isinstance(high, int)
    return Interval(low, high, log, whole, first)


def _read_first(first: Any, declared: Parameter, place: str) -> tuple[ParamValue, ...]:
    values = first if isinstance(first, list | tuple) else [first]
    if not values:
        raise ConfigError(f"{place}=[] has no value: give one, or leave first out.")
    return tuple(_check(declared, number, place) for number in values)


def _read_choices(choices: Any, first: tuple[ParamValue, ...], declared: Parameter, place: str) -> Choices:
    if not isinstance(choices, list | tuple) or not choices:
        raise ConfigError(f"{place}.choices={choices!r} is not a list of at least one value.")
    values = tuple(_check(declared, choice, f"{place}.choices") for choice in choices)
    if len({encode(value) for value in values}) < len(values):
        raise ConfigError(f"{place}.choices={list(choices)!r} lists a value twice.")
    for value in first:
        if value not in values:
            raise ConfigError(f"{place}.first={value!r} is not one of the choices.")
    return Choices(values, first)


def _check(declared: Parameter, value: object, place: str) -> ParamValue:
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError(f"{place} is not a number.")
    try:
        return declared.check(value)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}.") from None
