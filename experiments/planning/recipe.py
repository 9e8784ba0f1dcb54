"""What a study trains: the recipe of its ensemble, checked against the training rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from ensemble.blending import Fixed, Vote
from ensemble.decision import read_class_weight, read_threshold
from ensemble.evaluation import MetricName, default_objective
from ensemble.parameters import Parameter
from ensemble.recipe import BLENDED, Final, FinalRows, FoldKind, FoldSpec, Recipe
from ensemble.task_check import check_task
from ensemble.wire import FOLDS, REPEATS, SEED
from experiments.config.schema import Config, FoldsConfig
from experiments.data.datasets import Splits
from experiments.errors import ConfigError, listed, one_of
from experiments.planning.ensemble import EnsemblePlan
from experiments.planning.target import describe_target
from experiments.study.spec import BlendOver

DEFAULT_REPEATS = 3


@dataclass(frozen=True)
class RecipePlan:
    """A checked recipe.

    Attributes:
        recipe: The recipe, without searched values.
        ensemble: The ensemble, without the members that were left out.
        final_rows: The rows that the served models are fitted on.
        blend_over: Whether the winner blends the members of one trial, or each one's best of all trials.
        max_ms: Milliseconds that the winner may take to predict one row, if they are limited.
        notes: What differs from the configuration, and why.
    """

    recipe: Recipe
    ensemble: EnsemblePlan
    final_rows: FinalRows
    blend_over: BlendOver
    max_ms: float | None
    notes: tuple[str, ...]


def plan_recipe(config: Config, ensemble: EnsemblePlan, splits: Splits) -> RecipePlan:
    """Check what is trained.

    Args:
        config: The configuration.
        ensemble: The ensemble as configured.
        splits: The rows.

    Raises:
        InputError: A value is not possible.
    """
    notes: list[str] = []
    train = splits.train
    may_drop = config.ensemble.drop_slow and ensemble.weights is None
    folds = config.dataset.folds
    class_weight = read_class_weight(config.ensemble.class_weight, "ensemble.class_weight")
    if train.weights is not None or class_weight is not None:
        key = "ensemble.class_weight" if train.weights is None else "dataset.weights"
        ensemble, left_out = ensemble.that_weigh(key, drop=may_drop)
        notes += left_out
    if may_drop:
        fitted = train.rows * (folds.k - 1) // folds.k
        ensemble, left_out = ensemble.without_slow(fitted, len(train.columns), len(train.classes))
        notes += left_out
    objective = _objective(config, splits)
    recipe = Recipe(
        members=ensemble.specs(),
        blend=config.ensemble.blend,
        weights=ensemble.weights,
        final=one_of("ensemble.final", config.ensemble.final, get_args(Final)),
        folds=FoldSpec(
            one_of("dataset.folds.kind", folds.kind, get_args(FoldKind)),
            _integer("dataset.folds.k", folds.k, FOLDS),
            _repeats(folds),
        ),
        seed=_integer("search.seed", config.search.seed, SEED),
        objective=objective,
        class_weight=class_weight,
        calibrate=config.ensemble.calibrate,
        threshold=read_threshold(config.ensemble.threshold, "ensemble.threshold"),
    )
    check_task(recipe, train, "ensemble.", "search.objective", describe_target(train))
    metric = MetricName.parse(objective)
    if (recipe.blend, metric.score, metric.who) == (Vote.kind, "logloss", BLENDED):
        notes.append(
            "a label for which no member votes has a probability near 0, so that the log loss of ensemble.blend=vote "
            f"is high. Labels are scored by search.objective={metric.split}_accuracy_{BLENDED}."
        )
    blend_over, kept = _blend_over(config, objective)
    max_ms = _max_ms(config, objective)
    return RecipePlan(recipe, ensemble, _final_rows(config, splits), blend_over, max_ms, (*notes, *kept))


def _objective(config: Config, splits: Splits) -> str:
    """Return the metric that decides, by default the main score of the blend in cross-validation.

    Raises:
        InputError: No trial has it.
    """
    objective = config.search.objective
    if objective is None:
        return default_objective(splits.train.task)
    _check_scored(objective, splits)
    return objective


def _blend_over(config: Config, objective: str) -> tuple[BlendOver, list[str]]:
    """Return what the winner blends, and a note if that is not what is configured."""
    over: BlendOver = one_of("ensemble.blend_over", config.ensemble.blend_over, get_args(BlendOver))
    if over == "trial" or config.action == "train":
        return "trial", []
    reason = _why_no_other_blend(config, objective)
    if reason is None:
        return over, []
    return "trial", [f"the winner is the best trial, and not a blend over the study (ensemble.blend_over): {reason}."]


def _why_no_other_blend(config: Config, objective: str) -> str | None:
    """Return why the winner's blend cannot be other than that of the best trial; None if it can."""
    metric = MetricName.parse(objective)
    if config.mode.account is not None:
        return f"mode={config.mode.name} serves the model of its best job"
    if config.ensemble.blend == Fixed.kind:
        return "ensemble.blend=fixed has weights for the members of one trial only"
    if (metric.split, metric.who) != ("cv", BLENDED):
        return f"search.objective={objective} is not a cross-validated score of the blend"
    return None


def _max_ms(config: Config, objective: str) -> float | None:
    limit = config.ensemble.max_ms
    if limit is None:
        return None
    if not 0 < limit < math.inf:
        raise ConfigError(f"ensemble.max_ms={limit:g} is not a number of milliseconds above 0.")
    reason = _why_no_other_blend(config, objective)
    if reason is not None:
        raise ConfigError(f"ensemble.max_ms={limit:g} cannot leave members out: {reason}. Leave it out.")
    return limit


def _check_scored(objective: str, splits: Splits) -> None:
    metric = MetricName.parse(objective)
    if metric.split == "validation" and splits.validation is None:
        raise ConfigError(
            f"search.objective={objective} is a score on validation rows, and dataset.split.validation=0 sets none "
            f"aside. Use search.objective=cv_{metric.score}_{metric.who}, or another dataset.split.validation."
        )


def _final_rows(config: Config, splits: Splits) -> FinalRows:
    """Return the rows for the served models, by the name with the fewest rows if several mean the same rows."""
    given, possible = config.ensemble.final_rows, config.mode.final_rows
    if given is not None and given not in possible and given in get_args(FinalRows):
        raise ConfigError(
            f"ensemble.final_rows={given}: with mode={config.mode.name} the served model can be fitted on "
            f"{listed(possible)} only. Leave the key out, or replay the study with mode=local."
        )
    rows: FinalRows = one_of("ensemble.final_rows", possible[0] if given is None else given, get_args(FinalRows))
    if rows == "all" and splits.test is None:
        rows = "train_and_validation"
    return "train" if rows == "train_and_validation" and splits.validation is None else rows


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
