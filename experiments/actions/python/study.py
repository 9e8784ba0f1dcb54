"""``byoe.tune`` and ``byoe.replay``, and the study that they return."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.wire import SEPARATOR
from experiments.actions.export import export_to
from experiments.actions.python.frames import place_table, training_table
from experiments.actions.python.model import Model, load
from experiments.actions.python.unchanged import unchanged
from experiments.actions.tune import Finished, figures_of, finish_study
from experiments.backends.winner import IMPORTANCE
from experiments.comparison.parity import Parity
from experiments.config.arguments import key_of
from experiments.config.compose import Composed, compose
from experiments.config.keywords import arguments_of
from experiments.config.paths import user_path
from experiments.errors import ConfigError, InputError, brief, did_you_mean, listed
from experiments.planning.replay import over_arguments_of_study
from experiments.reporting.bar import LineBar
from experiments.reporting.console import PlainConsole
from experiments.reporting.markup import paragraph
from experiments.reporting.summary import Outcome, as_html, as_text
from experiments.study.ledger import FILE, read
from experiments.study.optuna_storage import EXAMPLE
from experiments.study.spec import TrialResult, TrialState
from experiments.system.files import remove

if TYPE_CHECKING:
    import pandas as pd

_ACTIONS = ("tune", "train")
# Keys that say where a study and its code are, which its replay and its comparisons need too.
_PLACES = ("paths.", "entry.")


def tune(data: Any = None, /, *, target: Any = None, **keys: Any) -> Study:
    """Tune an ensemble on a table, and return the study when it has finished.

    A study that was interrupted is continued, and one that is finished is read. It is the same study, with the same
    name, as that of a command with the same configuration. A line on standard error shows the progress.

    Args:
        data: A CSV or Parquet file, a folder of rows that are split already, or an address on S3, as in
            ``dataset.path``; a DataFrame of pandas, polars or pyarrow; or a NumPy array, whose columns are named
            ``x0``, ``x1`` and so on. A table in memory is written as Parquet below the folder of studies. None for the
            data that the configuration names.
        target: Name of the column to predict; for a table in memory also the values to predict, and for an array also
            the position of its column.
        **keys: The configuration, by key: ``ensemble="wide"``, ``search={"n_trials": 40}``, ``study="housing"``. A key
            with a dot is given in a dictionary, ``**{"search.n_trials": 40}``.

    Raises:
        EnsembleError: A mistake in the input, as a subclass of ``InputError``, or a study that failed.
    """
    with unchanged():
        further = arguments_of(keys)
        if data is None or isinstance(data, str | os.PathLike):
            return _tune(_together(_named(data, target), further))
        table, target = training_table(data, target)
        studies = user_path(compose(further).config.paths.studies)
        placed, new = place_table(table, studies)
        try:
            return _tune(_together(_named(placed, target), further))
        except InputError as error:
            if new:
                remove(placed.parent)
            error.args = (str(error).replace(str(placed), "the DataFrame"), *error.args[1:])
            raise


def replay(study: Study | str, /, *, mode: str, **keys: Any) -> Study:
    """Run the best trials of a study again in another mode; ``parity`` of the result says whether the numbers agree.

    Args:
        study: The study, or its name.
        mode: Where its trials run again: ``local``, ``sagemaker`` or ``remote``.
        **keys: Further configuration, such as ``**{"replay.top": 3}``.

    Raises:
        EnsembleError: As in ``tune``; a difference of numbers is not an error.
    """
    if not isinstance(study, Study | str):
        raise ConfigError(f"study={brief(study)}: give a study of byoe.tune, or its name.")
    with unchanged():
        name, places = (study.name, study.places) if isinstance(study, Study) else (study, ())
        given = arguments_of({"mode": mode, "action": "replay", "replay.study": name})
        arguments = [*_together(given, arguments_of(keys))]
        typed = {key_of(argument) for argument in arguments}
        arguments += [argument for argument in places if key_of(argument) not in typed]
        return _run(over_arguments_of_study(compose(arguments)), arguments)


def _named(path: str | os.PathLike[str] | None, target: Any) -> list[str]:
    """Return the arguments for data in a file, or for none."""
    given: dict[str, Any] = {} if path is None else {"dataset": "file", "dataset.path": os.fspath(path)}
    if target is not None:
        if not isinstance(target, str):
            raise ConfigError(f"target={brief(target)}: give the name of the target column.")
        given["dataset.target"] = target
    return arguments_of(given)


def _together(given: Sequence[str], further: Sequence[str]) -> list[str]:
    """Return the arguments of the call's own parameters and those of its keywords."""
    own = {key_of(argument) for argument in given}
    twice = next((argument for argument in further if key_of(argument) in own), None)
    if twice is not None:
        raise ConfigError(f"{key_of(twice)} is given twice: as {twice}, and by a parameter of the call.")
    return [*given, *further]


def _tune(arguments: Sequence[str]) -> Study:
    composed = compose(arguments)
    if composed.config.action not in _ACTIONS:
        raise ConfigError(
            f"action={composed.config.action} is not for byoe.tune, which runs {listed(_ACTIONS)}. byoe.replay and "
            "byoe.compare are calls of their own, and the command byoe has the rest."
        )
    return _run(composed, arguments)


