"""A study as its folder records it, read without locking it. It is the only source of a comparison."""

from __future__ import annotations

import functools
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ensemble.classes import task_of
from ensemble.evaluation import MetricName, main_score
from ensemble.finished_trainings import OUT_OF_FOLD_FILE
from ensemble.members.growth import Loss, loss_for
from ensemble.parameters import encode
from ensemble.recipe import BLENDED
from ensemble.wire import metric_regex, read_metric
from experiments.config.arguments import typed_command
from experiments.errors import ConfigError
from experiments.study.baseline import BASELINE
from experiments.study.continuing import SPOT_CHECKS
from experiments.study.explained_rows import ExplainedRows
from experiments.study.folder import (
    explained_rows_file,
    final_folder,
    log_path,
    output_data_dir,
    spot_check_folder,
    test_predictions,
    trial_folder,
)
from experiments.study.ledger import FILE, LedgerEmpty, is_held, read
from experiments.study.more_trials import Outlook, outlook
from experiments.study.predictions import Predictions
from experiments.study.search_space import SearchSpace
from experiments.study.serving_cost import SERVING_COST, ServingCost
from experiments.study.spec import COMMANDS, PLACE, SINGLE_PRECISION, STUDY_BLEND, TIME_LIMIT, TrialResult, best_of
from experiments.study.study_blend import trials_of, with_scores_of_members

# Every study's identity has these; without them it cannot be compared.
_DECISIVE = ("mode", "data", "objective", "fixed.members", "fixed.seed", "fixed.folds_kind", "fixed.folds_k")


