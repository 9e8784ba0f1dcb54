"""Pictures of a study. Colours are Okabe and Ito's, which people of every colour vision can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ensemble.recipe import BLENDED
from experiments.study import StudySpec, TrialResult, best_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#767676"


def study_figures(study: StudySpec, results: Sequence[TrialResult], members: Sequence[str]) -> dict[str, Figure]:
    """Return the pictures of a study by file name; none if no trial has a score."""
    best = best_of(list(results), study.objective)
    if best is None:
        return {}
    return {
        "optimisation_history.png": optimisation_history(study, results),
        "member_and_blend_rmse.png": member_and_blend_rmse(best, members),
    }


def optimisation_history(study: StudySpec, results: Sequence[TrialResult]) -> Figure:
    """Draw each trial's objective, the best so far, and where trials failed."""
    complete = sorted((r for r in results if r.state == "complete"), key=lambda r: r.index)
    failed = [r.index for r in results if r.state == "failed"]
    values = [r.metrics[study.objective] for r in complete]
    best_so_far: list[float] = []
    for value in values:
        pick = max if study.maximise else min
        best_so_far.append(value if not best_so_far else pick(best_so_far[-1], value))
    figure, axes = _axes(8, 4.5, "y")
    axes.plot([r.index for r in complete], values, "o", color=GREY, markersize=5, label="trial")
    axes.step([r.index for r in complete], best_so_far, where="post", color=BLUE, linewidth=2, label="best so far")
    if failed:
        axes.plot(failed, [max(values)] * len(failed), "x", color="#D55E00", markersize=8, label="failed")
    axes.set_xlabel("trial")
    axes.set_ylabel(study.objective)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    direction = "Higher" if study.maximise else "Lower"
    axes.set_title(f"{direction} is better: does the blue line still move at the right?", loc="left", fontsize=11)
    return figure


def member_and_blend_rmse(best: TrialResult, members: Sequence[str]) -> Figure:
    """Draw the best trial's cross-validated RMSE of every member and of the blend, with each fold as a dot."""
    names = [*members, BLENDED]
    pooled = [best.metrics[f"cv_rmse_{name}"] for name in names]
    figure, axes = _axes(8, 1.6 + 0.6 * len(names), "x")
    for row, name in enumerate(names):
        prefix = f"cv_rmse_{name}_fold_"
        folds = [value for key, value in best.metrics.items() if key.startswith(prefix)]
        colour = ORANGE if name == BLENDED else BLUE
        axes.plot(folds, [row] * len(folds), "o", color=colour, alpha=0.45, markersize=7)
        axes.plot([pooled[row]], [row], "|", color=colour, markersize=26, markeredgewidth=3)
        axes.annotate(f"{pooled[row]:.4g}", (pooled[row], row), (0, 15), textcoords="offset points", ha="center")
    axes.axvline(pooled[-1], color=ORANGE, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.8)
    axes.set_xlabel("RMSE in cross-validation (bar: all rows pooled, dots: folds)")
    axes.set_title(f"Best trial ({best.index}): is the blend's bar left of every member's?", loc="left", fontsize=11)
    return figure


def _axes(width: float, height: float, grid: Literal["x", "y"]) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes
