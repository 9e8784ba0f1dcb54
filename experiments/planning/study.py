"""From a configuration to a study: every value checked against what its member, blender or sampler knows."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from ensemble.recipe import FinalRows
from ensemble.table import Table, joined
from ensemble.wire import encode_recipe
from experiments.config.compose import Composed
from experiments.config.paths import studies_folder
from experiments.config.schema import Config
from experiments.data import datasets
from experiments.data.channels import channels_of, place_channels
from experiments.data.presplit import SPLITS, check_not_split_again
from experiments.errors import ConfigError, StudyTaken
from experiments.planning import replay
from experiments.planning.ensemble import plan_ensemble
from experiments.planning.fittable import check_fittable
from experiments.planning.packages import code_hash, package_folders
from experiments.planning.parallelism import Parallelism, plan_parallelism
from experiments.planning.portable import check_portable
from experiments.planning.recipe import RecipePlan, plan_recipe
from experiments.planning.search import SearchPlan, plan_search
from experiments.sagemaker_requests.limits import STUDY_NAME, STUDY_NAME_LENGTH
from experiments.study.continuing import check_not_elsewhere
from experiments.study.learning import LEARNED, Learned
from experiments.study.ledger import FILE, Peek
from experiments.study.source_dir import place_source
from experiments.study.spec import (
    BESIDES_SECONDS,
    ENDING_SECONDS,
    SHORTEST_SECONDS,
    StudySpec,
    begun_in,
    first_trial_seconds,
)

# Digits of the identity's hash at the end of a default name.
_HASH_LENGTH = 8


@dataclass(frozen=True)
class StudyPlan:
    """A checked study of which nothing is on the disk yet.

    Attributes:
        study: The study; its channels are named and not written.
        splits: Its data.
        notes: What the user should know of how the configuration was read.
        runs_jobs: Whether its trials are jobs, which need the source directory.
    """

    study: StudySpec
    splits: datasets.Splits
    notes: tuple[str, ...]
    runs_jobs: bool

    def continuing(self, known: Peek) -> StudyPlan:
        """Return the plan of a study that is recorded: with no fewer trials, and with the place where it began.

        What it learned from others when it began stays, whatever has become of them.

        Raises:
            StudyTaken: It may be running elsewhere.
        """
        if not self.study.can_continue:
            return self._at_least(known)
        learned = tuple(map(Learned.from_dict, known.facts.get(LEARNED, ())))
        if len(learned) != len(self.study.search.learn_from):
            raise StudyTaken(
                f"{self.study.folder / FILE} does not have what study {self.study.name!r} learned from others: it was "
                "changed. Give another name with study=<name>."
            )
        begun = replace(self.study, begun=begun_in(known.facts["identity"]), learned=learned)
        check_not_elsewhere(begun, known.results, known.facts)
        return self.learning(begun)._at_least(known)

    def learning(self, study: StudySpec) -> StudyPlan:
        """Return the plan of this study with what it learned from others, and notes of that."""
        return replace(self, study=study, notes=(*self.notes, *(source.describe() for source in study.learned)))

    def _at_least(self, known: Peek) -> StudyPlan:
        trials = max((result.index for result in known.results), default=-1) + 1
        if self.study.points is not None or trials <= self.study.n_trials:
            return self
        note = f"study {self.study.name} has {trials} trials already: search.n_trials={self.study.n_trials} adds none."
        search = replace(self.study.search, n_trials=trials)
        return replace(self, study=replace(self.study, search=search), notes=(*self.notes, note))

    def place(self) -> StudySpec:
        """Write the channels and, for jobs, the source directory; return the study."""
        studies = self.study.folder.parent
        place_channels(self.splits, studies)
        if self.runs_jobs:
            place_source(self.study.dependencies, studies)
        return self.study


def plan_study(composed: Composed) -> StudyPlan:
    """Check everything in a study's configuration, and read its data.

    The user's own classes must be importable: call ``packages.make_importable`` first.

    Raises:
        InputError: The first mistake that was found; nothing has been written.
    """
    config = composed.config
    _check_paths(config)
    dependencies = package_folders(config.entry)
    if config.study is not None:
        _check_name(config.study)
    ensemble = plan_ensemble(config.ensemble, config.search.shared)
    check_not_split_again(config.dataset.path, config.dataset.split, composed.given("dataset.split"))
    splits = datasets.load(config.dataset, config.mode)
    studies = studies_folder(config)
    listing = [source for key, source in composed.sources.items() if f"{key}.".startswith("ensemble.members.")]
    preset = all(source.startswith("configs/ensemble/") for source in listing)
    ensemble = ensemble.for_target(splits.train, preset=preset)
    recipe = plan_recipe(config, ensemble, splits)
    search = plan_search(config, recipe.ensemble, recipe.recipe.objective, studies)
    served = _served(splits, recipe.final_rows)
    fold_notes = check_fittable(recipe.recipe, search, splits, served, config.dataset.weights)
    parallelism = plan_parallelism(config, search, splits.train.features.nbytes)
    study = _study(composed, splits, recipe, search, parallelism, dependencies)
    if search.replayed is not None:
        study = study.as_trained(search.replayed.results)
    if config.study is None:
        study = _named_by_identity(study)
    if config.search.portable:
        check_portable(study)
    if search.replayed is not None:
        replay.check_same_recipe(search.replayed, study, str(config.replay.study))
    limited = _limited(config, recipe, splits.train, time.monotonic() - composed.began)
    notes = (*splits.notes(config.dataset), *recipe.notes, *fold_notes, *search.notes, *limited, *parallelism.notes)
    return StudyPlan(study, splits, notes, config.mode.runs_jobs)


def _limited(config: Config, recipe: RecipePlan, train: Table, spent: float) -> list[str]:
    """Return notes if one trial, or the whole command, takes longer than ``search.timeout`` allows.

    Args:
        config: The configuration.
        recipe: What is trained.
        train: The training rows.
        spent: The seconds since the command began.
    """
    timeout, folds = config.search.timeout, recipe.recipe.folds
    if timeout is None:
        return []
    fits = recipe.ensemble.seconds(train.rows * (folds.k - 1) // folds.k, len(train.columns), len(train.classes))
    seconds = folds.k * folds.repeats * sum(fits.values())
    if config.mode.runs_jobs:
        has, what = timeout, "the command ends after its first trial"
    else:
        has = first_trial_seconds(timeout - spent - ENDING_SECONDS)
        what = "members for which there is no time are left out, and boosters grow fewer rounds"
    notes = []
    if seconds > has:
        takes = f"one trial takes about {seconds:.2g} s on one core, and the first one has {has:.3g} s"
        notes.append(f"search.timeout={timeout:g}: {takes}, so {what}.")
    shortest = spent + 2 * (min(seconds, SHORTEST_SECONDS) + BESIDES_SECONDS) + ENDING_SECONDS
    if shortest > timeout and not config.mode.runs_jobs:
        notes.append(
            f"search.timeout={timeout:g} will be exceeded: the start, the first trial, a model on all rows, scores, "
            f"figures and MLflow take about {shortest:.0f} s on one core."
        )
    return notes


def _study(
    composed: Composed,
    splits: datasets.Splits,
    recipe: RecipePlan,
    search: SearchPlan,
    parallelism: Parallelism,
    dependencies: tuple[Path, ...],
) -> StudySpec:
    config = composed.config
    studies = studies_folder(config)
    name = config.study or _title(composed)
    return StudySpec(
        name=name,
        mode=config.mode.name,
        action=config.action,
        folder=studies / name,
        channels=channels_of(splits, studies),
        static=encode_recipe(recipe.recipe, search.targets),
        space=search.space,
        search=search.spec,
        objective=recipe.recipe.objective,
        parallel=parallelism.parallel,
        threads=parallelism.threads,
        max_failure_rate=config.search.max_failure_rate,
        final_rows=recipe.final_rows,
        max_ms=recipe.max_ms,
        baseline=config.search.baseline and config.action != "replay",
        blend_over=recipe.blend_over,
        timeout=config.search.timeout,
        points=search.points,
        cold=config.mode.starts_cold,
        replay_of=None if search.replayed is None else config.replay.study,
        dependencies=dependencies,
        code={folder.name: code_hash(folder) for folder in dependencies},
        arguments=replay.recipe_arguments(composed.arguments),
        config=composed.yaml(),
        dataset=datasets.label(config.dataset),
        target=splits.train.target_name,
        unit=config.dataset.unit,
        classes=splits.train.classes,
        positive=splits.train.positive,
    )


def _served(splits: datasets.Splits, final_rows: FinalRows) -> Table | None:
    """Return the rows that the served models are fitted on, without features; None if they are those for training."""
    names = SPLITS[: 1 + get_args(FinalRows).index(final_rows)]
    tables = [table for name, table in splits.tables.items() if name in names]
    if len(tables) == 1:
        return None
    return joined([replace(table, columns=(), features=np.empty((table.rows, 0))) for table in tables])


def _check_paths(config: Config) -> None:
    for key in ("root", "studies"):
        if not getattr(config.paths, key):
            raise ConfigError(f"paths.{key} is empty: name a folder, such as paths.{key}=. for this one.")


def _check_name(name: str) -> None:
    if len(name) > STUDY_NAME_LENGTH or not STUDY_NAME.fullmatch(name):
        raise ConfigError(
            f"study={name!r} is not a study name: use at most {STUDY_NAME_LENGTH} letters, digits and hyphens, "
            "beginning and ending with a letter or digit."
        )


def _title(composed: Composed) -> str:
    """Return what a study is about, short enough to be followed by a hash."""
    config = composed.config
    title = composed.choices.get("experiment") or f"{datasets.label(config.dataset)}-{composed.choices['ensemble']}"
    if config.action != "tune":
        title += f"-{config.action}"
    text = re.sub(r"[^a-zA-Z0-9]+", "-", title).strip("-")
    return text[: STUDY_NAME_LENGTH - _HASH_LENGTH - 1].rstrip("-")


def _named_by_identity(study: StudySpec) -> StudySpec:
    name = f"{study.name}-{study.identity_hash()[:_HASH_LENGTH]}".lstrip("-")
    return replace(study, name=name, folder=study.folder.parent / name)
