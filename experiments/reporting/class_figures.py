"""Matplotlib figures of a winner that predicts classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.recipe import BLENDED
from experiments.reporting.drawing import BLUE, GREY, ORANGE, axes_of, label
from experiments.study.class_curves import Curve, confusion, precision_recall_curve, reliability, roc_curve
from experiments.study.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# With more classes, numbers do not fit into the cells of a confusion matrix, and labels not beside it.
MOST_NUMBERS, MOST_LABELS = 12, 40
# With more members, those that are worst are drawn without a name.
MOST_NAMED = 8


def class_figures(out_of_fold: Predictions, classes: Sequence[str], positive: str | None) -> dict[str, Figure]:
    """Return the figures of a winner by file name.

    Args:
        out_of_fold: Its out-of-fold predictions.
        classes: Labels of the classes.
        positive: The positive one of two.
    """
    place = None if positive is None else list(classes).index(positive)
    places = range(len(classes)) if place is None else [place]
    of_what = "mean over the classes, each against the rest" if place is None else f"of class {label(str(positive))}"
    return {
        "confusion_matrix.png": confusion_matrix(out_of_fold, classes),
        "roc.png": curves_of_members(
            out_of_fold,
            partial(roc_curve, places=places),
            ("share of false positives", f"share of true positives, {of_what}"),
            "Is the blend's curve above every member's?",
            "AUC",
            chance=True,
        ),
        "precision_recall.png": curves_of_members(
            out_of_fold,
            partial(precision_recall_curve, places=places),
            ("recall", f"precision, {of_what}"),
            "How many false alarms does each further hit cost?",
            "average precision",
        ),
        "reliability.png": reliability_diagram(out_of_fold, place, of_what),
    }


def confusion_matrix(out_of_fold: Predictions, classes: Sequence[str]) -> Figure:
    """Draw how often each class was predicted for the rows of each class."""
    found = confusion(out_of_fold, len(classes))
    counts, shares = found.rows, found.shares
    side = 3.2 + 0.5 * min(len(classes), MOST_LABELS) / (1 if len(classes) <= MOST_NUMBERS else 2)
    figure, axes = axes_of(side + 1.4, side, None)
    image = axes.imshow(shares, cmap="cividis", vmin=0.0, vmax=1.0)
    if len(classes) <= MOST_NUMBERS:
        for row, column in np.ndindex(*counts.shape):
            colour = "black" if shares[row, column] > 0.5 else "white"
            text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    if len(classes) <= MOST_LABELS:
        names = [label(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=40, ha="right", parse_math=False)
        axes.set_yticks(range(len(classes)), names, parse_math=False)
    axes.set_xlabel("predicted out of fold")
    axes.set_ylabel("actual")
    figure.colorbar(image, ax=axes, label="share of the actual class", shrink=0.8)
    axes.set_title("Which classes does the blend confuse?", loc="left", fontsize=11)
    return figure


def curves_of_members(
    out_of_fold: Predictions,
    curve_of: Callable[[Floats, Floats, Floats | None], Curve],
    titles: tuple[str, str],
    question: str,
    area: str,
    *,
    chance: bool = False,
) -> Figure:
    """Draw a curve of each member and of the blend, the better members named first.

    Args:
        out_of_fold: The predictions.
        curve_of: Returns the curve of target, probabilities and weights.
        titles: Those of the axes.
        question: The heading.
        area: What the area below a curve is called.
        chance: Whether a model that knows nothing is on the diagonal.
    """
    figure, axes = axes_of(8, 5.5, "both")
    target, weights = out_of_fold.target, out_of_fold.weights
    if chance:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    parts = out_of_fold.by_division()

    def mean_area(place: int | None) -> float:
        found = [part.blended if place is None else part.members[:, place] for part in parts]
        pairs = zip(parts, found, strict=True)
        return float(np.mean([curve_of(part.target, predicted, part.weights).area for part, predicted in pairs]))

    members = [
        (name, curve_of(target, out_of_fold.members[:, place], weights), mean_area(place))
        for place, name in enumerate(out_of_fold.names)
    ]
    for rank, (name, curve, found) in enumerate(sorted(members, key=lambda member: -member[2])):
        named = f"{name} ({found:.3f})" if rank < MOST_NAMED else None
        style: dict[str, Any] = {"linestyle": _DASHES[rank % len(_DASHES)], "alpha": 0.75 if rank < MOST_NAMED else 0.3}
        axes.plot(curve.x, curve.y, color=BLUE, linewidth=1.1, label=named, **style)
    whole = curve_of(target, out_of_fold.blended, weights)
    axes.plot(whole.x, whole.y, color=ORANGE, linewidth=2.4, label=f"{BLENDED} ({mean_area(None):.3f})")
    axes.set_xlabel(titles[0])
    axes.set_ylabel(titles[1])
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], frameon=False, title=area, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_title(question, loc="left", fontsize=11)
    return figure


_DASHES = ("-", "--", "-.", ":")


def reliability_diagram(out_of_fold: Predictions, positive: int | None, of_what: str) -> Figure:
    """Draw how often the blend's probabilities came true, and how many rows have each of them.

    Args:
        out_of_fold: The predictions.
        positive: The class whose probabilities are drawn; None for those of each row's most probable class.
        of_what: What they are the probabilities of.
    """
    found = reliability(out_of_fold, positive)
    what = "of the most probable class" if positive is None else of_what
    spread = np.maximum([found.observed - found.low, found.high - found.observed], 0.0)
    figure, axes = axes_of(6.5, 6, "both")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    axes.errorbar(found.predicted, found.observed, yerr=spread, fmt="o-", color=BLUE, linewidth=1.2, capsize=3)
    for x, y, rows in zip(found.predicted, found.observed, found.rows, strict=True):
        axes.annotate(str(rows), (x, y), (9, -4), textcoords="offset points", fontsize=8, color=GREY)
    axes.set_xlim(-0.02, 1.05)
    axes.set_ylim(-0.02, 1.05)
    axes.set_xlabel(f"probability {what}, predicted out of fold (grey: number of rows)")
    axes.set_ylabel("share of the rows in which it came true, with 95% interval")
    axes.set_title("Do probabilities mean what they say? On the line they do", loc="left", fontsize=11)
    return figure
