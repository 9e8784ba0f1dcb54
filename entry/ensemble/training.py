"""Train an ensemble: fit each member on each fold, fit the blend out of fold, and score everything."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.blending import CALIBRATION_ROWS, SUM_ERROR, Blend, Blender, Rows, fit_blend
from ensemble.decision import Decision, class_weights, fit_threshold
from ensemble.errors import InputError, MemberError
from ensemble.evaluation import (
    SCORES,
    Fold,
    Index,
    MetricName,
    finite,
    fold_weights,
    folded_scores,
    make_folds,
    pooled_scores,
    scores,
)
from ensemble.final_budget import FinalBudget
from ensemble.fold_budget import USUAL_SHARE, FoldBudget
from ensemble.intervals import Intervals, fit_intervals
from ensemble.known_fits import NOTHING, Known, KnownFit
from ensemble.members import Member, member_class
from ensemble.members.growth import Growth, common_rounds, loss_for, rounds_for_rows
from ensemble.nested_blend import (
    NestedBlend,
    averaged,
    blender_of,
    blender_rows,
    decision_of,
    labels_by_repeat,
    labels_of,
    nested_blend,
    with_blend,
)
from ensemble.racing import FEWEST_FOLDS, RaceLost, Rival, is_lost, mean_difference
from ensemble.recipe import BLENDED, MemberSpec, Recipe
from ensemble.table import Table, weighted_by_class
from ensemble.task_check import check_task
from ensemble.threads import one_blas_thread

# Models of a member that are fitted on all rows and averaged, each with another seed.
SEEDS = 3


@dataclass(frozen=True)
class FittedEnsemble:
    """The fitted models of each member and the blend of their predictions.

    Attributes:
        models: The models of each member, whose predictions are averaged, by name, in the recipe's order: those of the
            folds or of several seeds (``bag``), or one (``refit``).
        blend: The blend of the members' predictions.
        decision: How a label follows from blended probabilities; None for a quantity.
        class_weights: The weight of the rows of each class; empty if the rows of all classes count equally.
        intervals: What is known of the blend's errors on other rows; None if that was not looked for.
    """

    models: dict[str, list[Member]]
    blend: Blend
    decision: Decision | None = None
    class_weights: tuple[float, ...] = ()
    intervals: Intervals | None = None

    @property
    def weights(self) -> dict[str, float]:
        """Each member's weight in the blend."""
        return dict(zip(self.models, self.blend.weights, strict=True))

    def predict_members(self, features: Floats) -> Floats:
        """Return the members' predictions for features of shape (rows, columns).

        Returns:
            Quantities in the target's unit, shape (rows, members), or probabilities, shape (rows, members, classes);
            float64.
        """
        return np.stack(
            [averaged(type(models[0]).predict_each(models, features)) for models in self.models.values()], axis=1
        )

    def predict(self, features: Floats) -> Floats:
        """Return the blended predictions: quantities, shape (rows,), or probabilities, shape (rows, classes)."""
        return self.blend.predict(self.predict_members(features), features)