def _run(composed: Composed, arguments: Sequence[str]) -> Study:
    finished = finish_study(composed, arguments, PlainConsole(file=io.StringIO()), LineBar)
    return Study(finished, tuple(argument for argument in arguments if argument.startswith(_PLACES)))


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Attributes:
        index: Its index in the study, from 0.
        state: ``complete``, ``failed`` or ``pruned``.
        params: The searched values by ``member.parameter``, and those of shared parameters by ``shared.name``.
        metrics: Every score by its name, such as ``cv_rmse_blended``.
        weights: The weight of each member in the blend; empty unless the trial is complete.
        seconds: How long it took.
        failure: Why it failed or was stopped; None if it is complete.
    """

    index: int
    state: TrialState
    params: Mapping[str, Any]
    metrics: Mapping[str, float] = field(repr=False)
    weights: Mapping[str, float]
    seconds: float
    failure: str | None

    @classmethod
    def of(cls, result: TrialResult) -> Trial:
        """Return a trial as it is recorded."""
        params = {_dotted(name): value for name, value in result.params.items()}
        weights = result.info.get("weights", {})
        seconds = result.finished - result.started
        failure = None if result.state == "complete" else result.reason
        return cls(result.index, result.state, params, dict(result.metrics), dict(weights), seconds, failure)


def _dotted(name: str) -> str:
    member, separator, parameter = name.partition(SEPARATOR)
    return f"{member}.{parameter}" if separator else f"shared.{name}"


class Study:
    """A finished study. ``tune`` and ``replay`` return it.

    Attributes:
        name: Its name, by which commands find it.
        folder: Its folder, with the ledger, the trials and the winner.
        objective: The metric that decides.
        notes: How the configuration and the data were read, as sentences.
        parity: For a replay, whether it gave the numbers of its study: ``verdict``, ``line``, ``pairs``. None for
            another study.
        places: The arguments that say where studies are.
    """

    def __init__(self, finished: Finished, places: tuple[str, ...]) -> None:
        self._outcome: Outcome = finished.outcome
        self.name: str = finished.outcome.study.name
        self.folder: Path = finished.outcome.study.folder
        self.objective: str = finished.outcome.study.objective
        self.notes: tuple[str, ...] = finished.notes
        self.parity: Parity | None = finished.parity
        self.places = places

    @property
    def trials(self) -> pd.DataFrame:
        """Every trial: a row by index, and columns for state, scores, searched values, seconds and failure."""
        import numpy as np
        import pandas as pd

        found = sorted(map(Trial.of, self._outcome.results), key=lambda trial: trial.index)
        scores = dict.fromkeys([self.objective, *(name for trial in found for name in trial.metrics)])
        params = dict.fromkeys(name for trial in found for name in trial.params)
        columns: dict[str, Any] = {
            "state": [trial.state for trial in found],
            **{name: np.array([trial.metrics.get(name, np.nan) for trial in found]) for name in scores},
            **{name: [trial.params.get(name) for trial in found] for name in params},
            "seconds": [trial.seconds for trial in found],
            "failure": [trial.failure for trial in found],
        }
        return pd.DataFrame(columns, index=pd.Index([trial.index for trial in found], name="trial"))

    @property
    def best(self) -> Trial:
        """The best trial by the objective."""
        return Trial.of(self._outcome.best)

    @property
    def winner(self) -> Trial:
        """The winner's scores, on the test rows too: the best trial's, or those of a blend over the study."""
        return Trial.of(self._outcome.final)

    @functools.cached_property
    def figures(self) -> Figures:
        """Figures of Matplotlib by name, such as ``weights``."""
        return Figures(self._outcome, self.folder)

    def summary(self) -> str:
        """Return the summary that the command prints."""
        return as_text(self._outcome)

    def model(self) -> Model:
        """Return the winner, which predicts."""
        return load(self.folder)

    def __fspath__(self) -> str:
        """Return its folder, so that a study can be given where a configuration names one."""
        return str(self.folder)

    def export(self, output: str) -> int:
        """Write the trials into a storage of Optuna, as the command ``export`` does; return how many were added.

        Args:
            output: Its address, such as ``sqlite:///optuna.db``, or ``sqlite:///optuna.db:name`` to give the study
                another name there.

        Raises:
            InputError: The storage cannot be used, or has another study of this name.
            StorageError: It cannot be written.
        """
        if not isinstance(output, str):
            raise ConfigError(f"output={brief(output)}: give the address of a storage, such as {EXAMPLE}.")
        with unchanged():
            return export_to(self.folder, output).added

    def __repr__(self) -> str:
        value = self._outcome.best.metrics[self.objective]
        return f"<Study {self.name}: {len(self._outcome.results)} trials, {self.objective}={value:.6g}>"

    def _repr_html_(self) -> str:
        notes = "".join(paragraph(note) for note in self.notes)
        parity = "" if self.parity is None else paragraph(self.parity.line)
        return as_html(self._outcome) + parity + notes


class UnknownFigure(ConfigError, KeyError):
    """The name of a figure is unknown. It is a ``KeyError`` too, which mappings raise."""

    __str__ = Exception.__str__


class Figures(Mapping[str, Any]):
    """The figures of a study by name, drawn when the first is asked for. A part of a name that no other has will do."""

    def __init__(self, outcome: Outcome, folder: Path) -> None:
        self._outcome = outcome
        self._folder = folder

    @functools.cached_property
    def _drawn(self) -> dict[str, Any]:
        with unchanged():
            figures = figures_of(self._outcome, read(self._folder / FILE).facts[IMPORTANCE])
        return {name.removesuffix(".png"): figure for name, figure in {**figures.study, **figures.winner}.items()}

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise UnknownFigure(f"figures[{brief(name)}]: give the name of a figure. There are: {listed(self._drawn)}.")
        if name in self._drawn:
            return self._drawn[name]
        found = [known for known in self._drawn if name in known]
        if len(found) != 1:
            names = found or self._drawn
            raise UnknownFigure(
                f"{name!r} names {len(found)} figures.{did_you_mean(name, names)} There are: {listed(names)}."
            )
        return self._drawn[found[0]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawn)

    def __len__(self) -> int:
        return len(self._drawn)


__all__ = ["Figures", "Study", "Trial", "replay", "tune"]