@dataclass(frozen=True)
class RecordedStudy:
    """A study that was read from its folder.

    Attributes:
        name: Its name.
        folder: Its folder.
        identity: What decides its numbers, flat, as in ``StudySpec.identity``.
        created: When it was created, in seconds since the epoch.
        dataset: The data's display name; None if an earlier version did not record it.
        space: What was searched; empty for given points, or if an earlier version did not record it.
        results: Every finished trial, in order of index; at least one.
        final: The winner, with test scores if this machine has test rows; None if it was not trained yet, or if
            another trial is the best now or a blend over the study is of fewer trials.
        unfinished: Number of trials that started and did not end.
        running: Whether a process on this machine runs it.
        replay_of: The study that it replays; None if it is not a replay.
        baseline: Scores of plain CatBoost and of the mean of the target; None if it was not trained.
        serving_cost: What its winner's model costs; None if it was not measured.
        has_test_rows: Whether rows were set aside to score the winner on.
        commands: When the commands that ran it began and ended, in seconds since the epoch; empty if an earlier version
            did not record it.
        target: Name and unit of what it predicts; empty if an earlier version did not record it.
        time_limit: The ``search.timeout`` that ended it, in seconds; None if it ended otherwise or was continued.
        spot_checks: By place in which it continued, the trial of another place that was trained again there first.
        checked: Index of that trial, if this is a part of a study that has it; None else.
    """

    name: str
    folder: Path
    identity: Mapping[str, Any]
    created: float
    dataset: str | None
    space: SearchSpace
    results: tuple[TrialResult, ...]
    final: TrialResult | None
    unfinished: int
    running: bool
    replay_of: str | None
    baseline: TrialResult | None = None
    serving_cost: ServingCost | None = None
    has_test_rows: bool = True
    time_limit: float | None = None
    commands: tuple[tuple[float, float], ...] = ()
    target: str = ""
    spot_checks: Mapping[str, TrialResult] = field(default_factory=dict)
    checked: int | None = None

    def replay_command(self, mode: str) -> str:
        """Return the command that runs its best trials again in a mode."""
        studies = self.folder.absolute().parent
        place = [] if studies == Path("studies").absolute() else [f"paths.studies={os.path.relpath(studies)}"]
        return typed_command([f"mode={mode}", "action=replay", f"replay.study={self.name}", *place])

    def places(self) -> list[str]:
        """Return the modes in which its trials ran, in the order of the trials."""
        return list(dict.fromkeys(str(result.info.get(PLACE, self.mode)) for result in self.results))

    def sides(self) -> list[RecordedStudy]:
        """Return the part of the study that ran in each place, with the trial that was trained again there."""
        return [self._side(place) for place in self.places()]

    def _side(self, place: str) -> RecordedStudy:
        own = [result for result in self.results if result.info.get(PLACE, self.mode) == place]
        final = self.final if self.final is not None and self.final.index in {one.index for one in own} else None
        again = self.spot_checks.get(place)
        results = sorted([*own, *([] if again is None else [again])], key=lambda result: result.index)
        return replace(
            self,
            name=f"{self.name} ({place})",
            identity={**self.identity, "mode": place},
            results=tuple(results),
            final=final,
            unfinished=0,
            spot_checks={},
            checked=None if again is None else again.index,
        )

    def _folder_of(self, result: TrialResult) -> Path:
        """Return the folder of a trial."""
        checked = result.index == self.checked
        return spot_check_folder(self.folder, self.mode) if checked else trial_folder(self.folder, result.index)

    @property
    def mode(self) -> str:
        """Where it began, and ran if it did not continue elsewhere."""
        return str(self.identity["mode"])

    @property
    def data_hash(self) -> str:
        """SHA-256 over the content of its data."""
        return str(self.identity["data"])

    @property
    def objective(self) -> str:
        """The metric that it optimised."""
        return str(self.identity["objective"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the classes that it predicts, in their order; empty for regression."""
        return next((result.classes for result in self.results if result.classes), ())

    @property
    def main_score(self) -> str:
        """The score by which its members and its blend are compared; lower is better."""
        return main_score(task_of(self.classes))

    @property
    def searched(self) -> bool:
        """Whether it searched, rather than being given its points."""
        return "points" not in self.identity

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members that it trained, in order; a time limit may leave some out."""
        names = (item.partition(":")[0] for item in str(self.identity["fixed.members"]).split(","))
        recipes = (result.info.get("recipe", {}) for result in self.results)
        trained = {member["name"] for recipe in recipes for member in recipe.get("members", ())}
        left_out = {name for result in self.results for name in result.info.get("left_out", {})}
        return tuple(name for name in names if name not in left_out and (name in trained or not trained))

    @property
    def best(self) -> TrialResult | None:
        """The best complete trial."""
        return best_of(self.results, self.objective)

    def outlook(self) -> Outlook | None:
        """Return what more trials may bring; None if there are too few, or if points were given or come from a grid."""
        is_open = self.searched and self.identity.get("search.sampler") != "grid"
        return outlook(self.results, self.objective) if is_open else None

    def static(self) -> dict[str, str]:
        """Return the hyperparameters that are the same in every trial."""
        return {name.removeprefix("fixed."): text for name, text in self.identity.items() if name.startswith("fixed.")}

    @functools.cached_property
    def loss_of_rounds(self) -> Loss | None:
        """The error by which boosters' numbers of rounds were chosen; None if no trial found any.

        It is all that the objective changes in a trial's numbers.
        """
        found = any(result.info.get("rounds") for result in self.results)
        return loss_for(MetricName.parse(self.objective).score, classes=bool(self.classes)) if found else None

    def differs_in_points_only(self, other: RecordedStudy) -> bool:
        """Whether another study has the same data, folds, seed, fixed parameters and ``loss_of_rounds``."""
        fixed = [{**study.static(), "objective": study.loss_of_rounds} for study in (self, other)]
        return self.data_hash == other.data_hash and fixed[0] == fixed[1]

    def code(self) -> dict[str, str]:
        """Return the hash of each of the user's packages, by name."""
        return {name.removeprefix("code."): text for name, text in self.identity.items() if name.startswith("code.")}

    def hyperparameters(self, result: TrialResult) -> dict[str, str]:
        """Return a trial's hyperparameters in the wire format."""
        return {**self.static(), **{name: encode(value) for name, value in result.params.items()}}

    def objective_in_log(self, result: TrialResult) -> float | None:
        """Return the objective that a tuner reads in a trial's log; None without a log."""
        cloud = result.info.get("cloud")
        if cloud is not None:
            found: float | None = cloud.get("objective_in_log")
            return found
        try:
            log = log_path(self._folder_of(result)).read_text(errors="replace")
        except OSError:
            return None
        return read_metric(metric_regex(self.objective), log)

    def missing_logs(self) -> int:
        """Return how many trials have no log."""
        here = (result for result in self.results if "cloud" not in result.info)
        return sum(not log_path(self._folder_of(result)).exists() for result in here)

    @property
    def out_of_fold_file(self) -> Path:
        """File of the winner's out-of-fold predictions."""
        return output_data_dir(final_folder(self.folder)) / OUT_OF_FOLD_FILE

    @property
    def test_file(self) -> Path:
        """File of the winner's predictions on the test rows."""
        return test_predictions(self.folder)

    def explained_rows(self) -> ExplainedRows | None:
        """Return rows with the parts of the winner's predictions; None if there are none."""
        return None if self.final is None else ExplainedRows.read(explained_rows_file(self.folder))

    def out_of_fold(self) -> Predictions | None:
        """Return the winner's out-of-fold predictions, or None if they are missing or incomplete."""
        return _predictions(self.out_of_fold_file)

    def on_test_rows(self) -> Predictions | None:
        """Return the winner's predictions on the test rows, or None if they are missing or incomplete."""
        return _predictions(self.test_file)


@dataclass(frozen=True)
class RecordedTrial:
    """A trial of a study.

    Attributes:
        study: The study.
        result: The trial.
    """

    study: RecordedStudy
    result: TrialResult

    @classmethod
    def representing(cls, study: RecordedStudy) -> RecordedTrial:
        """Return a trial that represents the study: the first complete one, or else the first."""
        return cls(study, next((r for r in study.results if r.state == "complete"), study.results[0]))

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"trial {self.result.index} of {self.study.name}"

    @property
    def info(self) -> Mapping[str, Any]:
        """What its ``metrics.json`` has besides the metrics."""
        return self.result.info

    @functools.cached_property
    def log_agrees(self) -> bool | None:
        """Whether the objective that a tuner reads in the log equals that in ``metrics.json``; None without a log."""
        written = self.result.metrics.get(self.study.objective)
        read = self.study.objective_in_log(self.result)
        if written is None or read is None:
            return None
        return math.isclose(read, written, rel_tol=SINGLE_PRECISION if "cloud" in self.info else 0.0)


def read_study(folder: Path) -> RecordedStudy:
    """Read a study's folder, without locking or changing it.

    Raises:
        ConfigError: It has no finished trial, or was recorded by another version of byoe.
        StudyTaken: Its ledger cannot be read.
    """
    running = is_held(folder)
    empty = ConfigError(
        f"study {folder.name} has no finished trial: "
        + (
            "it is still running; wait until its first trial has ended."
            if running
            else "run its command again, or leave it out."
        )
    )
    try:
        known = read(folder / FILE)
    except LedgerEmpty:
        raise empty from None
    if not known.results:
        raise empty
    facts = known.facts
    try:
        found = RecordedStudy(
            name=folder.name,
            folder=folder,
            identity={key: facts["identity"][key] for key in (*_DECISIVE, *facts["identity"])},
            created=facts["created"],
            dataset=facts.get("dataset"),
            space=SearchSpace.from_dict(facts.get("space", {})),
            results=tuple(known.results),
            final=with_scores_of_members(TrialResult(**facts["final"])) if "final" in facts else None,
            unfinished=len(known.asked),
            running=running,
            replay_of=facts.get("replay_of"),
            baseline=TrialResult(**facts[BASELINE]) if BASELINE in facts else None,
            serving_cost=ServingCost(**facts[SERVING_COST]) if SERVING_COST in facts else None,
            has_test_rows=facts.get("has_test_rows", True),
            spot_checks={place: TrialResult(**found) for place, found in facts.get(SPOT_CHECKS, {}).items()},
            time_limit=_time_limit(facts.get(TIME_LIMIT), known.results),
            commands=tuple((begun, ended) for begun, ended in facts.get(COMMANDS, ())),
            target=facts.get("target", ""),
        )
        best = found.best
        _check_scores(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _of_another_version(folder, error) from None
    if found.final is not None and (best is None or found.final.index != best.index or not _is_current(found)):
        return replace(found, final=None)
    return found


def _time_limit(fact: Mapping[str, Any] | None, results: Sequence[TrialResult]) -> float | None:
    """Return the time limit that ended a study with these results, in seconds, from the ledger's fact."""
    return None if fact is None or fact["trials"] != len(results) else float(fact["seconds"])


def _is_current(study: RecordedStudy) -> bool:
    """Whether the winner is not a blend over the study as it was before it was extended."""
    blend = study.final.info.get(STUDY_BLEND) if study.final is not None else None
    return blend is None or tuple(blend["trials"]) == trials_of(study.results)


def _check_scores(study: RecordedStudy) -> None:
    """Raise KeyError if a complete trial lacks the main score of a member or of the blend."""
    wanted = {f"cv_{study.main_score}_{name}" for name in (*study.members, BLENDED)}
    for result in study.results:
        missing = wanted - set(result.metrics)
        if result.state == "complete" and missing:
            raise KeyError(min(missing))


def _of_another_version(folder: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"study {folder.name} was recorded by another version of byoe ({type(error).__name__}: {error}): "
        "compare it with that version, or run it again."
    )


def _predictions(path: Path) -> Predictions | None:
    try:
        return Predictions.read(path)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # missing or incomplete
        return None
