"""The smallest ensemble that is not worse: members of a winner are taken away, and each step is scored and measured.

The scores are of blends that were fitted on the rows of other folds than those that they are scored on, as the winner's
is, from recorded out-of-fold predictions. Such a prediction is that of one model of each member, so the scores do not
depend on how many models of a member are served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.bundle import load_bundle
from ensemble.channel import read_channel
from ensemble.evaluation import SCORES, Fold, main_score, make_folds, pooled_scores
from ensemble.nested_blend import blender_of, nested_blend
from ensemble.recipe import BLENDED, Recipe
from ensemble.table import Table
from ensemble.threads import one_blas_thread
from ensemble.training import FittedEnsemble, weighted_training_rows
from ensemble.wire import decode_recipe
from experiments.study.fold_intervals import score_difference
from experiments.study.serving_cost import milliseconds
from experiments.study.spec import TrialResult
from experiments.study.verdict import verdict


@dataclass(frozen=True)
class Step:
    """An ensemble of some of the winner's members.

    Attributes:
        members: Their names.
        models: How many models of each member predict.
        score: The main score in cross-validation.
        rise: How much higher it is than that of all members.
        low: Lower end of the 95% interval of the rise; None if it is not known.
        high: Upper end of it.
        ms: Milliseconds of the prediction of one row on one core of this machine.
        megabytes: Size of the bundle, in 10^6 bytes.
        worse: Whether the interval says that it is worse than all members.
    """

    members: tuple[str, ...]
    models: int
    score: float
    rise: float
    low: float | None
    high: float | None
    ms: float
    megabytes: float
    worse: bool

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Step:
        """Read what ``shrink_steps`` returned."""
        return cls(**{**data, "members": tuple(data["members"])})


def chosen(steps: Sequence[Step], most_worse: float | None = None) -> Step:
    """Return the last step before the first one that is worse.

    Args:
        steps: The steps, of which the first has all members.
        most_worse: By what share of the first step's score another may be higher; None if the interval alone decides.
    """
    found = steps[0]
    for step in steps[1:]:
        if step.worse or (most_worse is not None and step.rise > most_worse * steps[0].score):
            break
        found = step
    return found


def shrink_steps(
    hyperparameters: Mapping[str, str], predictions: str, train: str, bundle: str, info: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the steps as JSON-ready data, in a worker: all members as they are served, with one model each, and fewer.

    The member that is taken away next is the one that saves most time for the error that it adds.

    Args:
        hyperparameters: What the winner trained, in the wire format.
        predictions: The file of its out-of-fold predictions.
        train: Folder of the train channel.
        bundle: Folder of its bundle.
        info: What is recorded of the winner besides its metrics.
    """
    recipe = decode_recipe(hyperparameters)
    table = weighted_training_rows(recipe, read_channel(Path(train)))
    with np.load(predictions, allow_pickle=False) as arrays:
        found = arrays["by_repeat"] if "by_repeat" in arrays else arrays["members"][None]
        names = arrays["names"].tolist()
    served = load_bundle(Path(bundle), threads=1)
    folds = make_folds(recipe.folds, table.rows, recipe.seed, table.fold_keys, table.class_of_row)
    with one_blas_thread():
        scored = _Scored(recipe, table, found, names, folds, info)
        costs = _Costs(Path(bundle), served.ensemble, served.manifest, served.example()[0][:1])
        kept = list(names)
        whole = scored.result(kept)
        models = max(len(of_member) for of_member in served.ensemble.models.values())
        steps = [_step(whole, whole, kept, models, costs)]
        if models > 1:
            steps.append(_step(whole, whole, kept, 1, costs))
        current = whole
        while len(kept) > 1:
            kept, current = _without_one(scored, costs, kept, current)
            steps.append(_step(whole, current, kept, 1, costs))
    return [asdict(step) for step in steps]


def _without_one(
    scored: _Scored, costs: _Costs, kept: list[str], current: TrialResult
) -> tuple[list[str], TrialResult]:
    before = _score(current)
    candidates = []
    for name in kept:
        rest = [other for other in kept if other != name]
        if scored.possible(rest):
            result = scored.result(rest)
            rise, saved = _score(result) - before, costs.member_ms(name)
            candidates.append((rise / saved if rise > 0 else rise * saved, rest, result))
    _, rest, result = min(candidates, key=lambda candidate: candidate[0])
    return rest, result


