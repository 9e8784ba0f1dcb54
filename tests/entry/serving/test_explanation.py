"""Explanations: sums, definitions written here, rows alone and among others, and how they are written."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensemble.arrays import Floats
from ensemble.bundle import load_bundle, save_bundle
from ensemble.members import REGISTRY
from ensemble.parameters import ParamValue
from ensemble.reading import LARGEST, Roles, read_file
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.serving import explanation
from ensemble.serving.answers import encode
from ensemble.serving.errors import RequestError
from ensemble.serving.explanation import CALL, REQUEST, Explainer, Explanation
from ensemble.serving.predictor import Predictor
from ensemble.serving.rows import Matrix
from ensemble.sketch import sketch
from ensemble.table import Table, numbers
from ensemble.training import FittedEnsemble, fit_ensemble
from ensemble.typical_rows import typical_rows
from tests.entry.conftest import OWN_MEMBER, QUICK, make_class_table, make_table, quick_recipe
from tests.entry.serving.bodies import CSV, JSON, LINES, NPY
from tests.entry.serving.conftest import write_table

REGRESSORS = [kind for kind, member in REGISTRY.items() if "regression" in member.tasks]
EXACT = {"xgboost", "catboost", "lightgbm", "ridge", "additive"}
# Links and leaves for which no sum over trees is the prediction, and their kinds.
CURVED: list[tuple[str, dict[str, ParamValue]]] = [
    ("xgboost", {"objective": "count:poisson"}),
    ("xgboost", {"objective": "reg:gamma"}),
    ("catboost", {"loss_function": "Poisson"}),
    ("lightgbm", {"linear_tree": True}),
]
STRAIGHT: list[tuple[str, dict[str, ParamValue]]] = [
    ("xgboost", {"objective": "reg:squaredlogerror"}),
    ("xgboost", {"objective": "reg:pseudohubererror"}),
    ("xgboost", {"objective": "reg:absoluteerror"}),
    ("catboost", {"loss_function": "Quantile:alpha=0.7"}),
]
LASSO = ("Lasso", {"alpha": 0.5})


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table with a column of every type, each with gaps."""
    path = tmp_path_factory.mktemp("explained") / "houses.csv"
    write_table(path, 90)
    return read_file(path, Roles("price"))


def explainer_of(ensemble: FittedEnsemble, table: Table, positive: int | None = None) -> Explainer:
    found = sketch(table, np.full((table.rows, len(ensemble.models)), np.nan), ensemble.blend.weights)
    return Explainer(ensemble, table.columns, found, positive, len(table.classes))


def explained(explainer: Explainer, features: Floats) -> Explanation:
    members = explainer.ensemble.predict_members(features)
    blended = explainer.ensemble.blend.predict(members, features)
    decision = explainer.ensemble.decision
    labels = np.zeros(0, dtype=np.intp) if decision is None else decision.labels(blended)
    return explainer.explain(features, members, blended, labels)


def fitted(table: Table, *kinds: str, params: dict[str, ParamValue] | None = None, **more: object) -> FittedEnsemble:
    members = tuple(MemberSpec(kind, kind, {**QUICK.get(kind, {}), **(params or {})}) for kind in kinds)
    objective = "cv_logloss_blended" if table.classes else "cv_rmse_blended"
    recipe = Recipe(members, folds=FoldSpec(k=2), objective=objective, **more)  # type: ignore[arg-type]
    return fit_ensemble(recipe, table, None, threads=1).ensemble


def assert_adds_up(found: Explanation, ensemble: FittedEnsemble, features: Floats) -> None:
    predicted = ensemble.predict(features)
    if found.classes is not None:
        predicted = predicted[np.arange(len(predicted)), found.classes]
    assert np.array_equal(found.predicted, predicted)
    assert np.allclose(found.base + found.parts.sum(axis=1), predicted, rtol=1e-9, atol=0)


def assert_is_the_same_alone(explainer: Explainer, found: Explanation, features: Floats) -> None:
    for row in (0, len(features) - 1):
        alone = explained(explainer, features[row : row + 1])
        assert alone.parts[0].tobytes() == found.parts[row].tobytes()
        assert alone.base[0] == found.base[row]
        assert (alone.errors is None) == (found.errors is None)
        if alone.errors is not None and found.errors is not None:
            assert alone.errors[0].tobytes() == found.errors[row].tobytes()


