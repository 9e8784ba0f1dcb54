"""A model card: what a model is, what it learnt from, how good it is, and what it is not for, as Markdown."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble.classes import task_of
from ensemble.evaluation import main_score
from ensemble.members import member_class
from ensemble.recipe import BLENDED
from experiments.study.coverage import coverage_of
from experiments.study.fold_intervals import score_interval
from experiments.study.predictions import Predictions
from experiments.study.row_intervals import score_on_rows
from experiments.study.spec import TrialResult

CARD = "card.md"
# Libraries that every model needs.
_ALWAYS = ("numpy", "scipy")
# Rows of the table of features.
MOST_FEATURES = 10
# Licences that their packages do not declare in a form that can be read.
_LICENCES = {"numpy": "BSD-3-Clause", "scipy": "BSD-3-Clause", "scikit-learn": "BSD-3-Clause", "xgboost": "Apache-2.0"}
_DISTRIBUTIONS = {"xgboost": ("xgboost", "xgboost-cpu")}
_NOT_FOR = (
    "rows unlike those that it learnt from: `action=drift` checks rows without labels",
    "causes and effects: it predicts, and does not say what would happen if a column were changed",
    "decisions about people without a person who answers for them: nobody has checked it for fairness",
)


@dataclass(frozen=True)
class Card:
    """What is known of a model.

    Attributes:
        name: The study that trained it, or where it is from.
        manifest: The bundle's manifest.
        digest: The bundle's hash.
        final: The winner with test scores; None if the study is not on this machine.
        importance: By feature, the rise of the main score when it is shuffled.
        out_of_fold: The winner's out-of-fold predictions; None if they are not there.
        tested: Its predictions on the test rows; None if they are not there.
        parity: A line on each comparison with another run of the same trials.
    """

    name: str
    manifest: Mapping[str, Any]
    digest: str
    final: TrialResult | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    out_of_fold: Predictions | None = None
    tested: Predictions | None = None
    parity: Sequence[str] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the classes; empty for a quantity."""
        return tuple(self.manifest.get("classes", ()))

    @property
    def main(self) -> str:
        """The main score, ``rmse`` or ``logloss``."""
        return main_score(task_of(self.classes))

    @property
    def metrics(self) -> Mapping[str, float]:
        """The scores: the winner's, or those that the bundle has."""
        return self.final.metrics if self.final is not None else self.manifest.get("metrics", {})

    @property
    def problem(self) -> str:
        """What kind of target it predicts."""
        return {"regression": "Regression", "binary": "Binary Classification"}.get(
            task_of(self.classes), "Multiclass Classification"
        )

    def scores(self) -> dict[str, dict[str, float]]:
        """Return the blend's scores by split and score, such as ``{"cv": {"rmse": 53.4}}``."""
        found: dict[str, dict[str, float]] = {}
        for key, value in self.metrics.items():
            split, _, rest = key.partition("_")
            if rest.endswith(f"_{BLENDED}") and split in ("cv", "validation", "test"):
                found.setdefault(split, {})[rest.removesuffix(f"_{BLENDED}")] = value
        return found

    def features(self) -> list[tuple[str, float]]:
        """Return the most important features, each with the rise of the main score."""
        ordered = sorted(self.importance.items(), key=lambda item: -item[1])
        return ordered[:MOST_FEATURES]

    def libraries(self) -> list[tuple[str, str, str]]:
        """Return the name, the version and the licence of each library that the model's members need."""
        versions, needed = self.manifest["versions"], set(_ALWAYS)
        for member in self.manifest["members"]:
            kind = member["kind"]
            if ":" in kind:  # a class of the user's, which may use any of them
                needed.update(name for name in versions if name != "python")
            else:
                needed.update(member_class(kind, "members").libraries)
        needed.update({"skops"} if "scikit-learn" in needed else ())
        return [(name, text, licence(name)) for name, text in sorted(versions.items()) if name in needed]

    def calibration(self) -> str:
        """Return in a sentence how well predictions mean what they say, out of fold."""
        found = self.out_of_fold
        if found is None or len(found.target) < 2:
            return "The out-of-fold predictions are not on this machine."
        if found.blended.ndim == 1:
            if not np.ptp(found.blended):
                return "The blend predicts one value for all rows."
            slope = float(np.polyfit(found.blended, found.target, 1)[0])
            bias = float(np.average(found.blended - found.target, weights=found.weights))
            return (
                f"Out of fold, predictions are {abs(bias):.4g} too {'high' if bias > 0 else 'low'} on average, and one "
                f"unit more of the prediction is {slope:.3g} units more of the target."
            )
        top = found.blended.max(axis=1)
        right = found.blended.argmax(axis=1) == found.target
        said, true = (float(np.average(values, weights=found.weights)) for values in (top, right))
        return (
            f"Out of fold, the most probable class has a probability of {said:.1%} on average, and is right in "
            f"{true:.1%} of the rows."
        )


