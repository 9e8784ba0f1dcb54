"""From a configuration to a study: every value checked against what its member, blender or sampler knows."""

from __future__ import annotations

import hashlib
import math
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from ensemble.evaluation import MetricName, make_folds
from ensemble.parameters import Parameter
from ensemble.recipe import Final, FoldKind, FoldSpec, Recipe
from ensemble.table import Table
from ensemble.wire import FOLDS, REPEATS, SEED, check_objective, encode_recipe
from experiments.config.compose import Composed
from experiments.config.paths import studies_folder, user_path
from experiments.config.schema import Config, FoldsConfig, SageMakerModeConfig
from experiments.data import datasets
from experiments.data.channels import channels_of, place_channels
from experiments.data.presplit import SPLITS, is_own_split
from experiments.errors import ConfigError, one_of
from experiments.planning import replay
from experiments.planning.ensemble import plan_ensemble
from experiments.planning.space import SpacePlan
from experiments.planning.tuner_limits import check_portable
from experiments.study.ledger import Peek
from experiments.study.search_space import Choices, SearchSpace
from experiments.study.source_dir import place_source
from experiments.study.spec import Params, Sampler, SearchSpec, StudySpec
from experiments.system.machine import available_cores

# A study's name is also a tuning job's, and these are AMT's rules for one.
STUDY_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*")
STUDY_NAME_LENGTH = 32
DEFAULT_REPEATS = 3
MOST_TRIALS = 100_000
# With more than one in so many trials at a time, a tuner is little better than chance.
TRIALS_TO_LEARN_FROM = 4
# AMT's least MaxRuntimeInSeconds of a tuning job.
SHORTEST_TUNING_JOB = 120
# Beyond this, trials side by side are no faster than one after another on all cores, and take memory each.
LARGE_TABLE_BYTES = 16 * 2**20


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

    def at_least(self, trials: int) -> Plan:
        """Return the plan with no fewer trials than a search of this name has begun already."""
        if self.study.points is not None or trials <= self.study.n_trials:
            return self
        note = f"study {self.study.name} has {trials} trials already: search.n_trials={self.study.n_trials} adds none."
        search = replace(self.study.search, n_trials=trials)
        return replace(self, study=replace(self.study, search=search), notes=(*self.notes, note))

    def place(self) -> StudySpec:
        """Write the channels and, for containers, the source directory; return the study."""
        studies = self.study.folder.parent
        place_channels(self.splits, studies)
        if self.study.mode != "local":
            place_source(self.study.dependencies, studies)
        return self.study


