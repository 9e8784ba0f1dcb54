"""The configured ensemble: its members, their fixed parameters, and the parameters that they share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble.members import REGISTRY, Member, member_class
from ensemble.parameters import ParamValue
from ensemble.recipe import MemberSpec
from ensemble.table import Table
from ensemble.wire import RESERVED_NAMES, check_member_name
from experiments.config.schema import EnsembleConfig
from experiments.errors import ConfigError, did_you_mean, listed
from experiments.planning.target import describe_target

MemberParam = tuple[str, str]
# Members that do for classes what another one does for quantities, both ways.
TWINS = {"ridge": "linear", "svr": "svc", "linear": "ridge", "svc": "svr"}
# A fit that takes this long or less is never too slow.
SHORT_SECONDS = 2.0


@dataclass(frozen=True)
class EnsemblePlan:
    """A checked ensemble.

    Attributes:
        members: Kind by member name, in order.
        classes: Member class by member name.
        shared: By shared parameter's name, the (member, parameter) pairs that it sets.
        fixed: By member name, the parameters that are fixed.
        weights: Fixed weights by member, if any.
        left_out: Members that were configured and are not in the ensemble.
    """

    members: Mapping[str, str]
    classes: Mapping[str, type[Member]]
    shared: Mapping[str, tuple[MemberParam, ...]]
    fixed: Mapping[str, Mapping[str, ParamValue]]
    weights: Mapping[str, float] | None
    left_out: tuple[str, ...] = ()

    def specs(self) -> tuple[MemberSpec, ...]:
        """Return the members with what is fixed, as a recipe has them."""
        return tuple(MemberSpec(name, kind, self.fixed[name]) for name, kind in self.members.items())

    def for_target(self, train: Table, *, preset: bool) -> EnsemblePlan:
        """Return the ensemble of the members that can predict the target.

        Args:
            train: The training rows.
            preset: Whether a file of ``configs/ensemble/`` lists the members, so that others may be left out.

        Raises:
            ConfigError: A member cannot predict the target and was not listed by a preset, or no member can.
        """
        task = train.task
        others = [name for name, member in self.classes.items() if task not in member.tasks]
        if others and not (preset and len(others) < len(self.members)):
            raise ConfigError(self._of_other_task(others, train))
        return self._of(set(self.members) - set(others))

    def _of_other_task(self, others: Sequence[str], train: Table) -> str:
        twins = dict.fromkeys(TWINS[kind] for name in others if (kind := self.members[name]) in TWINS)
        instead = f", or use {listed(twins)}" if twins else ""
        predict = "predict" if len(others) > 1 else "predicts"
        return (
            f"ensemble.members: {listed(others)} {predict} {'quantities' if train.classes else 'classes'} only, and "
            f"{describe_target(train)}. Leave {'them' if len(others) > 1 else 'it'} out{instead}."
        )

    def seconds(self, rows: int, columns: int, classes: int) -> dict[str, float]:
        """Estimate the seconds of one fit on one core, by member; the arguments are those of ``without_slow``."""
        more = {"classes": classes} if classes else {}  # a user's own member of quantities need not take it
        return {name: member.seconds(rows, columns, self.fixed[name], **more) for name, member in self.classes.items()}

    def without_slow(self, rows: int, columns: int, classes: int) -> tuple[EnsemblePlan, list[str]]:
        """Return the ensemble without the members that each take longer than all others together, and a note on each.

        Args:
            rows: Rows that a member is fitted on.
            columns: Features.
            classes: Classes of the target, 0 if it is a quantity.
        """
        seconds, notes = self.seconds(rows, columns, classes), []
        while len(seconds) > 2:
            slowest = max(seconds, key=lambda name: seconds[name])
            rest = sum(seconds.values()) - seconds[slowest]
            if seconds[slowest] <= max(rest, SHORT_SECONDS):
                break
            notes.append(
                f"member {slowest} is left out: at {rows} rows one fit takes about {seconds.pop(slowest):.0f} s, and "
                f"all others together {rest:.0f} s (ensemble.drop_slow=false keeps it)."
            )
        return self._of(set(seconds)), notes

    def that_weigh(self, key: str, *, drop: bool) -> tuple[EnsemblePlan, list[str]]:
        """Return the ensemble of the members that use row weights, and a note on each of the others.

        Args:
            key: The key that gives rows their weights.
            drop: Whether the others may be left out.

        Raises:
            ConfigError: They may not, or no member would remain.
        """
        unweighted = [name for name, member in self.classes.items() if not member.weighs]
        if unweighted and not (drop and len(unweighted) < len(self.members)):
            raise ConfigError(
                f"{key}: {listed(unweighted)} ignore{'s' if len(unweighted) == 1 else ''} weights. Leave out {key}, or "
                "the member: ensemble.members=[...]."
            )
        notes = [f"member {name} is left out: it ignores the weights of {key}." for name in unweighted]
        return self._of(set(self.members) - set(unweighted)), notes

    def _of(self, kept: set[str]) -> EnsemblePlan:
        if kept == set(self.members):
            return self
        return EnsemblePlan(
            members={name: kind for name, kind in self.members.items() if name in kept},
            classes={name: member for name, member in self.classes.items() if name in kept},
            shared={
                shared: left
                for shared, pairs in self.shared.items()
                if (left := tuple(pair for pair in pairs if pair[0] in kept))
            },
            fixed={name: params for name, params in self.fixed.items() if name in kept},
            weights=self.weights,
            left_out=(*self.left_out, *(name for name in self.members if name not in kept)),
        )


def plan_ensemble(config: EnsembleConfig, shared_names: Mapping[str, Any]) -> EnsemblePlan:
    """Check the ensemble.

    Args:
        config: ``ensemble`` of the configuration.
        shared_names: ``search.shared``: shared name to a list of ``member.parameter``.

    Raises:
        InputError: An unknown member, parameter or blender, or a value outside its domain.
    """
    members = _members(config.members)
    classes = {name: member_class(kind, "ensemble.members") for name, kind in members.items()}
    shared = _shared(shared_names, classes)
    return EnsemblePlan(members, classes, shared, _fixed(config, classes, shared), _weights(config))


def _members(given: Any) -> dict[str, str]:
    place = "ensemble.members"
    entries: list[tuple[str, Any]] = []
    for item in _items(given, place):
        if isinstance(item, str):
            entries.append((item, {"kind": item}))
        elif isinstance(item, Mapping):
            entries.extend((str(name), settings) for name, settings in item.items())
        else:
            raise ConfigError(f"{place}: {item!r} is neither a name nor {{name: {{kind: member}}}}.")
    if not entries:
        raise _no_member(given, place)
    members: dict[str, str] = {}
    for name, settings in entries:
        if not isinstance(settings, Mapping) or set(settings) != {"kind"}:
            raise ConfigError(f"{place}.{name}={settings!r}: write {{{name}: {{kind: xgboost}}}}.")
        member_class(str(settings["kind"]), place)
        check_member_name(name, place)
        if name in members:
            raise ConfigError(f"{place}: {name!r} is listed twice: give one another name, {{deep: {{kind: {name}}}}}.")
        members[name] = str(settings["kind"])
    return members


def _items(given: Any, place: str) -> list[Any]:
    if isinstance(given, str):
        given = [given]
    items = [given] if isinstance(given, Mapping) else given
    if not isinstance(items, list) or not items:
        raise _no_member(given, place)
    return items


def _no_member(given: Any, place: str) -> ConfigError:
    return ConfigError(f"{place}={given!r} does not name a member: write {place}=[xgboost,catboost].")


def _shared(given: Mapping[str, Any], kinds: Mapping[str, type[Member]]) -> dict[str, tuple[MemberParam, ...]]:
    shared: dict[str, tuple[MemberParam, ...]] = {}
    for name, targets in given.items():
        place = f"search.shared.{name}"
        if name in kinds or name in RESERVED_NAMES or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or "__" in name:
            raise ConfigError(f"{place}: {name!r} cannot name a shared parameter: use another name.")
        if not isinstance(targets, list) or not targets:
            raise ConfigError(f"{place}={targets!r}: write a list, such as [xgboost.eta, catboost.learning_rate].")
        pairs: list[MemberParam] = []
        for target in targets:
            member, _, param = str(target).partition(".")
            if member not in kinds or not param:
                valid = [f"{member}.{param}" for member, cls in kinds.items() for param in cls.parameters]
                raise ConfigError(
                    f"{place}: {target!r} is not a parameter of a member.{did_you_mean(str(target), valid)}"
                )
            kinds[member].parameter(param, place)
            pairs.append((member, param))
        shared[name] = tuple(pairs)
    owners: dict[MemberParam, str] = {}
    for name, owned in shared.items():
        for pair in owned:
            if owners.setdefault(pair, name) != name:
                raise ConfigError(f"search.shared: {'.'.join(pair)} is set by both {owners[pair]} and {name}.")
    return shared


def _fixed(
    config: EnsembleConfig,
    kinds: Mapping[str, type[Member]],
    shared: Mapping[str, tuple[MemberParam, ...]],
) -> dict[str, dict[str, ParamValue]]:
    fixed: dict[str, dict[str, ParamValue]] = {name: {} for name in kinds}
    for name, values in config.params.items():
        place = f"ensemble.params.{name}"
        if name in shared:
            for member, param in shared[name]:
                fixed[member] |= kinds[member].check({param: values}, place)
    for name, values in config.params.items():
        place = f"ensemble.params.{name}"
        # A preset may have parameters of members that are not in this ensemble; they are checked and not used.
        kind = kinds.get(name) or (None if name in shared else REGISTRY.get(name))
        if kind is not None:
            if not isinstance(values, Mapping):
                raise ConfigError(f"{place}={values!r}: write {place}.<parameter>=<value>.")
            checked = kind.check(values, place + ".{}")
            fixed |= {name: fixed[name] | checked} if name in kinds else {}
        elif name not in shared:
            valid = [*kinds, *shared]
            raise ConfigError(
                f"{place}: {name!r} is not a member of this ensemble.{did_you_mean(name, valid)} "
                f"Members: {listed(kinds)}."
            )
    return fixed


def _weights(config: EnsembleConfig) -> dict[str, float] | None:
    weights = {}
    for name, value in config.weights.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"ensemble.weights.{name}={value!r} is not a number.")
        weights[name] = float(value)
    return weights or None
