"""The figures of a study and of its winner, by what is drawn in them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ensemble.evaluation import SCORES
from ensemble.recipe import MemberSpec, Recipe
from experiments.reporting.figures import study_figures, winner_figures
from experiments.study.leave_one_out import leave_one_out_rises
from experiments.study.predictions import Predictions
from experiments.study.spec import STUDY_BLEND, StudySpec
from tests.experiments.reporting.builder import (
    MEMBERS,
    class_probabilities,
    class_trial,
    failed,
    out_of_fold,
    pruned,
    trial,
)


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


def test_importance_is_that_of_the_parameter_that_changes_the_score(study: StudySpec) -> None:
    names = list(study.space.ranges)
    first = study.space.first()
    results = []
    for index in range(100):
        point = {**first, "xgboost__eta": 0.02 + index / 400, "catboost__depth": 3 + index * 7 % 6}
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


def test_figures_of_the_blend_show_weights_and_how_the_errors_correlate(study: StudySpec) -> None:
    rows = out_of_fold()
    figures = study_figures(study, [trial(0, 11.0, 12.0, 10.0)], MEMBERS, rows)
    weights = figures["blend_weights.png"].axes[0]
    assert [bar.get_width() for bar in weights.patches] == [0.25, 0.75]
    drawn = figures["error_correlation.png"].axes[0].images[0].get_array()
    expected = np.corrcoef((rows.members - rows.target[:, None]).T)
    assert np.allclose(drawn, expected)


def test_figures_of_a_blend_over_the_study_show_its_models(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    names = ("catboost_3", "xgboost_0")
    metrics = {f"cv_rmse_{name}": value for name, value in zip((*names, "blended"), (9.0, 8.0, 7.0), strict=True)}
    info = {"weights": {"catboost_3": 0.4, "xgboost_0": 0.6}, STUDY_BLEND: {}}
    rows = dataclasses.replace(out_of_fold(), names=names)
    figures = study_figures(study, [best], MEMBERS, rows, dataclasses.replace(best, metrics=metrics, info=info))
    for name, expected in (("blend_weights.png", [*names]), ("member_and_blend_rmse.png", [*names, "blended"])):
        axes = figures[name].axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == expected
        assert axes.get_title(loc="left").startswith("Blend over the study:")
    assert [bar.get_width() for bar in figures["blend_weights.png"].axes[0].patches] == [0.4, 0.6]


def test_a_single_member_has_no_figures_of_a_blend(study: StudySpec) -> None:
    assert set(study_figures(study, [trial(0, 11.0, 12.0, 10.0)], ["xgboost"], out_of_fold())) == {
        "optimisation_history.png",
        "member_and_blend_rmse.png",
    }
    whole = trial(0, 11.0, 12.0, 11.0)
    metrics = {name: value for name, value in whole.metrics.items() if "_catboost" not in name}
    single = dataclasses.replace(whole, metrics=metrics, info={"weights": {"xgboost": 1.0}})
    figure = study_figures(dataclasses.replace(study, unit="EUR"), [single], ["xgboost"], out_of_fold())
    axes = figure["member_and_blend_rmse.png"].axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["xgboost"]
    assert axes.get_xlabel() == "RMSE in cross-validation, EUR (bar: all rows, dots: folds)"


def test_axes_have_the_name_and_the_unit_of_the_target() -> None:
    figures = winner_figures(out_of_fold(), {}, target="price ($ and $)")
    axes = figures["predicted_against_actual.png"].axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "actual price ($ and $)",
        "predicted price ($ and $), out of fold",
    )
    assert figures["residuals.png"].axes[0].get_ylabel() == "actual - predicted price ($ and $)"
    assert winner_figures(out_of_fold(), {})["residuals.png"].axes[0].get_xlabel() == "predicted, out of fold"


@pytest.mark.parametrize("blend", ["mean", "weighted", "greedy", "stacking"])
def test_the_importance_of_a_member_is_the_loss_of_the_others_blended_again(blend: str) -> None:
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


def test_the_figure_of_members_left_out_needs_what_they_are_worth(study: StudySpec) -> None:
    rises = {"xgboost": 0.5, "catboost": 0.0}
    drawn = study_figures(study, [trial(0, 11.0, 12.0, 10.0)], MEMBERS, out_of_fold(), rises=rises)
    assert "leave_one_member_out.png" in drawn
    assert "leave_one_member_out.png" not in study_figures(study, [trial(0, 11.0, 12.0, 10.0)], MEMBERS, out_of_fold())


def test_of_repeated_folds_each_division_has_its_own_rises() -> None:
    one, other = out_of_fold(), out_of_fold(60)
    other = Predictions(other.target[20:], other.members[20:], other.blended[20:], None, other.names)
    recipe = Recipe(tuple(MemberSpec(name, name) for name in MEMBERS), "weighted")
    both = Predictions(
        *(np.concatenate([getattr(part, name) for part in (one, other)]) for name in ("target", "members", "blended")),
        None,
        one.names,
        divisions=2,
    )
    each = [leave_one_out_rises(recipe, part) for part in (one, other)]
    assert leave_one_out_rises(recipe, both) == {
        name: pytest.approx(np.mean([rises[name] for rises in each])) for name in MEMBERS
    }


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


def test_a_pruned_trial_is_drawn_at_its_expected_score(study: StudySpec) -> None:
    best = trial(0, 11.0, 12.0, 10.0)
    history = study_figures(study, [best, pruned(1)], MEMBERS, out_of_fold())["optimisation_history.png"].axes[0]
    drawn = {line.get_label(): list(map(list, line.get_data())) for line in history.get_lines()}
    assert drawn["pruned (expected)"] == [[1], [13.5]]


def test_names_of_features_are_drawn_as_text() -> None:
    names = {"US$ in $": 2.0, r"a$\frac$": 1.0, "\x1b[31mred": 0.5, "two\nlines": 0.2, "x" * 99: 0.1}
    figure = winner_figures(out_of_fold(), names)["feature_importance.png"]
    figure.canvas.draw()
    labels = figure.axes[0].get_yticklabels()
    shown = ["US$ in $", r"a$\frac$", r"\x1b[31mred", "two lines", "x" * 39 + "…"]
    assert [label.get_text() for label in labels] == shown
    assert not any(label.get_parse_math() for label in labels)


def test_there_is_no_figure_of_importance_that_was_left_out() -> None:
    assert set(winner_figures(out_of_fold(), {})) == {"predicted_against_actual.png", "residuals.png"}


@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c $x$"]], ids=["two", "three"])
def test_figures_of_a_winner_of_classes(classes: list[str]) -> None:
    kept = class_probabilities(90, len(classes))
    found = winner_figures(kept, {"size": 0.1}, classes, classes[1] if len(classes) == 2 else None)
    assert list(found) == [
        "confusion_matrix.png",
        "roc.png",
        "precision_recall.png",
        "reliability.png",
        "feature_importance.png",
    ]
    for figure in found.values():
        figure.canvas.draw()
    cells = [text.get_text() for text in found["confusion_matrix.png"].axes[0].texts]
    counts = [int(text.split()[0]) for text in cells]
    assert sum(counts) == 90
    assert sum(counts[:: len(classes) + 1]) == (kept.decided() == kept.target).sum()
    legend = [text.get_text() for text in found["roc.png"].axes[0].get_legend().get_texts()]
    auc = SCORES["auc"]
    areas = {"blended": auc(kept.target, kept.blended)}
    areas |= {name: auc(kept.target, kept.members[:, place]) for place, name in enumerate(kept.names)}
    assert set(legend) == {f"{name} ({area:.3f})" for name, area in areas.items()}
    assert legend[0].startswith("blended")
    shares = found["reliability.png"].axes[0].texts
    assert sum(int(text.get_text()) for text in shares) == 90
    assert "log loss" in found["feature_importance.png"].axes[0].get_xlabel()


def test_the_study_of_classes_has_figures_of_its_main_score(study: StudySpec) -> None:
    trials = [class_trial(0, 0.5, 0.45, 0.4), class_trial(1, 0.6, 0.5, 0.45)]
    study = dataclasses.replace(study, objective="cv_logloss_blended", classes=("no", "yes"), positive="yes")
    found = study_figures(study, trials, MEMBERS, class_probabilities(), rises={"xgboost": 0.5, "catboost": 0.0})
    axes = found["member_and_blend_logloss.png"].axes[0]
    assert axes.get_xlabel().startswith("log loss in cross-validation")
    assert found["error_correlation.png"].axes[0].get_title(loc="left")
    assert "log loss" in found["leave_one_member_out.png"].axes[0].get_xlabel()


def test_a_member_of_classes_is_left_out_of_a_calibrated_blend() -> None:
    kept = class_probabilities(300, 3)
    flat = kept.members**0.2  # the probabilities of members that are far too unsure
    unsure = dataclasses.replace(kept, members=flat / flat.sum(axis=2, keepdims=True))
    names = tuple(MemberSpec(name, name) for name in MEMBERS)
    plain, calibrated = (leave_one_out_rises(Recipe(names, calibrate=on), unsure) for on in (False, True))
    assert calibrated["xgboost"] > 2 * plain["xgboost"]


@pytest.mark.parametrize("blend", ["stacking", "weighted", "mean", "log_pool", "vote"])
def test_a_member_of_classes_that_errs_less_is_needed(blend: str) -> None:
    """Blended on other rows: on the same ones, stacking can bring the log loss close to 0 without any member."""
    rises = leave_one_out_rises(
        Recipe((MemberSpec("xgboost", "xgboost"), MemberSpec("catboost", "catboost")), blend=blend),
        class_probabilities(200, 3),
    )
    assert rises["xgboost"] > max(rises["catboost"], 0.0)