def plan_study(composed: Composed) -> Plan:
    """Check everything that a study is told, and read its data.

    Raises:
        InputError: The first mistake that was found; nothing has been written.
    """
    config = composed.config
    for key in ("root", "studies"):
        if not getattr(config.paths, key):
            raise ConfigError(f"paths.{key} is empty: name a folder, such as paths.{key}=. for this one.")
    dependencies = _add_dependencies(config)
    if config.study is not None:
        _check_name(config.study)
    ensemble = plan_ensemble(config.ensemble, config.search.shared)
    _check_not_split_again(composed)
    splits = datasets.load(config.dataset, config.mode)
    notes = _own_split_notes(config, splits)
    left_out: list[str] = []
    if splits.train.weights is not None:
        ensemble, left_out = ensemble.that_weigh(drop=config.ensemble.drop_slow and ensemble.weights is None)
    if config.ensemble.drop_slow and ensemble.weights is None:
        train, k = splits.train, config.dataset.folds.k
        ensemble, slow = ensemble.without_slow(train.rows * (k - 1) // k, len(train.columns))
        left_out += slow
    objective = config.search.objective
    check_objective(objective, ensemble.members, "search.objective")
    recipe = Recipe(
        members=ensemble.specs(),
        blend=config.ensemble.blend,
        weights=ensemble.weights,
        final=one_of("ensemble.final", config.ensemble.final, get_args(Final)),
        folds=FoldSpec(
            one_of("dataset.folds.kind", config.dataset.folds.kind, get_args(FoldKind)),
            _integer("dataset.folds.k", config.dataset.folds.k, FOLDS),
            _repeats(config.dataset.folds),
        ),
        seed=_integer("search.seed", config.search.seed, SEED),
        objective=objective,
    )
    _check_folds(recipe, splits.train, config)
    space = SpacePlan(config.search.space, ensemble)
    search_notes = list(space.notes)
    search = _search(config, space.space, search_notes)
    studies = studies_folder(config)
    points: tuple[Params, ...] | None = None
    known: Peek | None = None
    if config.action == "train":
        points = ({},)
        search_notes.clear()
    elif config.action == "replay":
        known = replay.source(config.replay, studies)
        points = replay.best_points(known, config.replay, objective)
    notes += left_out + search_notes
    n_trials = search.n_trials if points is None else len(points)
    parallel, threads = _parallelism(config, n_trials, splits.train.features.nbytes)
    if config.mode.name == "remote" and points is None and parallel > max(1, n_trials // TRIALS_TO_LEARN_FROM):
        notes.append(
            f"{parallel} of {n_trials} jobs at a time: a tuner that has seen little when it asks picks at random; "
            f"search.parallel={max(1, n_trials // TRIALS_TO_LEARN_FROM)} learns more from as many jobs."
        )
    values: dict[str, Any] = {
        "mode": config.mode.name,
        "action": config.action,
        "channels": channels_of(splits, studies),
        "static": encode_recipe(recipe, space.targets),
        "space": space.space,
        "search": search,
        "objective": objective,
        "parallel": parallel,
        "threads": threads,
        "max_failure_rate": config.search.max_failure_rate,
        "timeout": config.search.timeout,
        "points": points,
        "cold": isinstance(config.mode, SageMakerModeConfig) and not config.mode.warm_pool,
        "replay_of": config.replay.study if known is not None else None,
        "dependencies": dependencies,
        "code": {folder.name: _code_hash(folder) for folder in dependencies},
        "arguments": replay.recipe_arguments(composed.arguments),
        "config": composed.yaml(),
        "dataset": datasets.label(config.dataset),
    }
    unnamed = StudySpec(name="", folder=studies, **values)
    if config.search.portable:
        check_portable(unnamed)
    if known is not None:
        replay.check_same_recipe(known, unnamed, str(config.replay.study))
    name = config.study or _made_name(composed, unnamed)
    return Plan(StudySpec(name=name, folder=studies / name, **values), splits, tuple(notes))


def _check_not_split_again(composed: Composed) -> None:
    """Raise ConfigError if rows that are split already are told how to be split."""
    path, given = composed.config.dataset.path, composed.given("dataset.split")
    if given and path is not None and is_own_split(path):
        raise ConfigError(
            f"{', '.join(given)}: dataset.path={path} is a folder of rows that are split already, and no row is moved. "
            f"Leave {'it' if len(given) == 1 else 'them'} out, or give one file."
        )


def _own_split_notes(config: Config, splits: datasets.Splits) -> list[str]:
    """Return what the user should know of rows that are split already."""
    if not splits.own:
        return []
    rows = ", ".join(f"{getattr(splits, name).rows} rows in {name}/" for name in SPLITS)
    return [f"dataset.path={config.dataset.path} is split already, and so it stays: {rows}."]


def _check_folds(recipe: Recipe, train: Table, config: Config) -> None:
    """Raise InputError where every trial would find that its rows cannot be divided, or that a fold has no weight."""
    for number, fold in enumerate(make_folds(recipe.folds, train.rows, recipe.seed, train.fold_keys)):
        if train.weights is not None and not (train.weights[fold.fit].any() and train.weights[fold.score].any()):
            raise ConfigError(
                f"dataset.weights={config.dataset.weights} is 0 in every row of fold {number}, fitted or scored: give "
                "more rows a weight, or lower dataset.folds.k."
            )


def _made_name(composed: Composed, study: StudySpec) -> str:
    title = composed.choices.get("experiment") or f"{study.dataset}-{composed.choices['ensemble']}"
    if study.points is not None:
        title += f"-{study.action}"
    words = re.sub(r"[^a-zA-Z0-9]+", "-", title).strip("-")
    suffix = study.identity_hash()[:8]
    return f"{words[: STUDY_NAME_LENGTH - len(suffix) - 1].rstrip('-')}-{suffix}".lstrip("-")


def _check_name(name: str) -> None:
    if len(name) > STUDY_NAME_LENGTH or not STUDY_NAME.fullmatch(name):
        raise ConfigError(
            f"study={name!r} is no study name: use at most {STUDY_NAME_LENGTH} letters, digits and hyphens, "
            "beginning and ending with a letter or digit."
        )


def _add_dependencies(config: Config) -> tuple[Path, ...]:
    folders = []
    for text in config.entry.dependencies:
        folder = user_path(text).absolute()
        if not folder.is_dir():
            raise ConfigError(f"entry.dependencies names {text!r}, which is no folder: correct the path.")
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        folders.append(folder)
    return tuple(folders)


def _code_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _search(config: Config, space: SearchSpace, notes: list[str]) -> SearchSpec:
    search = config.search
    sampler: Sampler = one_of("search.sampler", search.sampler, get_args(Sampler))
    for key in ("n_trials", "window", "startup_trials"):
        if not 1 <= getattr(search, key) <= MOST_TRIALS:
            raise ConfigError(f"search.{key}={getattr(search, key)} is not at least 1 and at most {MOST_TRIALS}.")
    rate = search.max_failure_rate
    if not 0 <= rate <= 1 or math.isnan(rate):
        raise ConfigError(f"search.max_failure_rate={rate:g} is not a share from 0 to 1.")
    n_trials = search.n_trials
    if config.action == "tune":
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
        _check_prune(config)
    if search.timeout is not None and not 0 < search.timeout < math.inf:
        raise ConfigError(f"search.timeout={search.timeout:g} is no number of seconds above 0.")
    if config.mode.name != "local" and search.timeout is not None and search.timeout < SHORTEST_TUNING_JOB:
        raise ConfigError(
            f"search.timeout={search.timeout:g}: a tuning job of SageMaker takes {SHORTEST_TUNING_JOB} seconds or more."
        )
    prune = search.prune and config.action == "tune"
    return SearchSpec(sampler, search.seed, n_trials, search.window, search.startup_trials, prune)


def _check_prune(config: Config) -> None:
    if not config.search.prune:
        return
    if config.mode.name != "local":
        raise ConfigError(
            "search.prune=true is for mode=local: SageMaker's tuner cannot stop a trial between folds, so a study that "
            "prunes cannot be compared with one there. Leave it out."
        )
    if MetricName.parse(config.search.objective).split != "cv":
        raise ConfigError(
            f"search.prune=true judges fold by fold, and search.objective={config.search.objective} has no folds: "
            "use an objective that begins with cv_."
        )


def _parallelism(config: Config, n_trials: int, table_bytes: int) -> tuple[int, int]:
    search, cores = config.search, available_cores()
    side_by_side = 1 if table_bytes > LARGE_TABLE_BYTES else min(cores, search.window)
    if config.mode.name == "remote":  # every job has a machine of its own
        learning = n_trials // TRIALS_TO_LEARN_FROM if config.action == "tune" else n_trials
        side_by_side = min(search.window, max(1, learning))
    parallel = side_by_side if search.parallel is None else search.parallel
    if not 1 <= parallel <= search.window:
        raise ConfigError(
            f"search.parallel={parallel} is not from 1 to search.window={search.window}: a proposal waits for all but "
            "the last search.window trials, so no more can run at a time."
        )
    parallel = min(parallel, n_trials)
    return parallel, max(1, cores // parallel)


def _repeats(folds: FoldsConfig) -> int:
    if folds.kind != "repeated" and folds.repeats is not None:
        raise ConfigError(f"dataset.folds.repeats={folds.repeats} goes with dataset.folds.kind=repeated: add it.")
    default = DEFAULT_REPEATS if folds.kind == "repeated" else 1
    return _integer("dataset.folds.repeats", default if folds.repeats is None else folds.repeats, REPEATS)


def _integer(place: str, value: int, declared: Parameter) -> int:
    try:
        return int(str(declared.check(value)))
    except ValueError as error:
        raise ConfigError(f"{place}: {error}.") from None
