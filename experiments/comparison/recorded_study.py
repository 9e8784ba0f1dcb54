"""What a study has left on disk, read without holding it; the one source of every comparison."""

from __future__ import annotations

import functools
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensemble.cli import OUT_OF_FOLD_FILE
from ensemble.parameters import encode
from ensemble.recipe import BLENDED
from ensemble.wire import metric_regex, read_metric
from experiments.errors import ConfigError
from experiments.study.folder import (
    final_folder,
    log_path,
    output_data_dir,
    test_predictions,
    trial_folder,
)
from experiments.study.ledger import FILE, LedgerEmpty, is_held, read
from experiments.study.predictions import Predictions
from experiments.study.search_space import SearchSpace
from experiments.study.spec import TrialResult, best_of

# What every study's identity has; without it nothing can be said of it.
_DECISIVE = ("mode", "data", "objective", "fixed.members", "fixed.seed", "fixed.folds_kind", "fixed.folds_k")

# AWS keeps an objective in single precision.
_SINGLE_PRECISION = 1e-6


@dataclass(frozen=True)
class RecordedStudy:
    """A study as its folder tells it.

    Attributes:
        name: Its name.
        folder: Its folder.
        identity: What decides its numbers, flat, as ``StudySpec.identity`` has it.
        created: When it was begun, in seconds since the epoch.
        dataset: The data's name for people; None where an earlier version recorded none.
        space: What was searched; empty for given points, and where an earlier version recorded none.
        results: Every finished trial, in order of index; at least one.
        final: The last training of the best trial, with test scores where there are test rows here; None where there
            is none yet, or only one of a trial that is not the best any more.
        unfinished: How many trials have begun and not ended.
        running: Whether a process on this machine holds it.
        replay_of: The study whose best trials it ran again; None for another.
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

    @property
    def mode(self) -> str:
        """Where it ran."""
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
    def searched(self) -> bool:
        """Whether it picked its points itself, rather than being given them."""
        return "points" not in self.identity

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the ensemble's members, in order."""
        return tuple(item.partition(":")[0] for item in str(self.identity["fixed.members"]).split(","))

    @property
    def best(self) -> TrialResult | None:
        """The best complete trial."""
        return best_of(self.results, self.objective)

    def static(self) -> dict[str, str]:
        """Return the hyperparameters that no trial changes."""
        return {name.removeprefix("fixed."): text for name, text in self.identity.items() if name.startswith("fixed.")}

    def differs_in_points_only(self, other: RecordedStudy) -> bool:
        """Whether another study has the same data, folds, seed and fixed parameters, whatever it optimised."""
        fixed = [{**study.static(), "objective": ""} for study in (self, other)]
        return self.data_hash == other.data_hash and fixed[0] == fixed[1]

    def code(self) -> dict[str, str]:
        """Return the hash of each of the user's own packages by its name."""
        return {name.removeprefix("code."): text for name, text in self.identity.items() if name.startswith("code.")}

    def hyperparameters(self, result: TrialResult) -> dict[str, str]:
        """Return what a trial was given on the wire."""
        return {**self.static(), **{name: encode(value) for name, value in result.params.items()}}

    def objective_in_log(self, result: TrialResult) -> float | None:
        """Return what a tuner reads of a trial's objective in its log; None where there is no log to read."""
        cloud = result.info.get("cloud")
        if cloud is not None:
            found: float | None = cloud.get("objective_in_log")
            return found
        try:
            log = log_path(trial_folder(self.folder, result.index)).read_text(errors="replace")
        except OSError:
            return None
        return read_metric(metric_regex(self.objective), log)

    def logs_gone(self) -> int:
        """Return of how many trials there is no log to read."""
        here = (result for result in self.results if "cloud" not in result.info)
        return sum(not log_path(trial_folder(self.folder, result.index)).exists() for result in here)

    @property
    def out_of_fold_file(self) -> Path:
        """Where the winner's out-of-fold predictions are."""
        return output_data_dir(final_folder(self.folder)) / OUT_OF_FOLD_FILE

    @property
    def test_file(self) -> Path:
        """Where the winner's predictions on the test rows are."""
        return test_predictions(self.folder)

    def out_of_fold(self) -> Predictions | None:
        """Return the winner's out-of-fold predictions, or None where they are not there whole."""
        return _predictions(self.out_of_fold_file)

    def on_test_rows(self) -> Predictions | None:
        """Return the winner's predictions on the test rows, or None where they are not there whole."""
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
        """Return a trial that speaks for the whole study: a complete one where there is one."""
        return cls(study, next((r for r in study.results if r.state == "complete"), study.results[0]))

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"trial {self.result.index} of {self.study.name}"

    @property
    def info(self) -> Mapping[str, Any]:
        """What its ``metrics.json`` says besides the metrics."""
        return self.result.info

    @functools.cached_property
    def log_agrees(self) -> bool | None:
        """Whether the objective that a tuner reads in the log is the one in ``metrics.json``; None without a log."""
        written = self.result.metrics.get(self.study.objective)
        read = self.study.objective_in_log(self.result)
        if written is None or read is None:
            return None
        return math.isclose(read, written, rel_tol=_SINGLE_PRECISION if "cloud" in self.info else 0.0)


def read_study(folder: Path) -> RecordedStudy:
    """Read a study's folder; holds nothing and records nothing.

    Raises:
        ConfigError: It has no finished trial, or was recorded by another version of this project.
        StudyTaken: Its ledger is no ledger.
    """
    running = is_held(folder)
    empty = ConfigError(
        f"study {folder.name} has no finished trial: "
        + ("it is still running, so wait for its first." if running else "run its command again, or leave it out.")
    )
    try:
        known = read(folder / FILE)
    except LedgerEmpty:
        raise empty from None
    except (TypeError, ValueError) as error:
        raise _of_another_version(folder, error) from None
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
            final=TrialResult(**facts["final"]) if "final" in facts else None,
            unfinished=known.unfinished,
            running=running,
            replay_of=facts.get("replay_of"),
        )
        best = found.best
        _check_scores(found)
    except (KeyError, TypeError, ValueError) as error:
        raise _of_another_version(folder, error) from None
    if found.final is not None and (best is None or found.final.index != best.index):
        return replace(found, final=None)
    return found


def _check_scores(study: RecordedStudy) -> None:
    """Raise KeyError where a complete trial lacks the score of a member or of the blend."""
    wanted = {f"cv_rmse_{name}" for name in (*study.members, BLENDED)}
    for result in study.results:
        missing = wanted - set(result.metrics)
        if result.state == "complete" and missing:
            raise KeyError(min(missing))


def _of_another_version(folder: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"study {folder.name} was recorded by another version of this project ({type(error).__name__}: {error}): "
        "compare it with that version, or run it again."
    )


def _predictions(path: Path) -> Predictions | None:
    try:
        return Predictions.read(path)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # gone, or cut
        return None
