"""Which studies are compared: those that are named, or the newest of each mode on the same data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from experiments.comparison.recorded_study import RecordedStudy, read_study
from experiments.config.schema import CompareConfig
from experiments.errors import ConfigError, InputError
from experiments.study.ledger import find_study, recorded_studies


def choose_studies(config: CompareConfig, studies: Path) -> list[RecordedStudy]:
    """Return the studies to compare, at least two, in the order in which they are held against one another.

    Args:
        config: What was asked for.
        studies: The folder of all studies.

    Raises:
        InputError: One is unknown, named twice, empty or unreadable, or there are fewer than two.
    """
    if not config.studies:
        return _newest_of_each_mode(studies)
    twice = [name for name, count in Counter(config.studies).items() if count > 1]
    if twice:
        raise ConfigError(f"compare.studies names {twice[0]} twice: a study equals itself.")
    if len(config.studies) < 2:
        raise ConfigError(
            f"compare.studies names {config.studies[0]} alone: name two or more, compare.studies=[home,boxes], or "
            "leave it out for the newest study of each mode on the same data."
        )
    return [read_study(find_study(studies, name, "compare.studies")) for name in config.studies]


def check_tolerance(config: CompareConfig) -> float:
    """Return the tolerance, or raise ConfigError where it is none."""
    if not 0 <= config.rtol < 1:
        raise ConfigError(f"compare.rtol={config.rtol:g} is no share from 0 to below 1, such as 1e-9.")
    return config.rtol


def _newest_of_each_mode(studies: Path) -> list[RecordedStudy]:
    known = sorted(_readable(studies), key=lambda study: -study.created)
    if not known:
        raise ConfigError(
            f"there is no study with a finished trial in {studies}: python run.py mode=local runs one, and "
            "python run.py mode=sagemaker action=replay replay.study=<its name> runs its best trials again elsewhere."
        )
    # A training by itself is a step on the way, as a rule, and has one trial that nothing else ran.
    newest = next((study for study in known if study.searched or study.replay_of), known[0])
    chosen = {newest.mode: newest}
    for study in sorted(known, key=lambda study: not _of_one_origin(study, newest)):
        if study.data_hash == newest.data_hash:
            chosen.setdefault(study.mode, study)
    if len(chosen) < 2:
        other = "sagemaker" if newest.mode == "local" else "local"
        raise ConfigError(
            f"only mode={newest.mode} has a study on the data of {newest.name}, the newest: run its best trials "
            f"elsewhere, python run.py mode={other} action=replay replay.study={newest.replay_of or newest.name}, or "
            "name the studies, compare.studies=[<a>,<b>]."
        )
    return sorted(chosen.values(), key=lambda study: study.created)


def _of_one_origin(one: RecordedStudy, other: RecordedStudy) -> bool:
    """Whether one study replays the other, or both replay a third."""
    return bool({one.name, one.replay_of} & {other.name, other.replay_of} - {None})


def _readable(studies: Path) -> Sequence[RecordedStudy]:
    """Return every study that can be compared; what cannot is passed over, since nobody asked for it."""
    found = []
    for folder in recorded_studies(studies):
        try:
            found.append(read_study(folder))
        except InputError:
            continue
    return found
