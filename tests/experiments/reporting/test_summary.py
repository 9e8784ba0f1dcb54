"""What is shown while a study runs and when it has ended."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ensemble.recipe import MemberSpec, Recipe
from experiments.config.compose import compose
from experiments.planning.study import plan_study
from experiments.reporting.figures import leave_one_out_rises, study_figures, winner_figures
from experiments.reporting.progress import StudyProgress
from experiments.reporting.summary import NARROWEST, Outcome, as_text, show
from experiments.study.folder import log_path, trial_folder
from experiments.study.predictions import Predictions
from experiments.study.spec import StudySpec, TrialResult
from experiments.study.verdict import best_single_member, study_metrics

MEMBERS = ["xgboost", "catboost"]


@pytest.fixture
def study(folder: Path) -> StudySpec:
    return plan_study(compose(["study=shown", "search.n_trials=3"])).study


def trial(index: int, xgboost: float, catboost: float, blended: float, spread: float = 1.0) -> TrialResult:
    metrics = {}
    for name, rmse in (("xgboost", xgboost), ("catboost", catboost), ("blended", blended)):
        metrics |= {f"{split}_rmse_{name}": rmse for split in ("cv", "validation", "test")}
        metrics |= {f"cv_rmse_{name}_fold_{fold}": rmse + spread * (fold - 2) for fold in range(5)}
    info = {"weights": {"xgboost": 0.25, "catboost": 0.75}, "fit_seconds": {"xgboost": 1.0, "catboost": 2.0}}
    return TrialResult(index, "complete", {"xgboost__max_depth": 3}, 0.0, 1.0, metrics, info)


def failed(index: int) -> TrialResult:
    return TrialResult(index, "failed", {}, 0.0, 1.0, failure="no luck")


def pruned(index: int) -> TrialResult:
    return TrialResult(index, "pruned", {}, 0.0, 1.0, info={"pruned": {"folds": 2, "expected": 13.5}})


def shown(study: StudySpec, best: TrialResult, **changes: object) -> str:
    outcome = Outcome(study, [best, failed(1)], best, best, MEMBERS, [("mlflow ui", "look")])
    return as_text(dataclasses.replace(outcome, **changes))  # type: ignore[arg-type]


def test_table_has_a_row_a_member_and_one_for_the_blend(study: StudySpec) -> None:
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


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        (
            trial(0, 11.0, 12.0, 10.0),
            "The ensemble pays: on average over the folds, the blend's RMSE is 1 below that of the best",
        ),
        (
            trial(0, 11.0, 12.0, 11.5),
            "The ensemble costs: on average over the folds, the blend's RMSE is 0.5 above that of the best",
        ),
        (trial(0, 11.0, 12.0, 11.5), "95% interval 0.5 above to 0.5 above."),
        (trial(0, 21234.5, 31234.5, 20000.0), "the blend's RMSE is 1230 below that of the best"),
    ],
)
def test_verdict_names_the_best_member_and_the_lift(study: StudySpec, best: TrialResult, verdict: str) -> None:
    text = " ".join(shown(study, best).split())
    assert verdict in text
    assert f"(xgboost in trial 0, {best.metrics['cv_rmse_xgboost']:.6g})" in text


def test_verdict_compares_with_the_best_member_of_any_trial(study: StudySpec) -> None:
    results = [trial(0, 11.0, 12.0, 10.0), trial(1, 9.5, 20.0, 14.0)]
    text = " ".join(shown(study, results[0], results=results).split())
    assert "The ensemble costs: on average over the folds, the blend's RMSE is 0.5 above" in text
    assert "(xgboost in trial 1, 9.5)" in text
    assert study_metrics(results[0], results, MEMBERS)["lift_mean"] == pytest.approx(-0.5)
    assert best_single_member(results, MEMBERS).rmse == 9.5


@pytest.mark.parametrize("width", [20, 40, 80])
def test_numbers_are_whole_in_a_narrow_terminal(study: StudySpec, width: int) -> None:
    file = io.StringIO()
    best = trial(0, 11.2345, 12.3456, 10.4567)
    show(Outcome(study, [best], best, best, MEMBERS, [("mlflow ui", "look")]), Console(file=file, width=width))
    assert "11.2345" in file.getvalue()
    assert max(map(len, file.getvalue().splitlines())) <= NARROWEST


def test_verdict_is_undecided_where_the_interval_includes_zero(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.9)
    metrics = {**best.metrics, "cv_rmse_blended_fold_0": 20.0, "cv_rmse_blended_fold_1": 1.0}
    text = " ".join(shown(study, dataclasses.replace(best, metrics=metrics)).split())
    assert "Undecided" in text
    assert re.search(r"95% interval [\d.]+ below to [\d.]+ above, which includes zero\.", text)
    assert "includes zero" in text


def test_lone_member_has_no_lift(study: StudySpec) -> None:
    only = trial(0, 1.0, 1.0, 1.0)
    assert "lift_mean" not in study_metrics(only, [only], ["xgboost"])


def test_problem_of_the_store_is_told_with_what_to_do(study: StudySpec) -> None:
    text = " ".join(shown(study, trial(0, 11.0, 12.0, 10.0), problem="OperationalError: disk").split())
    assert "MLflow could not record everything (OperationalError: disk)" in text
    assert "run the same command again" in text


def test_commands_stay_on_one_line_however_long(study: StudySpec) -> None:
    command = "python run.py " + " ".join(f"key.number{n}=value" for n in range(20))
    assert f"  {command}   # look\n" in shown(study, trial(0, 11.0, 12.0, 10.0), next_commands=[(command, "look")])


def run_progress(study: StudySpec, console: Console, resumed: int = 0) -> None:
    with StudyProgress(study, MEMBERS, console, resumed) as progress:
        for result in (trial(0, 11.0, 12.0, 10.0), failed(1), trial(2, 9.0, 12.0, 9.5)):
            progress.show(result)


def test_without_a_terminal_every_trial_is_a_plain_line(study: StudySpec) -> None:
    file = io.StringIO()
    run_progress(study, Console(file=file, width=60))
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("trial 0: cv_rmse_blended=10  (1/3, best blend 10, best member 11 xgboost, ")
    assert lines[1] == "trial 1 failed: no luck"
    assert lines[2].startswith(
        "trial 2: cv_rmse_blended=9.5  (3/3, 1 failed, best blend 9.5, best member 9 xgboost, 0 s"
    )


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
    assert [line.split(":")[0] for line in file.getvalue().splitlines()] == ["trial 2"]


def test_on_a_terminal_there_is_a_bar_with_done_failed_best_and_time(study: StudySpec) -> None:
    file = io.StringIO()
    run_progress(study, Console(file=file, width=160, force_terminal=True, legacy_windows=False))
    text = file.getvalue()
    for words in ("3/3", "1 failed", "best blend 9.5", "best member 9 xgboost", "left"):
        assert words in text


def test_trial_that_was_given_up_is_shown_with_what_it_promised(study: StudySpec) -> None:
    file = io.StringIO()
    with StudyProgress(study, MEMBERS, Console(file=file, width=60), 0) as progress:
        progress.show(trial(0, 11.0, 12.0, 10.0))
        progress.show(pruned(1))
    assert "trial 1: pruned after 2 folds, expected 13.5  (2/3, 1 pruned, best blend 10" in file.getvalue()
    best = trial(0, 11.0, 12.0, 10.0)
    assert "2 trials, 1 pruned" in shown(study, best, results=[best, pruned(1)])
    history = study_figures(study, [best, pruned(1)], MEMBERS, out_of_fold())["optimisation_history.png"].axes[0]
    drawn = {line.get_label(): list(map(list, line.get_data())) for line in history.get_lines()}
    assert drawn["pruned (expected)"] == [[1], [13.5]]


def test_study_that_its_time_limit_has_ended_says_so(study: StudySpec) -> None:
    limited = dataclasses.replace(study, timeout=90.0)
    text = shown(limited, trial(0, 11.0, 12.0, 10.0))
    assert "2 trials of 3" in text
    assert "stopped by search.timeout=90; run the same command again to continue" in text
    assert "search.timeout" not in shown(study, trial(0, 11.0, 12.0, 10.0))


def out_of_fold(rows: int = 40) -> Predictions:
    random = np.random.RandomState(0)
    target = random.normal(size=rows)
    members = target[:, None] + random.normal(size=(rows, 2)) * [0.2, 0.4]
    return Predictions(target, members, members.mean(axis=1), None, tuple(MEMBERS))


def test_figures_show_every_trial_and_every_member(study: StudySpec) -> None:
    results = [trial(0, 11.0, 12.0, 10.0), failed(1), trial(2, 9.0, 12.0, 9.5)]
    figures = study_figures(study, results, MEMBERS, out_of_fold())
    history = figures["optimisation_history.png"].axes[0]
    drawn = {line.get_label(): list(map(list, line.get_data())) for line in history.get_lines()}
    assert drawn["trial"] == [[0, 2], [10.0, 9.5]]
    assert drawn["best so far"][1] == [10.0, 9.5]
    assert drawn["failed"][0] == [1]
    rmse = figures["member_and_blend_rmse.png"].axes[0]
    assert [label.get_text() for label in rmse.get_yticklabels()] == ["xgboost", "catboost", "blended"]
    assert "Best trial (2)" in rmse.get_title(loc="left")


def test_importance_is_of_the_parameter_that_moves_the_score(study: StudySpec) -> None:
    names = list(study.space.dimensions)
    first = study.space.first()
    results = []
    for index in range(80):
        point = {**first, "xgboost__eta": 0.02 + index / 300, "catboost__depth": 3 + index * 7 % 6}
        base = trial(index, 11.0, 12.0, 10.0 + 100 * float(point["xgboost__eta"]))
        results.append(dataclasses.replace(base, params={name: point[name] for name in names}))
    axes = study_figures(study, results, MEMBERS, out_of_fold())["parameter_importance.png"].axes[0]
    assert axes.get_yticklabels()[0].get_text() == "xgboost.eta"
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1)
    assert "a hint" not in axes.get_xlabel()
    few = study_figures(study, results[:9], MEMBERS, out_of_fold())["parameter_importance.png"].axes[0]
    assert "a hint" in few.get_xlabel()
    assert "parameter_importance.png" not in study_figures(study, results[:4], MEMBERS, out_of_fold())


def test_no_figure_without_a_score(study: StudySpec) -> None:
    assert study_figures(study, [failed(0)], MEMBERS, out_of_fold()) == {}


def test_figures_of_the_blend_show_weights_and_how_alike_members_err(study: StudySpec) -> None:
    rows = out_of_fold()
    figures = study_figures(study, [trial(0, 11.0, 12.0, 10.0)], MEMBERS, rows)
    weights = figures["blend_weights.png"].axes[0]
    assert [bar.get_width() for bar in weights.patches] == [0.25, 0.75]
    drawn = figures["error_correlation.png"].axes[0].images[0].get_array()
    expected = np.corrcoef((rows.members - rows.target[:, None]).T)
    assert np.allclose(drawn, expected)


def test_lone_member_has_no_figures_of_a_blend(study: StudySpec) -> None:
    assert set(study_figures(study, [trial(0, 11.0, 12.0, 10.0)], ["xgboost"], out_of_fold())) == {
        "optimisation_history.png",
        "member_and_blend_rmse.png",
    }


@pytest.mark.parametrize("blend", ["mean", "weighted", "greedy", "stacking"])
def test_member_that_is_left_out_costs_what_the_others_blended_anew_lose(blend: str) -> None:
    rows = out_of_fold()
    rises = leave_one_out_rises(Recipe(tuple(MemberSpec(name, name) for name in MEMBERS), blend), rows)
    alone = np.sqrt(np.mean((rows.members[:, 1] - rows.target) ** 2))
    both = np.sqrt(np.mean((rows.members.mean(axis=1) - rows.target) ** 2))
    if blend == "mean":
        assert rises["xgboost"] == pytest.approx(alone - both)
    assert rises["xgboost"] > rises["catboost"]


def test_rows_without_weight_do_not_count_when_a_member_is_left_out() -> None:
    rows = out_of_fold()
    half = np.arange(40) % 2 == 0
    recipe = Recipe(tuple(MemberSpec(name, name) for name in MEMBERS), "weighted")
    counted = Predictions(rows.target[half], rows.members[half], rows.blended[half], None, rows.names)
    weighed = dataclasses.replace(rows, weights=half.astype(float))
    assert leave_one_out_rises(recipe, weighed) == pytest.approx(leave_one_out_rises(recipe, counted))


def test_blend_whose_features_are_not_kept_has_no_picture_of_who_is_missed(study: StudySpec) -> None:
    assert "leave_one_member_out.png" in study_figures(study, [trial(0, 11.0, 12.0, 10.0)], MEMBERS, out_of_fold())
    passed = dataclasses.replace(study, static={**study.static, "blend": "stacking_passthrough"})
    figures = study_figures(passed, [trial(0, 11.0, 12.0, 10.0)], MEMBERS, out_of_fold())
    assert "leave_one_member_out.png" not in figures


def test_fixed_weights_keep_their_proportions_when_a_member_is_left_out() -> None:
    rows = out_of_fold()
    members = tuple(MemberSpec(name, name) for name in MEMBERS)
    rises = leave_one_out_rises(Recipe(members, "fixed", {"xgboost": 1.0, "catboost": 0.0}), rows)
    assert np.isnan(rises["xgboost"])
    assert rises["catboost"] == 0.0


def test_figures_of_the_winner_show_its_rows_and_features() -> None:
    rows = out_of_fold()
    figures = winner_figures(rows, {"age": 0.5, "size": 2.0})
    points = figures["predicted_against_actual.png"].axes[0].get_lines()[1]
    assert np.array_equal(points.get_xdata(), rows.target)
    assert np.array_equal(points.get_ydata(), rows.blended)
    errors = figures["residuals.png"].axes[0].get_lines()[0]
    assert np.array_equal(errors.get_ydata(), rows.target - rows.blended)
    names = figures["feature_importance.png"].axes[0].get_yticklabels()
    assert [label.get_text() for label in names] == ["size", "age"]
