"""Small models, made without a study."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ensemble.bundle import save_bundle
from ensemble.reading import Roles, read_file
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Table
from ensemble.training import fit_ensemble, with_intervals

_OTHER_ANSWERS = """
from dataclasses import replace

def output_fn(prediction, accept):
    return encode(replace(prediction, blended=prediction.blended + 1), accept)
"""


def save_two_models(folder: Path) -> tuple[Path, Path]:
    """Save two models of one table with the columns ``a`` and ``b``, and return their bundles."""
    rows = "\n".join(f"{x},{x % 7},{3 * x + x % 7}" for x in range(60))
    (folder / "table.csv").write_text(f"a,b,y\n{rows}\n")
    table = read_file(folder / "table.csv", Roles("y"))
    return small_bundle(folder / "one", table), small_bundle(folder / "two", table, alpha=50.0)


def small_bundle(folder: Path, table: Table, alpha: float = 1.0) -> Path:
    """Save a ridge regression of a table as a bundle in a folder, and return the folder."""
    recipe = Recipe((MemberSpec("ridge", "ridge", {"alpha": alpha}),), folds=FoldSpec(k=2))
    training = with_intervals(fit_ensemble(recipe, table, None, threads=1), table, recipe.seed)
    save_bundle(folder, recipe, training, table, table.content_hash())
    return folder


LABELS = ("low", "middle, so to say", "Über")


def save_model_of_classes(folder: Path, labels: Sequence[str] = LABELS) -> Path:
    """Save a model of the columns ``a`` and ``b`` that predicts one of some labels, and return its bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (f'{x},{x % 7},"{labels[(x + x % 5) * len(labels) // 64]}"' for x in range(60))
    (folder / "table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    table = read_file(folder / "table.csv", Roles("y"))
    members = (
        MemberSpec("xgboost", "xgboost", {"num_round": 5}),
        MemberSpec("forest", "random_forest", {"n_estimators": 8}),
    )
    recipe = Recipe(members, blend="weighted", folds=FoldSpec(k=2), objective="cv_logloss_blended")
    training = with_intervals(fit_ensemble(recipe, table, None, threads=1), table, recipe.seed)
    save_bundle(folder / "model", recipe, training, table, table.content_hash())
    return folder / "model"


def with_other_predictions(bundle: Path, copy: Path) -> Path:
    """Copy a bundle whose manifest has other predictions for its example than the model, and return the copy."""
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["example"]["predictions"] = [0.0 for _ in manifest["example"]["predictions"]]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def with_other_answers(bundle: Path, copy: Path) -> Path:
    """Copy a bundle whose model predicts its example, but whose inference code answers with others; return the copy.

    The server's own check passes, since the model has not changed and the manifest has the hash of the changed code.
    """
    shutil.copytree(bundle, copy)
    code = copy / "code" / "inference.py"
    code.write_text(f"{code.read_text()}\n{_OTHER_ANSWERS}")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["code/inference.py"] = hashlib.sha256(code.read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def example(bundle: Path) -> dict[str, Any]:
    """Return the example of a bundle: ``features`` and ``predictions``."""
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())["example"]
    return found


def bundle_hash(bundle: Path) -> str:
    """Return a bundle's hash."""
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def as_csv(bundle: Path, columns: Sequence[str] = ("a", "b")) -> bytes:
    """Return the rows of a bundle's example as CSV, with these names of columns."""
    rows = [columns, *(map(repr, row) for row in example(bundle)["features"])]
    return "".join(",".join(row) + "\n" for row in rows).encode()
