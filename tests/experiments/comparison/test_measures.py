"""Studies in numbers, with the rows of ``table`` and the sentences of ``findings`` that are made from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ensemble.recipe import BLENDED
from experiments.comparison.answers import does_it_pay
from experiments.comparison.findings import which_is_better
from experiments.comparison.measures import Measures, lift_between_winners, measure
from experiments.comparison.recorded_study import read_study
from experiments.comparison.table import Row, comparison_rows
from experiments.reporting.console import dollars
from experiments.study.serving_cost import ServingCost
from experiments.study.spec import STUDY_BLEND, TrialResult
from tests.experiments.comparison.builder import (
    FOLDS,
    MEMBERS,
    POINTS,
    add_study,
    edit_facts,
    failed,
    scored,
    scored_classes,
    splits,
    table,
)


def timed(index: int, begun: float, ended: float, **billing: Any) -> TrialResult:
    info = {"cloud": {"job": "job", **billing}} if billing else {}
    return dataclasses.replace(scored(index, POINTS[index]), started=begun, finished=ended, info=info)


def rows_of(measures: list[Measures]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    heading = ""
    for row in comparison_rows(measures):
        heading = heading if row.cells else row.title
        found.setdefault(heading, []).append(row)
    return found


def cells(rows: list[Row], title: str) -> tuple[str, ...]:
    (row,) = [row for row in rows if row.title == title]
    return row.cells


def test_wall_time_counts_overlaps_once_and_no_pauses(folder: Path) -> None:
    trials = [timed(0, 100, 110), timed(1, 105, 120), timed(2, 1000, 1004)]
    (one,) = measure([add_study(folder, "laptop", trials)])
    assert one.seconds == 24
    assert one.trials_per_minute == pytest.approx(7.5)
    assert [point.minutes * 60 for point in one.by_time] == pytest.approx([10, 20, 24])


def test_wall_time_is_that_of_the_commands_where_it_is_known(folder: Path) -> None:
    study = add_study(folder, "laptop", [timed(0, 100, 110), timed(1, 105, 120)])
    edit_facts(study, commands=[[95.0, 130.0], [1000.0, 1005.0]])
    (one,) = measure([read_study(study.folder)])
    assert one.seconds == 40  # start-up, the winner and the figures too, and a second command that ran no trial
    assert [point.minutes * 60 for point in one.by_time] == pytest.approx([15, 25])


def test_the_baselines_are_compared_where_a_study_has_them(folder: Path) -> None:
    trials = [timed(0, 100, 110)]
    assert "plain CatBoost" not in [row.title for row in comparison_rows(measure([add_study(folder, "old", trials)]))]
    folds = {f"cv_rmse_catboost_fold_{fold}": 20.0 + fold for fold in range(FOLDS)}
    metrics = {"cv_rmse_catboost": 20.5, "cv_rmse_mean": 30.0, **folds}
    baseline = TrialResult(0, "complete", {}, 0.0, 1.0, metrics)
    rows = rows_of(measure([add_study(folder, "new", trials, baseline=baseline)]))["does it pay?"]
    assert cells(rows, "plain CatBoost") == ("20.5",)
    assert cells(rows, "mean of the target") == ("30",)
    assert cells(rows, "blend minus plain CatBoost")[0].startswith("-")


def test_what_the_served_models_cost_is_beside_the_scores(folder: Path) -> None:
    trials = [timed(0, 100, 110)]
    cost = ServingCost(1.234, 0.01234, 3.456, {"xgboost": 0.5, "ridge": 0.7})
    measures = measure([add_study(folder, "old", trials), add_study(folder, "new", trials, cost=cost)])
    rows = rows_of(measures)["the served model"]
    assert [cells(rows, title) for title in ("ms for one row", "ms a row among many", "MB")] == [
        ("-", "1.23"),
        ("-", "0.0123"),
        ("-", "3.46"),
    ]
    assert "the served model" not in rows_of(measures[:1])


def test_a_trial_on_sagemaker_lasts_from_the_creation_of_its_job(folder: Path) -> None:
    (one,) = measure([add_study(folder, "cloud", [timed(0, 100, 110, created=40)], mode="remote")])
    assert one.seconds == 70


def test_the_best_so_far_is_by_order_of_trials_and_by_their_end(folder: Path) -> None:
    trials = [timed(0, 0, 90), timed(1, 0, 30), failed(2, POINTS[2])]
    (one,) = measure([add_study(folder, "laptop", trials)])
    values = [trial.metrics["cv_rmse_blended"] for trial in trials[:2]]
    assert values[0] < values[1]
    assert [(point.trial, point.best) for point in one.by_trial] == [(0, values[0]), (1, values[0]), (2, values[0])]
    assert [(point.trial, point.best) for point in one.by_time][:2] == [(1, values[1]), (0, values[0])]
    assert one.by_trial[2].value is None


def test_dollars_and_billed_seconds_include_failed_jobs(folder: Path) -> None:
    bill = {"billable_seconds": 90, "cost_usd": 0.25}
    billed_failure = dataclasses.replace(failed(1, POINTS[1]), info={"cloud": {"job": "job", **bill}})
    priced = add_study(folder, "priced", [timed(0, 0, 9, **bill), billed_failure], mode="remote")
    free = add_study(folder, "free", [timed(0, 0, 9)])
    unknown = add_study(folder, "unknown", [timed(0, 0, 9, billable_seconds=30)], mode="remote")
    found = measure([priced, free, unknown])
    assert [(one.billed, one.usd) for one in found] == [(180, 0.5), (None, None), (30, None)]
    rows = rows_of(found)["cost"]
    assert cells(rows, "billed") == ("3 min 00 s", "nothing", "30.0 s")
    assert cells(rows, "dollars") == ("$0.50", "none", "price not known")
    assert [point.usd for point in found[0].by_time] == [0.25, 0.5]


def test_partly_known_dollars_are_a_lower_bound_and_cents_have_two_digits(folder: Path) -> None:
    bill = {"billable_seconds": 90, "cost_usd": 0.00287}
    partly = add_study(folder, "partly", [timed(0, 0, 9, **bill), timed(1, 0, 9, billable_seconds=9)], mode="remote")
    whole = add_study(folder, "whole", [timed(0, 0, 9, **bill), timed(1, 0, 9, **bill)], mode="remote")
    rows = rows_of(measure([partly, whole]))["cost"]
    assert cells(rows, "dollars") == ("at least $0.0029", "$0.0057")
    assert [dollars(usd) for usd in (0.0, 0.000012, 0.05, 0.1, 12.345)] == [
        "$0.00",
        "$0.000012",
        "$0.05",
        "$0.10",
        "$12.35",
    ]


def test_studies_are_labelled_by_mode_and_by_name_if_a_mode_repeats(folder: Path) -> None:
    modes = {"laptop": "local", "containers": "sagemaker", "again": "sagemaker"}
    found = measure([add_study(folder, name, [scored(0, POINTS[0])], mode=mode) for name, mode in modes.items()])
    assert [one.label for one in found] == ["local", "sagemaker (containers)", "sagemaker (again)"]


def test_the_table_has_a_row_for_each_member_and_split_and_marks_the_lowest(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    server = add_study(folder, "server", [scored(0, POINTS[1])], mode="remote")
    found = measure([laptop, server])
    rows = rows_of(found)
    for heading in ("CV RMSE (95%)", "validation RMSE", "test RMSE"):
        assert [row.title for row in rows[heading][1:]] == [*MEMBERS, "blended"]
    (ridge,) = [row for row in rows["CV RMSE (95%)"] if row.title == "ridge"]
    (interval,) = [one.interval("ridge") for one in found[:1]]
    assert interval is not None
    assert interval.low < found[0].main("cv", "ridge") < interval.high  # type: ignore[operator]
    assert ridge.cells[0] == f"{found[0].main('cv', 'ridge'):.6g} ({interval.low:#.4g} to {interval.high:#.4g})"
    lowest = min((0, 1), key=lambda place: found[place].main("cv", "ridge") or 0.0)
    assert ridge.best == {lowest}


def test_studies_of_classes_are_compared_by_log_loss_auc_and_accuracy(folder: Path) -> None:
    baseline = TrialResult(0, "complete", {}, 0.0, 1.0, {"cv_logloss_catboost": 0.61, "cv_logloss_mean": 0.69})
    laptop = add_study(
        folder, "laptop", [scored_classes(0, POINTS[0])], objective="cv_logloss_blended", baseline=baseline
    )
    server = add_study(folder, "server", [scored_classes(0, POINTS[1])], objective="cv_logloss_blended", mode="remote")
    found = measure([laptop, server])
    assert [one.study.main_score for one in found] == ["logloss", "logloss"]
    rows = rows_of(found)
    assert {"CV log loss (95%)", "test log loss", "CV AUC (95%)", "CV accuracy"} < set(rows)
    better = min((0, 1), key=lambda place: found[place].main("cv", "ridge") or 0.0)
    for heading in ("CV log loss (95%)", "CV AUC (95%)", "CV accuracy"):  # of the latter two the highest
        (ridge,) = [row for row in rows[heading] if row.title == "ridge"]
        assert ridge.best == {better}, heading
    assert cells(rows["does it pay?"], "class frequencies") == ("0.69", "-")
    assert cells(rows["does it pay?"], "plain CatBoost") == ("0.61", "-")
    assert "its CV log loss is" in which_is_better(found)
    assert found[0].lift is not None
    whole = [found[0].best.metrics[f"cv_logloss_{name}"] for name in ("blended", "xgboost")]  # type: ignore[union-attr]
    assert found[0].lift.value == whole[0] - whole[1]


def on_folds(result: TrialResult) -> TrialResult:
    """Return a trial of which each AUC over all rows is the mean of its folds'."""
    folds = {
        f"cv_auc_{name}_fold_{fold}": result.metrics[f"cv_auc_{name}"] + 0.001 * (fold - 1)
        for name in (*MEMBERS, "blended")
        for fold in range(FOLDS)
    }
    return dataclasses.replace(result, metrics={**result.metrics, **folds})


