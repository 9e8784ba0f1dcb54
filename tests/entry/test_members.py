"""The contract of ``Member``, over every member of the registry (``members``, ``own_class``)."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import catboost
import numpy as np
import pytest
import skops.io
import xgboost

from ensemble.errors import BundleError, EnsembleError, InputError
from ensemble.members import REGISTRY, Member, losses, member_class
from ensemble.parameters import ParamValue
from ensemble.wire import MEMBER_NAME
from tests.entry.conftest import OWN_MEMBER, QUICK, make_table

# ``test_class_members.py`` has the members that predict classes only.
REGRESSORS = [kind for kind, member in REGISTRY.items() if "regression" in member.tasks]
every_member = pytest.mark.parametrize("kind", REGRESSORS)

MAGIC = {".ubj": b"{", ".cbm": b"CBM1", ".skops": b"PK\x03\x04", ".txt": b"tree"}


def fitted(kind: str, *, rows: int = 80, seed: int = 0, threads: int = 1, missing: float = 0.1) -> Member:
    table = make_table(rows, missing=missing)
    member = REGISTRY[kind](QUICK[kind], seed=seed, threads=threads)
    member.fit(table.features, table.target)
    return member


@every_member
def test_two_threads_predict_what_one_does(kind: str) -> None:
    features = make_table(400, seed=1, missing=0.1).features
    one, two = (fitted(kind, rows=400, threads=threads).predict(features) for threads in (1, 2))
    assert np.array_equal(one, two)


def test_a_forest_adds_up_its_trees_in_one_order_whatever_the_threads() -> None:
    table = make_table(3000)
    forest = REGISTRY["random_forest"]({"n_estimators": 64, "max_depth": 6}, seed=0, threads=2)
    forest.fit(table.features, table.target)
    assert len({forest.predict(table.features).tobytes() for _ in range(10)}) == 1


@every_member
def test_a_second_fit_predicts_the_same(kind: str) -> None:
    features = make_table(seed=1, missing=0.1).features
    assert np.array_equal(fitted(kind).predict(features), fitted(kind).predict(features))


@pytest.mark.parametrize("kind", ["xgboost", "catboost", "random_forest", "ridge", "svr", "nearest_neighbors"])
def test_another_seed_predicts_something_else_if_the_member_depends_on_it(kind: str) -> None:
    features = make_table(seed=1).features
    same = np.array_equal(fitted(kind, seed=0).predict(features), fitted(kind, seed=1).predict(features))
    assert same != REGISTRY[kind].seeded


@every_member
def test_arguments_are_left_alone(kind: str) -> None:
    table = make_table(missing=0.1)
    features, target, params = table.features.copy(), table.target.copy(), dict(QUICK[kind])
    member = REGISTRY[kind](params, seed=0, threads=1)
    member.fit(features, target)
    member.predict(features)
    assert np.array_equal(features, table.features, equal_nan=True)
    assert np.array_equal(target, table.target)
    assert params == QUICK[kind]


@every_member
def test_predictions_are_one_finite_float_a_row(kind: str) -> None:
    predicted = fitted(kind).predict(make_table(7, seed=1, missing=0.1).features)
    assert predicted.shape == (7,)
    assert predicted.dtype == np.float64
    assert np.isfinite(predicted).all()


@every_member
def test_values_may_be_missing_that_never_were_in_fit(kind: str) -> None:
    member = fitted(kind, missing=0.0)
    assert np.isfinite(member.predict(np.full((2, 3), np.nan))).all()


@every_member
def test_a_column_without_any_value_is_survived(kind: str) -> None:
    table = make_table()
    features = np.column_stack([table.features, np.full(table.rows, np.nan)])
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1)
    member.fit(features, table.target)
    assert np.isfinite(member.predict(np.column_stack([table.features, np.zeros(table.rows)]))).all()


@every_member
def test_a_member_learns(kind: str) -> None:
    table = make_table(300)
    params = {"max_iter": 60, "width": 30} if kind == "mlp" else QUICK[kind]
    member = REGISTRY[kind](params, seed=0, threads=1)
    member.fit(table.features[:200], table.target[:200])
    errors = member.predict(table.features[200:]) - table.target[200:]
    assert np.mean(errors**2) < 0.9 * np.var(table.target[200:])


@every_member
@pytest.mark.parametrize("threads", [1, 2])
def test_a_loaded_member_predicts_exactly(kind: str, threads: int, tmp_path: Path) -> None:
    member = fitted(kind)
    path = tmp_path / f"model{member.suffix}"
    member.save(path)
    features = make_table(50, seed=1, missing=0.1).features
    loaded = REGISTRY[kind].load(path, threads=threads)
    assert np.array_equal(loaded.predict(features), member.predict(features))


@every_member
def test_a_saved_member_holds_no_pickle(kind: str, tmp_path: Path) -> None:
    member = fitted(kind)
    path = tmp_path / f"model{member.suffix}"
    member.save(path)
    assert path.read_bytes().startswith(MAGIC[member.suffix])
    if member.suffix != ".skops":
        return
    with zipfile.ZipFile(path) as archive:
        arrays = [name for name in archive.namelist() if name != "schema.json"]
        assert arrays
        for name in arrays:
            assert name.endswith(".npy")
            with archive.open(name) as file:
                np.load(file, allow_pickle=False)


@every_member
@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:-1], lambda data: b"garbage" * 50],
    ids=["empty", "half", "last byte gone", "garbage"],
)
def test_a_damaged_file_is_refused_by_name(kind: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    member = fitted(kind)
    path = tmp_path / f"model{member.suffix}"
    member.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError, match=r"is not an? \w+") as error:
        REGISTRY[kind].load(path, threads=1)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["random_forest", "ridge"])
def test_a_foreign_type_in_an_archive_is_refused_by_name(
    kind: str, tmp_path: Path, own_module: Callable[[str], str]
) -> None:
    name = own_module("from sklearn.linear_model import Ridge\nclass Foreign(Ridge):\n    pass\n")
    foreign = __import__(name).Foreign().fit(np.eye(3), np.arange(3.0))
    path = tmp_path / "model.skops"
    skops.io.dump(foreign, path)
    with pytest.raises(BundleError, match=r"own_member\.Foreign"):
        REGISTRY[kind].load(path, threads=1)


@pytest.mark.parametrize(("kind", "other"), [("ridge", "random_forest"), ("random_forest", "ridge")])
def test_an_archive_of_another_member_is_refused(kind: str, other: str, tmp_path: Path) -> None:
    member = REGISTRY[other]({}, seed=0, threads=1)
    member.fit(np.eye(4), np.arange(4.0))
    member.save(tmp_path / "model.skops")
    with pytest.raises(BundleError, match=f"which is not a {kind}"):
        REGISTRY[kind].load(tmp_path / "model.skops", threads=1)


def test_a_function_in_an_archive_is_refused_by_name(tmp_path: Path) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    path = tmp_path / "model.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(Path.unlink)), path)
    with pytest.raises(BundleError, match="unlink"):
        REGISTRY["ridge"].load(path, threads=1)


@every_member
def test_an_unknown_parameter_names_the_nearest(kind: str) -> None:
    name = max(REGISTRY[kind].parameters, key=len)
    with pytest.raises(InputError) as error:
        REGISTRY[kind].check({name[:-1]: 1}, "ensemble.params.a.{}")
    assert f"ensemble.params.a.{name[:-1]}: {kind} has no parameter" in str(error.value)
    assert f"Did you mean {name!r}?" in str(error.value)


@every_member
def test_parameters_are_checked_by_their_declaration(kind: str) -> None:
    assert REGISTRY[kind].check(QUICK[kind], "place") == QUICK[kind]
    with pytest.raises(InputError, match=r"^params\.\w+: \(\) is not "):
        REGISTRY[kind].check(dict.fromkeys(QUICK[kind], ()), "params.{}")


def test_a_member_whose_library_is_not_installed_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensemble.members.library_version", lambda name: None if name == "lightgbm" else "1")
    assert member_class("xgboost", "ensemble.members") is REGISTRY["xgboost"]
    with pytest.raises(InputError) as raised:
        member_class("lightgbm", "ensemble.members")
    assert str(raised.value) == (
        "ensemble.members: member lightgbm needs lightgbm, which is not installed: pip install -e '.[lightgbm]'. "
        "Containers need a line lightgbm in the file of mode.image.requirements."
    )


@every_member
def test_defaults_are_declared_and_in_their_domain(kind: str) -> None:
    member = REGISTRY[kind]
    assert member.check(member.defaults, "place") == member.defaults
    assert MEMBER_NAME.fullmatch(kind)


@every_member
def test_defaults_fill_in_for_what_is_not_set(kind: str) -> None:
    member = REGISTRY[kind]
    others = [{name: 1} for name in member.parameters if name not in member.defaults] or [{}]
    assert member(others[0], seed=0, threads=1).params == {**member.defaults, **member.growing, **others[0]}
    for name in member.defaults:
        growing = {} if name == member.rounds else member.growing
        assert member({name: 3}, seed=0, threads=1).params == {**member.defaults, **growing, name: 3}


def test_every_parameter_of_a_scikit_learn_member_is_known_to_its_estimator() -> None:
    for kind in ("random_forest", "ridge"):
        built = REGISTRY[kind]({}, seed=0, threads=1).build()  # type: ignore[attr-defined]
        estimator = built[-1] if hasattr(built, "steps") else built
        assert set(REGISTRY[kind].parameters) <= set(estimator.get_params())


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"^ensemble\.members: .* Did you mean 'catboost'\?"):
        member_class("cat_boost", "ensemble.members")


def test_the_users_own_class_is_found(own_module: Callable[[str], str]) -> None:
    found = member_class(own_module(OWN_MEMBER) + ":Constant", "place")
    member = found({"shift": 1.0}, seed=0, threads=1)
    member.fit(np.zeros((2, 1)), np.array([3.0, 5.0]))
    assert member.predict(np.zeros((3, 1))).tolist() == [5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("own_member:NoMember", "is not a subclass of"),
        ("own_member:function", "is not a subclass of"),
        ("own_member:Unfinished", "does not define fit, load, predict, save, which every member needs"),
        ("own_member:Absent", "entry.dependencies"),
        ("nowhere:Own", "entry.dependencies"),
        (":Own", "entry.dependencies"),
        ("own_member:", "entry.dependencies"),
    ],
)
def test_a_class_that_is_not_a_member_is_refused(kind: str, word: str, own_module: Callable[[str], str]) -> None:
    unfinished = "from ensemble.members import Member\nclass Unfinished(Member):\n    pass\n"
    own_module(f"class NoMember:\n    pass\ndef function():\n    pass\n{unfinished}")
    with pytest.raises(InputError, match=word) as error:
        member_class(kind, "ensemble.members")
    assert str(error.value).startswith(f"ensemble.members: {kind!r}")


def with_categories(rows: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(seed)
    many, few = random.randint(0, 30, rows).astype(float), random.randint(0, 3, rows).astype(float)
    number = random.normal(size=rows)
    target = 5 * np.nan_to_num(few) + many % 3 + number + random.normal(size=rows) * 0.1
    many[::11], few[::13], number[::7] = np.nan, np.nan, np.nan
    return np.column_stack([many, number, few]), target


CATEGORIES = {0: 31, 2: 4}


@every_member
def test_categories_gaps_and_values_not_seen_are_handled_and_survive_saving(kind: str, tmp_path: Path) -> None:
    features, target = with_categories()
    first, second = (REGISTRY[kind](QUICK[kind], seed=0, threads=threads, categories=CATEGORIES) for threads in (1, 2))
    first.fit(features, target)
    second.fit(features, target)
    later = np.vstack([with_categories(seed=1)[0], [[30.0, 0.0, 3.0], [np.nan] * 3]])
    predicted = first.predict(later)
    assert np.isfinite(predicted).all()
    assert np.array_equal(predicted, second.predict(later))
    path = tmp_path / f"model{REGISTRY[kind].suffix}"
    first.save(path)
    loaded = REGISTRY[kind].load(path, threads=1, categories=CATEGORIES)
    assert np.array_equal(loaded.predict(later), predicted)
    alone = np.concatenate([loaded.predict(later[row : row + 1]) for row in range(0, len(later), 9)])
    assert np.array_equal(alone, predicted[::9])


@pytest.mark.parametrize("kind", ["xgboost", "catboost", "ridge"])
def test_a_category_is_not_a_number(kind: str) -> None:
    random = np.random.RandomState(0)
    codes = random.randint(0, 8, 300).astype(float)
    effect = np.array([5, -5, 4, -4, 3, -3, 2, -2.0])
    target = effect[codes.astype(int)] + random.normal(size=300) * 0.1
    params = {"xgboost": {"num_round": 30, "max_depth": 1}, "catboost": {"iterations": 60, "depth": 1}, "ridge": {}}
    errors = []
    for categories in ({0: 8}, {}):
        member = REGISTRY[kind](params[kind], seed=0, threads=1, categories=categories)
        member.fit(codes[:, None], target)
        errors.append(np.mean((member.predict(codes[:, None]) - target) ** 2))
    assert errors[0] < errors[1] * 0.8


@pytest.mark.parametrize("kind", [kind for kind in REGRESSORS if REGISTRY[kind].weighs])
def test_weights_move_what_is_learnt(kind: str) -> None:
    table = make_table(100)
    weights = np.where(table.features[:, 0] > 0, 10.0, 0.1)
    plain, weighed = (REGISTRY[kind](QUICK[kind], seed=0, threads=1) for _ in range(2))
    plain.fit(table.features, table.target)
    weighed.fit(table.features, table.target, weights)
    assert not np.array_equal(plain.predict(table.features), weighed.predict(table.features))


@every_member
def test_seconds_grow_with_the_rows(kind: str) -> None:
    member = REGISTRY[kind]
    thousand, ten, hundred = (member.seconds(rows, 10, {}) for rows in (1_000, 10_000, 100_000))
    assert 0 < thousand <= ten < hundred


@pytest.mark.parametrize("name", ["HuberRegressor", "BayesianRidge", "AdaBoostRegressor", "LinearSVR", "Lasso"])
def test_any_regressor_of_scikit_learn_is_a_member(name: str, tmp_path: Path) -> None:
    table = make_table(missing=0.1)
    found = member_class(name, "ensemble.members")
    member = found({}, seed=0, threads=1)
    member.fit(table.features, table.target)
    member.save(tmp_path / "model")
    assert np.array_equal(
        found.load(tmp_path / "model", threads=1).predict(table.features), member.predict(table.features)
    )
    assert found is member_class(name, "ensemble.members")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "HuberRegresor",
            ["scikit-learn has no regressor or classifier 'HuberRegresor'", "Did you mean 'HuberRegressor'?"],
        ),
        ("VotingRegressor", ["VotingRegressor does not predict one target"]),
        ("MultiTaskLasso", ["MultiTaskLasso does not predict one target"]),
        ("KMeans", ["scikit-learn has no regressor or classifier 'KMeans'"]),
        ("VotingClassifier", ["VotingClassifier does not predict one target"]),
        ("LinearSVC", ["LinearSVC has no predict_proba"]),
        ("MultinomialNB", ["MultinomialNB takes no negative numbers"]),
    ],
)
def test_a_class_that_predicts_no_target_of_a_table_is_refused(name: str, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        member_class(name, "ensemble.members")
    assert [word for word in ["ensemble.members", *words] if word not in str(error.value)] == []


def test_a_regressors_parameters_are_as_scikit_learn_declares_them() -> None:
    huber = member_class("HuberRegressor", "ensemble.members")
    assert huber.check({"epsilon": 2, "max_iter": 50, "fit_intercept": False}, "{}") == {
        "epsilon": 2.0,
        "max_iter": 50,
        "fit_intercept": False,
    }
    with pytest.raises(InputError, match=r"epsilo: HuberRegressor has no parameter.*Did you mean 'epsilon'"):
        huber.check({"epsilo": 2}, "{}")
    with pytest.raises(InputError, match="'often' is not an integer"):
        huber.check({"max_iter": "often"}, "{}")


def test_a_regressor_that_needs_a_pickle_is_not_saved(tmp_path: Path) -> None:
    table = make_table(30)
    member = member_class("GaussianProcessRegressor", "ensemble.members")({}, seed=0, threads=1)
    member.fit(table.features, table.target)
    with pytest.raises(EnsembleError, match=r"cannot be saved without pickle: it holds sklearn\.gaussian_process"):
        member.save(tmp_path / "model")


# Targets of about 15, and the losses with options that each library has. XGBoost names its own in an error.
POSITIVE = make_table(300).target - 35


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        *(("xgboost", {"objective": objective}) for objective in losses.XGBOOST),
        *(
            (
                "catboost",
                {"iterations": 300, "loss_function": form.replace("<number>", "0.5" if "al" in form else "1.5")},
            )
            for form in losses.CATBOOST
        ),
        *(
            ("hist_gradient_boosting", {"max_iter": 20, "loss": loss})
            for loss in REGISTRY["hist_gradient_boosting"].by_task["loss"]["regression"]
        ),
        *(
            (forest, {"n_estimators": 5, "criterion": criterion})
            for forest in ("random_forest", "extra_trees")
            for criterion in REGISTRY[forest].by_task["criterion"]["regression"]
        ),
    ],
    ids=str,
)
def test_every_loss_predicts_on_the_targets_scale(kind: str, params: dict[str, ParamValue], tmp_path: Path) -> None:
    features, target = make_table(300).features, np.maximum(POSITIVE, 1.0)
    REGISTRY[kind].check(params, "{}")
    assert REGISTRY[kind].refusal(params, target, varies=True) is None
    member = REGISTRY[kind](params, seed=0, threads=1)
    member.fit(features, target)
    predicted = member.predict(features)
    assert np.median(predicted) == pytest.approx(np.median(target), rel=0.25)
    file = tmp_path / f"model{member.suffix}"
    member.save(file)
    assert np.array_equal(REGISTRY[kind].load(file, threads=1).predict(features), predicted)


def test_every_other_objective_of_xgboost_is_refused_by_name() -> None:
    with pytest.raises(xgboost.core.XGBoostError) as unknown:
        xgboost.train({"objective": "none"}, xgboost.DMatrix(np.zeros((2, 1)), np.zeros(2)), 1)
    known = re.findall(r"Objective candidate: (\S+)", str(unknown.value))
    assert {"survival:cox", "binary:logitraw", "rank:ndcg"} < set(known)
    for objective in set(known) - set(losses.XGBOOST) - set(losses.XGBOOST_CLASSES["binary"]):
        with pytest.raises(InputError, match=f"'{objective}' is not one of .* on the target's scale"):
            REGISTRY["xgboost"].check({"objective": objective}, "{}")


def test_every_other_loss_of_catboost_is_refused_by_name() -> None:
    # All words in the library that it accepts as the name of a loss.
    for loss in (
        *("LogLinQuantile", "LogLinQuantile:alpha=0.5", "Cox", "SurvivalAft", "RMSEWithUncertainty", "MultiRMSE"),
        *("MultiRMSEWithMissingValues", "MultiQuantile:alpha=0.1,0.9", "CrossEntropy", "QueryRMSE"),
        *("GroupQuantile", "PairLogit", "PairLogitPairwise", "YetiRank", "YetiRankPairwise", "LambdaMart"),
        *("StochasticRank", "QuerySoftMax", "QueryCrossEntropy", "Focal", "MultiClassOneVsAll"),
        *("MultiLogloss", "MultiCrossEntropy", "Huber", "Lq", "Expectile", "Tweedie", "rmse", "Quantile:alpha=x"),
        *("RMSE:hints=skip", "StochasticFilter", "UserPerObjMetric", "MSLE", "R2", "SMAPE", "NumErrors"),
    ):
        with pytest.raises(InputError, match=f"'{loss}' is not one of .* on the target's scale"):
            REGISTRY["catboost"].check({"loss_function": loss}, "{}")


def test_a_model_of_catboost_with_another_loss_is_not_loaded(tmp_path: Path) -> None:
    model = catboost.CatBoostRegressor(loss_function="Cox", iterations=2, verbose=False, allow_writing_files=False)
    model.fit(make_table().features, np.abs(make_table().target))
    model.save_model(str(tmp_path / "cox.cbm"))
    with pytest.raises(BundleError, match="loss_function=Cox, which does not predict the target"):
        REGISTRY["catboost"].load(tmp_path / "cox.cbm", threads=1)


@pytest.mark.parametrize(
    ("kind", "params", "target", "message"),
    [
        ("xgboost", {"objective": "reg:gamma"}, [0, 1], "the target must be above 0, and its smallest value is 0"),
        (
            "xgboost",
            {"objective": "reg:tweedie"},
            [-1, 1],
            "the target must be 0 or more, and its smallest value is -1",
        ),
        ("xgboost", {"objective": "reg:tweedie"}, [0, 0], "the target is 0 in every row"),
        ("xgboost", {"objective": "count:poisson"}, [-1, 1], "the target must be 0 or more"),
        ("xgboost", {"objective": "reg:squaredlogerror"}, [-1, 1], "the target must be above -1"),
        ("catboost", {"loss_function": "Poisson"}, [-1, 1], "the target must be 0 or more"),
        ("catboost", {"loss_function": "Tweedie:variance_power=1.5"}, [-1, 1], "the target must be 0 or more"),
        ("catboost", {"loss_function": "RMSPE"}, [0, 1], "the target must not be 0"),
        ("hist_gradient_boosting", {"loss": "gamma"}, [0, 1], "the target must be above 0"),
        ("hist_gradient_boosting", {"loss": "poisson"}, [0, 0], "the target is 0 in every row"),
        ("random_forest", {"criterion": "poisson"}, [-1, 1], "the target must be 0 or more"),
        ("GammaRegressor", {}, [0, 1], "the target must be above 0"),
        ("PoissonRegressor", {}, [-1, 1], "the target must be 0 or more"),
        ("TweedieRegressor", {"power": 3.0}, [0, 1], "the target must be above 0"),
        ("KNeighborsRegressor", {}, [1, 2], "there are 2 rows, fewer than n_neighbors=5"),
        ("HistGradientBoostingRegressor", {"loss": "poisson"}, [0, 0], "the target is 0 in every row"),
    ],
    ids=str,
)
def test_rows_that_the_library_refuses_are_refused_with_a_reason(
    kind: str, params: dict[str, ParamValue], target: list[float], message: str
) -> None:
    member = member_class(kind, "members")
    refused = member.refusal(params, np.array(target, dtype=float), varies=True)
    assert refused is not None
    assert message in refused
    if kind != "TweedieRegressor":  # it cannot be saved
        assert member.refusal(params, np.arange(1.0, 13.0), varies=True) is None


CONTRADICTIONS: list[tuple[str, dict[str, ParamValue], str]] = [
    ("catboost", {"loss_function": "Quantile:alpha=2"}, "alpha must be a number from 0 to 1"),
    ("catboost", {"loss_function": "Expectile:alpha=-1"}, "alpha must be"),
    ("catboost", {"loss_function": "Huber:delta=-1"}, "delta must be a number of at least 0"),
    ("catboost", {"loss_function": "Lq:q=0.5"}, "q must be a number from 1 to 16"),
    ("catboost", {"loss_function": "Tweedie:variance_power=2"}, "variance_power must be a number above 1 and below 2"),
    ("catboost", {"bootstrap_type": "Bayesian", "subsample": 0.5}, "does not take subsample"),
    ("catboost", {"bootstrap_type": "No", "bagging_temperature": 1.0}, "does not take bagging_temperature"),
    ("catboost", {"max_leaves": 5}, "grow_policy=Lossguide"),
    ("catboost", {"boosting_type": "Ordered", "grow_policy": "Depthwise"}, "grow_policy=SymmetricTree"),
    ("catboost", {"leaf_estimation_method": "Exact"}, "one of LogCosh, MAE"),
    ("catboost", {"leaf_estimation_method": "Newton", "loss_function": "MAE"}, "loss_function=MAE"),
    ("catboost", {"leaf_estimation_method": "Simple", "leaf_estimation_iterations": 5}, "leaf_estimation_iterations=1"),
    ("catboost", {"subsample": 0.001, "bootstrap_type": "Bernoulli"}, "takes fewer than 4 of 60 rows"),
    ("lightgbm", {"bagging_fraction": 0.01}, "takes none of 60 rows"),
    ("extra_trees", {"max_samples": 0.5}, "bootstrap=true"),
    ("random_forest", {"max_samples": 0.5, "bootstrap": False}, "bootstrap=true"),
    ("HuberRegressor", {"epsilon": 0.5}, "must be a float in the range"),
]


@pytest.mark.parametrize(("kind", "params", "reason"), CONTRADICTIONS)
def test_parameters_that_a_library_does_not_combine_are_refused(
    kind: str, params: dict[str, ParamValue], reason: str
) -> None:
    cls, table = member_class(kind, "place"), make_table(60)
    checked = cls.check(params, "place")
    assert reason in (cls.refusal(checked, table.target, varies=True) or "")
    assert set(params) <= set(cls.deciding)
    quick = QUICK.get(kind, {})
    with pytest.raises(Exception, match=r"."):
        cls({**quick, **checked}, seed=0, threads=1).fit(table.features, table.target)


@pytest.mark.parametrize("kind", ["GaussianProcessRegressor", "TweedieRegressor"])
def test_a_regressor_that_cannot_be_saved_is_refused_before_it_is_fitted(kind: str) -> None:
    cls = member_class(kind, "place")
    assert "cannot be saved without pickle" in (cls.refusal({}, make_table().target, varies=True) or "")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("xgboost", {"lambda": 1e300}),
        ("xgboost", {"eta": 1e-300}),
        ("xgboost", {"max_depth": 2**31}),
        ("xgboost", {"tweedie_variance_power": 2.0}),
        ("catboost", {"learning_rate": 1e-7}),
        ("catboost", {"bootstrap_type": "Poisson"}),
        ("catboost", {"score_function": "NewtonL2"}),
        ("random_forest", {"max_leaf_nodes": 2**31 - 1}),
        ("hist_gradient_boosting", {"min_samples_leaf": 2**63}),
        ("mlp", {"learning_rate_init": 1e30}),
    ],
)
def test_values_that_no_library_reads_are_outside_the_domain(kind: str, params: dict[str, ParamValue]) -> None:
    with pytest.raises(InputError):
        member_class(kind, "place").check(params, "place")


@every_member
def test_rows_without_any_value_are_survived(kind: str, tmp_path: Path) -> None:
    table = make_table(30)
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1)
    member.fit(np.full_like(table.features, np.nan), table.target)
    found = member.predict(table.features)
    assert np.isfinite(found).all()
    path = tmp_path / f"model{member.suffix}"
    member.save(path)
    assert np.array_equal(REGISTRY[kind].load(path, threads=1).predict(table.features), found)


def test_there_are_no_more_neighbours_than_rows() -> None:
    features, target = np.arange(6.0)[:, None], np.arange(6.0)
    member = REGISTRY["nearest_neighbors"]({"n_neighbors": 40, "weights": "uniform"}, seed=0, threads=1)
    member.fit(features, target)
    assert member.predict(features) == pytest.approx(np.full(6, target.mean()))


@pytest.mark.parametrize(
    "kind", ["xgboost", "catboost", "random_forest", "hist_gradient_boosting", "ridge", "svr", "mlp"]
)
@pytest.mark.parametrize("value", [0.0, 7.3, -1e12])
def test_a_constant_target_is_predicted(kind: str, value: float, tmp_path: Path) -> None:
    table = make_table()
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1, categories=None)
    member.fit(table.features, np.full(table.rows, value))
    assert member.predict(table.features) == pytest.approx(np.full(table.rows, value), rel=1e-6)
    file = tmp_path / f"model{member.suffix}"
    member.save(file)
    again = REGISTRY[kind].load(file, threads=1)
    assert np.array_equal(again.predict(table.features), member.predict(table.features))


def test_catboost_predicts_a_constant_with_categories_and_any_loss() -> None:
    features = np.column_stack([np.arange(20) % 3, np.zeros(20)]).astype(float)
    for loss in ("Poisson", "Quantile:alpha=0.9", "RMSE"):
        member = REGISTRY["catboost"]({"loss_function": loss}, seed=0, threads=1, categories={0: 3})
        member.fit(features, np.full(20, 5.0))
        assert member.predict(features).tolist() == [5.0] * 20


@pytest.mark.parametrize("size", [1e16, 1e17, 1e18, 1e19, 1e25])
def test_catboost_loads_what_it_saved_of_large_targets(size: float, tmp_path: Path) -> None:
    table = make_table()
    member = REGISTRY["catboost"](QUICK["catboost"], seed=0, threads=1)
    member.fit(table.features, table.target * size)
    member.save(tmp_path / "model.cbm")
    again = REGISTRY["catboost"].load(tmp_path / "model.cbm", threads=1)
    assert np.array_equal(again.predict(table.features), member.predict(table.features))


@pytest.mark.parametrize(
    "kind",
    [
        *("AdaBoostRegressor", "DecisionTreeRegressor", "ExtraTreeRegressor", "GammaRegressor", "KernelRidge"),
        *("GradientBoostingRegressor", "LinearSVR", "MLPRegressor", "PoissonRegressor", "SGDRegressor"),
        *("TweedieRegressor", "QuantileRegressor", "HuberRegressor", "TransformedTargetRegressor", "SVR"),
    ],
)
def test_every_loss_of_a_scikit_learn_regressor_predicts_on_the_targets_scale(kind: str) -> None:
    random = np.random.RandomState(0)
    rows = 3000 if kind == "SGDRegressor" else 100  # its steps with the Huber loss are small
    features = random.normal(size=(rows, 3))
    target = 5 + features[:, 0] + 0.1 * random.normal(size=rows)
    member = member_class(kind, "members")
    settings: list[dict[str, ParamValue]] = [{}]
    for name in ("loss", "criterion", "kernel"):
        if name in member.parameters:
            settings += [{name: choice} for choice in member.parameters[name].choices]
    if "link" in member.parameters:
        powers = (0.0, 1.0, 1.5, 2.0, 3.0)
        settings += [{"power": power, "link": link} for power in powers for link in ("auto", "identity", "log")]
    for params in settings:
        # These take the distances between rows, or only rows without negative numbers.
        if params.get("kernel") not in ("precomputed", "chi2", "additive_chi2"):
            fitted_member = member(params, seed=0, threads=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted_member.fit(features, target)
                predicted = fitted_member.predict(features)
            assert np.median(predicted) == pytest.approx(5, abs=1), params


@pytest.mark.parametrize(
    ("kind", "params", "rows", "reason"),
    [
        ("CCA", {}, 40, "n_components can be 1 only"),
        ("PLSCanonical", {"n_components": 3}, 40, "n_components can be 1 only"),
        ("PLSCanonical", {"n_components": 1}, 40, None),
        ("LassoCV", {}, 4, "there are 4 rows, fewer than the 5 folds"),
        ("OrthogonalMatchingPursuitCV", {}, 4, "there are 4 rows, fewer than the 5 folds"),
        ("ElasticNetCV", {}, 5, None),
    ],
)
def test_a_regressor_that_cannot_be_fitted_is_refused(
    kind: str, params: dict[str, ParamValue], rows: int, reason: str | None
) -> None:
    member, random = member_class(kind, "members"), np.random.RandomState(0)
    features, target = random.normal(size=(rows, 4)), random.normal(size=rows)
    refused = member.refusal(params, target, varies=True)
    assert refused is None if reason is None else reason in str(refused)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if reason is None:
            member(params, seed=0, threads=1).fit(features, target)
        else:
            with pytest.raises(ValueError, match=r"n_components|n_splits"):
                member(params, seed=0, threads=1).fit(features, target)


def test_support_vectors_end_with_a_huge_penalty() -> None:
    table = make_table(60)
    assert REGISTRY["svr"].defaults["max_iter"] == 2_000_000
    limited = REGISTRY["svr"]({"C": 1e12, "max_iter": 1000}, seed=0, threads=1)
    with pytest.warns(UserWarning, match="max_iter=1000"):
        limited.fit(table.features, table.target)
    assert np.isfinite(limited.predict(table.features)).all()
