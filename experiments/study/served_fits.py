"""How long the fits of a winner's served models, and its scores, take, by what trials took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensemble.channel import channel_rows
from ensemble.members import member_class
from ensemble.training import classes_argument
from experiments.study.spec import StudySpec, TrialResult


def served_fits_seconds(study: StudySpec, results: Sequence[TrialResult]) -> float:
    """Return the seconds that one fit of each member on the rows of the served model is expected to take.

    Args:
        study: The study.
        results: Complete trials, at least one. A member's slowest fit counts.
    """
    if study.final_rows == "train":
        return 0.0
    channels = [study.channels.validation] + ([study.channels.test] if study.final_rows == "all" else [])
    further = sum(channel_rows(folder) for folder in channels if folder is not None)
    total = 0.0
    recipe = study.recipe(results[0].params)
    fits = recipe.folds.k * recipe.folds.repeats
    for member in recipe.members:
        took = max(result.info.get("fit_seconds", {}).get(member.name, 0.0) for result in results)
        rows, columns = results[0].info.get("rows", 0), len(results[0].info.get("columns", ()))
        found, more = member_class(member.kind, "members"), classes_argument(study.classes)
        before, after = (
            found.seconds(size, columns, member.params, **more)
            for size in (rows * (recipe.folds.k - 1) // recipe.folds.k, rows + further)
        )
        total += took / fits * max(after / max(before, 1e-9), 1.0)
    return total


def besides_fits(result: TrialResult) -> float:
    """Return the seconds that a trial took besides its fits: to read, predict, blend and save."""
    return result.finished - result.started - float(sum(result.info.get("fit_seconds", {}).values()))


def scoring_seconds(study: StudySpec, results: Sequence[TrialResult]) -> float:
    """Return the seconds that the predictions for the test rows are expected to take.

    Args:
        study: The study.
        results: Complete trials, at least one. The slowest one counts.
    """
    if study.channels.test is None:
        return 0.0
    folds = study.recipe(results[0].params).folds
    fits, rows = folds.k * folds.repeats, channel_rows(study.channels.test)

    def seconds(info: Mapping[str, Any]) -> float:
        # Each row of a fold is predicted by one model of a member, and the others by all models.
        predicted = info.get("rows", 0) * folds.repeats + (info.get("validation_rows") or 0) * fits
        return float(info.get("predict_seconds", 0.0) * rows * fits / max(predicted, 1))

    return max(seconds(result.info) for result in results)


def blends_seconds(study: StudySpec, results: Sequence[TrialResult]) -> float:
    """Return the seconds that a blend over the study, and blends without each member, are expected to take.

    Args:
        study: The study.
        results: Complete trials, at least one. The slowest one counts.
    """
    members = len(study.recipe(results[0].params).members)
    times = 2 if study.blend_over == "study" and len(results) > 1 else 1
    return float(times * (members + 1) * max(result.info.get("blend_seconds", 0.0) for result in results))