def licence(name: str) -> str:
    """Return the licence that an installed library declares, or ``unknown``."""
    for distribution in _DISTRIBUTIONS.get(name, (name,)):
        try:
            data = importlib.metadata.metadata(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        found = (text for key in ("License-Expression", "License") for text in data.get_all(key) or ())
        declared = next(found, "")
        classified = [
            text.rpartition("::")[2].strip() for text in data.get_all("Classifier") or () if "License" in text
        ]
        short = declared.strip().splitlines()[0] if declared.strip() else ""
        return short if 0 < len(short) <= 60 else next(iter(classified), _LICENCES.get(name, "unknown"))
    return _LICENCES.get(name, "unknown")


def as_markdown(card: Card) -> str:
    """Return the card as Markdown."""
    manifest, folds = card.manifest, card.manifest["folds"]
    kinds = ", ".join(f"{member['name']} ({member['kind']})" for member in manifest["members"])
    weights = ", ".join(f"{name} {weight:.3f}" for name, weight in manifest["weights"].items())
    lines = [
        f"# Model card: {card.name}",
        "",
        f"{card.problem}. A blend of {kinds}. Bundle `{card.digest}`.",
        "",
        "## Data",
        "",
        f"- Target: {_cell(manifest['target'])}"
        + (f", classes {_cell(', '.join(card.classes))}" if card.classes else ""),
        f"- Rows that the served models learnt from: {manifest['rows']:,}; SHA-256 of them: `{manifest['data_hash']}`",
        f"- Columns ({len(manifest['columns'])}): "
        + ", ".join(f"{_cell(column['name'])} ({column['type']})" for column in manifest["columns"]),
        f"- Folds: {folds['kind']}, k={folds['k']}, repeats={folds['repeats']}; seed {manifest['seed']}",
        "",
        "## Scores of the blend",
        "",
        "| rows | score | value | 95% interval |",
        "|---|---|---|---|",
        *_score_rows(card),
        "",
        f"Weights: {weights}.",
        "",
        "## Calibration",
        "",
        card.calibration(),
    ]
    covered = None if card.final is None else coverage_of(card.final.info)
    if covered is not None:
        lines += ["", "## Intervals", ""]
        lines.append(
            f"Intervals of {covered.level:.0%} hold {covered.share:.1%} of the test rows (95% interval "
            f"{covered.low:.1%} to {covered.high:.1%}); their mean size is {covered.size:.4g}."
        )
    lines += ["", "## What it depends on", ""]
    if card.importance:
        lines += [f"Rise of the blend's {card.main} when a column is shuffled, on rows that it did not learn from:", ""]
        lines += [f"- {_cell(name)}: {rise:.4g}" for name, rise in card.features()]
    else:
        lines.append("The importance of the columns is not known.")
    lines += ["", "## The same numbers elsewhere", ""]
    lines += [f"- {line}" for line in card.parity] or ["No other run of the same trials is on this machine."]
    lines += ["", "## Versions and licences", "", "| library | version | licence |", "|---|---|---|"]
    lines += [f"| python | {manifest['versions'].get('python', 'unknown')} | PSF-2.0 |"]
    lines += [f"| {_cell(name)} | {_cell(text)} | {_cell(terms)} |" for name, text, terms in card.libraries()]
    lines += ["", "## What it is not for", "", *(f"- {line}" for line in _NOT_FOR), ""]
    return "\n".join(lines)


def not_for() -> str:
    """Return what a model is not for, as one text."""
    return "Not for " + "; not for ".join(_NOT_FOR) + "."


def _score_rows(card: Card) -> list[str]:
    rows = []
    for split, found in card.scores().items():
        for score, value in found.items():
            interval = None
            if split == "cv" and card.final is not None:
                interval = score_interval(card.final, BLENDED, score)
            elif split == "test" and card.tested is not None and score == card.main:
                interval = score_on_rows(card.tested)
            ends = "" if interval is None else f"{interval.low:.6g} to {interval.high:.6g}"
            rows.append(f"| {split} | {score} | {value:.6g} | {ends} |")
    return rows


def _cell(text: str) -> str:
    """Return a text that a user gave, as it is shown in Markdown."""
    line = " ".join(str(text).split())
    return "".join(f"\\{character}" if character in "\\`*_[]<>|#" else character for character in line)
