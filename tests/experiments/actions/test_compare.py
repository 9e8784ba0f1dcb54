"""``action=compare`` from the arguments that a user types to the exit code, the page and MLflow."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from experiments.study.folder import log_path, trial_folder
from tests.conftest import Ended
from tests.experiments.comparison.builder import POINTS, add_study, edit_facts, scored, splits, table
from tests.support.records import logged_runs

Run = Callable[..., Ended]
TRIALS = [scored(index, point) for index, point in enumerate(POINTS)]
PAIR = "compare.studies=[laptop,containers]"


@pytest.fixture
def pair(project: Path) -> Path:
    """A project with a study of ``mode=local``, and its best two trials run again in containers."""
    add_study(project, "laptop", TRIALS)
    add_study(project, "containers", TRIALS[:2], mode="sagemaker", given=True)
    return project


def lines(ended: Ended) -> list[str]:
    return ended.out.splitlines()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_equal_studies_pass_with_a_table_and_a_page(pair: Path, byoe: Run) -> None:
    ended = byoe("action=compare", PAIR)
    assert (ended.code, ended.err) == (0, "")
    assert "parity: PASS (2 of 2 trials equal)" in lines(ended)
    assert "  equal to the bit: 2 of 2" in lines(ended)
    assert "  trial 2 of laptop: these parameters ran in no other study" in lines(ended)
    assert "report: report.html" in lines(ended)
    assert re.search(
        r"^  blended +10\.\d+ \([\d.]+ to [\d.]+\) +10\.\d+ \([\d.]+ to [\d.]+\)$", ended.out, re.MULTILINE
    )
    assert names_in(pair) == {"mlflow.db", "mlartifacts", "studies", "report.html"}
    page = (pair / "report.html").read_text()
    assert "parity: PASS" in page
    assert "Partial report" not in page
    assert (pair / "report.html").stat().st_mode & 0o777 == 0o644


def test_without_names_the_newest_of_each_mode_are_compared(pair: Path, byoe: Run) -> None:
    ended = byoe("action=compare")
    assert ended.code == 0
    assert "parity: PASS (2 of 2 trials equal)" in lines(ended)


def test_unequal_studies_fail_with_their_cause(pair: Path, byoe: Run) -> None:
    changed = {"info": {"versions": {"python": "3.11.2", "xgboost": "3.2.0", "numpy": "2.5.0"}}}
    add_study(pair, "off", [scored(0, POINTS[0], shift=0.5)], mode="sagemaker", given=True, **changed)
    ended = byoe("action=compare", "compare.studies=[laptop,off]")
    assert ended.code == 1
    assert "parity: FAIL (0 of 1 trials equal; library versions: numpy 2.4.6 in laptop, 2.5.0 in off)" in lines(ended)
    assert byoe("action=compare", "compare.studies=[laptop,off]", "compare.rtol=0.5").code == 0


def test_studies_of_different_members_are_compared_first_and_need_no_pairs(pair: Path, byoe: Run) -> None:
    single = scored(0, {"xgboost__eta": 0.1}, members=("xgboost",), shift=3.0)
    add_study(pair, "single", [single], members=("xgboost",))
    arguments = ("action=compare", "compare.studies=[laptop,single]")
    ended = byoe(*arguments)
    assert (ended.code, ended.err) == (0, "")
    found = [line for line in lines(ended) if line]
    assert found[0].startswith("local (laptop) is better: its CV RMSE is ")
    assert "; 95% interval " in found[0]
    assert found[-3].startswith("parity: NOT CHECKED (parameters after decoding: ")
    assert byoe(*arguments, "compare.parity=required").code == 3
    refused = byoe(*arguments, "compare.parity=always")
    assert (refused.code, "compare.parity" in refused.err) == (2, True)


def test_studies_of_different_data_are_refused_with_the_difference_unless_forced(pair: Path, byoe: Run) -> None:
    add_study(pair, "other", TRIALS[:1], mode="remote", data=splits(table(12).take(slice(1, None)), "b" * 64))
    arguments = ("action=compare", "compare.studies=[laptop,other]")
    verdict = (
        "parity: NOT CHECKED (data hash: 24 rows in laptop (12 + 5 + 7), 23 rows in other (11 + 5 + 7); 23 are in both)"
    )
    refused = byoe(*arguments)
    assert (refused.code, verdict in lines(refused)) == (3, True)
    assert "laptop and other ran on different data" in refused.err
    assert "compare.force=true" in refused.err
    assert not (pair / "report.html").exists()
    forced = byoe(*arguments, "compare.force=true")
    assert (forced.code, verdict in lines(forced), forced.err) == (0, True, "")
    required = byoe(*arguments, "compare.force=true", "compare.parity=required")
    assert (required.code, verdict.replace("NOT CHECKED", "NOT COMPARABLE") in lines(required)) == (3, True)
    assert "The studies ran on different data" in (pair / "report.html").read_text()


def test_a_study_that_still_runs_is_marked_and_makes_the_report_partial(pair: Path, byoe: Run) -> None:
    lock = os.open(pair / "studies" / "laptop" / "lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = byoe("action=compare", PAIR)
    finally:
        os.close(lock)
    assert ended.code == 0
    assert re.search(r"^  state +still running +finished$", ended.out, re.MULTILINE)
    assert "partial: local: study laptop is still running; the report has its results so far." in lines(ended)
    assert "partial report: report.html" in lines(ended)
    page = (pair / "report.html").read_text()
    assert "Partial report" in page
    assert "study laptop is still running" in page


def test_a_study_without_a_winner_or_its_files_makes_the_report_partial(pair: Path, byoe: Run) -> None:
    add_study(pair, "bare", TRIALS[:1], mode="remote", final=False)
    shutil.rmtree(pair / "studies" / "containers" / "final")
    ended = byoe("action=compare", "compare.studies=[laptop,containers,bare]")
    assert ended.code == 0
    partial = [line for line in lines(ended) if line.startswith("partial: ")]
    assert partial[0].startswith(
        "partial: remote: study bare has no winner with test scores yet; run the study's own command again to get one"
    )
    final = pair / "studies" / "containers" / "final"
    reason = f"are missing or incomplete: {final}"
    assert any(
        line.startswith(f"partial: sagemaker: the winner's out-of-fold predictions {reason}") for line in partial
    )
    assert any(
        line.startswith(f"partial: sagemaker: the winner's predictions on the test rows {reason}") for line in partial
    )


def test_missing_logs_make_the_report_partial(pair: Path, byoe: Run) -> None:
    log_path(trial_folder(pair / "studies" / "containers", 1)).unlink()
    ended = byoe("action=compare", PAIR)
    trials = pair / "studies" / "containers" / "trials"
    assert ended.code == 0
    message = (
        f"partial: sagemaker: 1 of 2 trials have no log in {trials}: the objective that a tuner reads there was not "
        "checked."
    )
    assert message in lines(ended)


def test_many_studies_are_shown_to_the_last_digit(pair: Path, byoe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"a-study-with-a-name-of-some-length-{number}"[:32] + str(number) for number in range(6)]
    for name in names:
        add_study(pair, name, TRIALS[:1])
    monkeypatch.setenv("COLUMNS", "80")
    ended = byoe("action=compare", f"compare.studies=[{','.join(names)}]")
    assert "…" not in ended.out
    (row,) = [line for line in lines(ended) if line.startswith("  study ")]
    assert row.split()[1:] == names


def test_the_page_replaces_the_target_of_a_link_and_no_device_or_protected_file(pair: Path, byoe: Run) -> None:
    (pair / "real.html").write_text("old")
    (pair / "real.html").chmod(0o640)
    (pair / "link.html").symlink_to("real.html")
    assert "report: link.html" in lines(byoe("action=compare", PAIR, "output=link.html"))
    assert (pair / "link.html").is_symlink()
    assert "parity: PASS" in (pair / "real.html").read_text()
    assert (pair / "real.html").stat().st_mode & 0o777 == 0o640
    os.mkfifo(pair / "pipe.html")
    (pair / "real.html").chmod(0o440)
    for output, message in (
        ("pipe.html", "output=pipe.html is not a regular file"),
        ("link.html", "output=link.html is write-protected"),
        ("/proc/report.html", "output=/proc/report.html: no file can be created in /proc"),
    ):
        ended = byoe("action=compare", PAIR, f"output={output}")
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err
    assert stat.S_ISFIFO((pair / "pipe.html").stat().st_mode)


def test_the_page_is_written_to_the_given_output(pair: Path, byoe: Run) -> None:
    (pair / "ci").mkdir()
    assert "report: ci/first.html" in lines(byoe("action=compare", PAIR, "output=ci/first.html"))
    assert names_in(pair / "ci") == {"first.html"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([PAIR, "output=nowhere/report.html"], "there is no folder nowhere"),
        ([PAIR, "output=studies"], "output=studies is a folder: name a file in it, such as output=studies/report.html"),
        ([PAIR, "compare.rtol=2"], "compare.rtol=2 must be at least 0"),
        ([PAIR, "compare.rtol=much"], "compare.rtol"),
        (["compare.studies=laptop"], "Use 'compare.studies=[laptop]'"),
        (["compare.studies=[laptop]"], "names only laptop"),
        (["compare.studies=[laptop,contaners]"], "Did you mean 'containers'?"),
        (["compare.study=[laptop,containers]"], "'compare.studies'"),
    ],
)
def test_a_mistake_gets_one_message_and_leaves_nothing(
    pair: Path, byoe: Run, arguments: list[str], message: str
) -> None:
    before = names_in(pair)
    ended = byoe("action=compare", *arguments)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert names_in(pair) == before


def test_a_full_disk_leaves_the_old_page(pair: Path, byoe: Run, tiny_disk: Callable[[str], Path]) -> None:
    disk = tiny_disk("size=1m")
    (disk / "report.html").write_text("old")
    ended = byoe("action=compare", PAIR, f"output={disk}/report.html")
    assert ended.code == 1
    assert f"{disk}/report.html cannot be written: No space left on device" in ended.err
    assert "parity: PASS (2 of 2 trials equal)" in lines(ended)
    assert names_in(disk) == {"report.html"}
    assert (disk / "report.html").read_text() == "old"


def test_mlflow_records_a_comparison_once_with_a_run_for_each_study(pair: Path, byoe: Run) -> None:
    for _ in range(2):
        ended = byoe("action=compare", PAIR, "mlflow.experiment=side-by-side")
        assert ended.code == 0
        assert any(line.startswith("mlflow ui ") for line in lines(ended))
    (parent,) = logged_runs(pair, "side-by-side", "comparison")
    assert parent.data.tags["byoe.parity"] == "PASS"
    assert parent.data.tags["byoe.studies"] == "laptop,containers"
    assert parent.data.metrics == {"parity_pairs": 2, "parity_equal": 2, "parity_exact": 2}
    assert parent.info.status == "FINISHED"
    artifacts = pair / "mlartifacts" / parent.info.run_id / "artifacts"
    assert names_in(artifacts) == {"report.html"}
    assert (artifacts / "report.html").read_text() == (pair / "report.html").read_text()
    runs = {run.info.run_name: run for run in logged_runs(pair, "side-by-side", "compared")}
    assert set(runs) == {"local", "sagemaker"}
    for run in runs.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {"cv_rmse_blended", "validation_rmse_ridge", "test_rmse_blended", "trials", "wall_seconds"} <= set(
            run.data.metrics
        )
        assert run.data.params["blend"] == "mean"
    assert runs["local"].data.metrics["trials"] == 3
    best = min(trial.metrics["cv_rmse_blended"] for trial in TRIALS)
    assert runs["local"].data.metrics["best_so_far"] == best
    assert (runs["local"].info.start_time, runs["local"].info.end_time) == (1_000_000, 1_028_000)


def test_another_state_of_a_study_is_another_comparison_beside_the_studys_runs(pair: Path, byoe: Run) -> None:
    from experiments.tracking.store import quiet

    quiet()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{pair}/mlflow.db")
    experiment = client.create_experiment("of-the-laptop", artifact_location=(pair / "mlartifacts").as_uri())
    client.create_run(experiment, tags={"byoe.role": "study", "byoe.study": "laptop"})
    assert byoe("action=compare", PAIR).code == 0
    shutil.rmtree(pair / "studies" / "containers")
    add_study(pair, "containers", TRIALS, mode="sagemaker", given=True)
    assert byoe("action=compare", PAIR).code == 0
    assert len(logged_runs(pair, "of-the-laptop", "comparison")) == 2


def test_an_unusable_store_is_reported_and_the_page_is_complete(pair: Path, byoe: Run) -> None:
    with closing(sqlite3.connect(pair / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    other = byoe("action=compare", PAIR)
    assert other.code == 0
    assert (
        "MLflow could not record the comparison: the store was made by another version of MLflow: its schema is ffff"
        in (other.out)
    )
    assert f"mlflow db upgrade sqlite:///{pair}/mlflow.db" in other.out
    assert "The report does not depend on it." in other.out
    (pair / "mlflow.db").unlink()
    (pair / "report.html").unlink()
    missing = byoe("action=compare", PAIR)
    assert missing.code == 0
    assert f"MLflow could not record the comparison: there is no store at sqlite:///{pair}/mlflow.db" in missing.out
    assert (pair / "report.html").exists()
    assert not (pair / "mlflow.db").exists()


def test_names_from_users_are_shown_and_never_run(pair: Path, byoe: Run) -> None:
    evil = "<img src=x onerror=alert(1)>"
    study = add_study(pair, "evil", [dataclasses.replace(TRIALS[0], index=0)], mode="sagemaker")
    edit_facts(study, dataset=f"{evil}</script><script>alert(2)</script>")
    study.folder.rename(pair / "studies" / evil)
    ended = byoe("action=compare", f"compare.studies=[laptop,'{evil}']")
    assert ended.code == 0, ended.err
    page = (pair / "report.html").read_text()
    assert "<img" not in page.partition("<main>")[2].partition("<script>")[0]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert page.count("</script") == 3