@pytest.mark.parametrize(
    ("kind", "params"),
    [*((kind, {}) for kind in REGRESSORS), LASSO, *CURVED, *STRAIGHT],
    ids=lambda value: value if isinstance(value, str) else ",".join(map(str, value.values())),
)
def test_parts_of_every_member_add_up_to_the_prediction(
    kind: str, params: dict[str, ParamValue], houses: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = fitted(houses, kind, params=params)
    explainer = explainer_of(ensemble, houses)
    features = np.array(houses.features[:9])
    features[0] = np.nan
    features[1, 0] = LARGEST
    is_exact = (kind in EXACT or kind == "Lasso") and (kind, params) not in CURVED
    assert (explainer.exact, explainer.sampled) == (((kind,), ()) if is_exact else ((), (kind,)))
    found = explained(explainer, features)
    assert (found.errors is None) == is_exact
    assert np.isfinite(found.parts).all()
    assert_adds_up(found, ensemble, features)
    assert_is_the_same_alone(explainer, found, features)
    # What the library rounds is all that is shared out.
    monkeypatch.setattr(explanation, "_share_rest", lambda *parts: None)
    bare = explained(explainer, features)
    sizes = np.abs(bare.base) + np.abs(bare.parts).sum(axis=1)
    assert (np.abs(bare.base + bare.parts.sum(axis=1) - bare.predicted) <= 2e-6 * sizes).all()
    assert np.allclose(bare.parts, found.parts, rtol=1e-4, atol=1e-6 * sizes.max())


@pytest.mark.parametrize("kind", REGRESSORS)
def test_the_part_of_a_column_is_at_the_columns_name(kind: str) -> None:
    random = np.random.RandomState(0)
    columns = numbers("a", "town", "b", "street", "c")
    columns = tuple(
        replace(column, type="category", levels=tuple("vwxyz")) if len(column.name) > 1 else column
        for column in columns
    )
    features = random.normal(size=(300, 5))
    for place in (1, 3):
        features[:, place] = random.randint(0, 5, 300)
    for deciding in (1, 2):
        target = 100.0 * (features[:, deciding] > (2 if deciding == 1 else 0))
        table = Table(columns, "y", features, target)
        quick: dict[str, dict[str, ParamValue]] = {
            "mlp": {"max_iter": 60, "width": 30},
            "xgboost": {"num_round": 20},
            "lightgbm": {"num_iterations": 20, "max_cat_to_onehot": 10},
        }
        ensemble = fitted(table, kind, params=quick.get(kind))
        sizes = np.abs(explained(explainer_of(ensemble, table), features[:20]).parts).mean(axis=0)
        assert sizes.argmax() == deciding
        assert np.delete(sizes, deciding).max() < sizes[deciding] / 2


def test_a_linear_member_is_compared_with_the_mean_of_the_training_rows(houses: Table) -> None:
    plain = make_table(80, missing=0.1)
    for table in (plain, houses):
        ensemble = fitted(table, "ridge", final="refit")
        (model,) = ensemble.models["ridge"]
        found = explained(explainer_of(ensemble, table), np.array(table.features))
        assert np.allclose(found.base, found.base[0], rtol=1e-12)
        places = [place for place in range(len(table.columns)) if place not in table.categories]
        # With missing values set to the median; the mean of a category is known to a thousandth.
        assert np.allclose(found.parts[:, places].mean(axis=0), 0, atol=1e-9)
        assert abs(found.parts.mean(axis=0)).max() < 0.01 * np.abs(found.parts).max()
        moved = np.array(table.features[:1])
        moved[0, 0] = 3.0 if np.isnan(moved[0, 0]) else moved[0, 0] + 1
        both = explained(explainer_of(ensemble, table), np.concatenate([table.features[:1], moved]))
        change = model.predict(moved)[0] - model.predict(np.array(table.features[:1]))[0]
        assert both.parts[1, 0] - both.parts[0, 0] == pytest.approx(change)
        assert np.allclose(both.parts[1, 1:], both.parts[0, 1:])


def shapley(function: Callable[[Floats], Floats], row: Floats, typical: Floats) -> Floats:
    """Return Shapley values by their definition: over all subsets, with unknown columns from typical rows."""
    count = len(row)
    value = {}
    for size in range(count + 1):
        for known in itertools.combinations(range(count), size):
            mixed = typical.copy()
            mixed[:, list(known)] = row[list(known)]
            value[frozenset(known)] = float(function(mixed).mean())
    parts = np.zeros(count)
    for place in range(count):
        for known, before in value.items():
            if place not in known:
                share = math.factorial(len(known)) * math.factorial(count - len(known) - 1) / math.factorial(count)
                parts[place] += share * (value[known | {place}] - before)
    return parts


@pytest.mark.parametrize("kind", ["mlp", "classes"])
def test_samples_are_shapley_values_within_their_standard_errors(kind: str) -> None:
    table = make_class_table(120, classes=3) if kind == "classes" else make_table(120, columns=4, missing=0.1)
    kinds = ("xgboost", "linear") if kind == "classes" else ("mlp",)
    ensemble = fitted(table, *kinds, **({"blend": "log_pool"} if kind == "classes" else {}))
    explainer = explainer_of(ensemble, table)
    features = np.array(table.features[:8])
    found = explained(explainer, features)
    assert found.errors is not None
    typical = typical_rows(explainer.sketch, table.columns, explainer._typical)  # type: ignore[arg-type]
    away: list[Floats] = []
    for number, row in enumerate(features):
        output = 0 if found.classes is None else found.classes[number]

        def function(rows: Floats, output: int = output) -> Floats:
            return ensemble.predict(rows).reshape(len(rows), -1)[:, output]

        expected = shapley(function, row, typical)
        assert found.base[number] == pytest.approx(function(typical).mean())
        assert np.abs(expected).max() > 0
        away.append(found.parts[number] - expected)
    assert 0.3 < math.sqrt(np.mean(np.square(away)) / np.mean(found.errors**2)) < 1.3


def test_typical_rows_have_the_shares_of_the_training_rows(houses: Table) -> None:
    found = typical_rows(sketch(houses, np.full((houses.rows, 1), np.nan), [1.0]), houses.columns, 400)
    for place, column in enumerate(houses.columns):
        drawn, known = found[:, place], houses.features[:, place]
        assert np.isnan(drawn).mean() == pytest.approx(np.isnan(known).mean(), abs=0.01)
        drawn, known = drawn[~np.isnan(drawn)], known[~np.isnan(known)]
        if column.type == "category":
            shares = [
                np.bincount(part.astype(int), minlength=len(column.levels)) / len(part) for part in (drawn, known)
            ]
            assert np.allclose(*shares, atol=0.01)
        else:
            assert drawn.mean() == pytest.approx(known.mean(), abs=0.2 * known.std())
            assert known.min() <= drawn.min() < drawn.max() <= known.max()


@pytest.mark.parametrize("blend", ["mean", "weighted", "greedy", "stacking", "stacking_passthrough"])
def test_parts_of_every_blend_of_numbers_add_up(blend: str) -> None:
    table = make_table(90, missing=0.1)
    ensemble = fitted(table, "xgboost", "ridge", "svr", blend=blend)
    explainer, features = explainer_of(ensemble, table), np.array(table.features[:9])
    found = explained(explainer, features)
    assert set(explainer.exact + explainer.sampled) == {name for name, weight in ensemble.weights.items() if weight}
    assert_adds_up(found, ensemble, features)
    assert_is_the_same_alone(explainer, found, features)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("blend", ["mean", "log_pool", "stacking", "vote"])
def test_parts_of_every_blend_of_classes_add_up(blend: str, classes: int) -> None:
    table = make_class_table(90, classes=classes, missing=0.1)
    ensemble = fitted(table, "xgboost", "catboost", "linear", blend=blend)
    explainer = explainer_of(ensemble, table, positive=1 if classes == 2 else None)
    features = np.array(table.features[:9])
    found = explained(explainer, features)
    assert found.classes is not None
    assert found.classes.tolist() == (
        [1] * 9 if classes == 2 else ensemble.decision.labels(ensemble.predict(features)).tolist()  # type: ignore[union-attr]
    )
    assert_adds_up(found, ensemble, features)
    assert_is_the_same_alone(explainer, found, features)
    assert len(found.each) == (3 if classes == 3 else 0)
    for place, one in enumerate(found.each):
        assert np.array_equal(one.predicted, ensemble.predict(features)[:, place])
        assert np.allclose(one.base + one.parts.sum(axis=1), one.predicted, rtol=1e-9, atol=1e-15)
        rows = found.classes == place
        assert one.parts[rows].tobytes() == found.parts[rows].tobytes()
    if classes == 3:  # what one class gains, the others lose
        assert sum(one.base for one in found.each) == pytest.approx(1.0)
        assert np.allclose(sum(one.parts for one in found.each), 0, atol=1e-9)


CLASSIFIERS = [kind for kind, member in REGISTRY.items() if "multiclass" in member.tasks]


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_parts_of_every_member_of_classes_add_up(kind: str) -> None:
    table = make_class_table(60, classes=3, missing=0.1)
    ensemble, rows = fitted(table, kind), np.array(table.features[:3])
    found = explained(explainer_of(ensemble, table), rows)
    assert_adds_up(found, ensemble, rows)
    for place, one in enumerate(found.each):
        assert np.allclose(one.base + one.parts.sum(axis=1), ensemble.predict(rows)[:, place], rtol=1e-9, atol=1e-15)


def test_your_own_member_and_one_column_are_explained(own_module: Callable[[str], str]) -> None:
    table = replace(make_table(60), columns=numbers("x0"), features=make_table(60).features[:, :1])
    kind = f"{own_module(OWN_MEMBER)}:Constant"
    recipe = Recipe((MemberSpec("mine", kind, {}), MemberSpec("svr", "svr", QUICK["svr"])), folds=FoldSpec(k=2))
    ensemble = fit_ensemble(recipe, table, None, threads=1).ensemble
    explainer = explainer_of(ensemble, table)
    assert explainer.sampled == ("mine", "svr")
    found = explained(explainer, np.array(table.features[:5]))
    assert_adds_up(found, ensemble, np.array(table.features[:5]))
    assert found.errors is not None
    assert not found.errors.any()  # one column has one order


def test_a_constant_target_has_parts_of_zero() -> None:
    table = replace(make_table(60), target=np.full(60, 7.5))
    for kind in REGRESSORS:
        ensemble = fitted(table, kind)
        found = explained(explainer_of(ensemble, table), np.array(table.features[:5]))
        assert np.allclose(found.parts, 0, atol=1e-6), kind
        assert_adds_up(found, ensemble, np.array(table.features[:5]))


def test_a_model_of_an_earlier_version_is_explained_if_nothing_is_sampled(houses: Table) -> None:
    rows = np.array(houses.features[:5])
    ensemble = fitted(houses, "xgboost", "catboost", "ridge")
    found = explained(replace(explainer_of(ensemble, houses), sketch=None), rows)
    assert_adds_up(found, ensemble, rows)
    with pytest.raises(RequestError, match=r"saved by an earlier version.* which svr needs\. Train it again") as error:
        explained(replace(explainer_of(fitted(houses, "ridge", "svr"), houses), sketch=None), rows)
    assert error.value.status == 406


def test_too_much_is_refused_with_the_limit_and_what_to_do() -> None:
    table = make_table(60)
    exact, sampled = (explainer_of(fitted(table, kind), table) for kind in ("ridge", "svr"))
    exact.check(1_000, REQUEST)
    exact.check(10_000, CALL)
    with pytest.raises(
        RequestError, match=r"1,001 rows are too many.* up to 1,000\. Send fewer rows.*action=batch"
    ) as error:
        exact.check(1_001, REQUEST)
    assert error.value.status == 413
    with pytest.raises(RequestError, match=r"100,000 rows are too many.* up to 10,000\. Explain fewer rows"):
        exact.check(100_000, CALL)
    assert sampled.most_rows(REQUEST) == 1_000
    wide = numbers(*(f"x{place}" for place in range(10_000)))
    assert replace(exact, columns=wide).most_rows(REQUEST) == 100
    with pytest.raises(
        RequestError, match=r"has 10,000 columns, and the parts of svr are sampled.* up to 1,000"
    ) as error:
        replace(sampled, columns=wide).check()
    assert error.value.status == 406
    assert replace(sampled, columns=wide[:500]).most_rows(REQUEST) == 250


def test_rows_that_take_too_long_are_refused_after_the_first_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_table(60)
    ensemble = fitted(table, "svr")
    explainer, features = explainer_of(ensemble, table), np.repeat(table.features, 9, axis=0)
    members = ensemble.predict_members(features)
    given = (features, members, ensemble.blend.predict(members, features), np.zeros(0, dtype=np.intp))
    clock = iter(np.arange(0.0, 99.0, 0.5))
    monkeypatch.setattr(explanation.time, "perf_counter", lambda: next(clock))
    with pytest.raises(
        RequestError, match=r"540 rows are too many .* takes 0\.5 s for each, so that up to 60 are possible\. Send"
    ) as error:
        explainer.explain(*given, REQUEST)
    assert error.value.status == 413
    assert next(clock) == 1.0  # it was looked at before the first row and after it
    assert len(explainer.explain(*given, CALL).base) == 540


@pytest.fixture(scope="module", params=["number", "two classes", "three classes"])
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A saved model, read back."""
    classes = {"number": 0, "two classes": 2, "three classes": 3}[request.param]
    table = make_class_table(classes=classes) if classes else make_table()
    more = {"objective": "cv_logloss_blended"} if classes else {}
    recipe = quick_recipe("xgboost", "linear" if classes else "svr", k=2, **more)
    folder = tmp_path_factory.mktemp("saved")
    save_bundle(folder, recipe, fit_ensemble(recipe, table, None, threads=1), table, table.content_hash())
    return Predictor(load_bundle(folder))


def test_every_format_has_the_same_explanation(predictor: Predictor) -> None:
    prediction = predictor.answer(Matrix(make_table(7, seed=3).features.copy()))
    found, names = prediction.explanation, ["x0", "x1", "x2"]
    assert found.errors is not None
    whole = np.column_stack([found.base, found.parts, found.predicted])
    document = json.loads(encode(prediction, f"{JSON};detail=explanation")[0])
    lines = [json.loads(line) for line in encode(prediction, f"{LINES}; detail=explanation")[0].splitlines()]
    array = np.load(io.BytesIO(encode(prediction, f"{NPY};detail=explanation")[0]))
    text = encode(prediction, f"{CSV};detail=explanation")[0].decode()
    header, *cells = csv.reader(io.StringIO(text))
    assert np.array_equal(array, whole)
    assert list(document["explanation"]) == list(document["standard_error"]) == names
    assert np.array_equal(np.column_stack([document["base"], *document["explanation"].values()]), whole[:, :-1])
    assert np.array_equal(np.column_stack(list(document["standard_error"].values())), found.errors)
    for number, line in enumerate(lines):
        assert [line["base"], *line["explanation"].values()] == whole[number, :-1].tolist()
        assert line["standard_error"] == dict(zip(names, found.errors[number].tolist(), strict=True))
    classes = prediction.classes
    parts = [f"explanation_{name}" for name in names]
    errors = [f"standard_error_{name}" for name in names]
    adds_up_to = {0: [], 2: [f"probability_{prediction.positive}"], 3: ["probability"]}[len(classes)]
    assert header == ["base", *parts, *adds_up_to, "prediction", *errors]
    columns = dict(zip(header, zip(*cells, strict=True), strict=True))
    sums = columns[adds_up_to[0] if classes else "prediction"]
    assert list(map(float, sums)) == found.predicted.tolist()
    assert [list(map(float, columns[name])) for name in parts] == found.parts.T.tolist()
    if not classes:
        assert document["predictions"] == found.predicted.tolist()
        assert "explained_label" not in document
        return
    assert list(columns["prediction"]) == document["predicted_label"] == prediction.labels()
    assert document["explained_label"] == [line["explained_label"] for line in lines] == prediction.explained_labels()
    assert len(document.get("explanations", ())) == len(lines[0].get("explanations", ())) == len(found.each)
    for place, one in enumerate(found.each):
        of_label = document["explanations"][classes[place]]
        probabilities = np.array(document["probabilities"])[:, place]
        assert np.allclose(sum(map(np.array, [of_label["base"], *of_label["explanation"].values()])), probabilities)
        assert list(of_label["standard_error"].values()) == np.asarray(one.errors).T.tolist()
        of_line = [line["explanations"][classes[place]] for line in lines]
        assert [line["base"] for line in of_line] == of_label["base"] == one.base.tolist()
        assert [list(line["explanation"].values()) for line in of_line] == one.parts.tolist()
    for label, row, value in zip(
        document["explained_label"], document["probabilities"], found.predicted.tolist(), strict=True
    ):
        assert row[document["labels"].index(label)] == value


def test_requests_that_are_predicted_together_are_explained_as_alone(predictor: Predictor) -> None:
    rows = make_table(6, seed=3).features.copy()
    together = predictor.predict_many([Matrix(rows[:2]), Matrix(rows[2:])])
    alone = predictor.answer(Matrix(rows[2:]))
    accept = f"{JSON};detail=explanation"
    assert encode(together[1], accept) == encode(alone, accept)  # type: ignore[arg-type]
    many = predictor.answer(Matrix(np.repeat(rows, 200, axis=0)))
    with pytest.raises(RequestError, match="1,200 rows are too many to explain at once"):
        encode(many, accept)


def test_names_of_columns_cannot_collide(tmp_path: Path) -> None:
    names = ("base", "prediction", "explanation_base", "standard_error_base")
    table = replace(make_table(60, columns=4), columns=numbers(*names))
    recipe = quick_recipe("ridge", "svr", k=2)
    save_bundle(tmp_path, recipe, fit_ensemble(recipe, table, None, threads=1), table, table.content_hash())
    found = Predictor(load_bundle(tmp_path)).answer(Matrix(table.features[:2].copy())).table("explanation")
    assert len(found) == 2 + 2 * len(names)