def _step(whole: TrialResult, result: TrialResult, names: Sequence[str], models: int, costs: _Costs) -> Step:
    difference = None if result is whole else score_difference(result, BLENDED, whole, BLENDED)
    worse = difference is not None and verdict(difference, result.main_score) == "costs"
    ms, megabytes = costs.of(names, models)
    return Step(
        members=tuple(names),
        models=models,
        score=_score(result),
        rise=_score(result) - _score(whole),
        low=0.0 if result is whole else None if difference is None else difference.low,
        high=0.0 if result is whole else None if difference is None else difference.high,
        ms=ms,
        megabytes=megabytes,
        worse=worse,
    )


def _score(result: TrialResult) -> float:
    return result.metrics[f"cv_{result.main_score}_{BLENDED}"]


class _Scored:
    """Scores blends of some members, each as a trial's result."""

    def __init__(
        self,
        recipe: Recipe,
        table: Table,
        predictions: Floats,
        names: Sequence[str],
        folds: Sequence[Fold],
        info: Mapping[str, Any],
    ) -> None:
        self._recipe = recipe
        self._table = table
        self._predictions = predictions
        self._names = list(names)
        self._folds = folds
        self._info = {key: info[key] for key in ("recipe", "fold_weights", "classes") if key in info}

    def possible(self, names: Sequence[str]) -> bool:
        """Whether these members have weight, if weights are fixed."""
        weights = self._recipe.weights
        return weights is None or sum(weights[name] for name in names) > 0

    def result(self, names: Sequence[str]) -> TrialResult:
        recipe, table = smaller(self._recipe, names), self._table
        columns = [self._names.index(name) for name in names]
        nested = nested_blend(blender_of(recipe, table), self._predictions[:, :, columns], table, self._folds)
        score = main_score(table.task)
        metrics = pooled_scores(BLENDED, table.target, nested.predictions, table.weights)
        for number, fold in enumerate(self._folds):
            weights = None if table.weights is None else table.weights[fold.score]
            predicted = nested.predictions[fold.repeat, fold.score]
            metrics[f"cv_{score}_{BLENDED}_fold_{number}"] = SCORES[score](table.target[fold.score], predicted, weights)
        return TrialResult(0, "complete", {}, 0.0, 0.0, metrics, self._info)


class _Costs:
    """Measures what some members of a bundle cost."""

    def __init__(self, folder: Path, ensemble: FittedEnsemble, manifest: Mapping[str, Any], row: Floats) -> None:
        self._ensemble = ensemble
        self._row = row
        sizes = {name: (folder / name).stat().st_size for name in manifest["files"]}
        self._files: dict[str, list[int]] = {
            member["name"]: [sizes.pop(name) for name in member["files"]] for member in manifest["members"]
        }
        self._rest = sum(sizes.values()) + (folder / "manifest.json").stat().st_size
        self._known: dict[str, float] = {}

    def member_ms(self, name: str) -> float:
        """Return the milliseconds of one row of one model of a member."""
        if name not in self._known:
            self._known[name] = self.of([name], 1)[0]
        return self._known[name]

    def of(self, names: Sequence[str], models: int) -> tuple[float, float]:
        """Return the milliseconds of one row and the megabytes of some members, with this number of models of each."""
        weights = self._ensemble.weights
        part = FittedEnsemble(
            {name: self._ensemble.models[name][:models] for name in names},
            replace(self._ensemble.blend, weights=tuple(weights[name] for name in names)),
        )
        size = self._rest + sum(sum(self._files[name][:models]) for name in names)
        return milliseconds(lambda: part.predict(self._row)), size / 1e6


def smaller(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """Return the recipe with some of its members, in its order."""
    members = tuple(member for member in recipe.members if member.name in names)
    weights = None if recipe.weights is None else {member.name: recipe.weights[member.name] for member in members}
    return replace(recipe, members=members, weights=weights)