def test_the_verdicts_are_on_the_objective_that_all_studies_share(folder: Path) -> None:
    """In ``scored_classes`` the AUC is 1 - log loss / 5, so that signs are the other way round."""
    catboost = {f"cv_auc_catboost_fold_{fold}": 0.5 + 0.01 * fold for fold in range(3)}
    baseline = TrialResult(0, "complete", {}, 0.0, 1.0, {"cv_auc_catboost": 0.5, "cv_auc_mean": 0.5, **catboost})
    laptop, server = (
        add_study(
            folder, mode, [on_folds(scored_classes(0, point))], objective="cv_auc_blended", mode=mode, baseline=baseline
        )
        for mode, point in (("local", POINTS[0]), ("remote", POINTS[1]))
    )
    found = measure([laptop, server])
    one = found[0]
    assert one.decisive == "auc"
    assert one.lift is not None
    assert one.best_member is not None
    assert one.best is not None
    best = one.best.metrics
    assert (one.best_member.name, one.best_member.score) == ("xgboost", best["cv_auc_xgboost"])
    assert one.lift.value == best["cv_auc_blended"] - best["cv_auc_xgboost"]
    rows = rows_of(found)["does it pay? (AUC)"]
    assert cells(rows, "blend minus best member")[0].startswith("+0.00")
    assert cells(rows, "the ensemble")[0] == "pays"
    assert cells(rows, "plain CatBoost") == ("0.5", "0.5")
    assert cells(rows, "blend minus plain CatBoost")[0].startswith("+0.3")
    assert "is better: its CV AUC is 0.00" in which_is_better(found)
    assert " above that of " in which_is_better(found)
    mixed = measure(
        [laptop, add_study(folder, "third", [scored_classes(0, POINTS[0])], objective="cv_logloss_blended")]
    )
    assert [one.decisive for one in mixed] == ["logloss", "logloss"]


