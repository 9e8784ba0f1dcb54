"""How a study's points are found: by a search, or as the listed points of a training or a replay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from ensemble.evaluation import MetricName
from ensemble.wire import SEPARATOR
from experiments.config.schema import Config
from experiments.config.secrets import masked_value
from experiments.errors import ConfigError, listed, one_of
from experiments.planning import replay
from experiments.planning.ensemble import EnsemblePlan
from experiments.planning.space import SpacePlan
from experiments.sagemaker_requests.limits import SHORTEST_TUNING_JOB
from experiments.study.learning import KEY as LEARN_FROM
from experiments.study.learning import source_name
from experiments.study.ledger import Peek
from experiments.study.search_space import Choices, SearchSpace
from experiments.study.spec import Engine, Point, Sampler, SearchSpec, Vary

MOST_TRIALS = 100_000


@dataclass(frozen=True)
class SearchPlan:
    """A checked search.

    Attributes:
        space: What is searched.
        targets: For each shared name that is searched, the wire names that it sets.
        spec: How points are proposed.
        points: The points to run instead of a search, in order.
        replayed: What is recorded of the study whose points these are.
        notes: What the user should know of how the search was read.
    """

    space: SearchSpace
    targets: Mapping[str, list[str]]
    spec: SearchSpec
    points: tuple[Point, ...] | None
    replayed: Peek | None
    notes: tuple[str, ...]

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return self.spec.n_trials if self.points is None else len(self.points)


def plan_search(config: Config, ensemble: EnsemblePlan, objective: str, studies: Path) -> SearchPlan:
    """Check the search, or find the points that are run instead of one.

    Args:
        config: The configuration.
        ensemble: The ensemble.
        objective: The metric that decides.
        studies: Folder of the studies, in which a replay finds its source.

    Raises:
        InputError: A value is not possible, or the study to replay has no points.
    """
    space = SpacePlan(config.search.space, ensemble)
    spec, notes = _search(config, space.space, objective)
    spec = replace(spec, learn_from=_learn_from(config, spec, studies))
    points: tuple[Point, ...] | None = None
    replayed: Peek | None = None
    notes = [*space.notes, *notes]
    if config.action == "train":
        points, notes = ({},), []
    elif config.action == "replay":
        replayed = replay.source(config.replay, studies)
        points = replay.best_points(replayed, config.replay, objective)
    if points is not None:
        _check_no_warm_start(config)
        if config.search.learn_from:
            raise ConfigError(
                f"{LEARN_FROM}={listed(_masked(config))} is for a search, and action={config.action} is not one: leave "
                f"it out, or add {LEARN_FROM}=[]."
            )
    return SearchPlan(space.space, space.targets, spec, points, replayed, tuple(notes))


def _check_no_warm_start(config: Config) -> None:
    parents = None if config.mode.account is None else config.mode.account.warm_start
    if parents:
        raise ConfigError(
            f"mode.warm_start={listed(parents)} is for a search, and action={config.action} is not one: leave it out, "
            "or add mode.warm_start=[]."
        )


def _search(config: Config, space: SearchSpace, objective: str) -> tuple[SearchSpec, list[str]]:
    search = config.search
    notes: list[str] = []
    sampler: Sampler = one_of("search.sampler", search.sampler, get_args(Sampler))
    for key in ("n_trials", "window", "startup_trials"):
        if not 1 <= getattr(search, key) <= MOST_TRIALS:
            raise ConfigError(f"search.{key}={getattr(search, key)} is not at least 1 and at most {MOST_TRIALS}.")
    rate = search.max_failure_rate
    if not 0 <= rate <= 1 or math.isnan(rate):
        raise ConfigError(f"search.max_failure_rate={rate:g} is not a share from 0 to 1.")
    engine = _engine(config)
    n_trials, vary = search.n_trials, _vary(config, space, engine)
    if config.action == "tune":
        if not space.ranges:
            raise ConfigError(
                "there is nothing to search: search.space has no range for a member of this ensemble that is not "
                "fixed. Use action=train for one run, or add a range: search.space.xgboost.eta={low: 0.01, high: 0.3}."
            )
        if sampler == "grid" and space.grid_size() < n_trials:
            n_trials = space.grid_size()
            notes.append(f"the grid has {n_trials} points, so {n_trials} trials are run.")
        elif all(isinstance(range_, Choices) for range_ in space.ranges.values()):
            size = space.grid_size()
            if size < n_trials:
                notes.append(f"the space has {size} points for {n_trials} trials: points will be run more than once.")
        _check_prune(config, objective)
    _check_timeout(config)
    prune = search.prune and config.action == "tune"
    window, startup = search.window, search.startup_trials
    return SearchSpec(sampler, search.seed, n_trials, window, startup, prune, vary, engine), notes


def _engine(config: Config) -> Engine | None:
    """Return who proposes the points; None where only byoe can, or if they are given."""
    account, given = config.mode.account, config.search.engine
    engine: Engine = "amt" if given is None else one_of("search.engine", given, get_args(Engine))
    if account is None:
        if given == "amt":
            raise ConfigError(
                f"search.engine=amt is SageMaker's tuner, which mode={config.mode.name} does not have: leave it out, "
                "or use mode=remote."
            )
        return None
    if config.action != "tune":
        return None
    if engine == "optuna" and account.warm_start:
        raise ConfigError(
            f"mode.warm_start={listed(account.warm_start)} is for search.engine=amt, SageMaker's tuner: use that, or "
            "add mode.warm_start=[]."
        )
    if engine == "optuna" and account.early_stopping:
        raise ConfigError(
            "mode.early_stopping=true is for search.engine=amt, SageMaker's tuner: use that, or leave it out."
        )
    return engine


def _learn_from(config: Config, spec: SearchSpec, studies: Path) -> tuple[str, ...]:
    """Return what the search learns from, each as the study's identity has it: a study of this project by its name."""
    if not config.search.learn_from or config.action != "tune":
        return ()
    reason = None
    if spec.engine == "amt":
        reason = (
            "search.engine=amt: SageMaker's tuner learns from tuning jobs, by mode.warm_start=[<tuning job>]. Use "
            "that, or search.engine=optuna"
        )
    elif spec.sampler != "tpe":
        reason = f"search.sampler={spec.sampler}, which does not learn: use tpe"
    elif spec.vary != "all":
        reason = f"search.vary={spec.vary}, where members learn from their own scores: leave it out"
    if reason is not None:
        raise ConfigError(f"{LEARN_FROM} cannot be combined with {reason}.")
    found: list[str] = []
    for text in _masked(config):
        name = source_name(text, studies)
        if not name:
            raise ConfigError(
                f"{LEARN_FROM} has an empty name: name a study, a tuning job or a storage, or leave it out."
            )
        if name == config.study:
            raise ConfigError(
                f"{LEARN_FROM}={text} is the study itself, which learns from its own trials anyway: leave it out, or "
                "give this study another name with study=<name>."
            )
        if name in found:
            raise ConfigError(f"{LEARN_FROM} names {text} twice: leave one out.")
        found.append(name)
    return tuple(found)


