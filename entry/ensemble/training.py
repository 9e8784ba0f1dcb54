"""Fit an ensemble: every member on every fold, the blend on what they predict out of fold, and the scores of all."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field

import numpy as np

from ensemble.blending import Blender, make_blender
from ensemble.errors import MemberError
from ensemble.evaluation import Fold, make_folds, rmse, scores
from ensemble.members import Floats, Member, member_class
from ensemble.recipe import BLENDED, MemberSpec, Recipe
from ensemble.table import Table
from ensemble.threads import one_blas_thread


@dataclass(frozen=True)
class FittedEnsemble:
    """What predicts: by member name the models whose predictions are averaged, and one weight a member.

    Attributes:
        models: The fold models (``bag``) or one model (``refit``) of each member, in the recipe's order.
        weights: By member name, non-negative, summing to one.
    """

    models: dict[str, list[Member]]
    weights: dict[str, float]

    def predict_members(self, features: Floats) -> Floats:
        """Return each member's prediction, shape (rows, members)."""
        return np.column_stack(
            [averaged([model.predict(features) for model in models]) for models in self.models.values()]
        )

    def blend(self, members: Floats) -> Floats:
        """Return the blend, shape (rows,), of what ``predict_members`` returned.

        Summed member by member: a matrix product may add up in another order on another machine.
        """
        return blended(members, np.asarray(list(self.weights.values())))

    def predict(self, features: Floats) -> Floats:
        """Return the blended prediction, shape (rows,)."""
        return self.blend(self.predict_members(features))


@dataclass
class Training:
    """One finished training.

    Attributes:
        ensemble: What predicts.
        metrics: Every score by name; all of cross-validation, and of validation where there is such a channel.
        out_of_fold: Out-of-fold predictions of the members, shape (rows, members).
        out_of_fold_blended: Out-of-fold predictions of the blend, by weights fitted on other folds, shape (rows,).
        fold_of_row: Number of the fold in which each row was scored, shape (rows,).
        fit_seconds: Seconds spent in each member's ``fit``.
        predict_seconds: Seconds spent in all ``predict`` calls.
    """

    ensemble: FittedEnsemble
    metrics: dict[str, float]
    out_of_fold: Floats
    out_of_fold_blended: Floats
    fold_of_row: np.ndarray
    fit_seconds: dict[str, float] = field(default_factory=dict)
    predict_seconds: float = 0.0


