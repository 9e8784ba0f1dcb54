"""Matplotlib figures of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ensemble.arrays import Floats
from ensemble.classes import Task
from ensemble.evaluation import main_score
from ensemble.recipe import BLENDED
from ensemble.wire import SEPARATOR
from experiments.reporting.class_figures import class_figures
from experiments.reporting.drawing import BLUE, GREY, ORANGE, axes_of, label
from experiments.reporting.score_names import shown
from experiments.study.fold_intervals import fold_scores
from experiments.study.predictions import Predictions
from experiments.study.sampling import parameter_importance
from experiments.study.spec import STUDY_BLEND, StudySpec, TrialResult, best_of
from experiments.study.verdict import score_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BARS = 20
# With fewer trials per parameter, the order of the bars is mostly chance.
TRIALS_A_PARAMETER = 10


def study_figures(
    study: StudySpec,
    results: Sequence[TrialResult],
    members: Sequence[str],
    out_of_fold: Predictions,
    final: TrialResult | None = None,
    rises: Mapping[str, float] | None = None,
) -> dict[str, Figure]:
    """Return the figures of a study by file name; empty if no trial has a score.

    Args:
        study: The study.
        results: Its finished trials.
        members: Names of its members.
        out_of_fold: The winner's out-of-fold predictions.
        final: The winner, if it is not the best trial.
        rises: By member, the rise of the blend's main score when it is left out, if that is known.
    """
    best = best_of(list(results), study.objective)
    if best is None:
        return {}
    winner = best if final is None else final
    names = list(out_of_fold.names) if STUDY_BLEND in winner.info else members
    figures = {
        "optimisation_history.png": optimisation_history(study, results),
        f"member_and_blend_{winner.main_score}.png": member_and_blend_scores(winner, names, study.unit),
    }
    importance = parameter_importance(study.space, results, study.objective) if study.points is None else {}
    if importance:
        figures["parameter_importance.png"] = parameter_importance_figure(importance, len(results))
    if len(members) > 1:
        figures |= {
            "blend_weights.png": blend_weights(winner, names),
            "error_correlation.png": error_correlation(out_of_fold),
        }
        if rises:
            figures["leave_one_member_out.png"] = leave_one_member_out(rises, out_of_fold.task)
    return figures


def winner_figures(
    out_of_fold: Predictions,
    importance: Mapping[str, float],
    classes: Sequence[str] = (),
    positive: str | None = None,
    target: str = "",
) -> dict[str, Figure]:
    """Return the figures of the winner by file name.

    Args:
        out_of_fold: Its out-of-fold predictions.
        importance: By feature, the rise of the main score when its values are shuffled; empty if that was left out.
        classes: Labels of the classes that it predicts, if it predicts classes.
        positive: The positive one of two classes.
        target: The target's name, with its unit.
    """
    if classes:
        figures = class_figures(out_of_fold, classes, positive)
    else:
        figures = {
            "predicted_against_actual.png": predicted_against_actual(out_of_fold, target),
            "residuals.png": residuals(out_of_fold, target),
        }
    found = shown(main_score(out_of_fold.task))
    return figures | ({"feature_importance.png": feature_importance(importance, found)} if importance else {})


def optimisation_history(study: StudySpec, results: Sequence[TrialResult]) -> Figure:
    """Draw each trial's objective, the best so far, and the pruned and failed trials."""
    complete = sorted((r for r in results if r.state == "complete"), key=lambda r: r.index)
    failed = [r.index for r in results if r.state == "failed"]
    pruned_values = [(r.index, r.value(study.objective)) for r in results if r.state == "pruned"]
    pruned = [(index, expected) for index, expected in pruned_values if expected is not None]
    values = [r.metrics[study.objective] for r in complete]
    best_so_far: list[float] = []
    for value in values:
        pick = max if study.maximise else min
        best_so_far.append(value if not best_so_far else pick(best_so_far[-1], value))
    figure, axes = axes_of(8, 4.5, "y")
    axes.plot([r.index for r in complete], values, "o", color=GREY, markersize=5, label="trial")
    axes.step([r.index for r in complete], best_so_far, where="post", color=BLUE, linewidth=2, label="best so far")
    if pruned:
        axes.plot(
            *zip(*pruned, strict=True), "o", color=GREY, markersize=5, fillstyle="none", label="pruned (expected)"
        )
    if failed:
        axes.plot(failed, [max(values)] * len(failed), "x", color="#D55E00", markersize=8, label="failed")
    axes.set_xlabel("trial")
    axes.set_ylabel(study.objective)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    direction = "Higher" if study.maximise else "Lower"
    axes.set_title(f"{direction} is better: does the blue line still move at the right?", loc="left", fontsize=11)
    return figure