@dataclass
class Training:
    """A finished training.

    Attributes:
        ensemble: The fitted ensemble.
        metrics: All scores by metric name: of cross-validation, and of the validation channel if there is one.
        out_of_fold: The members' out-of-fold predictions, shape (rows, members[, classes]), float64, averaged over
            repeats; NaN in rows that no fold scores.
        by_repeat: The same for each division of the rows, shape (repeats, rows, members[, classes]).
        out_of_fold_blended: The blend's out-of-fold predictions, shape (rows[, classes]), float64. The blend of each
            fold was fitted on the other folds.
        fold_of_row: Number of the fold in which each row was scored, shape (rows, repeats), int32; -1 if in none.
        fit_seconds: Seconds spent in ``fit``, by member.
        predict_seconds: Seconds spent in all ``predict`` calls.
        blend_seconds: Seconds spent in fitting the blend on all rows, and without those of each fold.
        standings: As in ``Rival``, for later trainings that race this one; empty unless this one raced.
        rounds: The numbers of boosting rounds that were found, by member.
        fits: Each member's predictions, for later trainings with the same member.
        left_out: Why a member was left out, by its name; only with a time limit.
        weights: The weights of the rows, shape (rows,), with those of their classes; None if all count equally.
        labels: The positions of the labels that the blend gives out of fold, shape (rows,), -1 in rows that no fold
            scores; None for a quantity. The threshold of each fold was chosen on the other folds.
        blended_by_repeat: As ``out_of_fold_blended``, for each division of the rows, shape (repeats, rows[, classes]).
        labels_by_repeat: As ``labels``, for each division of the rows, shape (repeats, rows).
        fold_weights: The sum of the weights of the rows that each fold scores, or their number if all count equally.
        notes: What was not done, and why, as sentences.
    """

    ensemble: FittedEnsemble
    metrics: dict[str, float]
    out_of_fold: Floats
    by_repeat: Floats
    out_of_fold_blended: Floats
    fold_of_row: npt.NDArray[np.int32]
    fit_seconds: dict[str, float] = field(default_factory=dict)
    predict_seconds: float = 0.0
    standings: list[list[float]] = field(default_factory=list)
    rounds: dict[str, int] = field(default_factory=dict)
    fits: dict[str, KnownFit] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    weights: Floats | None = None
    labels: Index | None = None
    notes: tuple[str, ...] = ()
    blended_by_repeat: Floats = field(default_factory=lambda: np.empty((0, 0)))
    labels_by_repeat: Index | None = None
    fold_weights: tuple[float, ...] = ()
    blend_seconds: float = 0.0


def fit_ensemble(
    recipe: Recipe,
    train: Table,
    validation: Table | None,
    threads: int,
    rival: Rival | None = None,
    known: Known = NOTHING,
) -> Training:
    """Cross-validate and fit an ensemble.

    Args:
        recipe: What to train.
        train: The rows to fit on, over which out-of-fold scores are computed.
        validation: Further rows that are scored but never fitted on.
        threads: Threads that a member may use. Linear algebra always uses one, so that its sums keep their order.
        rival: The training to beat, with the same objective. After each fold, this training stops if it has lost.
        known: What is known already.

    Returns:
        The fitted ensemble with its scores and out-of-fold predictions.

    Raises:
        InputError: The rows do not allow these folds, they have weights and a member does not support weights, or the
            recipe is for another task.
        MemberError: A member raised an exception, or did not predict one finite number per row, or probabilities.
        RaceLost: The training cannot beat its rival.
    """
    with one_blas_thread():
        return _Fit(recipe, train, validation, threads, rival, known).run()


def with_intervals(training: Training, rows: Table, seed: int) -> Training:
    """Return a training whose ensemble knows its errors on rows that it has not seen; ``rows`` are those of the fit."""
    found = fit_intervals(training.out_of_fold_blended, training.fold_of_row, rows, seed)
    return replace(training, ensemble=replace(training.ensemble, intervals=found))


def fit_again(
    recipe: Recipe,
    rows: Table,
    fitted: FittedEnsemble,
    threads: int,
    rounds: Mapping[str, int] | None = None,
    budget: FinalBudget | None = None,
) -> FittedEnsemble:
    """Fit the models of an ensemble on other rows, for a blend that is fitted already.

    Each model is fitted on all of these rows. Models of folds, which see fewer, and a single model were worse.
    A member for which ``budget`` has no time keeps its models.

    Args:
        recipe: What to train.
        rows: The rows to fit on.
        fitted: The ensemble whose blend, decision, weights of classes and intervals are kept.
        rounds: The numbers of boosting rounds that were found, by member.
        threads: Threads that a member may use, as in ``fit_ensemble``.
        budget: The time that there is; None for no limit.

    Raises:
        MemberError: A member raised an exception.
    """
    with one_blas_thread():
        weighed = weighted_by_class(rows, fitted.class_weights)
        fit = _Fit(replace(recipe, class_weight=None), weighed, None, threads, None, Known(rounds=rounds or {}))
        return with_models(fitted, fit.models(budget))


def with_models(fitted: FittedEnsemble, models: Mapping[str, list[Member]]) -> FittedEnsemble:
    """Return an ensemble with other models of the members that have any."""
    return replace(fitted, models={name: models[name] or kept for name, kept in fitted.models.items()})