def test_equal_scores_and_scores_on_other_data_are_not_marked(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    same = add_study(folder, "same", [scored(0, POINTS[0])])
    other = add_study(folder, "other", [scored(0, POINTS[1])], data=splits(table(13), "b" * 64))
    for pair in ([laptop, same], [laptop, other]):
        rows = rows_of(measure(pair))["CV RMSE (95%)"]
        assert all(not row.best for row in rows)


def test_members_of_one_study_only_have_no_number_in_the_other(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    trial = scored(0, {"xgboost__eta": 0.1}, members=("xgboost",))
    alone = add_study(folder, "alone", [trial], members=("xgboost",))
    rows = rows_of(measure([laptop, alone]))
    assert cells(rows["CV RMSE (95%)"], "ridge")[1] == "-"
    assert cells(rows["does it pay?"], "the ensemble") == ("pays", "-")


def test_studies_of_single_members_have_no_row_of_a_blend(folder: Path) -> None:
    trial = scored(0, {"xgboost__eta": 0.1}, members=("xgboost",))
    same = {name: value for name, value in trial.metrics.items() if "_blended" not in name}
    same |= {name.replace("xgboost", "blended"): value for name, value in same.items() if "xgboost" in name}
    alone = [
        add_study(folder, name, [dataclasses.replace(trial, metrics=same)], members=("xgboost",))
        for name in ("one", "two")
    ]
    rows = rows_of(measure(alone))["CV RMSE (95%)"]
    assert [row.title for row in rows if row.cells] == ["xgboost"]
    trio = add_study(folder, "trio", [scored(0, POINTS[0])])
    both = cells(rows_of(measure([trio, alone[0]]))["CV RMSE (95%)"], "blended, or the single member")
    assert "-" not in [cell[0] for cell in both]  # the served model's score, beside that of a blend


def test_the_state_of_an_unfinished_study_is_shown(folder: Path) -> None:
    done = add_study(folder, "done", [scored(0, POINTS[0])])
    bare = add_study(folder, "bare", [scored(0, POINTS[0])], final=False)
    cut = dataclasses.replace(done, unfinished=2)
    held = dataclasses.replace(done, running=True)
    limited = dataclasses.replace(cut, time_limit=60.0)
    states = cells(rows_of(measure([done, bare, cut, held, limited]))[""], "state")
    assert states[:4] == ("finished", "winner not trained", "interrupted, 2 unfinished", "still running")
    assert states[4] == "finished by search.timeout=60"


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (0.0, "local and remote are equally good"),
        (3.0, "local is better: its CV RMSE is 3 below that of remote"),
        (-3.0, "remote is better: its CV RMSE is 3 below that of local"),
    ],
)
def test_the_better_search_is_reported_with_its_interval(folder: Path, shift: float, expected: str) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    server = add_study(folder, "server", [scored(0, POINTS[0], shift=shift)], mode="remote")
    found = measure([laptop, server])
    sentence = which_is_better(found)
    assert expected in sentence
    apart = lift_between_winners(*found)
    assert apart is not None
    assert apart.value == pytest.approx(-shift)
    if shift:
        scores = sorted(one.main("cv", "blended") for one in found)  # type: ignore[type-var]
        assert f"({scores[0]:.6g} against {scores[1]:.6g}); 95% interval" in sentence


