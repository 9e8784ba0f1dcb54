"""Pairs of the same trial in two studies: same parameters, data, folds and seed. And how their numbers differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ensemble.classes import task_of
from ensemble.evaluation import MetricName, folded_scores
from experiments.comparison.recorded_study import RecordedStudy, RecordedTrial
from experiments.study.spec import TrialResult

_COMPARED_PREFIXES = ("cv_", "validation_")
_FOLD = "_fold_"
_MOST_SHOWN = 4
# Parts of a recipe that are not parameters of the ensemble.
_NO_PARAMETERS = ("seed", "objective")


@dataclass(frozen=True)
class Difference:
    """A number that is not equal to the bit in both trials of a pair.

    Attributes:
        metric: Its name.
        one: Its value in the first trial; NaN if it is missing.
        other: Its value in the other trial; NaN if it is missing.
        relative: The difference as a share of the larger value; infinite if one is missing.
    """

    metric: str
    one: float
    other: float
    relative: float

    @property
    def who(self) -> str:
        """The member that it belongs to, or the blend."""
        return member_of(self.metric)


@dataclass(frozen=True)
class Pair:
    """The same trial in two studies.

    Attributes:
        one: The trial in the study that was named first.
        other: The trial in the other study.
        metrics: Names of every number that was compared.
        differences: The numbers that are not equal to the bit.
        tolerance: The largest relative difference of numbers that count as equal.
    """

    one: RecordedTrial
    other: RecordedTrial
    metrics: tuple[str, ...]
    differences: tuple[Difference, ...]
    tolerance: float

    @property
    def failed(self) -> RecordedTrial | None:
        """The trial without a score, if the other one has a score."""
        return next((side for side in (self.one, self.other) if side.result.state != "complete"), None)

    @property
    def beyond_tolerance(self) -> tuple[Difference, ...]:
        """The numbers that differ by more than the tolerance."""
        return tuple(found for found in self.differences if found.relative > self.tolerance)

    @property
    def exact(self) -> bool:
        """Whether all numbers are equal to the bit."""
        return self.failed is None and not self.differences

    @property
    def equal(self) -> bool:
        """Whether all numbers are equal within the tolerance, and each log has the recorded objective."""
        logs_agree = False not in (self.one.log_agrees, self.other.log_agrees)
        return self.failed is None and not self.beyond_tolerance and logs_agree

    def describe(self) -> str:
        """Return in one line how the two trials differ."""
        trials = f"{self.one.name} and {self.other.name}"
        if self.failed is not None:
            return f"{trials}: it failed in {self.failed.study.name}: {self.failed.result.reason}"
        if not self.beyond_tolerance:
            return f"{trials}: the log of one does not end with the objective in metrics.json"
        largest = max(self.beyond_tolerance, key=lambda found: found.relative)
        who = list(dict.fromkeys(found.who for found in self.beyond_tolerance))
        more = f" and {len(who) - _MOST_SHOWN} more" if len(who) > _MOST_SHOWN else ""
        return (
            f"{trials}: {len(self.beyond_tolerance)} of {len(self.metrics)} numbers differ, of "
            f"{', '.join(who[:_MOST_SHOWN])}{more}; the largest difference is in {largest.metric}, {largest.one!r} and "
            f"{largest.other!r}"
        )


@dataclass(frozen=True)
class Unpaired:
    """A trial that no other study ran.

    Attributes:
        trial: The trial.
        reason: Why it has no pair.
    """

    trial: RecordedTrial
    reason: str


def pair_trials(studies: Sequence[RecordedStudy], tolerance: float) -> tuple[list[Pair], list[Unpaired]]:
    """Pair the trials of several studies; both lists are in the order of studies and trials.

    Trials are the same if their decoded parameters, data, folds and seed are, and what chose boosting rounds. Each is
    compared with the same trial of the first study that ran it.

    Args:
        studies: At least two.
        tolerance: The largest relative difference of numbers that count as equal.
    """
    groups: dict[str, list[RecordedTrial]] = {}
    unpaired: list[Unpaired] = []
    keys = trial_keys(studies)
    for study in studies:
        for result in study.results:
            if result.state == "pruned":
                reason = "pruned between folds" if "folds" in result.info["pruned"] else f"pruned: {result.reason}"
                unpaired.append(Unpaired(RecordedTrial(study, result), reason))
            else:
                groups.setdefault(keys[study.name, result.index], []).append(RecordedTrial(study, result))
    by_point: dict[str, list[RecordedTrial]] = {}
    for study in studies:
        for result in study.results:
            by_point.setdefault(point_key(study, result), []).append(RecordedTrial(study, result))
    pairs: list[Pair] = []
    for group in groups.values():
        found = list(_pairs(group, tolerance))
        pairs += found
        if not found:
            unpaired += [Unpaired(side, _why_unpaired(side, by_point)) for side in group]
    order = {study.name: place for place, study in enumerate(studies)}

    def place(side: RecordedTrial) -> tuple[int, int]:
        return order[side.study.name], side.result.index

    pairs.sort(key=lambda pair: (place(pair.other), place(pair.one)))
    unpaired.sort(key=lambda one: place(one.trial))
    return pairs, unpaired


def trial_keys(studies: Sequence[RecordedStudy]) -> dict[tuple[str, int], str]:
    """Return a key for each trial, by study and index; the same trials have the same key.

    The key has the data and the decoded parameters. Of the objective it has what changes numbers, ``loss_of_rounds``. A
    failed trial did not record its decoded parameters, so it takes the key of a trial with the same hyperparameters.
    """
    keys: dict[tuple[str, int], str] = {}
    by_hyperparameters: dict[str, str] = {}
    for study in studies:
        for result in study.results:
            recipe = result.info.get("recipe")
            if recipe is not None:
                key = json.dumps([study.data_hash, {**recipe, "objective": study.loss_of_rounds}], sort_keys=True)
                keys[study.name, result.index] = by_hyperparameters[_given(study, result)] = key
    for study in studies:
        for result in study.results:
            given = _given(study, result)
            keys.setdefault((study.name, result.index), by_hyperparameters.get(given, given))
    return keys


def _given(study: RecordedStudy, result: TrialResult) -> str:
    given = {**study.hyperparameters(result), "objective": study.loss_of_rounds}
    return json.dumps([study.data_hash, given], sort_keys=True)


def member_of(metric: str) -> str:
    """Return the member that a metric belongs to, or the blend."""
    return MetricName.parse(metric).who.partition(_FOLD)[0]


def relative_difference(metric: str, one: float, other: float) -> float:
    """Return the difference as a share of the larger number; for an R2, of the larger unexplained share."""
    if MetricName.parse(metric).score == "r2":  # an R2 may be near zero
        one, other = 1.0 - one, 1.0 - other
    if math.isnan(one) or math.isnan(other):
        return math.inf
    larger = max(abs(one), abs(other))
    return abs(one - other) / larger if larger else 0.0


def _pairs(group: Sequence[RecordedTrial], tolerance: float) -> Iterator[Pair]:
    first = group[0].study.name
    one = next((side for side in group if side.study.name == first and side.result.state == "complete"), group[0])
    for other in group:
        scored = "complete" in (one.result.state, other.result.state)
        if other.study.name != first and scored:
            yield _pair(one, other, tolerance)


def _pair(one: RecordedTrial, other: RecordedTrial, tolerance: float) -> Pair:
    only_one = _of_objective(one.result) ^ _of_objective(other.result)
    metrics = sorted(
        name for name in {*one.result.metrics, *other.result.metrics} - only_one if name.startswith(_COMPARED_PREFIXES)
    )
    differences = []
    for name in metrics:
        a, b = (side.result.metrics.get(name, math.nan) for side in (one, other))
        if a != b:
            differences.append(Difference(name, a, b, relative_difference(name, a, b)))
    return Pair(one, other, tuple(metrics), tuple(differences), tolerance)


def _of_objective(result: TrialResult) -> set[str]:
    """Return the scores of folds that a trial has because they are the objective's, which is not part of a trial."""
    usual = folded_scores(task_of(result.classes))
    return {name for name in result.metrics if _FOLD in name and MetricName.parse(name).score not in usual}


