"""From a configuration to a study: every value checked against what its member, blender or sampler knows."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ensemble.blending import make_blender
from ensemble.members import REGISTRY, Member, member_class
from ensemble.parameters import Parameter, ParamValue
from ensemble.recipe import Final, FoldKind, FoldSpec, MemberSpec, Recipe, check_member_name
from ensemble.wire import FOLDS, RUN_PARAMETERS, SEED, check_objective, encode_recipe, wire_name
from experiments import datasets
from experiments.config import Composed, Config, EnsembleConfig, SearchConfig
from experiments.errors import ConfigError, did_you_mean, listed
from experiments.search_space import Choices, Dimension, SearchSpace, read_dimension
from experiments.study import Channels, Sampler, SearchSpec, StudySpec

# A study's name is also a tuning job's, and these are AMT's rules for one.
STUDY_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*")
STUDY_NAME_LENGTH = 32


@dataclass(frozen=True)
class Plan:
    """A checked study that has not touched the disk yet.

    Attributes:
        study: The study; its channels are named and not written.
        splits: Its data.
        notes: What the user should know of how the configuration was read.
    """

    study: StudySpec
    splits: datasets.Splits
    notes: tuple[str, ...]

    def place(self) -> StudySpec:
        """Write the channels, and return the study."""
        datasets.place_channels(self.splits, self.study.folder.parent)
        return self.study


def plan_study(composed: Composed) -> Plan:
    """Check everything that a study is told, and read its data.

    Raises:
        InputError: The first mistake that was found; nothing has been written.
    """
    config = composed.config
    _add_dependencies(config)
    members = _members(config.ensemble.members)
    kinds = {name: member_class(kind, "ensemble.members") for name, kind in members.items()}
    shared = _shared(config.search.shared, kinds)
    fixed = _fixed(config.ensemble, kinds, shared)
    objective = config.search.objective
    check_objective(objective, kinds, "search.objective")
    recipe = Recipe(
        members=tuple(MemberSpec(name, kind, fixed[name]) for name, kind in members.items()),
        blend=config.ensemble.blend,
        weights=_weights(config.ensemble, kinds),
        final=_one_of("ensemble.final", config.ensemble.final, get_args(Final)),
        folds=FoldSpec(
            _one_of("dataset.folds.kind", config.dataset.folds.kind, get_args(FoldKind)),
            _integer("dataset.folds.k", config.dataset.folds.k, FOLDS),
        ),
        seed=_integer("search.seed", config.search.seed, SEED),
        objective=objective,
    )
    notes: list[str] = []
    space, targets = _space(config.search, kinds, shared, fixed, notes)
    search = _search(config, space, notes)
    parallel, threads = _parallelism(config.search)
    splits = datasets.load(config.dataset)
    if config.study is not None:
        _check_name(config.study)
    studies = Path(config.paths.studies).expanduser().absolute()
    folder = studies / datasets.CHANNELS_FOLDER / splits.data_hash[:16]
    values: dict[str, Any] = {
        "mode": config.mode.name,
        "action": config.action,
        "channels": Channels(*(folder / name for name in datasets.SPLITS), data_hash=splits.data_hash),
        "static": encode_recipe(recipe, targets),
        "space": space,
        "search": search,
        "objective": objective,
        "parallel": parallel,
        "threads": threads,
        "max_failure_rate": config.search.max_failure_rate,
        "points": ({},) if config.action == "train" else None,
        "dependencies": tuple(Path(path).expanduser().absolute() for path in config.entry.dependencies),
        "config": composed.yaml(),
        "dataset": datasets.label(config.dataset),
    }
    unnamed = StudySpec(name="", folder=studies, **values)
    name = config.study or _made_name(composed, unnamed)
    return Plan(StudySpec(name=name, folder=studies / name, **values), splits, tuple(notes))


def _made_name(composed: Composed, study: StudySpec) -> str:
    title = composed.choices.get("experiment") or f"{study.dataset}-{composed.choices['ensemble']}"
    if study.points is not None:
        title += "-train"
    words = re.sub(r"[^a-zA-Z0-9]+", "-", title).strip("-")
    suffix = study.identity_hash()[:8]
    return f"{words[: STUDY_NAME_LENGTH - len(suffix) - 1].rstrip('-')}-{suffix}".lstrip("-")


def _check_name(name: str) -> None:
    if len(name) > STUDY_NAME_LENGTH or not STUDY_NAME.fullmatch(name):
        raise ConfigError(
            f"study={name!r} is no study name: use at most {STUDY_NAME_LENGTH} letters, digits and hyphens, "
            "beginning and ending with a letter or digit."
        )


def _add_dependencies(config: Config) -> None:
    for text in config.entry.dependencies:
        folder = Path(text).expanduser().absolute()
        if not folder.is_dir():
            raise ConfigError(f"entry.dependencies names {text!r}, which is no folder: correct the path.")
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


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
    members: dict[str, str] = {}
    for name, settings in entries:
        if not isinstance(settings, Mapping) or set(settings) != {"kind"}:
            raise ConfigError(f"{place}.{name}={settings!r}: write {{{name}: {{kind: xgboost}}}}.")
        member_class(str(settings["kind"]), place)
        check_member_name(name, place)
        if name in members:
            raise ConfigError(f"{place}: {name!r} stands there twice: give one another name, {{deep: {{kind: {name}}}}}.")
        members[name] = str(settings["kind"])
    return members


def _items(given: Any, place: str) -> list[Any]:
    if isinstance(given, str):
        given = [given]
    items = [given] if isinstance(given, Mapping) else given
    if not isinstance(items, list) or not items:
        raise ConfigError(f"{place}={given!r} names no member: write {place}=[xgboost,catboost].")
    return items


def _shared(given: Mapping[str, Any], kinds: Mapping[str, type[Member]]) -> dict[str, tuple[tuple[str, str], ...]]:
    shared = {}
    for name, targets in given.items():
        place = f"search.shared.{name}"
        if name in kinds or name in RUN_PARAMETERS or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or "__" in name:
            raise ConfigError(f"{place}: {name!r} cannot name a shared parameter: take another name.")
        if not isinstance(targets, list) or not targets:
            raise ConfigError(f"{place}={targets!r}: write a list, such as [xgboost.eta, catboost.learning_rate].")
        pairs = []
        for target in targets:
            member, _, param = str(target).partition(".")
            if member not in kinds or not param:
                valid = [f"{member}.{param}" for member, cls in kinds.items() for param in cls.parameters]
                raise ConfigError(f"{place}: {target!r} is no member's parameter.{did_you_mean(str(target), valid)}")
            kinds[member].parameter(param, place)
            pairs.append((member, param))
        shared[name] = tuple(pairs)
    owners: dict[tuple[str, str], str] = {}
    for name, pairs in shared.items():
        for pair in pairs:
            if owners.setdefault(pair, name) != name:
                raise ConfigError(f"search.shared: {'.'.join(pair)} is set by both {owners[pair]} and {name}.")
    return shared


def _fixed(
    config: EnsembleConfig,
    kinds: Mapping[str, type[Member]],
    shared: Mapping[str, tuple[tuple[str, str], ...]],
) -> dict[str, dict[str, ParamValue]]:
    fixed: dict[str, dict[str, ParamValue]] = {name: {} for name in kinds}
    for name, values in config.params.items():
        place = f"ensemble.params.{name}"
        if name in shared:
            for member, param in shared[name]:
                fixed[member] |= kinds[member].check({param: values}, place)
    for name, values in config.params.items():
        place = f"ensemble.params.{name}"
        if name in kinds:
            if not isinstance(values, Mapping):
                raise ConfigError(f"{place}={values!r}: write {place}.<parameter>=<value>.")
            fixed[name] |= kinds[name].check(values, place + ".{}")
        elif name not in shared and name not in REGISTRY:
            valid = [*kinds, *shared]
            raise ConfigError(f"{place}: {name!r} is no member of this ensemble.{did_you_mean(name, valid)} "
                              f"Members: {listed(kinds)}.")
    return fixed


def _weights(config: EnsembleConfig, kinds: Mapping[str, type[Member]]) -> dict[str, float] | None:
    weights = {}
    for name, value in config.weights.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"ensemble.weights.{name}={value!r} is not a number.")
        weights[name] = float(value)
    make_blender(config.blend, list(kinds), weights or None, "ensemble.blend")
    return weights or None


def _space(
    config: SearchConfig,
    kinds: Mapping[str, type[Member]],
    shared: Mapping[str, tuple[tuple[str, str], ...]],
    fixed: Mapping[str, Mapping[str, ParamValue]],
    notes: list[str],
) -> tuple[SearchSpace, dict[str, list[str]]]:
    """Return what is searched, and for each shared name that is searched the wire names that it sets."""
    dimensions: dict[str, Dimension] = {}
    targets: dict[str, list[str]] = {}
    taken: dict[tuple[str, str], str] = {}
    for name, value in config.space.items():
        if name not in shared or value is None:
            continue
        place = f"search.space.{name}"
        free = [(member, param) for member, param in shared[name] if param not in fixed[member]]
        for member, param in sorted(set(shared[name]) - set(free)):
            notes.append(f"{member}.{param} is fixed at {fixed[member][param]} and not searched.")
        if not free:
            continue
        readings = [read_dimension(value, kinds[member].parameter(param, place), place) for member, param in free]
        dimensions[name] = readings[0]
        if any(reading != readings[0] for reading in readings):
            raise ConfigError(f"{place}: its targets are of different types: {listed('.'.join(pair) for pair in free)}.")
        targets[name] = [wire_name(member, param) for member, param in free]
        taken |= dict.fromkeys(free, name)
    for owner, params in config.space.items():
        if owner in shared or params is None:
            continue
        place = f"search.space.{owner}"
        if owner not in kinds and owner not in REGISTRY:
            valid = [*kinds, *shared]
            raise ConfigError(f"{place}: {owner!r} is no member and no shared parameter.{did_you_mean(owner, valid)}")
        if not isinstance(params, Mapping):
            raise ConfigError(f"{place}={params!r}: write {place}.<parameter>={{low: 1, high: 10}}.")
    for name, cls in kinds.items():
        # A member under a name of its own takes the space of its kind, unless it has one.
        owner = name if name in config.space else cls.kind
        for param, value in (config.space.get(owner) or {}).items():
            place = f"search.space.{owner}.{param}"
            if value is None:
                continue
            declared = cls.parameter(str(param), place)
            if (name, param) in taken:
                raise ConfigError(f"{place} and search.space.{taken[name, param]} both set {name}.{param}: drop one.")
            if param in fixed[name]:
                notes.append(f"{name}.{param} is fixed at {fixed[name][param]} and not searched.")
                continue
            dimensions[wire_name(name, str(param))] = read_dimension(value, declared, place)
    return SearchSpace(dimensions), targets


def _search(config: Config, space: SearchSpace, notes: list[str]) -> SearchSpec:
    search = config.search
    sampler: Sampler = _one_of("search.sampler", search.sampler, get_args(Sampler))
    for key in ("n_trials", "window", "startup_trials"):
        if getattr(search, key) < 1:
            raise ConfigError(f"search.{key}={getattr(search, key)} is not at least 1.")
    rate = search.max_failure_rate
    if not 0 <= rate <= 1 or math.isnan(rate):
        raise ConfigError(f"search.max_failure_rate={rate:g} is not a share from 0 to 1.")
    n_trials = search.n_trials
    if config.action != "train":
        if not space.dimensions:
            raise ConfigError(
                "there is nothing to search: search.space has no range for a member of this ensemble that is not "
                "fixed. Use action=train for one run, or add a range: search.space.xgboost.eta={low: 0.01, high: 0.3}."
            )
        if sampler == "grid" and space.grid_size() < n_trials:
            n_trials = space.grid_size()
            notes.append(f"the grid has {n_trials} points, so {n_trials} trials are run.")
        elif all(isinstance(dimension, Choices) for dimension in space.dimensions.values()):
            size = space.grid_size()
            if size < n_trials:
                notes.append(f"the space has {size} points for {n_trials} trials: points will be run more than once.")
    return SearchSpec(sampler, search.seed, n_trials, search.window, search.startup_trials)


def _parallelism(config: SearchConfig) -> tuple[int, int]:
    cores = available_cores()
    parallel = min(cores, config.window) if config.parallel is None else config.parallel
    if not 1 <= parallel <= config.window:
        raise ConfigError(
            f"search.parallel={parallel} is not from 1 to search.window={config.window}: a proposal waits for all but "
            "the last search.window trials, so no more can run at a time."
        )
    return parallel, max(1, cores // parallel)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _integer(place: str, value: int, declared: Parameter) -> int:
    try:
        return int(str(declared.check(value)))
    except ValueError as error:
        raise ConfigError(f"{place}: {error}.") from None


def _one_of(place: str, value: str, valid: tuple[Any, ...]) -> Any:
    if value not in valid:
        raise ConfigError(f"{place}={value!r} is not valid.{did_you_mean(value, valid)} It can be: {listed(valid)}.")
    return value