def test_a_difference_that_may_be_chance_is_not_called_better(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    other = scored(0, POINTS[0], shift=0.1)
    noisy = {**other.metrics, "cv_rmse_blended_fold_0": 2.0, "cv_rmse_blended_fold_2": 20.0}
    server = add_study(folder, "server", [dataclasses.replace(other, metrics=noisy)], mode="remote")
    sentence = which_is_better(measure([laptop, server]))
    assert sentence.startswith("local is ahead, but that may be chance: its CV RMSE is 0.1 below that of remote (")
    assert sentence.endswith("which includes zero.")


def test_studies_of_other_members_and_of_one_point_are_compared_too(folder: Path) -> None:
    trio = add_study(folder, "trio", [scored(0, POINTS[0])])
    single = scored(0, {"xgboost__eta": 0.1}, members=("xgboost",), shift=2.0)
    alone = add_study(folder, "alone", [single], members=("xgboost",), given=True)
    assert which_is_better(measure([trio, alone])).startswith("local (trio) is better: its CV RMSE is ")


def test_a_replay_does_not_decide_which_is_better(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    server = add_study(folder, "server", [scored(0, POINTS[0])], mode="remote", given=True)
    assert which_is_better(measure([laptop, dataclasses.replace(server, replay_of="laptop")])) == (
        "remote ran points of local again, so there are no two ensembles to compare."
    )


def test_winners_on_different_folds_are_not_compared(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    server = add_study(folder, "server", [scored(0, POINTS[1])], mode="remote", seed=1)
    found = measure([laptop, server])
    assert lift_between_winners(*found) is None
    assert "Their folds differ, so there is no interval" in which_is_better(found)
    assert cells(rows_of(found)["does it pay?"], "blend minus local's") == ("-", "different folds")


def test_a_blend_over_the_study_has_the_rmse_of_every_member_and_is_current_for_its_trials_only(folder: Path) -> None:
    study = add_study(folder, "over", [scored(index, point) for index, point in enumerate(POINTS)])
    assert study.final is not None
    names = ("xgboost_2", "ridge_0")
    metrics = {f"cv_rmse_{name}": 5.0 + place for place, name in enumerate(names)}
    for place, name in enumerate((*names, "blended")):
        metrics |= {f"cv_rmse_{name}_fold_{fold}": 5.0 + place + fold for fold in range(FOLDS)}
    blend = {"trials": [0, 1, 2], "models": 6, "hyperparameters": {}, "metrics": {}, "better": True}
    info = {"weights": dict.fromkeys(names, 0.5), STUDY_BLEND: blend}
    final = dataclasses.asdict(
        dataclasses.replace(
            study.final, metrics={**metrics, "cv_rmse_blended": 4.0, "test_rmse_ridge_0": 9.0}, info=info
        )
    )
    edit_facts(study, final=final)
    (one,) = measure([read_study(study.folder)])
    assert [one.main("cv", name) for name in (*MEMBERS, "blended")] == [5.0, 6.0, 4.0]
    assert one.main("test", "ridge") == 9.0
    interval = one.interval("ridge")
    assert interval is not None
    assert interval.value == 6.0  # 6 over all rows, whatever the folds' mean
    edit_facts(study, final={**final, "info": {**info, STUDY_BLEND: {**blend, "trials": [0, 1]}}})
    assert read_study(study.folder).final is None  # the study was extended, and the blend looked for again


def test_a_blend_that_equals_a_member_has_no_interval_of_zeros(folder: Path) -> None:
    one = scored(0, POINTS[0])
    same = {name: one.metrics[name.replace(BLENDED, "xgboost")] for name in one.metrics}
    (study,) = measure([add_study(folder, "laptop", [dataclasses.replace(one, metrics=same)])])
    (pays,) = does_it_pay([study])
    assert (pays.verdict, pays.interval) == ("Undecided", "")
    assert pays.reason == "CV RMSE as its best member, xgboost, on every fold"
