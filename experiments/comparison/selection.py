"""The studies to compare: the named ones, or the newest of each mode on the same data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from experiments.comparison.recorded_study import RecordedStudy, read_study
from experiments.config.schema import CompareConfig
from experiments.errors import ConfigError, InputError
from experiments.study.ledger import find_study, recorded_studies
from experiments.system.project import COMMAND


def choose_studies(config: CompareConfig, studies: Path) -> list[RecordedStudy]:
    """Return the studies to compare, at least two, the reference study first.

    Args:
        config: The configuration of the comparison. One study that ran in several places is compared by place.
        studies: The folder of all studies.

    Raises:
        InputError: A study is unknown, named twice, empty or unreadable, or there are fewer than two.
    """
    if config.studies is None:
        return _newest_of_each_mode(studies)
    if not config.studies:
        raise ConfigError(
            "compare.studies=[] names no study. Name two or more, such as compare.studies=[laptop,containers], or "
            "leave it out to compare the newest study of each mode on the same data."
        )
    twice = [name for name, count in Counter(config.studies).items() if count > 1]
    if twice:
        raise ConfigError(f"compare.studies names {twice[0]} twice: name each study once.")
    if len(config.studies) < 2:
        alone = read_study(find_study(studies, config.studies[0], "compare.studies"))
        if len(alone.places()) > 1:
            return alone.sides()
        raise ConfigError(
            f"compare.studies names only {config.studies[0]}, which ran in one place. Name two or more, such as "
            "compare.studies=[laptop,containers], or leave it out to compare the newest study of each mode on the same "
            "data."
        )
    return [read_study(find_study(studies, name, "compare.studies")) for name in config.studies]


def check_tolerance(config: CompareConfig) -> float:
    """Return the tolerance, or raise ConfigError if it is out of range."""
    if not 0 <= config.rtol < 1:
        raise ConfigError(f"compare.rtol={config.rtol:g} must be at least 0 and below 1, such as 1e-9.")
    return config.rtol


def _newest_of_each_mode(studies: Path) -> list[RecordedStudy]:
    known = sorted(_readable(studies), key=lambda study: -study.created)
    if not known:
        raise ConfigError(
            f"there is no study with a finished trial in {studies}. Run one: {COMMAND} mode=local. Then run its "
            f"best trials in another mode: {COMMAND} mode=sagemaker action=replay replay.study=<name>."
        )
    # A study of action=train has one trial that no other study ran, so it is compared only if there is nothing else.
    newest = next((study for study in known if study.searched or study.replay_of), known[0])
    chosen = {newest.mode: newest}
    for study in sorted(known, key=lambda study: not _of_one_origin(study, newest)):
        if study.data_hash == newest.data_hash:
            chosen.setdefault(study.mode, study)
    if len(chosen) < 2:
        other = next(mode for mode in ("local", "sagemaker") if mode not in chosen)
        origin = next((study for study in known if study.name == newest.replay_of), newest)
        raise ConfigError(
            f"only mode={newest.mode} has a study on the data of {newest.name}, the newest study. Run its best trials "
            f"in another mode: {origin.replay_command(other)}. Or name the studies: compare.studies=[<a>,<b>]."
        )
    return sorted(chosen.values(), key=lambda study: study.created)


def _of_one_origin(one: RecordedStudy, other: RecordedStudy) -> bool:
    """Whether one study replays the other, or both replay a third."""
    return bool({one.name, one.replay_of} & {other.name, other.replay_of} - {None})


def _readable(studies: Path) -> Sequence[RecordedStudy]:
    """Return every study that can be read; others are skipped, since none was asked for by name."""
    found = []
    for folder in recorded_studies(studies):
        try:
            found.append(read_study(folder))
        except InputError:
            continue
    return found
