"""Which studies are compared, and how ``recorded_study`` reads them or reports what it cannot read."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from experiments.comparison.recorded_study import RecordedStudy, read_study
from experiments.comparison.selection import check_tolerance, choose_studies
from experiments.config.schema import CompareConfig
from experiments.errors import ConfigError, InputError
from tests.experiments.comparison.builder import POINTS, add_study, edit_facts, scored, splits, table

TRIALS = [scored(0, POINTS[0])]


def chosen(folder: Path, *names: str) -> list[str]:
    found: list[RecordedStudy] = choose_studies(CompareConfig(studies=list(names) or None), folder / "studies")
    return [study.name for study in found]


def test_named_studies_are_taken_in_their_order(folder: Path) -> None:
    for name in ("b", "a", "c"):
        add_study(folder, name, TRIALS)
    assert chosen(folder, "c", "a") == ["c", "a"]


def test_without_names_the_newest_of_each_mode_on_the_newest_data_are_taken(folder: Path) -> None:
    other = splits(table(13), "b" * 64)
    made = [
        ("old", "local", None),
        ("laptop", "local", None),
        ("containers", "sagemaker", None),
        ("elsewhere", "remote", other),
        ("cloud", "remote", None),
    ]
    for number, (name, mode, data) in enumerate(made):
        study = add_study(folder, name, TRIALS, mode=mode, data=data)
        edit_facts(study, created=1000.0 + number)
    empty = folder / "studies" / "empty"
    empty.mkdir()
    (empty / "ledger.sqlite").touch()
    assert chosen(folder) == ["laptop", "containers", "cloud"]


def test_a_replay_and_its_source_are_preferred_to_newer_studies_and_single_trainings(folder: Path) -> None:
    made = [
        ("laptop", "local", None),
        ("containers", "sagemaker", "laptop"),
        ("search", "local", None),
        ("one", "local", "one"),
    ]
    for number, (name, mode, of) in enumerate(made):
        study = add_study(folder, name, TRIALS[:1], mode=mode, given=of is not None)
        edit_facts(study, created=1000.0 + number, replay_of=None if of == name else of)
    assert chosen(folder) == ["containers", "search"]
    edit_facts(read_study(folder / "studies" / "containers"), created=2000.0)
    assert chosen(folder) == ["laptop", "containers"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["laptop", "sevrer"],
            "compare.studies=sevrer: there is no such study in .* Did you mean 'server'\\? There is: laptop, server",
        ),
        (["laptop", "../studies/server"], "there is no such study"),
        (["laptop", "bare"], "bare has no ledger.sqlite, where"),
        (["laptop", "laptop"], "names laptop twice"),
        (["laptop"], "names only laptop, which ran in one place. Name two or more"),
    ],
)
def test_names_that_make_no_comparison_are_refused(folder: Path, names: list[str], message: str) -> None:
    for name in ("laptop", "server"):
        add_study(folder, name, TRIALS)
    (folder / "studies" / "bare").mkdir()
    with pytest.raises(ConfigError, match=message):
        chosen(folder, *names)


def test_without_studies_the_command_that_makes_one_is_reported(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no study with a finished trial .*python run.py mode=local"):
        chosen(folder)
    add_study(folder, "laptop", TRIALS)
    with pytest.raises(ConfigError, match=r"only mode=local has .* mode=sagemaker action=replay replay.study=laptop"):
        chosen(folder)
    edit_facts(add_study(folder, "again", TRIALS[:1], given=True), replay_of="laptop")
    with pytest.raises(ConfigError, match=r"on the data of again, .* action=replay replay.study=laptop\. Or name"):
        chosen(folder)
    shutil.rmtree(folder / "studies" / "laptop")
    with pytest.raises(ConfigError, match=r"action=replay replay.study=again\. Or name"):
        chosen(folder)
    (folder / "elsewhere").mkdir()
    shutil.move(folder / "studies", folder / "elsewhere")
    with pytest.raises(ConfigError, match=r"replay.study=again paths.studies=elsewhere/studies\. Or name"):
        chosen(folder / "elsewhere")


def test_a_study_without_a_finished_trial_is_empty(folder: Path) -> None:
    add_study(folder, "laptop", TRIALS)
    (folder / "studies" / "none").mkdir()
    (folder / "studies" / "none" / "ledger.sqlite").touch()
    with pytest.raises(ConfigError, match="study none has no finished trial: run its command again, or leave it out"):
        chosen(folder, "laptop", "none")


def test_a_study_that_is_damaged_or_of_another_version_is_named(folder: Path) -> None:
    add_study(folder, "laptop", TRIALS)
    edit_facts(add_study(folder, "bare", TRIALS), identity={"mode": "local"})
    with pytest.raises(ConfigError, match="study bare was recorded by another version of byoe"):
        chosen(folder, "laptop", "bare")
    newer = add_study(folder, "newer", TRIALS)
    with closing(sqlite3.connect(newer.folder / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE trials SET result = json_set(result, '$.colour', 'red')")
    lacking = add_study(folder, "lacking", TRIALS)
    with closing(sqlite3.connect(lacking.folder / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE trials SET result = json_remove(result, '$.metrics.cv_rmse_ridge')")
    with pytest.raises(ConfigError, match="study lacking was recorded by another version of byoe"):
        chosen(folder, "laptop", "lacking")
    with pytest.raises(InputError, match=r"newer.ledger.sqlite is .*another version of byoe recorded 'colour'"):
        chosen(folder, "laptop", "newer")
    (folder / "studies" / "noise").mkdir()
    (folder / "studies" / "noise" / "ledger.sqlite").write_bytes(b"noise" * 1000)
    with pytest.raises(InputError, match="is not a ledger that can be read"):
        chosen(folder, "laptop", "noise")


@pytest.mark.parametrize("share", [-1e-9, 1.0, float("nan"), float("inf")])
def test_a_tolerance_is_at_least_zero_and_below_one(share: float) -> None:
    assert check_tolerance(CompareConfig(rtol=0.0)) == 0.0
    with pytest.raises(ConfigError, match=r"compare\.rtol="):
        check_tolerance(CompareConfig(rtol=share))