def _title(winner: TrialResult) -> str:
    return "Blend over the study" if STUDY_BLEND in winner.info else f"Best trial ({winner.index})"


def member_and_blend_scores(winner: TrialResult, members: Sequence[str], unit: str | None = None) -> Figure:
    """Draw the winner's main score of every member and of the blend in cross-validation, with each fold as a dot."""
    names = score_rows(winner.metrics, members)
    main = winner.main_score
    pooled = [winner.metrics[f"cv_{main}_{name}"] for name in names]
    figure, axes = axes_of(8, 1.6 + 0.6 * len(names), "x")
    for row, name in enumerate(names):
        folds = list(fold_scores(winner, name).values())
        colour = ORANGE if name == BLENDED else BLUE
        axes.plot(folds, [row] * len(folds), "o", color=colour, alpha=0.45, markersize=7)
        axes.plot([pooled[row]], [row], "|", color=colour, markersize=26, markeredgewidth=3)
        axes.annotate(f"{pooled[row]:.5g}", (pooled[row], row), (0, 15), textcoords="offset points", ha="center")
    if len(names) > 1:
        axes.axvline(pooled[-1], color=ORANGE, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.8)
    of_unit = f", {label(unit)}" if unit and main == "rmse" else ""
    axes.set_xlabel(f"{shown(main)} in cross-validation{of_unit} (bar: all rows, dots: folds)", parse_math=False)
    question = "is the blend's bar left of every member's?" if len(names) > 1 else "how far apart are the folds?"
    axes.set_title(f"{_title(winner)}: {question}", loc="left", fontsize=11)
    return figure


def blend_weights(winner: TrialResult, members: Sequence[str]) -> Figure:
    """Draw each member's weight in the winner's blend."""
    weights = [winner.info["weights"][name] for name in members]
    figure, axes = axes_of(8, 1.4 + 0.4 * len(members), "x")
    bars = axes.barh(range(len(members)), weights, color=[BLUE if weight >= 0 else ORANGE for weight in weights])
    axes.bar_label(bars, [f"{round(weight, 3) + 0.0:.3f}" for weight in weights], padding=4)
    axes.set_yticks(range(len(members)), members)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("weight in the blend")
    axes.set_title(f"{_title(winner)}: how much weight has each member?", loc="left", fontsize=11)
    return figure


def error_correlation(out_of_fold: Predictions) -> Figure:
    """Draw the correlation of the members' out-of-fold errors."""
    correlation: Floats = np.atleast_2d(np.corrcoef(out_of_fold.errors().T))
    names = out_of_fold.names
    side = 2.6 + 0.5 * len(names)
    figure, axes = axes_of(side + 1, side, None)
    image = axes.imshow(correlation, cmap="cividis", vmin=float(correlation.min()), vmax=1.0)
    middle = float(np.mean(image.get_clim()))
    for row, column in np.ndindex(*correlation.shape):
        value = correlation[row, column]
        colour = "black" if value > middle else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    figure.colorbar(image, ax=axes, label="correlation of errors", shrink=0.8)
    axes.set_title("The darker a pair, the less its errors correlate", loc="left", fontsize=11)
    return figure