def averaged(parts: list[Floats]) -> Floats:
    """Return the mean of equally long arrays, added one after another: the same for one row as for many."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total / len(parts)


def blended(members: Floats, weights: Floats) -> Floats:
    """Return the weighted sum over the columns of ``members`` (rows x members), column after column."""
    total = np.zeros(len(members))
    for column, weight in zip(members.T, weights, strict=True):
        total += weight * column
    return total


def fit_ensemble(recipe: Recipe, train: Table, validation: Table | None, threads: int) -> Training:
    """Cross-validate and fit.

    Args:
        recipe: What to train.
        train: Rows to fit on; out-of-fold scores are over these.
        validation: Further rows to score, never fitted on.
        threads: Threads that a member may use. Linear algebra always uses one, so that its sums keep their order.

    Raises:
        InputError: Fewer rows than folds.
        MemberError: A member raised, or predicted something that is not a finite number a row.
    """
    with one_blas_thread():
        return _Fit(recipe, train, validation, threads).run()


class _Fit:
    def __init__(self, recipe: Recipe, train: Table, validation: Table | None, threads: int) -> None:
        self.recipe = recipe
        self.train = train
        self.validation = validation
        self.threads = threads
        self.names = [member.name for member in recipe.members]
        self.fit_seconds = dict.fromkeys(self.names, 0.0)
        self.predict_seconds = 0.0

    def run(self) -> Training:
        folds = make_folds(self.recipe.folds, self.train.rows, self.recipe.seed)
        fold_of_row = np.empty(self.train.rows, dtype=np.int32)
        for number, fold in enumerate(folds):
            fold_of_row[fold.score] = number
        out_of_fold = np.empty((self.train.rows, len(self.names)))
        models: dict[str, list[Member]] = {name: [] for name in self.names}
        for number, fold in enumerate(folds):
            features, target = self.train.features[fold.fit], self.train.target[fold.fit]
            score_features = self.train.features[fold.score]
            for column, spec in enumerate(self.recipe.members):
                model = self._fit_member(spec, features, target, f"fold {number}")
                out_of_fold[fold.score, column] = self._predict(spec.name, model, score_features, f"fold {number}")
                models[spec.name].append(model)
        blender = make_blender(self.recipe.blend, self.names, self.recipe.weights, "blend")
        weights = blender.weights(out_of_fold, self.train.target)
        out_of_fold_blended = self._cross_fitted(blender, weights, out_of_fold, folds)
        if self.recipe.final == "refit":
            models = {
                spec.name: [self._fit_member(spec, self.train.features, self.train.target, "all rows")]
                for spec in self.recipe.members
            }
        ensemble = FittedEnsemble(models, dict(zip(self.names, weights.tolist(), strict=True)))
        metrics = self._cv_metrics(out_of_fold, out_of_fold_blended, folds)
        if self.validation is not None:
            metrics |= self._validation_metrics(ensemble, self.validation)
        return Training(
            ensemble, metrics, out_of_fold, out_of_fold_blended, fold_of_row, self.fit_seconds, self.predict_seconds
        )

    def _fit_member(self, spec: MemberSpec, features: Floats, target: Floats, where: str) -> Member:
        found = member_class(spec.kind, "members")
        start = time.perf_counter()
        try:
            model = found(spec.params, seed=self.recipe.seed, threads=self.threads)
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                model.fit(features, target)
        except Exception as error:  # whatever a library or a user's own member raises fails this trial, by name
            raise MemberError(spec.name, f"fit, {where}", error) from error
        self.fit_seconds[spec.name] += time.perf_counter() - start
        return model

    def _predict(self, name: str, model: Member, features: Floats, where: str) -> Floats:
        start = time.perf_counter()
        try:
            predicted = model.predict(features)
        except Exception as error:  # as in fit
            raise MemberError(name, f"predict, {where}", error) from error
        self.predict_seconds += time.perf_counter() - start
        if getattr(predicted, "shape", None) != (len(features),) or not np.isfinite(predicted).all():
            raise MemberError(name, f"predict, {where}", "its predictions are not an array of one finite number a row")
        return predicted

    def _cross_fitted(self, blender: Blender, weights: Floats, out_of_fold: Floats, folds: list[Fold]) -> Floats:
        if not blender.fitted:
            return blended(out_of_fold, weights)
        result = np.empty(len(out_of_fold))
        for fold in folds:
            weights_of_others = blender.weights(out_of_fold[fold.fit], self.train.target[fold.fit])
            result[fold.score] = blended(out_of_fold[fold.score], weights_of_others)
        return result

    def _cv_metrics(self, out_of_fold: Floats, out_of_fold_blended: Floats, folds: list[Fold]) -> dict[str, float]:
        metrics: dict[str, float] = {}
        target = self.train.target
        for name, predicted in zip([*self.names, BLENDED], [*out_of_fold.T, out_of_fold_blended], strict=True):
            metrics |= scores("cv", name, target, predicted)
            for number, fold in enumerate(folds):
                metrics[f"cv_rmse_{name}_fold_{number}"] = rmse(target[fold.score], predicted[fold.score])
        return metrics

    def _validation_metrics(self, ensemble: FittedEnsemble, validation: Table) -> dict[str, float]:
        columns = []
        for name, models in ensemble.models.items():
            parts = [self._predict(name, model, validation.features, "validation") for model in models]
            columns.append(averaged(parts))
        predicted = np.column_stack(columns)
        return score_members("validation", self.names, predicted, ensemble.blend(predicted), validation.target)


def score_members(prefix: str, names: list[str], members: Floats, blend: Floats, target: Floats) -> dict[str, float]:
    """Return every score of every member and of the blend, named ``{prefix}_{score}_{name}``."""
    metrics: dict[str, float] = {}
    for name, predicted in zip([*names, BLENDED], [*members.T, blend], strict=True):
        metrics |= scores(prefix, name, target, predicted)
    return metrics
