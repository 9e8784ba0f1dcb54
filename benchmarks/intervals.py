"""Measure how many targets the 90% intervals and sets hold, on 20 tables of which a quarter of the rows is unseen.

Run ``python benchmarks/intervals.py concrete.csv:strength_mpa german.csv:label
pima.csv:label``; the other 17 tables are scikit-learn's. As in a study with ``ensemble.final_rows=all``, the
served models are fitted on all rows but the unseen ones, and the intervals come from the models of the folds.

A table passes if 90% is in the binomial interval (95%, Clopper and Pearson) of the share that is held. That interval
knows of the unseen rows' randomness only, and not of that of the rows from which the intervals come, so that a method
without any fault passes on some 91% of such tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as TextTable

from ensemble.arrays import Floats
from ensemble.reading import Roles, read_file
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Table, numbers
from ensemble.training import fit_again, fit_ensemble, with_intervals
from experiments.study.coverage import Coverage, measured_coverage

ROWS, UNSEEN = 2_000, 0.25


def recipe(classes: bool, seed: int) -> Recipe:
    """Return a small ensemble."""
    members = (
        MemberSpec("linear", "linear", {}) if classes else MemberSpec("ridge", "ridge", {}),
        MemberSpec("xgboost", "xgboost", {"num_round": 100, "eta": 0.1, "max_depth": 4}),
        MemberSpec("extra_trees", "extra_trees", {"n_estimators": 100, "min_samples_leaf": 2}),
    )
    objective = "cv_logloss_blended" if classes else "cv_rmse_blended"
    return Recipe(members, blend="weighted", folds=FoldSpec(k=5), seed=seed, objective=objective)


def generated(seed: int) -> Iterator[tuple[str, Table]]:
    """Yield scikit-learn's tables, by name."""
    from sklearn import datasets

    random = np.random.RandomState(seed)
    noise = random.normal(size=ROWS)

    def uneven(features: Floats, target: Floats) -> tuple[Floats, Floats]:
        return features, target + np.std(target) * noise * (0.05 + np.abs(features[:, 0]) / np.ptp(features[:, 0]))

    more: dict[str, Any] = {"n_samples": ROWS, "random_state": seed}
    classes: dict[str, Any] = {**more, "n_informative": 5, "n_redundant": 2}
    diabetes = datasets.load_diabetes(return_X_y=True)
    quantities: dict[str, Callable[[], Any]] = {
        "diabetes": lambda: diabetes,
        "friedman1": lambda: datasets.make_friedman1(noise=1.0, **more),
        "friedman2": lambda: datasets.make_friedman2(noise=125.0, **more),
        "friedman3": lambda: datasets.make_friedman3(noise=0.1, **more),
        "friedman1, uneven noise": lambda: uneven(*datasets.make_friedman1(noise=0.0, **more)),
        "regression": lambda: datasets.make_regression(n_features=10, noise=20.0, **more),
        "regression, uneven noise": lambda: uneven(*datasets.make_regression(n_features=10, noise=0.0, **more)),
        "sparse uncorrelated": lambda: datasets.make_sparse_uncorrelated(**more),
        "swiss roll": lambda: datasets.make_swiss_roll(noise=0.5, **more),
    }
    several: dict[str, Callable[[], Any]] = {
        "classification, 2 classes": lambda: datasets.make_classification(flip_y=0.1, **classes),
        "classification, 3 classes": lambda: datasets.make_classification(n_classes=3, class_sep=0.7, **classes),
        "classification, 6 classes": lambda: datasets.make_classification(n_classes=6, class_sep=0.7, **classes),
        "moons": lambda: datasets.make_moons(ROWS, noise=0.4, random_state=seed),
        "circles": lambda: datasets.make_circles(ROWS, noise=0.2, factor=0.6, random_state=seed),
        "gaussian quantiles": lambda: datasets.make_gaussian_quantiles(n_classes=4, n_features=4, **more),
        "blobs": lambda: datasets.make_blobs(centers=5, cluster_std=4.0, n_features=3, **more),
        "hastie": lambda: datasets.make_hastie_10_2(**more),
    }
    for made in (quantities, several):
        for name, make in made.items():
            features, target = (np.asarray(part, dtype=np.float64) for part in make())
            labels = () if made is quantities else tuple(f"c{number}" for number in range(len(np.unique(target))))
            codes = np.searchsorted(np.unique(target), target).astype(np.float64) if labels else target
            columns = numbers(*(f"x{place}" for place in range(features.shape[1])))
            positive = labels[-1] if len(labels) == 2 else None
            yield name, Table(columns, "y", features, codes, classes=labels, positive=positive)


def measured(table: Table, seed: int) -> tuple[Coverage, bool]:
    """Train, and return the coverage on the unseen rows, and whether widths vary."""
    order = np.random.RandomState(seed).permutation(table.rows)
    unseen, seen = (table.take(np.sort(part)) for part in np.split(order, [round(UNSEEN * table.rows)]))
    plan = recipe(bool(table.classes), seed)
    training = with_intervals(fit_ensemble(plan, seen, None, threads=1), seen, seed)
    served = fit_again(plan, seen, training.ensemble, threads=1)
    blended = served.predict(unseen.features)
    labels = None if served.decision is None else served.decision.labels(blended)
    found = measured_coverage(served, unseen, blended, labels)
    if found is None or served.intervals is None:
        raise ValueError("too few rows")
    return found, served.intervals.scale is not None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return how many tables fail."""
    parser = argparse.ArgumentParser(description="Measure how many targets 90% intervals and sets hold.")
    parser.add_argument("tables", nargs="*", metavar="FILE:TARGET", help="tables in addition to scikit-learn's")
    parser.add_argument("--seed", type=int, default=0, help="seed of tables, splits and trainings (default: 0)")
    options = parser.parse_args(arguments)
    tables = dict(generated(options.seed))
    for text in options.tables:
        path, _, target = text.rpartition(":")
        tables[Path(path).stem] = read_file(Path(path), Roles(target))
    shown = TextTable(box=None, padding=(0, 2, 0, 0))
    for title in ("table", "rows", "unseen", "held", "binomial interval", "size", "widths", "90% is inside"):
        shown.add_column(title, justify="left" if title == "table" else "right", no_wrap=True)
    console, failed, shares = Console(highlight=False, width=150), 0, []
    for name, table in tables.items():
        with console.status(name):
            found, varies = measured(table, options.seed)
        inside = found.low <= found.level <= found.high
        failed += not inside
        shares.append(found.share)
        widths = "sets" if table.classes else "vary" if varies else "equal"
        shown.add_row(
            name,
            str(table.rows - round(found.rows)),
            f"{found.rows:.0f}",
            f"{found.share:.1%}",
            f"{found.low:.1%} to {found.high:.1%}",
            f"{found.size:.4g}",
            widths,
            "yes" if inside else "no",
        )
    console.print(shown)
    console.print(f"inside: {len(tables) - failed} of {len(tables)}; held on average: {np.mean(shares):.2%}")
    return failed


if __name__ == "__main__":
    main()
