"""What a study's blend is measured against: plain CatBoost and the mean of the target, on the study's folds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ensemble.channel import read_channel
from ensemble.evaluation import make_folds, rmse
from ensemble.members.boosting import CatBoost
from ensemble.recipe import BLENDED, MemberSpec, Recipe
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
        objective=f"cv_rmse_{BLENDED}",
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
    return folds.k * folds.repeats * CatBoost.seconds(rows, columns, PARAMETERS)


def score_mean(train: str, hyperparameters: Mapping[str, str]) -> dict[str, float]:
    """Return the cross-validated RMSE of the mean of the target, on all rows and on each fold, in a worker.

    Args:
        train: Folder of the train channel.
        hyperparameters: Those with the folds and the seed.
    """
    table, recipe = read_channel(Path(train)), decode_recipe(hyperparameters)
    weights = np.ones(table.rows) if table.weights is None else table.weights
    predicted = np.full((recipe.folds.repeats, table.rows), np.nan)
    metrics = {}
    for number, fold in enumerate(
        make_folds(recipe.folds, table.rows, recipe.seed, table.fold_keys, table.class_of_row)
    ):
        mean = np.average(table.target[fold.fit], weights=weights[fold.fit])
        predicted[fold.repeat, fold.score] = mean
        error = rmse(table.target[fold.score], np.full(len(fold.score), mean), weights[fold.score])
        metrics[f"cv_rmse_{MEAN}_fold_{number}"] = error
    scored = np.isfinite(predicted[0])
    pooled = predicted.mean(axis=0)[scored]
    return {f"cv_rmse_{MEAN}": rmse(table.target[scored], pooled, weights[scored])} | metrics