def point_key(study: RecordedStudy, result: TrialResult) -> str:
    """Return a key of the parameters, which does not depend on data, folds and seed."""
    recipe = result.info.get("recipe", study.hyperparameters(result))
    rest = {
        name: value for name, value in recipe.items() if not name.startswith("folds") and name not in _NO_PARAMETERS
    }
    return json.dumps(rest, sort_keys=True)


def _why_unpaired(side: RecordedTrial, by_point: Mapping[str, Sequence[RecordedTrial]]) -> str:
    """Return why a trial has no pair.

    Args:
        side: The trial.
        by_point: The trials of all studies by their ``point_key``.
    """
    if side.result.state == "failed":
        return f"failed: {side.result.reason}"
    like = by_point[point_key(side.study, side.result)]
    other = next((found for found in like if found.study.name != side.study.name), None)
    if other is None:
        return "these parameters ran in no other study"
    difference = _difference(side.study, other.study)
    if difference is not None:
        return f"the same parameters ran in {other.study.name}, {difference}"
    return f"{other.name}, which has the same parameters, was pruned between folds"


def _difference(here: RecordedStudy, there: RecordedStudy) -> str | None:
    """Return what besides parameters makes trials of two studies different; None if nothing does."""
    one, other = here.static(), there.static()
    differ = {
        "on different data": there.data_hash != here.data_hash,
        "with a different seed": one["seed"] != other["seed"],
        "on different folds": any(
            one.get(name) != other.get(name) for name in {*one, *other} if name.startswith("folds_")
        ),
        f"whose search.objective={there.objective} chooses boosting rounds by the {there.loss_of_rounds} error": (
            here.loss_of_rounds != there.loss_of_rounds
        ),
    }
    return next((text for text, found in differ.items() if found), None)
