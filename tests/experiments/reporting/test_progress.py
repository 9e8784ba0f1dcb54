"""What is shown while a study runs: a bar on a terminal, otherwise a line for each trial."""

from __future__ import annotations

import dataclasses
import io
import time

import pytest
from rich.console import Console

from experiments.reporting.progress import StudyProgress, seconds_left
from experiments.study.folder import log_path, trial_folder
from experiments.study.spec import StudySpec
from tests.experiments.reporting.builder import MEMBERS, class_trial, failed, pruned, trial


def run_progress(study: StudySpec, console: Console, resumed: int = 0) -> None:
    with StudyProgress(study, MEMBERS, console, resumed) as progress:
        for result in (trial(0, 11.0, 12.0, 10.0), failed(1), trial(2, 9.0, 12.0, 9.5)):
            progress.show(result)


def test_without_a_terminal_every_trial_is_a_plain_line(study: StudySpec) -> None:
    file = io.StringIO()
    run_progress(study, Console(file=file, width=60))
    first, *lines = file.getvalue().splitlines()
    assert first == f"study {study.name}: 3 trials, {study.parallel} at a time."
    assert lines[0].startswith("trial 0: cv_rmse_blended=10  (1/3, best blend 10, best member 11 xgboost, ")
    assert lines[1] == "trial 1 failed: no luck"
    assert lines[2].startswith(
        "trial 2: cv_rmse_blended=9.5  (3/3, 1 failed, best blend 9.5, best member 9 xgboost, 0 s"
    )


def test_the_best_scores_are_those_of_the_objective(study: StudySpec) -> None:
    """A higher AUC is better, and the log loss of these trials says the opposite."""
    file = io.StringIO()
    study = dataclasses.replace(study, objective="cv_auc_blended")
    with StudyProgress(study, MEMBERS, Console(file=file, width=60), 0) as progress:
        for index, auc in enumerate((0.7, 0.8)):
            result = class_trial(index, 0.1 + index, 0.1 + index, 0.1 + index)
            scores = {f"cv_auc_{name}": auc for name in (*MEMBERS, "blended")}
            progress.show(dataclasses.replace(result, metrics={**result.metrics, **scores}))
    assert "trial 1: cv_auc_blended=0.8  (2/3, best blend 0.8, best member 0.8 catboost" in file.getvalue()


def test_the_time_that_is_left_is_never_more_than_the_limit_leaves(study: StudySpec) -> None:
    now = time.monotonic()
    assert seconds_left(50.0, None) == 50.0
    assert seconds_left(None, None) is None
    assert seconds_left(2.0, now + 1000) == 2.0
    assert seconds_left(500.0, now + 10) == pytest.approx(10, abs=1)
    assert seconds_left(None, now + 10) == pytest.approx(10, abs=1)
    assert seconds_left(500.0, now - 5) == 0.0
    file = io.StringIO()
    limited = dataclasses.replace(
        study, timeout=60.0, spent=60.0, search=dataclasses.replace(study.search, n_trials=99)
    )
    run_progress(limited, Console(file=file, width=160))
    assert "best member 11 xgboost, 0 s left)" in file.getvalue()


def test_failed_trials_show_the_end_of_their_output_once_for_each_reason(study: StudySpec) -> None:
    file = io.StringIO()
    with StudyProgress(study, MEMBERS, Console(file=file, width=60), 0) as progress:
        for index, reason in enumerate(["no luck", "no luck", "no time"]):
            log = log_path(trial_folder(study.folder, index))
            log.parent.mkdir(parents=True)
            log.write_text("".join(f"line {number} of {index}\n" for number in range(40)))
            progress.show(dataclasses.replace(failed(index), failure=reason))
    text = file.getvalue()
    assert text.count("its output: ") == 3
    assert "line 9 of 0\n" not in text
    assert "line 10 of 0\n" in text
    assert "line 39 of 0\n" in text
    assert "of 1\n" not in text
    assert "line 39 of 2\n" in text


def test_trials_of_an_earlier_run_count_and_are_not_shown_again(study: StudySpec) -> None:
    file = io.StringIO()
    run_progress(study, Console(file=file, width=60), resumed=2)
    first, *lines = file.getvalue().splitlines()
    assert first == f"study {study.name}: 2 of 3 trials are done; continuing."
    assert [line.split(":")[0] for line in lines] == ["trial 2"]


def test_on_a_terminal_there_is_a_bar_with_done_failed_best_and_time(study: StudySpec) -> None:
    file = io.StringIO()
    run_progress(study, Console(file=file, width=160, force_terminal=True, legacy_windows=False))
    text = file.getvalue()
    for part in ("3/3", "1 failed", "best blend 9.5", "best member 9 xgboost", "left"):
        assert part in text


def test_a_pruned_trial_is_shown_with_its_expected_score(study: StudySpec) -> None:
    file = io.StringIO()
    with StudyProgress(study, MEMBERS, Console(file=file, width=60), 0) as progress:
        progress.show(trial(0, 11.0, 12.0, 10.0))
        progress.show(pruned(1))
    assert "trial 1: pruned after 2 folds, expected 13.5  (2/3, 1 pruned, best blend 10" in file.getvalue()
