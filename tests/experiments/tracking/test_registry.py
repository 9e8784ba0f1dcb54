"""A registered model is found by the bundle that it has.

Registering, downloading and ``pyfunc_model`` need MLflow itself: ``actions/test_tune`` and ``serving/test_models`` test
them with a study's winner.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from ensemble.bundle import load_bundle, save_bundle
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Column, Table
from ensemble.training import fit_ensemble
from experiments.tracking.registry import BUNDLE_HASH, Described, find_version, requirements_of, signature_of
from tests.conftest import PROJECT
from tests.support.models import LABELS, save_model_of_classes


def test_the_version_of_a_bundle_is_known_by_its_hash() -> None:
    asked: list[str] = []
    versions = [SimpleNamespace(version=str(number), tags={BUNDLE_HASH: f"hash{number}"}) for number in (1, 2)]
    versions.insert(0, SimpleNamespace(version="0", tags={}))

    def search_model_versions(filter_string: str) -> list[SimpleNamespace]:
        asked.append(filter_string)
        return versions

    client = cast("Any", SimpleNamespace(search_model_versions=search_model_versions))
    found = find_version(client, "mine", "hash2")
    assert found is not None
    assert found.version == "2"
    assert find_version(client, "mine", "other") is None
    assert asked == ["name = 'mine'"] * 2


def test_a_registered_model_has_its_scores_and_a_link() -> None:
    scores = {"cv_rmse_blended": 1.5, "test_rmse_blended": 1.25, "cv_rmse_ridge": 2.0, "cv_mae_blended": 1.0}
    found = Described("housing", scores, "#/experiments/1/runs/abc")
    assert found.text() == (
        "[Its run](#/experiments/1/runs/abc), on housing.\n\n"
        "|  | cv | test |\n| --- | --- | --- |\n"
        "| blended rmse | 1.5 | 1.25 |\n| ridge rmse | 2 |  |\n| blended mae | 1 |  |"
    )
    assert found.tags() == {
        "byoe.dataset": "housing",
        "byoe.run": "#/experiments/1/runs/abc",
        "cv_rmse_blended": "1.5",
        "test_rmse_blended": "1.25",
        "cv_mae_blended": "1",
    }


def test_requirements_are_all_that_the_models_code_imports_in_the_versions_that_trained_it() -> None:
    versions = {"python": "3.11.7", "xgboost": "2.9.1", "scikit-learn": "9 of mine", "lightgbm": "4.7.0"}
    found = requirements_of(versions)
    assert {"xgboost==2.9.1", "scikit-learn", "lightgbm==4.7.0"} <= set(found)
    assert not any(line.startswith("python") for line in found)
    names = {re.split(r"[^\w-]", line)[0] for line in found}
    nodes = [
        node
        for file in (PROJECT / "entry" / "ensemble").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
    ]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"ensemble", ""}
    assert {{"sklearn": "scikit-learn"}.get(module, module) for module in foreign} <= names


COLUMNS = (
    Column("when", "date"),
    Column("town", "category", ("Bern", "Oslo")),
    Column("garden", "boolean"),
    Column("size"),
)
# The same rows in every form in which a frame may have them.
TEXTS = pd.DataFrame(
    {
        "when": ["2024-01-01", "2024-03-05", "2024-07-09"],
        "town": ["Oslo", None, "Bern"],
        "garden": [True, False, True],
        "size": [1.0, 2.0, 3.0],
    }
)
FORMS = {
    "datetime64": TEXTS.assign(when=pd.to_datetime(TEXTS.when)),
    "times of UTC": TEXTS.assign(when=pd.to_datetime(TEXTS.when, utc=True)),
    "dates": TEXTS.assign(when=pd.to_datetime(TEXTS.when).dt.date),
    "category": TEXTS.assign(town=TEXTS.town.astype("category")),
    "nullable": TEXTS.assign(garden=TEXTS.garden.astype("boolean"), size=TEXTS["size"].astype("Float64")),
    "string": TEXTS.assign(town=TEXTS.town.astype("string"), when=TEXTS.when.astype("string")),
    "integers": TEXTS.assign(size=TEXTS["size"].astype(int)),
    "float32": TEXTS.assign(size=TEXTS["size"].astype("float32")),
    "numbers as text": TEXTS.assign(size=TEXTS["size"].astype(str)),
    "other order": TEXTS[["size", "town", "when", "garden"]],
    "other index": TEXTS.set_index(pd.Index([7, 7, 3])),
}


def loaded(bundle: Path) -> Any:
    """Return the model of a bundle as MLflow loads it, with its signature; it takes MLflow two seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own import warns
        import mlflow.pyfunc

        found = load_bundle(bundle)
        mlflow.pyfunc.save_model(
            str(bundle.parent / "mlflow"),
            python_model=str(PROJECT / "experiments" / "tracking" / "pyfunc_model.py"),
            artifacts={"bundle": str(bundle)},
            signature=signature_of(found.columns, found.manifest["target"], found.classes),
            pip_requirements=[],
        )
        return mlflow.pyfunc.load_model(str(bundle.parent / "mlflow"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of a price."""
    place = tmp_path_factory.mktemp("mlflow")
    random = np.random.RandomState(0)
    features = np.column_stack([random.randint(19_000, 20_000, 60), np.arange(60) % 2, np.arange(60) % 3 == 0])
    features = np.column_stack([features, random.normal(size=60)]).astype(float)
    target = features @ [0.01, 1.0, 2.0, 3.0]
    features[7, 3] = np.nan
    table = Table(COLUMNS, "price", features, target)
    recipe = Recipe((MemberSpec("xgboost", "xgboost", {"num_round": 5}),), folds=FoldSpec(k=2))
    save_bundle(place / "bundle", recipe, fit_ensemble(recipe, table, None, 1), table, "hash")
    return loaded(place / "bundle")


@pytest.mark.parametrize("form", FORMS)
def test_the_signature_accepts_every_form_that_the_model_reads(form: str, model: Any) -> None:
    expected = model.predict(TEXTS)
    assert expected.price.nunique() > 1
    assert model.predict(FORMS[form]).price.tolist() == expected.price.tolist()


def test_gaps_are_accepted_in_every_column_and_a_column_may_lack_where_training_rows_had_gaps(
    model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for name in TEXTS.columns:
        gaps = model.predict(TEXTS.assign(**{name: None})).price
        assert np.isfinite(gaps).all()
        caplog.clear()
        if name == "size":
            assert model.predict(TEXTS.drop(columns=name)).price.tolist() == gaps.tolist()
            assert caplog.messages == ["size: the rows do not have this column. It is predicted as missing."]
            continue
        with pytest.raises(Exception, match=rf"(?s)missing inputs.*{name}"):
            model.predict(TEXTS.drop(columns=name))


def test_unknown_categories_are_counted_in_the_log(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = model.predict(TEXTS.assign(town=["oslo", "Rome", "Bern"])).price
    assert found.tolist() == model.predict(TEXTS.assign(town=[None, None, "Bern"])).price.tolist()
    assert caplog.messages == [
        (
            "town: 2 of 3 rows have a category that the training rows do not have ('oslo', 'Rome'; first in data row 1). "
            "It is predicted as missing."
        )
    ]


def test_what_the_model_refuses_is_refused_by_the_model(model: Any) -> None:
    with pytest.raises(Exception, match="column 'when' has 1 in data row 1, where a date"):
        model.predict(TEXTS.assign(when=[1, 2, 3]))


def test_classes_are_a_label_and_a_column_for_each_probability(tmp_path: Path) -> None:
    bundle = save_model_of_classes(tmp_path)
    model = loaded(bundle)
    rows = pd.DataFrame({"a": [0.0, 30.0, 59.0], "b": [0.0, 2.0, 3.0]})
    found = model.predict(rows)
    columns = [f"probability_{label}" for label in sorted(LABELS)]
    assert list(found) == ["prediction", *columns]
    assert [output.name for output in model.metadata.signature.outputs.inputs] == list(found)
    assert [output.type.name for output in model.metadata.signature.outputs.inputs] == ["string", *["double"] * 3]
    wanted = load_bundle(bundle).ensemble.predict(rows.to_numpy())
    assert np.array_equal(found[columns].to_numpy(), wanted)
    assert found["prediction"].tolist() == [sorted(LABELS)[place] for place in wanted.argmax(axis=1)]
    sets = model.predict(rows, params={"detail": "interval", "level": 0.7})
    assert list(sets) == ["prediction", "set"]


def test_parameters_ask_for_what_requests_ask_for(model: Any) -> None:
    predicted = model.predict(TEXTS).price
    found = model.predict(TEXTS, params={"detail": "explanation"})
    assert list(found) == ["base", *(f"explanation_{column.name}" for column in COLUMNS), "prediction"]
    assert np.allclose(found.iloc[:, :-1].sum(axis=1), predicted, rtol=1e-9, atol=0)
    assert model.predict(TEXTS, params={"detail": "members"}).blended.tolist() == predicted.tolist()
    for detail, message in (("trees", "detail=trees is not known"), ("interval", "saved without intervals")):
        with pytest.raises(Exception, match=message):
            model.predict(TEXTS, params={"detail": detail})
