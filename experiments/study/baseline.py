"""What a study's blend is measured against: plain CatBoost, and the target's mean or class frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ensemble.channel import read_channel
from ensemble.evaluation import SCORES, MetricName, finite, main_score, make_folds, pooled_scores, scores_of
from ensemble.members.boosting import CatBoost
from ensemble.recipe import BLENDED, MemberSpec, Recipe
from ensemble.training import classes_argument, weighted_training_rows
from ensemble.wire import decode_recipe, encode_recipe
from experiments.study.spec import StudySpec, TrialResult, TrialSpec

# The ledger's fact: the result of the baseline's training, with the score of the mean.
BASELINE = "baseline"
CATBOOST, MEAN = "catboost", "mean"
# CatBoost's own default number of trees, where byoe's member finds one; all else is left to CatBoost then.
PARAMETERS = {"iterations": 1000}


def baseline_folder(study_folder: Path) -> Path:
    """Return the folder of the baseline's training."""
    return study_folder / "baseline"


def baseline_trial(study: StudySpec) -> TrialSpec:
    """Return the baseline's training, which runs as a trial does, on the study's data and folds and with its seed."""
    own = study.recipe({})
    recipe = Recipe(
        members=(MemberSpec(CATBOOST, CatBoost.kind, PARAMETERS),),
        folds=own.folds,
        seed=own.seed,
        objective=f"cv_{MetricName.parse(study.objective).score}_{BLENDED}",  # whose score folds have too
        class_weight=own.class_weight,  # which scores have too
    )
    folder = baseline_folder(study.folder)
    return TrialSpec(0, {}, encode_recipe(recipe), folder, threads=study.threads, own_recipe=True)


def baseline_seconds(study: StudySpec, trial: TrialResult) -> float:
    """Estimate the seconds that the baseline's training takes on one core.

    Args:
        study: The study.
        trial: A complete trial, which knows the size of the data.
    """
    folds = study.recipe({}).folds
    rows, columns = trial.info["rows"] * (folds.k - 1) // folds.k, sum(trial.info["columns"].values())
    return folds.k * folds.repeats * CatBoost.seconds(rows, columns, PARAMETERS, **classes_argument(study.classes))


def score_mean(train: str, hyperparameters: Mapping[str, str]) -> dict[str, float]:
    """Return the cross-validated scores of the mean of the target, and the main one on each fold, in a worker.

    For classes they are the log loss, the accuracy and the objective of their frequencies.

    Args:
        train: Folder of the train channel.
        hyperparameters: Those with the folds and the seed.
    """
    recipe = decode_recipe(hyperparameters)
    table = weighted_training_rows(recipe, read_channel(Path(train)))
    weights = np.ones(table.rows) if table.weights is None else table.weights
    main, target = main_score(table.task), table.target
    truth = (target[:, None] == np.arange(len(table.classes))).astype(np.float64) if table.classes else target
    predicted = np.full((recipe.folds.repeats, *truth.shape), np.nan)
    metrics = {}
    folds = make_folds(recipe.folds, table.rows, recipe.seed, table.fold_keys, table.class_of_row)
    for number, fold in enumerate(folds):
        predicted[fold.repeat, fold.score] = np.average(truth[fold.fit], axis=0, weights=weights[fold.fit])
        found = predicted[fold.repeat, fold.score]
        metrics[f"cv_{main}_{MEAN}_fold_{number}"] = SCORES[main](target[fold.score], found, weights[fold.score])
    whole = pooled_scores(MEAN, target, predicted, weights)
    # Frequencies differ a little from fold to fold, so that a rank of their rows means nothing.
    objective = MetricName.parse(recipe.objective).score
    shown = {main, "accuracy", objective} if table.classes else set(scores_of(table.task))
    return finite({name: whole[name] for name in whole if MetricName.parse(name).score in shown} | metrics)