def final_budget(recipe: Recipe, training: Training, train: Table, rows: Table, seconds: float) -> FinalBudget:
    """Return the time for models on all rows, from what the models of the folds took.

    Args:
        recipe: What was trained.
        training: The training.
        train: Its rows.
        rows: All rows.
        seconds: The time that there is.
    """
    sizes = _fold_sizes(recipe, train)
    expected = {}
    for member in recipe.members:
        found, more = member_class(member.kind, "members"), classes_argument(train.classes)
        before, after = (
            found.seconds(int(size), len(rows.columns), member.params, **more) for size in (fmean(sizes), rows.rows)
        )
        ratio = max(after / max(before, 1e-9), 1.0)
        expected[member.name] = training.fit_seconds[member.name] / len(sizes) * ratio
    return FinalBudget(seconds, expected, training.ensemble.weights)


def served_rounds(recipe: Recipe, training: Training, train: Table, rows: Table) -> dict[str, int]:
    """Return the numbers of boosting rounds of models on all rows, by member whose number was found on the folds.

    Args:
        recipe: What was trained.
        training: The training.
        train: Its rows.
        rows: All rows.
    """
    fitted_on = fmean(_fold_sizes(recipe, train))
    return {name: rounds_for_rows(number, fitted_on, rows.rows) for name, number in training.rounds.items()}


def _fold_sizes(recipe: Recipe, train: Table) -> list[int]:
    """Return the number of rows on which the model of each fold was fitted."""
    folds = make_folds(recipe.folds, train.rows, recipe.seed, train.fold_keys, train.class_of_row)
    return [len(fold.fit) for fold in folds]


def seeds_of(recipe: Recipe) -> list[int]:
    """Return the seeds of the models that are fitted on all rows: one, or those of ``bag``, which are averaged."""
    further = range(1, SEEDS if recipe.final == "bag" else 1)
    return [
        recipe.seed,
        *(int(np.random.SeedSequence([recipe.seed, number]).generate_state(1)[0] >> 1) for number in further),
    ]


def weighted_training_rows(recipe: Recipe, table: Table) -> Table:
    """Return the training rows of a recipe with the weights that it gives their classes."""
    if recipe.class_weight is None:
        return table
    return weighted_by_class(table, class_weights(recipe.class_weight, table.classes, table.target).tolist())


