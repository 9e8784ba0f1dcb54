"""Measure what explanations, drift and shrinking cost, in CPU time beside what they add to.

Run ``python benchmarks/explanations.py --rounds 3``. A request is answered from its body to the answer's bytes, without
and with an explanation, in turn in each round; files are ten thousand rows. What shrinking takes is beside the training
of the ensemble that is made smaller.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as TextTable

from ensemble.arrays import Floats
from ensemble.bundle import load_bundle, save_bundle
from ensemble.channel import write_channel
from ensemble.finished_trainings import OUT_OF_FOLD_FILE
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.serving.answers import encode
from ensemble.serving.formats import decode
from ensemble.serving.predictor import Predictor
from ensemble.table import Table, numbers
from ensemble.threads import one_blas_thread
from ensemble.training import Training, fit_again, fit_ensemble
from ensemble.wire import encode_recipe
from experiments.study.drift import Counts
from experiments.study.shrink import shrink_steps

REQUESTS, MANY, FILE = 30, 200, 10_000
ENSEMBLES = {
    "xgboost, catboost, ridge": ("exact", ("xgboost", "catboost", "ridge")),
    "xgboost, random_forest, mlp": ("two of three sampled", ("xgboost", "random_forest", "mlp")),
    "xgboost, catboost, linear (classes)": ("sampled", ("xgboost", "catboost", "linear")),
}


def table_of(classes: bool) -> Table:
    """Return diabetes, 442 rows and 10 columns, or breast cancer, 569 rows and 30 columns."""
    from sklearn.datasets import load_breast_cancer, load_diabetes

    features, target = (load_breast_cancer if classes else load_diabetes)(return_X_y=True)
    columns = numbers(*(f"x{place}" for place in range(features.shape[1])))
    labels = ("benign", "malignant") if classes else ()
    return Table(columns, "y", features, target.astype(float), classes=labels, positive=labels[-1] if labels else None)


def trained(kinds: Sequence[str], table: Table) -> tuple[Recipe, Training, float]:
    """Return an ensemble as a study's winner is served, and the CPU seconds that its cross-validation took."""
    objective = "cv_logloss_blended" if table.classes else "cv_rmse_blended"
    members = tuple(MemberSpec(kind, kind) for kind in kinds)
    recipe = Recipe(members, blend="weighted", folds=FoldSpec(k=5), objective=objective)
    if not table.classes:  # weights that leave no member out
        recipe = Recipe(members, blend="mean", folds=FoldSpec(k=5), objective=objective)
    began = time.process_time()
    training = fit_ensemble(recipe, table, None, threads=1)
    took = time.process_time() - began
    training.ensemble = fit_again(recipe, table, training.ensemble, threads=1, rounds=training.rounds)
    return recipe, training, took


def milliseconds(call: Callable[[], object], times: int) -> float:
    """Return the CPU milliseconds of a call, the mean of several."""
    began = time.process_time()
    for _ in range(times):
        call()
    return 1000 * (time.process_time() - began) / times


def answered(predictor: Predictor, body: bytes, accept: str) -> bytes:
    """Return the answer to a request."""
    return encode(predictor.answer(decode(body, "text/csv")), accept)[0]


def body_of(rows: Floats) -> bytes:
    """Return rows as CSV."""
    return ("\n".join(",".join(map(repr, row)) for row in rows.tolist()) + "\n").encode()


def requests(predictor: Predictor, features: Floats, rounds: int) -> list[float]:
    """Return CPU milliseconds: of a request of one row without and with explanation, and of a row of many in both."""
    one, many = body_of(features[:1]), body_of(np.resize(features, (MANY, features.shape[1])))
    plain, explained = "application/json", "application/json; detail=explanation"
    calls: list[tuple[bytes, str, int, int]] = [(one, plain, REQUESTS, 1), (one, explained, REQUESTS, 1)]
    calls += [(many, plain, 2, MANY), (many, explained, 2, MANY)]
    for body, accept, _, _ in calls:
        answered(predictor, body, accept)
    found = [
        [
            milliseconds(lambda body=body, accept=accept: answered(predictor, body, accept), times) / rows  # type: ignore[misc]
            for body, accept, times, rows in calls
        ]
        for _ in range(rounds)
    ]
    return list(np.median(found, axis=0))


def drift(predictor: Predictor, features: Floats) -> tuple[float, float]:
    """Return the CPU milliseconds of predicting a file of rows, and of counting them in a sketch."""
    rows, sketch, apart = (
        np.resize(features, (FILE, features.shape[1])),
        predictor.bundle.sketch,
        predictor.disagreement,
    )
    if sketch is None or apart is None:
        raise ValueError("the model has no sketch")
    members = predictor.bundle.ensemble.predict_members(rows)
    predicted = milliseconds(lambda: predictor.predict(rows), 3)
    return predicted, milliseconds(lambda: Counts(sketch).add(rows, apart.of_rows(members)), 3)


def shrunk(recipe: Recipe, training: Training, table: Table, folder: Path) -> float:
    """Return the CPU seconds of the search for the smallest ensemble that is not worse."""
    (folder / "train").mkdir()
    write_channel(table, folder / "train")
    names = [member.name for member in recipe.members]
    np.savez(folder / OUT_OF_FOLD_FILE, by_repeat=training.by_repeat, members=training.out_of_fold, names=names)
    info = {"recipe": recipe.as_dict(), "fold_weights": list(training.fold_weights), "classes": list(table.classes)}
    predictions, train = str(folder / OUT_OF_FOLD_FILE), str(folder / "train")
    began = time.process_time()
    shrink_steps(encode_recipe(recipe), predictions, train, str(folder / "model"), info)
    return time.process_time() - began


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what explanations, drift and shrinking cost.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of requests (default: 3)")
    options = parser.parse_args(arguments)
    console, shown = Console(highlight=False, width=160), TextTable(box=None, padding=(0, 2, 0, 0))
    for title in ("ensemble", "parts", "one row", "explained", "ratio", "a row of 200", "explained", "ratio"):
        shown.add_column(title, justify="left" if title in ("ensemble", "parts") else "right", no_wrap=True)
    lines = []
    for name, (how, kinds) in ENSEMBLES.items():
        table = table_of("classes" in name)
        with tempfile.TemporaryDirectory() as text, one_blas_thread(), console.status(name):
            folder, (recipe, training, took) = Path(text), trained(kinds, table)
            save_bundle(folder / "model", recipe, training, table, table.content_hash())
            predictor = Predictor(load_bundle(folder / "model"))
            one, explained, many, many_explained = requests(predictor, np.asarray(table.features), options.rounds)
            predicted, counted = drift(predictor, np.asarray(table.features))
            small = shrunk(recipe, training, table, folder)
        cells = [f"{one:.3g} ms", f"{explained:.3g} ms", f"{explained / one:.1f}"]
        cells += [f"{many:.3g} ms", f"{many_explained:.3g} ms", f"{many_explained / many:.0f}"]
        shown.add_row(name, how, *cells)
        lines.append(
            f"{name}: drift of {FILE:,} rows {counted:.0f} ms beside {predicted:.0f} ms for their predictions "
            f"({counted / predicted:.2f}); shrink {small:.2g} s beside {took:.2g} s of training ({small / took:.2f})"
        )
    console.print(shown)
    for line in lines:
        console.print(line)


if __name__ == "__main__":
    main()