def leave_one_member_out(rises: Mapping[str, float], task: Task) -> Figure:
    """Draw the rise of the blend's main score when a member is left out and the others are blended again."""
    names = sorted(rises, key=lambda name: -rises[name])
    figure, axes = axes_of(8, 1.4 + 0.4 * len(names), "x")
    colours = [BLUE if rises[name] > 0 else ORANGE for name in names]
    bars = axes.barh(range(len(names)), [rises[name] for name in names], color=colours)
    axes.bar_label(bars, [f"{rises[name]:+.3g}" if rises[name] else "0" for name in names], padding=4)
    axes.set_yticks(range(len(names)), [f"without {name}" for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    which = "the same" if task == "regression" else "other"
    axes.set_xlabel(f"change of the blend's {shown(main_score(task))}, blended on {which} rows")
    axes.set_title("Is each member needed? Right of zero: the blend is worse without it", loc="left", fontsize=11)
    return figure


def parameter_importance_figure(importance: Mapping[str, float], trials: int) -> Figure:
    """Draw the importance of the searched parameters, the most important first."""
    names = sorted(importance, key=lambda name: -importance[name])[:MOST_BARS]
    figure, axes = axes_of(8, 1.4 + 0.3 * len(names), "x")
    axes.barh(range(len(names)), [importance[name] for name in names], color=BLUE)
    axes.set_yticks(range(len(names)), [name.replace(SEPARATOR, ".") for name in names])
    axes.invert_yaxis()
    hint = (
        "" if trials >= TRIALS_A_PARAMETER * len(importance) else "\n(few trials for this many parameters: only a hint)"
    )
    axes.set_xlabel(f"importance by PED-ANOVA, sum 1, over {trials} trials{hint}")
    axes.set_title("Which parameters make a trial good?", loc="left", fontsize=11)
    return figure


def predicted_against_actual(out_of_fold: Predictions, target: str = "") -> Figure:
    """Draw the blend's out-of-fold prediction of each row against the actual value."""
    figure, axes = axes_of(6, 6, "both")
    low = float(min(out_of_fold.target.min(), out_of_fold.blended.min()))
    high = float(max(out_of_fold.target.max(), out_of_fold.blended.max()))
    axes.plot([low, high], [low, high], color=GREY, linewidth=1)
    axes.plot(out_of_fold.target, out_of_fold.blended, ".", color=BLUE, alpha=_alpha(out_of_fold), markersize=5)
    axes.set_xlabel(f"actual {label(target)}".strip(), parse_math=False)
    axes.set_ylabel(f"predicted {label(target)}".strip() + ", out of fold", parse_math=False)
    axes.set_aspect("equal", adjustable="box")
    axes.set_title("Do the points follow the line at both ends?", loc="left", fontsize=11)
    return figure


def residuals(out_of_fold: Predictions, target: str = "") -> Figure:
    """Draw the blend's out-of-fold errors against its predictions."""
    figure, axes = axes_of(8, 4.5, "y")
    errors = out_of_fold.target - out_of_fold.blended
    axes.plot(out_of_fold.blended, errors, ".", color=BLUE, alpha=_alpha(out_of_fold), markersize=5)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_xlabel(f"predicted {label(target)}".strip() + ", out of fold", parse_math=False)
    axes.set_ylabel(f"actual - predicted {label(target)}".strip(), parse_math=False)
    axes.set_title("A slope or a funnel shows what the blend has not learnt", loc="left", fontsize=11)
    return figure


def feature_importance(importance: Mapping[str, float], score: str) -> Figure:
    """Draw the rise of the blend's main score on new rows when a feature is shuffled, the most important first.

    Args:
        importance: The rise, by feature.
        score: The score's name in sentences.
    """
    names = sorted(importance, key=lambda name: -importance[name])[:MOST_BARS]
    figure, axes = axes_of(8, 1.4 + 0.3 * len(names), "x")
    axes.barh(range(len(names)), [importance[name] for name in names], color=BLUE)
    # Two dollar signs in a column's name are not a formula.
    axes.set_yticks(range(len(names)), [label(name) for name in names], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"rise of the blend's {score} when the feature is shuffled (rows that it did not learn from)")
    axes.set_title("Which features does the blend depend on?", loc="left", fontsize=11)
    return figure


def _alpha(out_of_fold: Predictions) -> float:
    return float(np.clip(300 / len(out_of_fold.target), 0.08, 0.7))