class _Fit:
    def __init__(
        self,
        recipe: Recipe,
        train: Table,
        validation: Table | None,
        threads: int,
        rival: Rival | None,
        known: Known,
    ) -> None:
        check_task(recipe, train)
        self.class_weights: tuple[float, ...] = ()
        if recipe.class_weight is not None:
            self.class_weights = tuple(class_weights(recipe.class_weight, train.classes, train.target).tolist())
            train = weighted_by_class(train, self.class_weights)
        self.recipe = recipe
        self.rival = rival
        self.known = dict(known.fits)
        self.objective = MetricName.parse(recipe.objective)
        self.train = train
        self.validation = validation
        self.threads = threads
        self.names = [member.name for member in recipe.members]
        self.fit_seconds = {name: known.fits[name].seconds if name in known.fits else 0.0 for name in self.names}
        self.predict_seconds = 0.0
        self.standings: list[list[float]] = []
        self.curves: dict[str, list[Floats]] = {
            member.name: []
            for member in self._unknown()
            if member_class(member.kind, "members").finds_rounds(member.params) and member.name not in known.rounds
        }
        self.rounds: dict[str, int] = dict(known.rounds)
        self.seconds, self.may_leave, self.clock = known.seconds, known.may_leave, known.clock
        self.left_out: dict[str, str] = {}
        self.outputs = (len(train.classes),) if train.classes else ()
        self.decision = decision_of(train)
        for member in recipe.members if train.weights is not None else ():
            if not member_class(member.kind, "members").weighs:
                raise InputError(
                    f"member {member.name!r} does not support row weights: leave it or "
                    f"{'the weights of classes' if self.class_weights else 'dataset.weights'} out."
                )

    def run(self) -> Training:
        spec = self.recipe.folds
        folds = make_folds(spec, self.train.rows, self.recipe.seed, self.train.fold_keys, self.train.class_of_row)
        fold_of_row = np.full((self.train.rows, spec.repeats), -1, dtype=np.int32)
        predictions = np.full((spec.repeats, self.train.rows, len(self.names), *self.outputs), np.nan)
        models: dict[str, list[Member]] = {name: [] for name in self.names}
        for name, fit in self.known.items():
            models[name] = list(fit.models)
            predictions[:, :, self.names.index(name)] = fit.out_of_fold
        if self.seconds is not None:
            fold_of_row[folds[0].score, folds[0].repeat] = 0
            predictions = self._fit_first_fold(folds[0], models, predictions, self._seconds_of_first(folds))
        blender = blender_of(self.recipe, self.train)
        for number, fold in enumerate(folds):
            fold_of_row[fold.score, fold.repeat] = number
            if number or self.seconds is None:
                self._fit_fold(number, fold, models, predictions)
            if self.rival is not None and number + 1 < len(folds):
                self._truncate(models, predictions, folds[: number + 1])
                self._race(self.rival, blender, predictions, folds[: number + 1])
        models, found = self._truncate(models, predictions, folds)
        self.rounds |= found
        self.rounds |= {name: fit.rounds for name, fit in self.known.items() if fit.rounds is not None}
        scored = np.flatnonzero(fold_of_row[:, 0] >= 0)
        out_of_fold = averaged(list(predictions))
        rows = blender_rows(out_of_fold, self.train).take(scored)
        began = time.perf_counter()
        blend = fit_blend(blender, rows)
        blend_seconds = time.perf_counter() - began
        if self.recipe.final == "refit":
            models |= {name: fitted for name, fitted in self.models().items() if name not in self.known}
        ensemble = FittedEnsemble(models, blend, self._final_decision(blend, rows), self.class_weights)
        began = time.perf_counter()
        nested = self._nested(blender, predictions, folds)
        blend_seconds += time.perf_counter() - began
        both = with_blend(predictions, nested)
        blended = averaged(list(nested.predictions))
        labels = labels_of(self.decision, blended, averaged(list(nested.thresholds)))
        by_repeat = labels_by_repeat(self.decision, nested)
        metrics = self._cv_metrics(both, by_repeat)
        metrics |= self._fold_metrics(both, nested, folds, [*self.names, BLENDED])
        unseen = self._on_validation_rows(models)
        if self.validation is not None:
            metrics |= score_members("validation", ensemble, np.stack(list(unseen.values()), axis=1), self.validation)
        return Training(
            ensemble,
            metrics,
            out_of_fold,
            predictions,
            blended,
            fold_of_row,
            self.fit_seconds,
            self.predict_seconds,
            self.standings,
            self.rounds,
            {
                name: replace(
                    self.known.get(name, KnownFit(predictions[:, :, at], None)),
                    validation=unseen.get(name),
                    rounds=self.rounds.get(name),
                    seconds=self.fit_seconds[name],
                )
                for at, name in enumerate(self.names)
            },
            self.left_out,
            self.train.weights,
            labels,
            self._notes(len(scored)),
            nested.predictions,
            by_repeat,
            fold_weights(folds, self.train.weights),
            blend_seconds,
        )

    def models(self, budget: FinalBudget | None = None) -> dict[str, list[Member]]:
        """Return the models of a bundle, fitted on all rows; a member without time for it has an empty list."""
        models: dict[str, list[Member]] = {name: [] for name in self.names}
        specs = {spec.name: spec for spec in self._unknown()}
        for number, seed in enumerate(seeds_of(self.recipe)):
            for name in specs if budget is None else budget.order(specs):
                if number and not member_class(specs[name].kind, "members").seeded:
                    continue
                if budget is None or budget.begin(name):
                    if budget is not None and budget.keep is not None and budget.is_long(name):
                        budget.keep(models)
                    models[name].append(self._fit_member(specs[name], self.train, "all rows", seed=seed))
                    if budget is not None:
                        budget.end(name)
        return models

    def _unknown(self) -> list[MemberSpec]:
        return [member for member in self.recipe.members if member.name not in self.known]

    def _fit_fold(self, number: int, fold: Fold, models: dict[str, list[Member]], predictions: Floats) -> None:
        """Add each member's model of a fold, and its predictions if its number of rounds is known."""
        # The only copy of a fold's rows, which lives as long as this call: libraries need contiguous memory.
        rows, where = self.train.take(fold.fit), f"fold {number}"
        for member in self._unknown():
            predicted = self._fit_in_fold(member, rows, fold, where, models)
            if predicted is not None:
                predictions[fold.repeat, fold.score, self.names.index(member.name)] = predicted

    def _fit_in_fold(
        self,
        member: MemberSpec,
        rows: Table,
        fold: Fold,
        where: str,
        models: dict[str, list[Member]],
        seconds: float | None = None,
    ) -> Floats | None:
        """Add a member's model of a fold; return its predictions, None if its number of rounds is not known yet."""
        if member.name not in self.curves:
            model = self._fit_member(member, rows, where)
            models[member.name].append(model)
            return self._predict(member.name, model, self.train.features[fold.score], where)
        growth = self._growth(fold, self.curves[member.name])
        if seconds is not None:
            growth.end_within(seconds, self.clock)
        models[member.name].append(self._fit_member(member, rows, where, growth))
        self.curves[member.name].append(growth.curve())
        return None

    def _fit_first_fold(
        self, fold: Fold, models: dict[str, list[Member]], predictions: Floats, seconds: float
    ) -> Floats:
        """Fit the first fold, and leave out the members for which a fold has no time.

        Quick members come first. Boosters whose number of rounds is to be found come last, and share the time that is
        left, in which they grow as far as they can.

        Args:
            fold: The first fold.
            models: Where its models are added.
            predictions: Where predictions are entered, shape (repeats, rows, members).
            seconds: The time that a fold may take.

        Returns:
            ``predictions`` without the members that were left out.
        """
        rows, began = self.train.take(fold.fit), self.clock()
        members = {member.name: member for member in self._unknown()}
        size, classes = (rows.rows, len(rows.columns)), classes_argument(rows.classes)
        expected = {
            name: member_class(member.kind, "members").seconds(*size, member.params, **classes)
            for name, member in members.items()
        }
        may_leave = self.may_leave and self.recipe.weights is None
        budget = FoldBudget(seconds, expected, tuple(self.curves), self.objective.who, may_leave)

        def used() -> float:
            return self.clock() - began

        def fit(name: str, growing_seconds: float | None = None) -> None:
            start = used()
            predicted = self._fit_in_fold(members[name], rows, fold, "fold 0", models, growing_seconds)
            budget.taken[name] = used() - start
            if predicted is not None:
                predictions[fold.repeat, fold.score, self.names.index(name)] = predicted

        for name in budget.fixed():
            if budget.has_time_for(name, used()):
                fit(name)
        growing, least = budget.to_grow(used()), 0.0 if may_leave else USUAL_SHARE * seconds
        for place, name in enumerate(growing):
            fit(name, max(seconds - used(), least) / (len(growing) - place))
        budget.leave_slow()

        def rounds(name: str) -> int:
            grown = len(self.curves[name][0])
            return max(1, int(min(budget.room(), 1.0) * grown))

        kept = [name for name in sorted(growing, key=rounds) if budget.grows_enough(name, rounds(name))]
        for name in budget.second_chance(used()):
            fit(name)
        # A booster that grew for too long is kept, and grows less in the other folds.
        for name, number in [(name, rounds(name)) for name in kept]:
            self.curves[name] = [self.curves[name][0][:number]]
        return self._leave_out(budget.left_out, models, predictions)

    def _leave_out(self, left_out: Mapping[str, str], models: dict[str, list[Member]], predictions: Floats) -> Floats:
        """Go on without some members, and return ``predictions`` without them."""
        kept = [place for place, name in enumerate(self.names) if name not in left_out]
        self.left_out = dict(left_out)
        self.recipe = replace(self.recipe, members=tuple(self.recipe.members[place] for place in kept))
        self.names = [member.name for member in self.recipe.members]
        for name in left_out:
            models.pop(name)
            self.curves.pop(name, None)
            self.fit_seconds.pop(name)
        return predictions[:, :, kept]

    def _seconds_of_first(self, folds: list[Fold]) -> float:
        # Folds in time have ever more rows.
        return (self.seconds or 0.0) * len(folds[0].fit) / sum(len(fold.fit) for fold in folds)

    def _growth(self, fold: Fold, before: list[Floats]) -> Growth:
        target, weights = self.train.target, self.train.weights
        return Growth(
            self.train.features[fold.score],
            target[fold.score],
            None if weights is None else weights[fold.score],
            loss=loss_for(self.objective.score, classes=bool(self.outputs)),
            unit=float(np.ptp(target)) or 1.0,
            before=before,
        )

    def _truncate(
        self, models: dict[str, list[Member]], predictions: Floats, folds: list[Fold]
    ) -> tuple[dict[str, list[Member]], dict[str, int]]:
        """Return the models of these folds with the number of rounds that is best for all, and these numbers by member.

        Their predictions are entered into ``predictions``.
        """
        models, rounds = dict(models), {name: common_rounds(curves) for name, curves in self.curves.items()}
        for name, number in rounds.items():
            models[name] = [model.truncated(number) for model in models[name]]
            for at, (fold, model) in enumerate(zip(folds, models[name], strict=True)):
                predicted = self._predict(name, model, self.train.features[fold.score], f"fold {at}")
                predictions[fold.repeat, fold.score, self.names.index(name)] = predicted
        return models, rounds

    def _race(self, rival: Rival, blender: Blender, predictions: Floats, done: list[Fold]) -> None:
        # In the first fold of a division there are no other folds on which a blend could be fitted.
        if sum(fold.repeat == done[-1].repeat for fold in done) < FEWEST_FOLDS:
            self.standings.append([])
            return
        nested = self._nested(blender, predictions, done)
        folds = self._objective_folds(with_blend(predictions, nested), nested, done)
        # A fold of one class has no AUC, so that these folds cannot be compared.
        self.standings.append(folds if np.isfinite(folds).all() else [])
        if rival.value is None:
            return
        if is_lost(rival, folds, self.recipe.folds.k, maximise=self.objective.maximised):
            expected = rival.value + mean_difference(rival, folds)
            raise RaceLost(folds, expected, finite(self._fold_metrics(predictions, nested, done, self.names)))

    def _fit_member(
        self, spec: MemberSpec, rows: Table, where: str, growth: Growth | None = None, seed: int | None = None
    ) -> Member:
        found = member_class(spec.kind, "members")
        seed = self.recipe.seed if seed is None else seed
        start = time.perf_counter()
        try:
            model = found(
                spec.params,
                seed=seed,
                threads=self.threads,
                categories=rows.categories,
                **classes_argument(rows.classes),
            )
            model.import_libraries()
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                if growth is not None:
                    model.grow(rows.features, rows.target, rows.weights, growth)
                elif spec.name in self.rounds:
                    model.fit_rounds(rows.features, rows.target, rows.weights, self.rounds[spec.name])
                else:
                    model.fit(rows.features, rows.target, rows.weights)
        except Exception as error:  # libraries and the user's own members may raise anything
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
        shape = (len(features), *self.outputs)
        if getattr(predicted, "shape", None) != shape or not np.isfinite(predicted).all():
            what = "probability per row and class" if self.outputs else "finite number per row"
            raise MemberError(name, f"predict, {where}", f"its predictions are not an array with one {what}")
        if self.outputs and ((predicted < 0).any() or np.abs(predicted.sum(axis=1) - 1).max(initial=0.0) > SUM_ERROR):
            raise MemberError(
                name, f"predict, {where}", "its predictions are not probabilities, which are 0 or more and sum to 1"
            )
        return predicted

    def _nested(self, blender: Blender, predictions: Floats, folds: list[Fold]) -> NestedBlend:
        return nested_blend(blender, predictions, self.train, folds, self.recipe.threshold)

    def _final_decision(self, blend: Blend, rows: Rows) -> Decision | None:
        if self.decision is None or self.decision.positive is None:
            return self.decision
        blended = blend.predict(rows.predictions, rows.features)
        threshold = fit_threshold(self.recipe.threshold, self.decision.positive, blended, rows.target, rows.weights)
        return replace(self.decision, threshold=threshold)

    def _notes(self, rows: int) -> tuple[str, ...]:
        if not self.outputs or not self.recipe.calibrate or rows >= CALIBRATION_ROWS:
            return ()
        return (f"the probabilities are not calibrated: that needs {CALIBRATION_ROWS} rows, and there are {rows}.",)

    def _objective_folds(self, predictions: Floats, nested: NestedBlend, folds: list[Fold]) -> list[float]:
        """Return the objective on each fold; ``predictions`` have the blend as a last column."""
        column = [*self.names, BLENDED].index(self.objective.who)
        return [self._fold_score(self.objective.score, predictions, nested, fold, column) for fold in folds]

    def _fold_metrics(
        self, predictions: Floats, nested: NestedBlend, folds: list[Fold], names: list[str]
    ) -> dict[str, float]:
        return {
            f"cv_{score}_{name}_fold_{number}": self._fold_score(score, predictions, nested, fold, column)
            for score in folded_scores(self.train.task, self.recipe.objective)
            for column, name in enumerate(names)
            for number, fold in enumerate(folds)
        }

    def _fold_score(self, score: str, predictions: Floats, nested: NestedBlend, fold: Fold, column: int) -> float:
        weights = None if self.train.weights is None else self.train.weights[fold.score]
        predicted = predictions[fold.repeat, fold.score, column]
        blended = column == len(self.names)
        labels = labels_of(self.decision, predicted, nested.thresholds[fold.repeat, fold.score]) if blended else None
        return SCORES[score](self.train.target[fold.score], predicted, weights, labels)

    def _cv_metrics(self, predictions: Floats, labels: Index | None) -> dict[str, float]:
        """Return the scores over all rows.

        Args:
            predictions: Shape (repeats, rows, members + 1[, classes]), the blend last.
            labels: The positions of the blend's labels, shape (repeats, rows); None for a quantity.
        """
        metrics: dict[str, float] = {}
        for column, name in enumerate([*self.names, BLENDED]):
            own = labels if name == BLENDED else None
            metrics |= pooled_scores(name, self.train.target, predictions[:, :, column], self.train.weights, own)
        return metrics

    def _on_validation_rows(self, models: Mapping[str, list[Member]]) -> dict[str, Floats]:
        """Return the members' predictions for the validation rows, shape (rows,), by name; empty without such rows."""
        if self.validation is None:
            return {}
        features, columns = self.validation.features, dict[str, Floats]()
        for name, fitted in models.items():
            known = self.known[name].validation if name in self.known else None
            if known is None:
                known = averaged([self._predict(name, model, features, "validation") for model in fitted])
            columns[name] = known
        return columns


def classes_argument(classes: Sequence[str]) -> dict[str, int]:
    """Return the argument ``classes`` of a member, which a member of a quantity need not take."""
    return {"classes": len(classes)} if classes else {}


def score_members(prefix: str, ensemble: FittedEnsemble, members: Floats, table: Table) -> dict[str, float]:
    """Return all scores of all members and of the blend by metric name, ``{prefix}_{score}_{name}``.

    Args:
        prefix: Which rows these are, such as ``"test"``.
        ensemble: The ensemble that is scored.
        members: What ``predict_members`` returned for the rows of ``table``, shape (rows, members[, classes]).
        table: The rows.
    """
    weights = weighted_by_class(table, ensemble.class_weights).weights
    blend = ensemble.blend.predict(members, table.features)
    metrics: dict[str, float] = {}
    for place, name in enumerate(ensemble.models):
        metrics |= scores(prefix, name, table.target, members[:, place], weights)
    labels = None if ensemble.decision is None else ensemble.decision.labels(blend)
    return metrics | scores(prefix, BLENDED, table.target, blend, weights, labels)