def _masked(config: Config) -> list[str]:
    return [masked_value(text) for text in config.search.learn_from]


def _vary(config: Config, space: SearchSpace, engine: Engine | None) -> Vary:
    vary: Vary = one_of("search.vary", config.search.vary, get_args(Vary))
    if vary == "all" or config.action != "tune":
        return "all"
    shared = [name for name in space.ranges if SEPARATOR not in name]
    reason = None
    if engine == "amt":
        reason = f"mode={config.mode.name}, where SageMaker's tuner chooses the points: add search.engine=optuna"
    elif config.search.sampler == "grid":
        reason = "search.sampler=grid: use tpe or random"
    elif config.search.prune:
        reason = "search.prune=true: leave it out"
    elif shared:
        reason = f"search.shared, whose {listed(shared)} belongs to several members: leave it out"
    if reason is not None:
        raise ConfigError(f"search.vary={vary} cannot be combined with {reason}.")
    return vary


def _check_timeout(config: Config) -> None:
    timeout = config.search.timeout
    if timeout is None:
        return
    if not 0 < timeout < math.inf:
        raise ConfigError(f"search.timeout={timeout:g} is not a number of seconds above 0.")
    if config.mode.runs_jobs and timeout < SHORTEST_TUNING_JOB:
        raise ConfigError(
            f"search.timeout={timeout:g}: a tuning job of SageMaker takes {SHORTEST_TUNING_JOB} seconds or more."
        )


def _check_prune(config: Config, objective: str) -> None:
    if not config.search.prune:
        return
    if config.mode.runs_jobs:
        raise ConfigError(
            "search.prune=true is for mode=local: SageMaker's tuner cannot stop a trial between folds, so a study that "
            "prunes cannot be compared with one there. Leave it out."
        )
    if MetricName.parse(objective).split != "cv":
        raise ConfigError(
            f"search.prune=true judges fold by fold, and search.objective={objective} has no folds: "
            "use an objective that begins with cv_."
        )
