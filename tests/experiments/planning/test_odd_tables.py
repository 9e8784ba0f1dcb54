"""Tables on which a model can hardly be good: every member of the wide ensemble trains on them, and the blend is sensible."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ensemble.training import fit_ensemble
from experiments.config.compose import compose
from experiments.planning.study import StudyPlan, plan_study
from experiments.study.sampling import make_proposer

Columns = dict[str, list[object]]
# The real members, quick to fit.
SMALL = [
    *("ensemble.params.xgboost.num_round=20", "ensemble.params.catboost.iterations=20"),
    *("ensemble.params.network.updates=50", "ensemble.params.extra_trees.n_estimators=5"),
    *("ensemble.params.hist_gradient_boosting.max_iter=20", "search.baseline=false"),
]


def table(rows: int, columns: int = 3) -> Columns:
    features = np.random.RandomState(0).normal(size=(rows, columns))
    noise = np.random.RandomState(1).normal(size=rows)
    return {f"x{place}": list(features[:, place]) for place in range(columns)} | {
        "price": list(2 * features[:, 0] + features[:, 1] + 0.3 * noise)
    }


def constant_columns() -> Columns:
    return {"one": [1] * 80, "word": ["a"] * 80, "empty": [""] * 80} | table(80)


def heavy_tail() -> Columns:
    found = table(120)
    return found | {"price": [10.0 ** (5 + 2 * float(str(value))) for value in found["x0"]]}


def many_categories() -> Columns:
    return {"town": [f"town-{row % 200}" for row in range(400)]} | table(400)


def repeated() -> Columns:
    return {name: values * 3 for name, values in table(40).items()}


def identifier() -> Columns:
    found = table(90)
    order = np.argsort(np.argsort(np.array(found["price"], dtype=float)))
    return {"id": [13 + 7 * int(place) for place in order]} | found


def in_classes(columns: Columns, shares: Sequence[float], names: Sequence[str]) -> Columns:
    """Return a table whose price is the class of its rank, with these shares of the rows."""
    price = np.array(columns["price"], dtype=float)
    ranks = np.argsort(np.argsort(price)) / len(price)
    return columns | {"price": [names[place] for place in np.searchsorted(np.cumsum(shares[:-1]), ranks, side="right")]}


CLASSES: dict[str, Callable[[], Columns]] = {
    "thirty rows": lambda: in_classes(table(30), [0.5, 0.5], ["no", "yes"]),
    "more columns than rows": lambda: in_classes(table(40, columns=60), [0.5, 0.5], ["no", "yes"]),
    "a rare class": lambda: in_classes(table(120), [0.6, 0.375, 0.025], ["low", "middle", "high"]),
    "twenty classes": lambda: in_classes(table(400), [0.05] * 20, [f"klass {place}" for place in range(20)]),
    "two hundred categories": lambda: in_classes(many_categories(), [0.3, 0.3, 0.4], ["ä", "ö,", '"ü"']),
    "repeated rows": lambda: in_classes(repeated(), [0.8, 0.2], ["0", "1"]),
    "a leaking identifier": lambda: in_classes(identifier(), [0.5, 0.5], ["01", "02"]),
}

TABLES: dict[str, Callable[[], Columns]] = {
    "thirty rows": lambda: table(30),
    "more columns than rows": lambda: table(40, columns=60),
    "constant columns": constant_columns,
    "ten orders of magnitude": heavy_tail,
    "two hundred categories": many_categories,
    "repeated rows": repeated,
    "a leaking identifier": identifier,
}


# Seconds each, worth it since these are what users try first; one of them in every run.
KINDS = [pytest.param(kind, marks=() if kind == "thirty rows" else pytest.mark.slow) for kind in TABLES]


def fitted(columns: Columns, folder: Path) -> tuple[StudyPlan, Mapping[str, float]]:
    """Return the plan of a study with the wide ensemble, and the metrics of its first trial."""
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    arguments = ["mode=local", "dataset=file", "dataset.path=table.csv", "dataset.target=price", "ensemble=wide"]
    plan = plan_study(compose([*arguments, *SMALL]))
    recipe = plan.study.recipe(make_proposer(plan.study).ask(0, None))
    return plan, fit_ensemble(recipe, plan.splits.train, None, threads=2).metrics


@pytest.mark.filterwarnings("ignore:Using the fractional value max_samples")  # of few rows
@pytest.mark.parametrize("kind", KINDS)
def test_the_wide_ensemble_is_no_worse_than_the_mean(kind: str, folder: Path) -> None:
    plan, metrics = fitted(TABLES[kind](), folder)
    spread = float(np.std(plan.splits.train.target))
    assert metrics["cv_rmse_blended"] < 1.1 * spread
    if kind != "ten orders of magnitude":  # whose largest value no other row foretells
        assert metrics["cv_rmse_blended"] < 0.9 * spread


@pytest.mark.filterwarnings("ignore:Using the fractional value max_samples")  # of few rows
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "thirty rows" else pytest.mark.slow) for kind in CLASSES]
)
def test_the_wide_ensemble_is_no_worse_than_the_class_frequencies(kind: str, folder: Path) -> None:
    plan, metrics = fitted(CLASSES[kind](), folder)
    shares = np.bincount(plan.splits.train.target.astype(int)) / plan.splits.train.rows
    entropy = -float(np.sum(shares * np.log(shares)))
    assert metrics["cv_logloss_blended"] < entropy
    assert metrics["cv_accuracy_blended"] >= shares.max()
