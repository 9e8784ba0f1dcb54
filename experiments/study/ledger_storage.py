"""The ledgers of a folder of studies as one storage of Optuna that cannot be written, for its dashboard."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from experiments.errors import InputError, StorageError
from experiments.study.ledger import FILE, is_held, recorded_studies
from experiments.study.optuna_view import METRIC_NAMES, StudyView

# A trial's id has its study's and its number.
_TRIALS = 1_000_000
# SQLite's header, and the place of its counter in it.
_HEADER, _COUNTER = 100, slice(24, 28)
READ_ONLY = "byoe's ledgers are shown here and not changed: its studies are run by commands."


class ReadOnly(RuntimeError):
    """Something would have written to the ledgers."""


class LedgerStorage(BaseStorage):
    """Studies as they are recorded now, read again at each call; what runs shows new trials without a restart.

    A study that is added later is found. One that cannot be read is left out. The methods are safe in any thread, and
    those that would write raise ``ReadOnly``.
    """

    def __init__(self, studies: Path) -> None:
        """Show the studies below this folder."""
        self._studies = studies
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._read: dict[str, tuple[object, StudyView]] = {}

    def unreadable(self) -> list[str]:
        """Return why studies are left out, as sentences."""
        found = []
        for folder in recorded_studies(self._studies):
            try:
                StudyView.of(folder)
            except (InputError, StorageError) as error:
                found.append(str(error))
        return found

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return every study that can be read, in the order in which they were found."""
        views = sorted(self._views().items())
        return [
            FrozenStudy(view.name, view.direction, dict(view.attributes), {METRIC_NAMES: [view.objective]}, study_id)
            for study_id, view in views
        ]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study."""
        found = next((study_id for study_id, view in self._views().items() if view.name == study_name), None)
        if found is None:
            raise KeyError(study_name)
        return found

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study."""
        return self._view(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the direction of the objective."""
        return [self._view(study_id).direction]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what is recorded of a study besides its trials."""
        return dict(self._view(study_id).attributes)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the name of the objective."""
        return {METRIC_NAMES: [self._view(study_id).objective]}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial."""
        study_id, number = divmod(trial_id, _TRIALS)
        found = self.get_all_trials(study_id, deepcopy=False)
        if number >= len(found):
            raise KeyError(trial_id)
        return found[number]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study, by index. Those without a result run while a process has the study."""
        view = self._view(study_id)
        found = view.all(running=is_held(self._studies / view.name))
        for trial in found:
            trial._trial_id = study_id * _TRIALS + trial.number
        found = [trial for trial in found if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def delete_study(self, study_id: int) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> NoReturn:
        """Refuse."""
        raise ReadOnly(READ_ONLY)

    def _views(self) -> dict[int, StudyView]:
        found = {}
        for folder in recorded_studies(self._studies):
            try:
                found[self._id(folder.name)] = self._current(folder)
            except (InputError, StorageError):  # reported when the dashboard starts, or being created now
                continue
        return found

    def _view(self, study_id: int) -> StudyView:
        with self._lock:
            name = next((name for name, known in self._ids.items() if known == study_id), None)
        if name is None or not (self._studies / name / FILE).exists():
            raise KeyError(study_id)
        return self._current(self._studies / name)

    def _current(self, folder: Path) -> StudyView:
        """Return the study in a folder, which is read again if its ledger has changed."""
        try:
            with (folder / FILE).open("rb") as file:
                status = os.fstat(file.fileno())
                # SQLite counts its transactions there, and a file's time may be the same for two of them.
                state = (status.st_ino, status.st_size, status.st_mtime_ns, file.read(_HEADER)[_COUNTER])
        except OSError as error:
            raise StorageError.at(folder / FILE, error) from error
        with self._lock:
            known = self._read.get(folder.name)
        if known is None or known[0] != state:
            known = state, StudyView.of(folder)
            with self._lock:
                self._read[folder.name] = known
        return known[1]

    def _id(self, name: str) -> int:
        with self._lock:
            return self._ids.setdefault(name, len(self._ids) + 1)


optuna.logging.set_verbosity(optuna.logging.ERROR)
