"""Bundles with any damage: one message with the path, or the model as it was; a crash ends only its own process.

With the profile ``long``, ten thousand bundles.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.bundle import read_manifest, save_bundle
from ensemble.errors import BundleError
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.training import fit_ensemble
from experiments.backends.worker_pool import WorkerDied, WorkerPool
from experiments.serving.example import example_request
from tests.entry.conftest import make_class_table, make_table
from tests.support.damage import damaged_bytes, damaged_json, deep
from tests.support.examples import examples
from tests.support.loading import use_damaged

MEMBERS = (
    MemberSpec("xgboost", "xgboost", {"num_round": 5}),
    MemberSpec("catboost", "catboost", {"iterations": 5}),
    MemberSpec("forest", "random_forest", {"n_estimators": 3}),
    MemberSpec("hist", "hist_gradient_boosting", {"max_iter": 3}),
    MemberSpec("ridge", "ridge"),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle with members of each library."""
    folder = tmp_path_factory.mktemp("bundle") / "model"
    table = make_table(60)
    training = fit_ensemble(recipe := Recipe(MEMBERS, final="refit", folds=FoldSpec(k=2)), table, None, threads=1)
    save_bundle(folder, recipe, training, table, table.content_hash())
    return folder


@pytest.fixture(scope="module")
def bundle_of_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle with all that a manifest has for classes."""
    folder = tmp_path_factory.mktemp("bundle") / "classes"
    table = make_class_table(60, 2)
    recipe = Recipe(MEMBERS[:1], "stacking", folds=FoldSpec(k=2), objective="cv_logloss_blended")
    recipe = replace(recipe, class_weight="balanced", threshold=0.3)
    save_bundle(folder, recipe, fit_ensemble(recipe, table, None, threads=1), table, table.content_hash())
    return folder


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """A process that may die, and is replaced then."""
    with closing(WorkerPool(1, 1)) as made:
        yield made


@pytest.mark.slow
@examples(300)
@given(data=st.data())
def test_any_damage_to_a_models_file_is_named(
    data: st.DataObject, bundle: Path, pool: WorkerPool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = [name for name in read_manifest(bundle)["files"] if name.startswith("members/")]
    name = data.draw(st.sampled_from(names))
    content = data.draw(damaged_bytes((bundle / name).read_bytes()))
    place = tmp_path_factory.getbasetemp() / "damaged"
    arguments = {"bundle": str(bundle), "place": str(place), "name": name, "content": content.hex()}
    try:
        answer = pool.call(f"{use_damaged.__module__}:use_damaged", arguments)
    except WorkerDied as death:
        assert death.exit_code < 0  # noqa: PT017  # by a signal
        return
    if "refused" in answer:
        assert answer["refused"].endswith(".")
        assert "Traceback" not in answer["refused"]


@examples(200)
@given(data=st.data())
def test_any_damage_to_a_manifest_is_named(
    data: st.DataObject, bundle: Path, bundle_of_classes: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chosen = data.draw(st.sampled_from([bundle, bundle_of_classes]))
    document = json.loads((chosen / "manifest.json").read_text())
    document["files"] = {name: text for name, text in document["files"].items() if name.startswith("members/")}
    folder = tmp_path_factory.getbasetemp() / "manifest"
    folder.mkdir(exist_ok=True)
    place = folder / "manifest.json"
    if data.draw(st.integers(0, 4)):
        place.write_text(json.dumps(data.draw(damaged_json(document))))
    else:
        place.write_bytes(data.draw(damaged_bytes(json.dumps(document).encode())))
    try:
        found = read_manifest(folder)
    except BundleError as error:
        assert str(place) in str(error)  # noqa: PT017
        assert error.exit_code == 2  # noqa: PT017
        return
    body, predictions = example_request(found)
    assert json.loads(body)["data"]
    assert np.isfinite(np.array(predictions, dtype=float)).all()


@pytest.mark.parametrize("kind", ["deep", "pipe", "folder", "NUL"])
def test_a_manifest_that_is_no_document_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    {
        "deep": lambda: path.write_text("[" * 200_000),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "NUL": lambda: path.write_bytes(b"\0" * 100),
    }[kind]()
    with pytest.raises(BundleError, match=rf"{path} is damaged"):
        read_manifest(tmp_path)


def test_nested_values_are_named(bundle: Path, tmp_path: Path) -> None:
    document = json.loads((bundle / "manifest.json").read_text()) | {"members": deep()}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="its members do not have the form"):
        read_manifest(tmp_path)
