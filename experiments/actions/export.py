"""``action=export``: write a study's trials in another tool's format."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from experiments.config.compose import Composed
from experiments.config.paths import studies_folder
from experiments.config.secrets import masked_value
from experiments.errors import ConfigError, one_of
from experiments.reporting.console import print_plain
from experiments.study.ledger import FILE, find_study, recorded_studies
from experiments.study.optuna_storage import Exported, check_output, export
from experiments.study.optuna_view import StudyView
from experiments.system.project import COMMAND

_FORMATS = ("optuna",)


def export_study(composed: Composed, console: Console) -> int:
    """Write the trials of ``study``, or of the newest one, into the storage that ``output`` names; return 0.

    Raises:
        InputError: There is no such study, or the storage cannot be used.
        StorageError: It cannot be written.
    """
    config = composed.config
    one_of("format", config.format, _FORMATS)
    if config.output is None:
        raise ConfigError("action=export needs a storage of Optuna to write: add output=sqlite:///optuna.db.")
    shown = masked_value(config.output)
    check_output(config.output, shown)
    studies = studies_folder(config)
    folder = _newest(studies) if config.study is None else find_study(studies, config.study, "study")
    done = export_to(folder, config.output)
    there = f"; {done.before} {'was' if done.before == 1 else 'were'} there already" if done.before else ""
    trials = f"{done.added} trial{'' if done.added == 1 else 's'}"
    print_plain(console, f"{trials} of study {folder.name} added to {shown} as study {done.name}{there}.")
    return 0


def export_to(folder: Path, output: str) -> Exported:
    """Write the finished trials of the study in a folder into a storage of Optuna.

    Raises:
        InputError: The study cannot be read, or the storage cannot be used.
        StorageError: It cannot be written.
    """
    return export(StudyView.of(folder), output, masked_value(output))


def _newest(studies: Path) -> Path:
    found = recorded_studies(studies)
    if not found:
        raise ConfigError(f"there are no studies in {studies}. Run one: {COMMAND} mode=local.")
    return max(found, key=lambda folder: (folder / FILE).stat().st_mtime)
