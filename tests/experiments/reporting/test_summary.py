"""The summary of a finished study: its table, its head and its commands."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from experiments.reporting.summary import NARROWEST, Outcome, as_text, show
from experiments.study.learning import Learned, ScoredTrial
from experiments.study.serving_cost import ServingCost
from experiments.study.spec import StudySpec, TrialResult
from tests.experiments.reporting.builder import MEMBERS, class_trial, failed, pruned, trial


def shown(study: StudySpec, best: TrialResult, **changes: object) -> str:
    outcome = Outcome(study, [best, failed(1)], best, best, MEMBERS, [("mlflow ui", "look")])
    return as_text(dataclasses.replace(outcome, **changes))  # type: ignore[arg-type]


def test_table_has_a_row_for_each_member_and_for_the_blend(study: StudySpec) -> None:
    lines = shown(study, trial(0, 11.0, 12.0, 10.0)).splitlines()
    rows = {
        line.split()[0]: line.split()[1:]
        for line in lines
        if line.startswith("  ") and "=" not in line and line.strip()
    }
    assert rows["xgboost"] == ["11", "11", "11", "0.250", "1.00"]
    assert rows["catboost"] == ["12", "12", "12", "0.750", "2.00"]
    assert rows["blended"] == ["10", "10", "10", "3.00"]
    assert "2 trials, 1 failed" in "\n".join(lines)
    assert "best: trial 0, cv_rmse_blended = 10" in "\n".join(lines)
    assert "  xgboost  max_depth=3" in lines


def test_what_the_sampler_was_told_of_others_is_in_the_head(study: StudySpec) -> None:
    told = (ScoredTrial({}, 1.0), ScoredTrial({}, 2.0))
    sources = (Learned("a", "study a", told, (), outside=1), Learned("b", "Optuna's study b", told[:1], (), unscored=3))
    text = shown(dataclasses.replace(study, learned=sources), trial(0, 11.0, 12.0, 10.0))
    assert "\nlearned, before its first trial: 2 of 3 trials of study a; 1 of 4 trials of Optuna's study b\n" in text
    assert "learned, before" not in shown(study, trial(0, 11.0, 12.0, 10.0))


def test_the_verdict_is_below_the_table(study: StudySpec) -> None:
    lines = shown(study, trial(0, 11.0, 12.0, 10.0)).splitlines()
    (verdict,) = (number for number, line in enumerate(lines) if line.startswith("  The ensemble pays: "))
    (blended,) = (number for number, line in enumerate(lines) if line.startswith("  blended"))
    assert verdict == blended + 2


def test_mae_r2_and_the_share_of_the_targets_spread_are_beside_the_rmse(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    further = {f"cv_{score}_{name}": value for name in (*MEMBERS, "blended") for score, value in FURTHER.items()}
    best = dataclasses.replace(best, metrics={**best.metrics, **further})
    priced = dataclasses.replace(study, target="price", unit="EUR")
    text = shown(priced, best)
    (titles,) = (line.split() for line in text.splitlines() if "fit s" in line)
    assert titles == ["CV", "RMSE", "validation", "test", "CV", "MAE", "CV", "R²", "weight", "fit", "s"]
    (row,) = (line.split() for line in text.splitlines() if line.startswith("  blended"))
    assert row == ["blended", "10", "10", "10", "7", "0.7500", "3.00"]
    assert "The target, price, has a standard deviation of 20 EUR: the CV RMSE is 50.0% of it." in text
    assert "standard deviation of 20: the" in " ".join(shown(dataclasses.replace(priced, unit=None), best).split())


FURTHER = {"mae": 7.0, "r2": 0.75}


def test_a_single_member_has_one_row_and_no_blend_in_its_sentences(study: StudySpec) -> None:
    whole = trial(0, 11.0, 12.0, 11.0)
    metrics = {name: value for name, value in whole.metrics.items() if "_catboost" not in name}
    metrics |= {name.replace("xgboost", "blended"): value for name, value in metrics.items() if "xgboost" in name}
    info = {"weights": {"xgboost": 1.0}, "fit_seconds": {"xgboost": 1.0}}
    single = dataclasses.replace(whole, metrics=metrics, info=info)
    folds = {f"cv_rmse_catboost_fold_{fold}": 12.5 + fold - 2 for fold in range(5)}
    baseline = TrialResult(0, "complete", {}, 0.0, 1.0, {"cv_rmse_catboost": 12.5, **folds})
    text = shown(study, single, members=["xgboost"], results=[single], baseline=baseline)
    assert not [line for line in text.splitlines() if line.startswith("  blended")]
    assert "xgboost's CV RMSE is 1.5 below that" in " ".join(text.split())
    calibrated = dataclasses.replace(single, metrics={**metrics, "cv_rmse_blended": 10.5})
    assert "  xgboost as served" in shown(study, calibrated, members=["xgboost"], results=[calibrated])


def test_plain_catboost_and_the_mean_are_below_the_blend(study: StudySpec) -> None:
    metrics = {"cv_rmse_catboost": 12.5, "validation_rmse_catboost": 13.0, "cv_rmse_mean": 20.0}
    metrics |= {f"cv_rmse_catboost_fold_{fold}": 12.5 + fold - 2 for fold in range(5)}
    baseline = TrialResult(0, "complete", {}, 0.0, 1.0, metrics)
    text = shown(study, trial(0, 11.0, 12.0, 10.0), baseline=baseline)
    rows = [line.split() for line in text.splitlines() if "plain CatBoost" in line or "mean of target" in line]
    assert rows == [["plain", "CatBoost", "12.5", "13"], ["mean", "of", "target", "20"]]
    sentence = (
        "Plain CatBoost, with its own defaults on the same folds: 12.5. The blend's CV RMSE is 2.5 below that; 95%"
    )
    assert sentence in " ".join(text.split())


def test_what_the_served_model_costs_is_reported(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    text = " ".join(shown(study, best, cost=ServingCost(1.234, 0.00123, 3.456, {})).split())
    assert "The served model predicts one row in 1.23 ms and many in 0.00123 ms each, on one core here, and has" in text
    assert "has 3.46 MB." in text


def test_more_trials_are_advised_by_what_the_last_ones_brought(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    few = shown(study, best, results=[best, trial(1, 11.0, 12.0, 10.5)])
    assert "more trials" not in few
    alike = [dataclasses.replace(best, index=index) for index in range(20)]
    text = " ".join(shown(study, best, results=alike).split())
    assert "20 more trials are hardly worth it: judged by those so far, they improve the objective by 0, 0.0%" in text
    assert "with a chance of 50% to improve it at all. They take about" in text
    spread = [trial(index, 11.0, 12.0, 10.0 + index) for index in range(20)]
    assert "20 more trials may be worth it" in " ".join(shown(study, best, results=spread).split())
    given = dataclasses.replace(study, points=({},) * 20)
    assert "more trials" not in shown(given, best, results=alike)


@pytest.mark.parametrize(
    ("kind", "promise"),
    [("kfold", ""), ("group", " That is for new groups"), ("time", " That is for the times that were scored")],
)
def test_the_share_that_intervals_hold_is_shown_with_what_it_does_not_promise(
    study: StudySpec, kind: str, promise: str
) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    coverage = {"level": 0.9, "share": 0.916, "low": 0.8501, "high": 0.955, "rows": 89.0, "size": 12.5}
    found = dataclasses.replace(best, info={**best.info, "coverage": coverage, "recipe": {"folds": {"kind": kind}}})
    text = " ".join(shown(study, found).split())
    line = "90% intervals hold 91.6% of the test rows (85.0% to 95.5%), with a width of 12.5 on average."
    assert f"{line}{promise}" in text
    assert ("That is for" in text) == bool(promise)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_numbers_are_not_cut_off_in_a_narrow_terminal(study: StudySpec, width: int) -> None:
    file = io.StringIO()
    best = trial(0, 11.2345, 12.3456, 10.4567)
    show(Outcome(study, [best], best, best, MEMBERS, [("mlflow ui", "look")]), Console(file=file, width=width))
    assert "11.2345" in file.getvalue()
    assert max(map(len, file.getvalue().splitlines())) <= NARROWEST


def test_large_numbers_beside_a_long_name_are_not_cut_off(study: StudySpec) -> None:
    best = trial(0, 1.23456e9, 1.34567e10, 1.12345e9)
    metrics = {name.replace("catboost", "hist_gradient_boosting_2"): value for name, value in best.metrics.items()}
    info = {key: {"xgboost": 0.25, "hist_gradient_boosting_2": 0.75} for key in ("weights", "fit_seconds")}
    long = dataclasses.replace(best, metrics=metrics, info=info)
    file = io.StringIO()
    show(Outcome(study, [long], long, long, list(info["weights"]), []), Console(file=file, width=60))
    assert file.getvalue().count("1.34567e+10") == 3


def test_a_problem_of_the_store_is_shown_with_its_fix(study: StudySpec) -> None:
    text = " ".join(shown(study, trial(0, 11.0, 12.0, 10.0), problem="OperationalError: disk").split())
    assert "MLflow could not record everything (OperationalError: disk)" in text
    assert "run the same command again" in text


def test_commands_stay_on_one_line_however_long(study: StudySpec) -> None:
    command = "python run.py " + " ".join(f"key.number{n}=value" for n in range(20))
    assert f"  {command}   # look\n" in shown(study, trial(0, 11.0, 12.0, 10.0), next_commands=[(command, "look")])


def test_pruned_trials_are_counted(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    assert "2 trials, 1 pruned" in shown(study, best, results=[best, pruned(1)])


def test_a_study_that_its_time_limit_ended_is_reported(study: StudySpec) -> None:
    limited = dataclasses.replace(study, timeout=90.0)
    text = shown(limited, trial(0, 11.0, 12.0, 10.0))
    assert "2 trials of 3" in text
    assert "stopped by search.timeout=90; run the same command again to continue" in text
    assert "search.timeout" not in shown(study, trial(0, 11.0, 12.0, 10.0))


def test_rounds_that_were_found_are_named(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    found = dataclasses.replace(best, info={**best.info, "rounds": {"xgboost": 40, "catboost": 300}})
    assert "Boosting rounds that were found, one number for all folds: xgboost 40, catboost 300." in shown(study, found)
    assert "rounds" not in shown(study, best)
    served = {"final_rows": "all", "rows": 60, "rows_served": 100, "rounds_served": {"xgboost": 40, "catboost": 433}}
    text = " ".join(shown(study, dataclasses.replace(found, info={**found.info, **served})).split())
    assert "(ensemble.final_rows). With more rows, its boosters have more rounds: catboost 433. The scores" in text


def test_what_a_time_limit_left_out_is_named(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    first = dataclasses.replace(best, info={**best.info, "left_out": {"svr": "a fit takes about 9 s"}})
    limited = dataclasses.replace(study, timeout=60.0, final_rows="all")
    text = " ".join(shown(limited, best, results=[first]).split())
    assert "Member svr is left out, because search.timeout=60 has no time for it: a fit takes about 9 s." in text
    assert "There was time for one trial, which took" in text
    assert "There was no time to fit the served model on further rows (ensemble.final_rows=all)" in text
    text = " ".join(shown(study, best, results=[first]).split())  # continued without a limit
    assert "svr is left out, because the search.timeout of its first trial had no time for it: a fit takes" in text
    assert "left out" not in shown(study, best)


def test_a_study_of_classes_is_summed_up_by_log_loss_auc_and_accuracy(study: StudySpec) -> None:
    baseline = TrialResult(0, "complete", {}, 0.0, 1.0, {"cv_logloss_mean": 0.69, "cv_accuracy_mean": 0.55})
    best = class_trial(0, 0.5, 0.45, 0.4)
    study = dataclasses.replace(study, objective="cv_logloss_blended")
    lines = shown(study, best, baseline=baseline).splitlines()
    (titles,) = (" ".join(line.split()) for line in lines if "fit s" in line)
    assert titles == "CV log loss validation test CV AUC CV accuracy weight fit s"
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ") and line.strip()}
    assert rows["blended"] == ["0.4", "0.4", "0.4", "0.9", "0.8", "3.00"]
    assert rows["class"] == ["frequencies", "0.69", "0.55"]
    text = " ".join(" ".join(lines).split())
    assert "The ensemble pays: the blend's CV log loss is 0.05 below" in text
    assert "The blend on the test rows: accuracy 0.8, AUC 0.9." in text
    assert "gets the label" not in text


def test_a_threshold_and_a_lack_of_rows_are_reported(study: StudySpec) -> None:
    best = class_trial(0, 0.5, 0.45, 0.4)
    more = {"decision": {"positive": 1, "threshold": 0.123456}, "notes": ["the probabilities are not calibrated."]}
    best = dataclasses.replace(best, info={**best.info, **more})
    text = shown(dataclasses.replace(study, objective="cv_logloss_blended"), best)
    assert "A row gets the label yes from a probability of 0.1235 on." in text
    assert "The probabilities are not calibrated." in text
