"""The plain data that a backend takes and returns: a study and its trial results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ensemble.classes import Task, task_of
from ensemble.evaluation import MetricName, main_score
from ensemble.parameters import ParamValue, encode
from ensemble.racing import Rival
from ensemble.recipe import FinalRows, Recipe
from ensemble.wire import decode_recipe, encode_rounds, without_members
from experiments.study.learning import Learned
from experiments.study.search_space import SearchSpace

Sampler = Literal["tpe", "random", "grid"]
BlendOver = Literal["trial", "study"]
Vary = Literal["all", "one_member"]
Engine = Literal["optuna", "amt"]
TrialState = Literal["complete", "failed", "pruned"]

# The values of the searched parameters of one trial, by their names in the wire format.
Point = Mapping[str, ParamValue]

# The alias of a study's best model in MLflow's registry.
WINNER_ALIAS = "winner"
# What is recorded of the blend over a study: the ledger's fact, and its place in the winner's ``info``.
STUDY_BLEND = "study_blend"
# The ledger's fact of when the commands that ran the study began and ended: pairs of seconds since the epoch.
COMMANDS = "commands"
# The ledger's fact that a time limit ended the study: the limit in ``seconds``, and how many ``trials`` were finished.
TIME_LIMIT = "time_limit"
# When a study has a time limit, these seconds of an idle core are reserved for scores, figures and MLflow.
ENDING_SECONDS = 10.5
# What the first trial and the winner's training each take of an idle core besides their fits: to blend and to save.
BESIDES_SECONDS = 3.0
# The share of the rest that the folds of the first trial may take. If it stays the only one, what is left is enough for
# a model of each member on all rows, which takes about half as long as the folds.
FIRST_SHARE = 0.65
# The shortest time that a training is given, however short the limit.
SHORTEST_SECONDS = 0.5
# The part of a recorded identity that says who proposes, and those that say where a study began.
ENGINE = "search.engine"
_PLACE = ("mode", "cold", ENGINE)
# The mode whose studies SageMaker's tuner searches, unless they say otherwise.
TUNER_MODE = "remote"
# The part of a trial's ``info`` that says in which mode it ran.
PLACE = "place"
# What these are in a search that does not set them. Where they change no number, an identity has these values: pruning
# only stops trials, and without a sampler that learns it does not matter when a point is proposed.
UNSET: Mapping[str, Any] = {"prune": False, "window": 4, "startup_trials": 10}
# The relative error of an objective that SageMaker's tuner read from a log: it stores it in single precision.
SINGLE_PRECISION = 1e-6


@dataclass(frozen=True)
class InPlace:
    """The user's own channels on S3, which jobs on SageMaker read in place.

    Attributes:
        location: ``s3://bucket/prefix`` without a trailing slash; it has ``train/`` and, if there are rows for
            validation, ``validation/``.
        hyperparameters: Hyperparameters that describe their columns to the entry script.
    """

    location: str
    hyperparameters: Mapping[str, str]


@dataclass(frozen=True)
class Channels:
    """The data of a study on this machine's disk.

    Attributes:
        train: Folder of the train channel.
        validation: Folder of the validation channel; None if no rows are set aside for it.
        test: Folder of the test channel, which no trial gets; None if there are no test rows.
        data_hash: SHA-256 over the content of all of them.
        hashes: By channel, the hash of its content, which trials record of what they read; empty if it is not known.
        in_place: The same rows on S3, if they are the user's own channels.
    """

    train: Path
    validation: Path | None
    test: Path | None
    data_hash: str
    hashes: Mapping[str, str] = field(default_factory=dict)
    in_place: InPlace | None = None

    def for_jobs(self) -> dict[str, Path]:
        """Return the folders of the channels that every trial gets, by name."""
        return {"train": self.train} | ({} if self.validation is None else {"validation": self.validation})


@dataclass(frozen=True)
class SearchSpec:
    """How points are proposed.

    Attributes:
        sampler: The sampler.
        seed: Seed of the proposals.
        n_trials: Number of trial indices, including failed trials.
        window: Trial i is proposed when exactly the trials up to i - window are told.
        startup_trials: Random trials before the sampler starts to learn.
        prune: Whether a trial races the best trial that was told when it was proposed, and is pruned when it loses.
        vary: Whether a proposal changes the parameters of all members or of one.
        engine: Who proposes where SageMaker has a tuner: that tuner, or byoe. None elsewhere, where byoe does.
        learn_from: The other studies that the sampler learns from first, as the user named them, without passwords.
    """

    sampler: Sampler
    seed: int
    n_trials: int
    window: int
    startup_trials: int
    prune: bool = False
    vary: Vary = "all"
    engine: Engine | None = None
    learn_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudySpec:
    """A study, as a backend gets it.

    Attributes:
        name: Its name, which is also the name of its folder.
        mode: The mode of its backend.
        action: The action that created it.
        folder: Folder of its ledger, trials and winner.
        channels: The data.
        static: Hyperparameters in the wire format that are the same in every trial.
        space: What is searched; empty when ``points`` are given.
        search: How points are proposed.
        points: Points to run instead of a search, in order.
        objective: The metric that decides.
        parallel: Trials at a time, at most the window.
        threads: Threads a trial may use.
        max_failure_rate: The study stops when more than this share of its trials failed.
        final_rows: The rows that the winner's served models are fitted on.
        max_ms: Milliseconds that the winner's members may take together to predict one row; None for no limit.
        baseline: Whether plain CatBoost is cross-validated too, to compare the blend with.
        blend_over: Whether the winner blends the members of one trial, or each one's best of all trials.
        timeout: Seconds that the study may take, including the winner's training; None for no limit.
        spent: Seconds of these that passed before it began.
        slowness: How many times as long as usual this busy machine takes.
        left_out: Members that its first trial left out for want of time.
        dependencies: Folders that are importable in a trial.
        code: By name of a dependency's folder, a SHA-256 of its Python files.
        replay_of: The study whose points these are, if this is a replay.
        cold: Whether each trial starts in a container of its own, and not in a warm one.
        arguments: The ``key=value`` arguments that decide what its trials train, as typed.
        config: The resolved configuration as YAML, for the record.
        dataset: Display name of the data.
        target: Name of the target's column.
        unit: The target's unit; None if it is not known.
        classes: Labels of the classes, in their order; empty for regression.
        positive: The positive one of two classes.
        begun: Where a study began that continues elsewhere, as ``place`` gives it; empty if it began here.
        learned: What the sampler is told of each study in ``search.learn_from``; read when the study begins, and from
            then on from its own record.
    """

    name: str
    mode: str
    action: str
    folder: Path
    channels: Channels
    static: Mapping[str, str]
    space: SearchSpace
    search: SearchSpec
    objective: str
    parallel: int
    threads: int
    max_failure_rate: float
    final_rows: FinalRows = "train"
    max_ms: float | None = None
    baseline: bool = False
    blend_over: BlendOver = "trial"
    timeout: float | None = None
    spent: float = 0.0
    slowness: float = 1.0
    left_out: tuple[str, ...] = ()
    points: tuple[Point, ...] | None = None
    dependencies: tuple[Path, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)
    replay_of: str | None = None
    cold: bool = False
    arguments: tuple[str, ...] = ()
    config: str = ""
    dataset: str = ""
    target: str = ""
    unit: str | None = None
    classes: tuple[str, ...] = ()
    positive: str | None = None
    begun: Mapping[str, Any] = field(default_factory=dict)
    learned: tuple[Learned, ...] = ()

    @property
    def task(self) -> Task:
        """What its members predict: a quantity, or one of two or more classes."""
        return task_of(self.classes)

    @property
    def target_label(self) -> str:
        """The target's name with its unit, such as ``price (EUR)``."""
        return f"{self.target} ({self.unit})" if self.unit else self.target

    @property
    def n_trials(self) -> int:
        """Number of trial indices."""
        return self.search.n_trials if self.points is None else len(self.points)

    @property
    def tuned_by_amt(self) -> bool:
        """Whether SageMaker's tuner proposes its points."""
        return self.points is None and self.search.engine == "amt"

    @property
    def can_continue(self) -> bool:
        """Whether it can be given more trials, here or in another place."""
        return self.points is None and not self.tuned_by_amt

    @property
    def maximise(self) -> bool:
        """Whether a higher objective is better."""
        return MetricName.parse(self.objective).maximised

    def hyperparameters(self, params: Point) -> dict[str, str]:
        """Return the hyperparameters of a trial with these searched values, in the wire format."""
        found = {**self.static, **{name: encode(value) for name, value in params.items()}}
        return without_members(found, self.left_out)

    def as_trained(self, results: Iterable[TrialResult]) -> StudySpec:
        """Return the study without the members that its first trial left out for want of time."""
        left_out = (name for result in results for name in result.info.get("left_out", {}))
        return replace(self, left_out=tuple(dict.fromkeys([*self.left_out, *left_out])))

    def recipe(self, params: Point) -> Recipe:
        """Return what a trial with these searched values trains, as the trial itself decodes it."""
        return decode_recipe(self.hyperparameters(params))

    def only(self, hyperparameters: Mapping[str, str]) -> StudySpec:
        """Return the study on the same data that trains one recipe, given in the wire format."""
        return replace(self, static=hyperparameters, space=SearchSpace({}), points=({},))

    def trained(self, result: TrialResult) -> dict[str, str]:
        """Return the hyperparameters of what a trial or the winner trained, in the wire format."""
        blend = result.info.get(STUDY_BLEND)
        return self.hyperparameters(result.params) if blend is None else dict(blend["hyperparameters"])

    def identity(self) -> dict[str, Any]:
        """Return what decides the study's numbers and what they prove, flat; equal identities are the same study.

        The number of trials is not part of it, since a study can be extended, nor are parallelism and the limits that
        stop a study. The place is part of it only where the place is what the study proves: for given points.
        """
        return comparable_identity(self.recorded_identity())

    def recorded_identity(self) -> dict[str, Any]:
        """Return the identity together with the place where the study began, as ledgers record it."""
        search = asdict(self.search)
        for name in ("n_trials", "engine"):
            del search[name]
        learns = self.search.sampler == "tpe" or self.search.vary != "all"
        search |= {name: value for name, value in UNSET.items() if name == "prune" or not learns}
        if search["vary"] == "all":  # studies that began before there was anything else have the same identity
            del search["vary"]
        del search["learn_from"]
        if self.search.learn_from:  # their names: what was learned is in the record, and the sources may change
            search["learn_from"] = json.dumps(self.search.learn_from)
        return {
            **(self.begun or self.place()),
            "data": self.channels.data_hash,
            "objective": self.objective,
            **{f"fixed.{name}": text for name, text in self.static.items()},
            **{f"code.{name}": digest for name, digest in self.code.items()},
            **(
                {
                    **{f"search.{name}": value for name, value in search.items()},
                    **{f"space.{name}": text for name, text in self.space.describe().items()},
                }
                if self.points is None
                else {"points": json.dumps(list(self.points), sort_keys=True)}
            ),
        }

    def place(self) -> dict[str, Any]:
        """Return where it runs now, as the record of a study that begins here has it."""
        # Earlier versions recorded the tuner's studies with the mode alone.
        own_loop = self.can_continue and self.search.engine is not None
        return {
            "mode": self.mode,
            **({"cold": True} if self.cold else {}),
            **({ENGINE: self.search.engine} if own_loop else {}),
        }

    def place_of(self, result: TrialResult) -> str:
        """Return the mode in which a trial ran; earlier versions did not record it, and ran all in one."""
        return str(result.info.get(PLACE, self.begun.get("mode", self.mode)))

    def identity_hash(self) -> str:
        """Return a SHA-256 of ``recorded_identity``; it stays the same when a study continues elsewhere."""
        return hashlib.sha256(json.dumps(self.recorded_identity(), sort_keys=True).encode()).hexdigest()


