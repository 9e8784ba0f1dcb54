"""A blend over a whole study: the best model of each member in all trials, chosen by out-of-fold predictions."""

from __future__ import annotations

import hashlib
import itertools
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.blending import Blend, Blender, Rows
from ensemble.channel import read_channel
from ensemble.elementary import LEAST_PROBABILITY, log
from ensemble.evaluation import (
    SCORES,
    Index,
    MetricName,
    finite,
    folded_scores,
    make_folds,
    of_true_class,
    pooled_scores,
)
from ensemble.finished_trainings import OUT_OF_FOLD_FILE
from ensemble.nested_blend import (
    averaged,
    blender_of,
    blender_rows,
    decision_of,
    labels_by_repeat,
    labels_of,
    nested_blend,
)
from ensemble.parameters import ParamValue
from ensemble.recipe import BLENDED, MemberSpec, Recipe
from ensemble.table import Table
from ensemble.threads import one_blas_thread
from ensemble.training import weighted_training_rows
from ensemble.wire import decode_recipe, encode_recipe, wire_name
from experiments.study.folder import output_data_dir, trial_folder
from experiments.study.spec import STUDY_BLEND, StudySpec, TrialResult


@dataclass(frozen=True)
class StudyBlend:
    """What the blend over a study is.

    Attributes:
        trials: The complete trials whose members could be chosen.
        models: How many different models they are.
        hyperparameters: The recipe of the chosen models, in the wire format. Model ``catboost_7`` is member
            ``catboost`` of trial 7.
        metrics: The blend's scores in cross-validation. For each fold, models were chosen and blended on the others.
        better: Whether it is the winner: better than the best trial and something else than its members, or limited.
        limit: The milliseconds of one row that its members may take together; None for no limit.
        left_out: Milliseconds of the members that the limit leaves out.
    """

    trials: tuple[int, ...]
    models: int
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    better: bool = False
    limit: float | None = None
    left_out: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        found = {**asdict(self), "trials": list(self.trials)}
        unlimited = () if self.limit is not None else ("limit", "left_out")
        return {key: value for key, value in found.items() if key not in unlimited}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StudyBlend:
        """Read what ``as_dict`` wrote."""
        return cls(**{**data, "trials": tuple(data["trials"])})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the chosen models."""
        return tuple(member.name for member in decode_recipe(self.hyperparameters).members)


def model_name(member: str, trial: int) -> str:
    """Return the name that a member of a trial has in the blend over its study."""
    return f"{member}_{trial}"


def origin(name: str) -> tuple[str, int]:
    """Return the member and the trial of a model in the blend over a study."""
    member, _, trial = name.rpartition("_")
    return member, int(trial)


@dataclass(frozen=True)
class Allowed:
    """How long the models of a blend may take to predict one row.

    Attributes:
        limit: Milliseconds that they may take together.
        milliseconds: Measured milliseconds of one row by member.
    """

    limit: float
    milliseconds: Mapping[str, float]


class ChosenBlend(Blender):
    """Another blender's blend of the best model of each member; all other models get the weight zero.

    So the blend has every member, each with the parameters that suit it best. It is as diverse as a trial, and takes
    about as long to train and to predict. Choosing the models that are best together (R. Caruana et al., "Ensemble
    Selection from Libraries of Models", ICML 2004) kept fewer members and gave worse blends.
    """

    def __init__(self, blender: Blender, members: Sequence[str], score: str, allowed: Allowed | None = None) -> None:
        """Choose among models.

        Args:
            blender: Finds the weights of the chosen models.
            members: The member that each model is of.
            score: The score by which they are chosen: ``mae``, or for any other the squared error or the log loss.
            allowed: What the models may take together; None for no limit.
        """
        self._blender = blender
        self._members = members
        self._absolute = score == "mae"
        self._allowed = allowed

    def fit(self, rows: Rows) -> Blend:
        """Return the blend of the models that are chosen on these rows."""
        chosen = self.choose(rows)
        blend = self._blender.fit(replace(rows, predictions=rows.predictions[:, chosen]))
        weights = np.zeros(rows.predictions.shape[1])
        weights[chosen] = blend.weights
        return replace(blend, weights=tuple(weights.tolist()))

    def first(self, rows: Rows) -> Blend:
        """Return the other blender's blend of all models."""
        return self._blender.first(rows)

    def choose(self, rows: Rows) -> list[int]:
        """Return the column of each member's best model, in order of the members; of equal ones the first."""
        errors = np.average(self._errors(rows.predictions, rows), axis=0, weights=rows.weights)
        best: dict[str, int] = {}
        for place, member in enumerate(self._members):
            if member not in best or errors[place] < errors[best[member]]:
                best[member] = place
        return list(best.values()) if self._allowed is None else self._fast(rows, list(best.values()), self._allowed)

    def _fast(self, rows: Rows, columns: list[int], allowed: Allowed) -> list[int]:
        """Leave models out until the others take no longer than allowed: those that save most time for their error."""

        def milliseconds(chosen: Sequence[int]) -> float:
            return sum(allowed.milliseconds[self._members[column]] for column in chosen)

        kept = list(columns)
        while len(kept) > 1 and milliseconds(kept) > allowed.limit:
            before = self._error(rows, kept)
            costs = {}
            for column in kept:
                rise = self._error(rows, [other for other in kept if other != column]) - before
                costs[column] = rise / milliseconds([column]) if rise > 0 else rise * milliseconds([column])
            kept.remove(min(kept, key=lambda column: costs[column]))
        if milliseconds(kept) > allowed.limit:
            kept = [min(columns, key=lambda column: milliseconds([column]))]
        for column in columns:  # one that was left out may fit beside those that remained
            if column not in kept and milliseconds([*kept, column]) <= allowed.limit:
                kept.append(column)
        return [column for column in columns if column in kept]

    def _error(self, rows: Rows, columns: list[int]) -> float:
        part = replace(rows, predictions=rows.predictions[:, columns])
        blended = self._blender.fit(part).predict(part.predictions, rows.features)
        return float(np.average(self._errors(blended, rows), weights=rows.weights))

    def _errors(self, predictions: Floats, rows: Rows) -> Floats:
        """Return the error of each row of predictions, shape (rows, ...), or for classes (rows, ..., classes)."""
        if rows.classes:
            return -log(np.clip(of_true_class(predictions, rows.target), LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY))
        with np.errstate(over="ignore"):  # of a model that has diverged
            errors = np.abs(predictions - rows.target.reshape(-1, *(1,) * (predictions.ndim - 1)))
            return errors if self._absolute else errors**2


@dataclass(frozen=True)
class _Library:
    """The different models of a study's trials.

    Attributes:
        models: What each one is, under its name in the blend.
        predictions: Their out-of-fold predictions, shape (repeats, rows, models), or for classes (repeats, rows,
            models, classes).
    """

    models: list[MemberSpec]
    predictions: Floats


def may_blend(study: StudySpec, results: Iterable[TrialResult]) -> bool:
    """Whether a blend over the study is looked for: it is configured with several trials, or the time is limited."""
    trials = trials_of(results)
    return bool(trials) and (study.max_ms is not None or (study.blend_over == "study" and len(trials) > 1))


def recorded_blend(study: StudySpec, results: Iterable[TrialResult], fact: Any) -> StudyBlend | None:
    """Return the blend over these trials from the ledger's fact; None if it is not configured or not recorded."""
    results = list(results)
    if fact is None or not may_blend(study, results):
        return None
    found = StudyBlend.from_dict(fact)
    return found if found.trials == trials_of(results) and found.limit == study.max_ms else None


def is_open(study: StudySpec, results: Iterable[TrialResult], fact: Any) -> bool:
    """Whether a blend over these trials is still to be looked for."""
    results = list(results)
    return may_blend(study, results) and recorded_blend(study, results, fact) is None


def decide(found: Mapping[str, Any], results: Iterable[TrialResult], best: TrialResult, study: StudySpec) -> StudyBlend:
    """Return what ``blend_study`` found, with whether it is the winner.

    Args:
        found: What ``blend_study`` returned.
        results: The study's finished trials.
        best: The best trial.
        study: The study.
    """
    blend = StudyBlend(trials=trials_of(results), limit=study.max_ms, **found)
    if not blend.models or (study.blend_over == "trial" and not blend.left_out):
        return blend
    if blend.left_out:
        return replace(blend, better=True)
    sign = -1.0 if study.maximise else 1.0
    better = sign * blend.metrics[study.objective] < sign * best.metrics[study.objective]
    members = {(member.name, best.index) for member in study.recipe(best.params).members}
    return replace(blend, better=better and {origin(name) for name in blend.names} != members)


def searched_values(study: StudySpec, blend: StudyBlend) -> dict[str, ParamValue]:
    """Return the searched values of a blend's models, by names as on the wire."""
    fixed = {member.name: member.params for member in study.recipe({}).members}
    return {
        wire_name(model.name, param): value
        for model in decode_recipe(blend.hyperparameters).members
        for param, value in model.params.items()
        if param not in fixed[origin(model.name)[0]]
    }


def with_scores_of_members(final: TrialResult) -> TrialResult:
    """Return the winner with the scores of its models under their members' names too, as every trial has them."""
    if STUDY_BLEND not in final.info:
        return final
    metrics = dict(final.metrics)
    for model in final.info["weights"]:
        member, _ = origin(model)
        for split, score in itertools.product(("cv", "validation", "test"), SCORES):
            own = f"{split}_{score}_{model}"
            for name, value in final.metrics.items():
                if name == own or name.startswith(f"{own}_fold_"):
                    metrics[f"{split}_{score}_{member}{name.removeprefix(own)}"] = value
    return replace(final, metrics=metrics)


def trials_of(results: Iterable[TrialResult]) -> tuple[int, ...]:
    """Return the trials whose members can be chosen, in order of index."""
    return tuple(sorted(result.index for result in results if result.state == "complete"))


def request(
    study: StudySpec,
    results: Iterable[TrialResult],
    best: TrialResult,
    predictions: Path,
    milliseconds: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Return the arguments of ``blend_study`` for a study.

    Args:
        study: The study.
        results: Its finished trials.
        best: The best of them.
        predictions: File for the blend's out-of-fold predictions.
        milliseconds: Measured milliseconds of one row by member, if the study has a limit.
    """
    results = results if study.blend_over == "study" else [best]
    complete = sorted((result for result in results if result.state == "complete"), key=lambda result: result.index)
    return {
        "trials": [
            {
                "index": result.index,
                "folder": str(output_data_dir(trial_folder(study.folder, result.index))),
                "hyperparameters": study.hyperparameters(result.params),
            }
            for result in complete
        ],
        "train": str(study.channels.train),
        "predictions": str(predictions),
        "allowed": None if milliseconds is None else {"limit": study.max_ms, "milliseconds": dict(milliseconds)},
    }


def blend_study(
    trials: Sequence[Mapping[str, Any]], train: str, predictions: str, allowed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Choose and score the blend over a study, in a worker.

    Args:
        trials: The complete trials, in order of index: ``index``, ``folder`` of the output, and ``hyperparameters`` in
            the wire format.
        train: Folder of the train channel.
        predictions: File for the blend's out-of-fold predictions, as ``blended``, shape (rows,) or (rows, classes); for
            classes the positions of their labels too, as ``labels``, shape (rows,).
        allowed: Fields of ``Allowed``; None for no limit.

    Returns:
        ``models``, the number of different ones, ``hyperparameters``, ``metrics`` and ``left_out``, as in
        ``StudyBlend``; without a readable trial, no models and nothing else.
    """
    table = read_channel(Path(train))
    recipes = {int(trial["index"]): decode_recipe(trial["hyperparameters"]) for trial in trials}
    library = _read_library(trials, recipes, table)
    if library is None:
        return {"models": 0}
    recipe = next(iter(recipes.values()))
    table = weighted_training_rows(recipe, table)
    with one_blas_thread():
        blender = blender_of(recipe, table)
        members = [origin(model.name)[0] for model in library.models]
        score = MetricName.parse(recipe.objective).score
        may = None if allowed is None else Allowed(**allowed)
        chooser = ChosenBlend(blender, members, score, may)
        metrics, kept_predictions = _nested_scores(chooser, recipe, library, table)
        scored = _scored(kept_predictions["blended"])
        chosen = chooser.choose(_of_all_divisions(library.predictions, table, scored))
    np.savez(predictions, allow_pickle=False, **kept_predictions)
    models = tuple(library.models[place] for place in chosen)
    hyperparameters = encode_recipe(replace(recipe, members=models), packed=True)
    kept = {members[place] for place in chosen}
    left_out = {} if may is None else {name: ms for name, ms in may.milliseconds.items() if name not in kept}
    return {
        "models": len(library.models),
        "hyperparameters": hyperparameters,
        "metrics": metrics,
        "left_out": left_out,
    }


def _nested_scores(
    chooser: ChosenBlend, recipe: Recipe, library: _Library, table: Table
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the scores of the blend, and its out-of-fold predictions as in its file."""
    folds = make_folds(recipe.folds, table.rows, recipe.seed, table.fold_keys, table.class_of_row)
    nested = nested_blend(chooser, library.predictions, table, folds, recipe.threshold)
    blended = averaged(list(nested.predictions))
    decision = decision_of(table)
    labels, by_repeat = (
        labels_of(decision, blended, averaged(list(nested.thresholds))),
        labels_by_repeat(decision, nested),
    )
    found = pooled_scores(BLENDED, table.target, nested.predictions, table.weights, by_repeat)
    for number, fold in enumerate(folds):
        predicted = nested.predictions[fold.repeat, fold.score]
        weights = None if table.weights is None else table.weights[fold.score]
        for score in folded_scores(table.task, recipe.objective):
            value = SCORES[score](table.target[fold.score], predicted, weights)
            found[f"cv_{score}_{BLENDED}_fold_{number}"] = value
    kept = {"blended": blended} | ({} if labels is None else {"labels": labels})
    if len(nested.predictions) > 1:
        kept |= {"blended_by_repeat": nested.predictions}
        kept |= {} if by_repeat is None else {"labels_by_repeat": by_repeat}
    return finite(found), kept


def _of_all_divisions(predictions: Floats, table: Table, scored: Index) -> Rows:
    """Return the scored rows of every division one below the other, so that noise is not averaged away."""
    parts = [blender_rows(division, table).take(scored) for division in predictions]
    weights = None if table.weights is None else np.concatenate([part.weights for part in parts])
    predictions, target, features = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("predictions", "target", "features")
    )
    return replace(parts[0], predictions=predictions, target=target, features=features, weights=weights)


def _scored(blended: Floats) -> Index:
    """Return the rows that a fold scores; the others have NaN."""
    return np.flatnonzero(np.isfinite(blended.reshape(len(blended), -1)).all(axis=1))


def _read_library(trials: Sequence[Mapping[str, Any]], recipes: Mapping[int, Recipe], table: Table) -> _Library | None:
    """Return the different models of the trials; None if no trial's predictions can be read.

    Two models of a member are different if their predictions are. The first one of equal models is kept.
    """
    models: list[MemberSpec] = []
    columns: list[Floats] = []
    known: set[bytes] = set()
    for trial in trials:
        recipe = recipes[int(trial["index"])]
        found = _read_predictions(Path(trial["folder"]) / OUT_OF_FOLD_FILE, recipe, table)
        if found is None:
            continue
        for place, member in enumerate(recipe.members):
            column = np.ascontiguousarray(found[:, :, place])
            content = hashlib.sha256(member.name.encode() + column.tobytes()).digest()
            if content not in known:
                known.add(content)
                columns.append(column)
                models.append(replace(member, name=model_name(member.name, int(trial["index"]))))
    return _Library(models, np.stack(columns, axis=2)) if columns else None


def _read_predictions(path: Path, recipe: Recipe, table: Table) -> Floats | None:
    """Return a trial's out-of-fold predictions, as in ``_Library``; None if they cannot be used."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = arrays["by_repeat"] if "by_repeat" in arrays else arrays["members"][None]
            same = np.array_equal(arrays["target"], table.target)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # missing or damaged
        return None
    outputs = (len(table.classes),) if table.classes else ()
    fits = found.shape == (recipe.folds.repeats, table.rows, len(recipe.members), *outputs)
    return found if same and fits else None
