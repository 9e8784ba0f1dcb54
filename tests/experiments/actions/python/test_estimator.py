"""``byoe.EnsembleRegressor``: scikit-learn's own checks, and tables of all kinds."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from byoe import EnsembleClassifier, EnsembleRegressor, InputError
from ensemble.evaluation import rmse
from ensemble.reading import Roles, read_file
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.training import fit_ensemble, with_intervals

QUICK = (EnsembleRegressor(["ridge"], folds=2), EnsembleClassifier(["linear"], folds=2))
BOOSTERS = {"xgboost": {"num_round": 20}, "catboost": {"iterations": 20}}
BOOSTED = (
    EnsembleRegressor(["xgboost", "catboost", "ridge"], folds=2, params=BOOSTERS),
    EnsembleClassifier(["xgboost", "catboost", "linear"], folds=2, params=BOOSTERS),
)
FOLDS_DIFFER = {
    "check_sample_weight_equivalence_on_dense_data": "repeated rows are divided into other folds than weighted ones"
}


def expected_failures(estimator: Any) -> dict[str, str]:
    return FOLDS_DIFFER


@parametrize_with_checks(QUICK, expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.slow  # two minutes; the members' own behaviour is what differs from the quick one
@pytest.mark.timeout(600)
@parametrize_with_checks(BOOSTED, expected_failed_checks=expected_failures)
def test_scikit_learns_checks_with_boosters(estimator: Any, check: Any) -> None:
    check(estimator)


def homes(rows: int = 40) -> tuple[pd.DataFrame, pd.Series[float]]:
    random = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "size": random.rand(rows),
            "rooms": pd.array([1, 2, None, 4] * (rows // 4), dtype="Int64"),
            "town": random.choice(["oslo", "moss"], rows),
            "kind": pd.Categorical(random.choice([3, 7], rows)),
            "built": pd.date_range("2024-01-01", periods=rows),
            "open": random.rand(rows) > 0.5,
        },
        index=range(100, 100 + rows),
    )
    return frame, pd.Series(frame["size"] * 3 + (frame["town"] == "oslo"), name="price")


def test_it_trains_what_the_training_of_a_file_trains(tmp_path: Any) -> None:
    frame, target = homes()
    frame = frame.drop(columns="kind")
    file = tmp_path / "homes.parquet"
    frame.assign(price=target).to_parquet(file)
    table = read_file(file, Roles(target="price"))
    members = (MemberSpec("ridge", "ridge", {"alpha": 2.0}), MemberSpec("xgboost", "xgboost", {"num_round": 5}))
    expected = fit_ensemble(Recipe(members, blend="weighted", folds=FoldSpec(k=3), seed=4), table, None, 1)
    found = EnsembleRegressor(["ridge", "xgboost"], blend="weighted", folds=3, seed=4)
    found.set_params(ridge__alpha=2.0, xgboost__num_round=5).fit(frame, target)
    assert found.scores_ == expected.metrics
    assert found.weights_ == expected.ensemble.weights
    assert found.predict(frame).tolist() == expected.ensemble.predict(table.features).tolist()
    assert found.scores_["cv_rmse_blended"] == rmse(np.asarray(target), found.out_of_fold_)
    intervals = with_intervals(expected, table, 4).ensemble.intervals
    assert intervals is not None
    half = intervals.half_widths(np.array(table.features), found.predict(frame), 0.8, "level")
    ends = found.predict_interval(frame, level=0.8)
    assert ends.tolist() == np.column_stack([found.predict(frame) - half, found.predict(frame) + half]).tolist()
    for level, message in (
        (0.999, "level=0.999: the training rows of this model allow"),
        (1.5, "above 0 and below 1"),
        ("high", "level='high' is not a number"),
        (None, "level=None is not a number"),
    ):
        with pytest.raises(ValueError, match=message):
            found.predict_interval(frame, level)


def test_every_kind_of_table_gives_the_same_predictions() -> None:
    frame, target = homes()
    fitted = EnsembleRegressor(["ridge", "random_forest"], folds=2, params={"random_forest": {"n_estimators": 3}})
    expected = fitted.fit(frame, target).predict(frame)
    assert list(fitted.feature_names_in_) == list(frame.columns)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    nullable = frame.convert_dtypes(dtype_backend="pyarrow").astype({"kind": frame["kind"].dtype})
    for given in (arrow, nullable, frame.iloc[::-1].iloc[::-1]):
        again = clone(fitted).fit(given, target)
        assert list(again.feature_names_in_) == list(frame.columns)
        assert again.predict(frame).tolist() == expected.tolist()
        assert fitted.predict(given).tolist() == expected.tolist()
    assert pickle.loads(pickle.dumps(fitted)).predict(frame).tolist() == expected.tolist()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        assert fitted.predict(frame.to_numpy()).tolist() == expected.tolist()
    numbers = frame[["size", "open"]].to_numpy(dtype=np.float64)
    unnamed = clone(fitted).fit(pd.DataFrame(numbers), target)
    assert unnamed.predict(numbers).tolist() == unnamed.predict(pd.DataFrame(numbers)).tolist()


def test_polars_is_taken_too() -> None:
    pl = pytest.importorskip("polars")
    frame, target = homes()
    frame = frame[["size", "town"]]
    given = pl.DataFrame(frame.to_dict("list"))
    fitted = EnsembleRegressor(["ridge"], folds=2).fit(given, pl.Series(target))
    assert list(fitted.feature_names_in_) == ["size", "town"]
    assert fitted.predict(given).tolist() == clone(fitted).fit(frame, target).predict(frame).tolist()


def labels() -> pd.Series[str]:
    _, target = homes()
    return pd.Series(np.where(target > target.median(), "high", "low"), name="price")


def test_a_classifier_trains_what_the_training_of_a_file_trains(tmp_path: Any) -> None:
    frame, _ = homes()
    frame, target = frame.drop(columns="kind"), labels()
    file = tmp_path / "homes.parquet"
    frame.assign(price=target.to_numpy()).to_parquet(file)
    table = read_file(file, Roles(target="price"))
    recipe = Recipe(
        (MemberSpec("linear", "linear"), MemberSpec("random_forest", "random_forest", {"n_estimators": 3})),
        blend="weighted",
        folds=FoldSpec(k=3),
        objective="cv_logloss_blended",
        class_weight="balanced",
        threshold="f1",
    )
    expected = fit_ensemble(recipe, table, None, 1)
    found = EnsembleClassifier(["linear", "random_forest"], blend="weighted", folds=3)
    found.set_params(random_forest__n_estimators=3, class_weight="balanced", threshold="f1").fit(frame, target)
    assert found.classes_.tolist() == list(table.classes) == ["high", "low"]
    assert found.scores_ == expected.metrics
    probabilities = found.predict_proba(frame)
    assert probabilities.tolist() == expected.ensemble.predict(table.features).tolist()
    assert expected.ensemble.decision is not None
    places = expected.ensemble.decision.labels(probabilities)
    assert found.predict(frame).tolist() == [table.classes[place] for place in places]
    intervals = with_intervals(expected, table, 0).ensemble.intervals
    assert intervals is not None
    sets = found.predict_set(frame, level=0.7)
    assert sets.tolist() == intervals.sets(probabilities, places, 0.7, "level").tolist()
    assert sets[np.arange(len(places)), places].all()


@pytest.mark.parametrize("kind", [str, int, bool, float])
def test_labels_come_back_as_they_were_given(kind: type) -> None:
    frame, _ = homes()
    given = (labels() == "high").map({True: kind(1), False: kind(0)})
    found = EnsembleClassifier(["linear"], folds=2, class_weight={kind(0): 1, kind(1): 2}).fit(frame, given)
    assert found.classes_.tolist() == sorted({kind(0), kind(1)})
    assert set(found.predict(frame).tolist()) <= {kind(0), kind(1)}
    assert found.score(frame, given) > 0.7


@pytest.mark.parametrize("values", [("<=50K", ">50K"), ("Größe", "a&b"), ('a"b', "null"), ("", "x: y")])
def test_a_label_with_a_weight_may_be_any_text(values: tuple[str, str]) -> None:
    frame, _ = homes()
    given = labels().map(dict(zip(("low", "high"), values, strict=True)))
    found = EnsembleClassifier(["linear"], folds=2, class_weight=dict(zip(values, (1, 3), strict=True)))
    expected = tuple(1.0 if label == values[0] else 3.0 for label in sorted(values))
    assert found.fit(frame[["size"]], given).ensemble_.class_weights == expected


@pytest.mark.parametrize("kind", [int, bool, float, str])
@pytest.mark.parametrize("weights", [{0: 1, 1: 3}, {0.0: 1, 1.0: 3}, {np.int64(0): 1, np.int64(1): 3}])
def test_a_weight_is_found_by_a_label_that_is_equal(kind: type, weights: dict[Any, int]) -> None:
    frame, _ = homes()
    given = (labels() == "high").map({True: kind(1), False: kind(0)})
    found = EnsembleClassifier(["linear"], folds=2, class_weight=weights).fit(frame[["size"]], given)
    assert found.ensemble_.class_weights == (1.0, 3.0)


def test_refit_is_fitted_on_all_rows_and_scored_as_bag_is() -> None:
    frame, target = homes()
    frame = frame[["size", "open"]].astype("float64")
    bag, refit = (EnsembleRegressor(["ridge"], folds=2, final=final).fit(frame, target) for final in ("bag", "refit"))
    assert refit.scores_ == bag.scores_
    assert refit.predict(frame).tolist() != bag.predict(frame).tolist()


def test_parameters_of_members_can_be_searched() -> None:
    frame, target = homes()
    frame = frame[["size", "open"]].astype("float64")
    quick = EnsembleRegressor(["ridge", "nearest_neighbors"], folds=2)
    found = GridSearchCV(quick, {"ridge__alpha": [1e-3, 1e3], "blend": ["mean", "weighted"]}, cv=2).fit(frame, target)
    assert found.best_params_["ridge__alpha"] == 1e-3
    assert found.best_estimator_.get_params()["ridge__alpha"] == 1e-3
    scores = cross_val_score(make_pipeline(StandardScaler(), quick), frame, target, cv=2)
    assert np.isfinite(scores).all()


def test_weights_count() -> None:
    frame, target = homes()
    weights = np.where(np.arange(len(target)) < 20, 1.0, 1e-9)
    fitted = EnsembleRegressor(["ridge"], folds=2).fit(frame[["size"]], target, sample_weight=weights)
    assert (
        fitted.predict(frame[["size"]]).tolist()
        != clone(fitted).fit(frame[["size"]], target).predict(frame[["size"]]).tolist()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ensemble": "pear"}, "Did you mean 'pair'?"),
        ({"ensemble": ["ridge"], "params": {"ridge": {"alfa": 1}}}, "ridge has no parameter 'alfa'"),
        ({"folds": 1}, "dataset.folds.k: 1 is not an integer from 2 to 1000"),
        ({"final": "x"}, "ensemble.final='x' is not valid"),
        ({"blend": "average"}, "average"),
        ({"seed": -1}, "search.seed: -1"),
        ({"ensemble": {}}, "ensemble.members={} does not name a member"),
        ({"n_jobs": "all"}, "n_jobs='all': give a number of threads"),
        ({"n_jobs": 0}, "n_jobs=0: give a number of threads"),
        ({"params": []}, "ensemble.params: .* It must be a mapping"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_by_fit(settings: dict[str, Any], message: str) -> None:
    frame, target = homes()
    with pytest.raises(InputError, match=message) as raised:
        EnsembleRegressor(**settings).fit(frame, target)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda frame: frame.assign(size="big"), "column 'size' has 'big' in data row 1"),
        (lambda frame: frame.iloc[:0], "no rows"),
        (lambda frame: frame.drop(columns="size"), "feature names"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: Any, message: str) -> None:
    frame, target = homes()
    fitted = EnsembleRegressor(["ridge"], folds=2).fit(frame, target)
    with pytest.raises(ValueError, match=message):
        fitted.predict(rows(frame))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("given", [None, 3, True, "", b"x", [], {}, ["a"], object(), np.zeros(0)])
def test_what_is_not_a_table_is_one_error_that_names_the_argument(given: Any) -> None:
    frame, target = homes()
    fitted = EnsembleRegressor(["ridge"], folds=2).fit(frame, target)
    for name, call in [
        ("X", lambda: fitted.predict(given)),
        ("X", lambda: EnsembleRegressor(["ridge"]).fit(given, target)),
        ("y", lambda: EnsembleRegressor(["ridge"]).fit(frame, given)),
        ("X", lambda: EnsembleClassifier(["linear"]).fit(given, target > 1)),
        ("y", lambda: EnsembleClassifier(["linear"]).fit(frame, given)),
        ("level", lambda: fitted.predict_interval(frame, level=given)),
    ]:
        with pytest.raises(InputError, match=rf"\b{name}\b"):
            call()


@pytest.mark.parametrize("given", [np.nan, "", b"x", [], {}, ["a"], object(), -1, 0, [1.0, np.inf]])
def test_weights_that_are_not_numbers_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match="sample_weight"):
        EnsembleRegressor(["ridge"], folds=2).fit(*homes(), sample_weight=given)


def test_members_cannot_be_set_without_a_name() -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'depth' for estimator"):
        EnsembleRegressor().set_params(depth=3)