def first_trial_seconds(left: float, slowness: float = 1.0) -> float:
    """Return how long the folds of a study's first trial may take.

    Args:
        left: The seconds that all trainings have.
        slowness: How many times as long as on an idle machine something takes.
    """
    return max(SHORTEST_SECONDS, FIRST_SHARE * (left - 2 * BESIDES_SECONDS * slowness))


def begun_in(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the place where a study began, from its recorded identity."""
    return {key: recorded[key] for key in _PLACE if key in recorded}


def comparable_identity(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's identity from the recorded one, which has the place where it began."""
    if "points" in recorded:
        return dict(recorded)
    engine = recorded.get(ENGINE, "amt" if recorded.get("mode") == TUNER_MODE else "optuna")
    return {ENGINE: engine, **{key: value for key, value in recorded.items() if key not in _PLACE}}


@dataclass(frozen=True)
class TrialSpec:
    """One trial to run.

    Attributes:
        index: Its index in the study, from 0.
        params: The searched values, by their names in the wire format.
        hyperparameters: All hyperparameters of the trial, in the wire format.
        folder: Folder with its hyperparameters and its output.
        keep_model: Whether to save its bundle.
        threads: Threads it may use.
        own_recipe: Whether it trains another recipe than the study's with these searched values.
    """

    index: int
    params: Point
    hyperparameters: Mapping[str, str]
    folder: Path
    keep_model: bool = False
    threads: int = 1
    own_recipe: bool = False


@dataclass(frozen=True)
class TrialResult:
    """One finished trial, failed or not.

    Attributes:
        index: Its index in the study.
        state: Whether it has a score.
        params: The searched values.
        metrics: Every metric by name; for a pruned trial those of the finished folds; empty for a failed one.
        info: The rest of ``metrics.json``: weights, seconds, versions, hashes. A pruned trial has ``pruned`` with the
            number of finished ``folds`` and the ``expected`` objective, if they are known.
        failure: Why it failed or was stopped.
        started: Seconds since the epoch.
        finished: Seconds since the epoch.
    """

    index: int
    state: TrialState
    params: Point
    started: float
    finished: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None

    @property
    def repeatable(self) -> Point:
        """The values that train it again: with its numbers of boosting rounds where a time limit has shaped them."""
        rounds = self.info.get("rounds") if self.info.get("timed") else None
        return {**self.params, **({"found_rounds": encode_rounds(rounds)} if rounds else {})}

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the classes that its members predict, in their order; empty for regression."""
        return tuple(self.info.get("classes", ()))

    @property
    def main_score(self) -> str:
        """The score by which its members and its blend are compared; lower is better."""
        return main_score(task_of(self.classes))

    def main(self, split: str, who: str) -> float | None:
        """Return the main score of a member or the blend on ``cv``, ``validation`` or ``test``; None if it has none."""
        return self.metrics.get(f"{split}_{self.main_score}_{who}")

    def value(self, objective: str) -> float | None:
        """Return the value for the sampler: the objective, or the expected objective of a pruned trial."""
        if self.state == "pruned":
            expected = self.info["pruned"].get("expected")
            return None if expected is None else float(expected)
        return self.metrics.get(objective)

    def failing(self, reason: str) -> TrialResult:
        """Return this trial as failed for ``reason``."""
        return replace(self, state="failed", metrics={}, failure=reason)

    def untrusted(self, objective: str, read: str) -> TrialResult:
        """Return this trial as one that failed, because its objective is not what its log has.

        Args:
            objective: The metric.
            read: What was read in the log, as the clause of a sentence.
        """
        return self.failing(
            f"the objective {objective} cannot be trusted: {read}, and metrics.json has "
            f"{self.metrics.get(objective)!r}. The entry script must print it once, with ensemble.wire.metric_line."
        )

    def ran_in(self, place: str) -> TrialResult:
        """Return this trial with the mode in which it ran."""
        return replace(self, info={**self.info, PLACE: place})

    def rival(self, objective: str) -> Rival:
        """Return this trial as the rival of a race."""
        return Rival(self.metrics[objective], tuple(tuple(standing) for standing in self.info["standings"]))

    @property
    def reason(self) -> str:
        """Why it failed or was stopped, in one line; a library's message may have pages."""
        lines = (self.failure or "").strip().splitlines()
        if len(lines) > 1 and lines[0].endswith(":"):  # the heading of SageMaker's toolkit
            lines = [f"{lines[0]} {lines[1]}"]
        return lines[0][:300] if lines else "it gave no reason"


def best_of(results: Iterable[TrialResult], objective: str) -> TrialResult | None:
    """Return the complete trial with the best objective, the earliest if several are equal, or None."""
    sign = -1.0 if MetricName.parse(objective).maximised else 1.0
    complete = [result for result in results if result.state == "complete"]
    return min(complete, key=lambda result: (sign * result.metrics[objective], result.index), default=None)
