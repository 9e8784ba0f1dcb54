"""The contract of ``Member`` for classes, over every member of the registry that predicts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ensemble.arrays import Floats
from ensemble.errors import BundleError
from ensemble.members import REGISTRY, Member, member_class, scikit
from ensemble.members.probabilities import in_columns, softmax
from ensemble.parameters import ParamValue
from tests.entry.conftest import QUICK as QUICK_FOR_QUANTITIES

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSIFIERS = [kind for kind, member in REGISTRY.items() if "binary" in member.tasks]
every_classifier = pytest.mark.parametrize("kind", CLASSIFIERS)
every_number = pytest.mark.parametrize("classes", [2, 5])
CATEGORIES = {1: 31, 3: 4}
QUICK: dict[str, dict[str, ParamValue]] = {
    **QUICK_FOR_QUANTITIES,
    "catboost": {"iterations": 4, "depth": 3, "learning_rate": 0.4},
    "mlp": {"width": 20, "layers": 2, "max_iter": 60, "learning_rate_init": 0.005, "alpha": 0.1},
}


def rows_of_classes(rows: int = 150, classes: int = 2, seed: int = 0) -> tuple[Floats, Floats]:
    """Return features, with gaps and two categories, and positions of classes that depend on them, all present."""
    random = np.random.RandomState(seed)
    number, other = random.normal(size=(2, rows))
    many, few = random.randint(0, 30, rows).astype(float), random.randint(0, 3, rows).astype(float)
    score = 2 * number + few + many % 3 + 0.5 * random.normal(size=rows)
    target = np.searchsorted(np.quantile(score, np.arange(1, classes) / classes), score).astype(float)
    number[::7], many[::11], few[::13] = np.nan, np.nan, np.nan
    features = np.column_stack([number, many, other, few])
    features.flags.writeable = target.flags.writeable = False
    return features, target


def fitted(kind: str, classes: int, *, threads: int = 1, seed: int = 0, rows: int = 150) -> Member:
    features, target = rows_of_classes(rows, classes)
    member = REGISTRY[kind](QUICK[kind], seed=seed, threads=threads, categories=CATEGORIES, classes=classes)
    member.fit(features, target)
    return member


# The last rows have values that were not among those of ``fit``, and no value at all.
LATER = np.vstack([rows_of_classes(60, seed=1)[0], [[0.0, 30.0, 1.0, 3.0], [np.nan] * 4]])


@every_classifier
@every_number
def test_probabilities_have_one_row_a_row_and_sum_to_one(kind: str, classes: int) -> None:
    predicted = fitted(kind, classes).predict(LATER)
    assert predicted.shape == (len(LATER), classes)
    assert predicted.dtype == np.float64
    assert predicted.min() >= 0
    assert predicted.sum(axis=1) == pytest.approx(np.ones(len(LATER)), abs=1e-9)


@every_classifier
@every_number
def test_threads_saving_and_other_rows_change_no_bit(kind: str, classes: int, tmp_path: Path) -> None:
    one, two, again = fitted(kind, classes), fitted(kind, classes, threads=2), fitted(kind, classes)
    predicted = one.predict(LATER)
    assert np.array_equal(two.predict(LATER), predicted)
    assert np.array_equal(again.predict(LATER), predicted)
    path = tmp_path / f"model{one.suffix}"
    one.save(path)
    for threads in (1, 2):
        loaded = REGISTRY[kind].load(path, threads=threads, categories=CATEGORIES, classes=classes)
        assert np.array_equal(loaded.predict(LATER), predicted)
    alone = np.concatenate([loaded.predict(LATER[row : row + 1]) for row in range(len(LATER))])
    assert np.array_equal(alone, predicted)
    assert all(np.array_equal(each, predicted) for each in type(one).predict_each([one, loaded], LATER))


@every_classifier
@every_number
def test_a_member_learns_the_classes(kind: str, classes: int) -> None:
    features, target = rows_of_classes(600, classes)
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1, categories=CATEGORIES, classes=classes)
    member.fit(features[:450], target[:450])
    found = member.predict(features[450:])
    given = found[np.arange(150), target[450:].astype(int)]
    assert -np.log(np.maximum(given, 1e-15)).mean() < 0.9 * np.log(classes)
    assert (found.argmax(axis=1) == target[450:]).mean() > 1.3 / classes


@every_classifier
@pytest.mark.parametrize("absent", [0, 2, 4])
def test_a_class_that_is_not_among_the_rows_has_its_column(kind: str, absent: int, tmp_path: Path) -> None:
    features, target = rows_of_classes(150, 5)
    rows = target != absent
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1, categories=CATEGORIES, classes=5)
    member.fit(features[rows], target[rows])
    predicted = member.predict(features)
    assert predicted.shape == (150, 5)
    assert predicted.sum(axis=1) == pytest.approx(np.ones(150), abs=1e-9)
    assert predicted[:, absent].max() < 0.2
    assert (predicted.argmax(axis=1) == target)[rows].mean() > 0.3
    path = tmp_path / f"model{member.suffix}"
    member.save(path)
    loaded = REGISTRY[kind].load(path, threads=1, categories=CATEGORIES, classes=5)
    assert np.array_equal(loaded.predict(features), predicted)


@every_classifier
@pytest.mark.parametrize(("classes", "only"), [(2, 0), (2, 1), (5, 3)])
def test_rows_of_one_class_predict_this_class(kind: str, classes: int, only: int, tmp_path: Path) -> None:
    features, _ = rows_of_classes()
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1, categories=CATEGORIES, classes=classes)
    member.fit(features, np.full(len(features), float(only)))
    predicted = member.predict(LATER)
    assert predicted.shape == (len(LATER), classes)
    assert predicted.sum(axis=1) == pytest.approx(np.ones(len(LATER)), abs=1e-9)
    assert (predicted.argmax(axis=1) == only).all()
    path = tmp_path / f"model{member.suffix}"
    member.save(path)
    loaded = REGISTRY[kind].load(path, threads=1, categories=CATEGORIES, classes=classes)
    assert np.array_equal(loaded.predict(LATER), predicted)
    assert np.array_equal(loaded.predict(LATER[:1]), predicted[:1])


@every_classifier
def test_one_class_and_a_category_with_fewer_values_than_there_are_classes(kind: str) -> None:
    features = np.column_stack([np.arange(40.0) % 2, np.arange(40.0)])
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1, categories={0: 2}, classes=7)
    member.fit(features, np.full(40, 6.0))
    assert (member.predict(features).argmax(axis=1) == 6).all()


@every_classifier
def test_classes_leave_arguments_alone(kind: str) -> None:
    features, target = (part.copy() for part in rows_of_classes())
    params = dict(QUICK[kind])
    member = REGISTRY[kind](params, seed=0, threads=1, categories=CATEGORIES, classes=2)
    member.fit(features, target)
    member.predict(features)
    assert np.array_equal(features, rows_of_classes()[0], equal_nan=True)
    assert np.array_equal(target, rows_of_classes()[1])
    assert params == QUICK[kind]


@pytest.mark.parametrize("kind", [kind for kind in CLASSIFIERS if REGISTRY[kind].weighs])
@every_number
def test_weights_move_probabilities(kind: str, classes: int) -> None:
    features, target = rows_of_classes(classes=classes)
    weights = np.where(target == 0, 10.0, 0.1)
    member = REGISTRY[kind](QUICK[kind], seed=0, threads=1, categories=CATEGORIES, classes=classes)
    member.fit(features, target, weights)
    assert member.predict(LATER)[:, 0].mean() > fitted(kind, classes).predict(LATER)[:, 0].mean() + 0.05


@every_classifier
def test_columns_and_rows_without_any_value_are_survived_for_classes(kind: str) -> None:
    target = rows_of_classes(40, 3)[1]
    for features in (np.full((40, 2), np.nan), np.column_stack([np.full(40, np.nan), np.arange(40.0)])):
        member = REGISTRY[kind](QUICK[kind], seed=0, threads=1, classes=3)
        member.fit(features, target)
        assert np.isfinite(member.predict(np.zeros((3, 2)))).all()


@every_classifier
def test_defaults_for_classes_are_in_their_domain_and_give_way(kind: str) -> None:
    member = REGISTRY[kind]
    for defaults in (member.class_defaults, member.class_growing):
        assert member.check(defaults, "place") == defaults
    expected = {**member.defaults_for(2), **(member.growing if member.rounds else {}), **member.class_growing}
    assert member({}, seed=0, threads=1, classes=2).params == expected
    for name, value in member.check({**member.class_defaults, **member.class_growing}, "place").items():
        assert member({name: 7}, seed=0, threads=1, classes=2).params[name] == 7
        assert member({}, seed=0, threads=1).params.get(name) != value


@every_classifier
def test_seconds_grow_with_rows_and_classes(kind: str) -> None:
    member = REGISTRY[kind]
    few, many = (member.seconds(rows, 10, {}, classes=2) for rows in (1_000, 100_000))
    assert 0 < few < many
    assert few <= member.seconds(1_000, 10, {}, classes=10)


@pytest.mark.parametrize(
    ("kind", "params", "classes", "reason"),
    [
        ("xgboost", {"objective": "reg:gamma"}, 2, "objective=reg:gamma is not for a target of two classes"),
        ("xgboost", {"objective": "binary:logistic"}, 3, "three or more classes, which takes multi:softprob"),
        ("xgboost", {"objective": "binary:logistic"}, 0, "a target of a quantity, which takes count:poisson"),
        ("xgboost", {"huber_slope": 1.0}, 2, "huber_slope is not for a target of two classes"),
        ("catboost", {"loss_function": "RMSE"}, 2, "a target of two classes, which takes Logloss, MultiClass"),
        ("catboost", {"loss_function": "Logloss"}, 3, "three or more classes, which takes MultiClass"),
        ("catboost", {"loss_function": "MultiClass"}, 0, "a target of a quantity, which takes Expectile"),
        ("catboost", {"leaf_estimation_method": "Exact"}, 2, "leaf_estimation_method=Exact needs loss_function"),
        ("random_forest", {"criterion": "squared_error"}, 2, "two classes, which takes entropy, gini, log_loss"),
        ("hist_gradient_boosting", {"loss": "squared_error"}, 3, "classes, which takes log_loss"),
        ("hist_gradient_boosting", {"loss": "log_loss"}, 0, "a target of a quantity, which takes absolute_error"),
        ("extra_trees", {"criterion": "gini"}, 0, "a target of a quantity, which takes absolute_error"),
    ],
    ids=str,
)
def test_a_value_for_another_task_is_refused(
    kind: str, params: dict[str, ParamValue], classes: int, reason: str
) -> None:
    member, target = REGISTRY[kind], np.arange(30.0) % max(classes, 2)
    checked = member.check(params, "{}")
    assert reason in (member.refusal(checked, target, varies=True, classes=classes) or "")
    assert set(params) <= set(member.deciding)
    assert member.refusal({}, target, varies=True, classes=classes) is None


@pytest.mark.parametrize(
    ("kind", "params", "classes"),
    [
        ("xgboost", {"objective": "binary:logistic"}, 2),
        ("xgboost", {"objective": "multi:softprob"}, 2),
        ("catboost", {"loss_function": "Logloss"}, 2),
        ("catboost", {"loss_function": "MultiClass"}, 2),
        *(("random_forest", {"criterion": criterion}, 3) for criterion in ("gini", "entropy", "log_loss")),
        *(("catboost", {"boosting_type": kind}, 3) for kind in ("Ordered", "Plain")),
        *(("catboost", {"bootstrap_type": kind}, 3) for kind in ("Bayesian", "Bernoulli", "MVS", "No")),
        *(("catboost", {"leaf_estimation_method": kind}, 3) for kind in ("Newton", "Gradient")),
    ],
    ids=str,
)
def test_every_loss_of_classes_predicts_their_frequencies(
    kind: str, params: dict[str, ParamValue], classes: int
) -> None:
    features, target = rows_of_classes(300, classes)
    member = REGISTRY[kind]({**QUICK[kind], **params}, seed=0, threads=1, categories=CATEGORIES, classes=classes)
    assert member.refusal(params, target, varies=True, classes=classes) is None
    member.fit(features, target)
    assert member.predict(features).mean(axis=0) == pytest.approx(np.full(classes, 1 / classes), abs=0.1)


def test_a_model_of_catboost_for_another_task_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.cbm"
    fitted("catboost", 2).save(path)
    for classes in (0, 3):
        with pytest.raises(BundleError, match="loss_function=Logloss, which does not predict the target"):
            REGISTRY["catboost"].load(path, threads=1, categories=CATEGORIES, classes=classes)


@pytest.mark.parametrize(
    "name",
    ["AdaBoostClassifier", "GaussianNB", "LinearDiscriminantAnalysis", "GradientBoostingClassifier", "SGDClassifier"],
)
@every_number
def test_any_classifier_of_scikit_learn_is_a_member(name: str, classes: int, tmp_path: Path) -> None:
    found = member_class(name, "ensemble.members")
    few: dict[str, ParamValue] = {"n_estimators": 10}  # by default 50 or 100
    given: dict[str, dict[str, ParamValue]] = {"AdaBoostClassifier": few, "GradientBoostingClassifier": few}
    given["SGDClassifier"] = {"loss": "log_loss"}
    params = given.get(name, {})
    features, target = rows_of_classes(150, classes)
    assert found.tasks == {"binary", "multiclass"}
    assert found.refusal(params, target, varies=True, classes=classes) is None
    for rows in (target >= 0, target != 1, target == 0):  # all classes, without one, and only one
        member = found(params, seed=0, threads=1, categories=CATEGORIES, classes=classes)
        member.fit(features[rows], target[rows])
        predicted = member.predict(features)
        assert predicted.shape == (150, classes)
        assert predicted.sum(axis=1) == pytest.approx(np.ones(150), abs=1e-9)
        member.save(tmp_path / "model")
        loaded = found.load(tmp_path / "model", threads=1, categories=CATEGORIES, classes=classes)
        assert np.array_equal(loaded.predict(features), predicted)


@pytest.mark.parametrize(
    ("name", "params", "reason"),
    [
        ("SGDClassifier", {}, "SGDClassifier has no predict_proba with these parameters"),
        ("KNeighborsClassifier", {"n_neighbors": 200}, "fewer than n_neighbors=200"),
        ("DecisionTreeClassifier", {"min_samples_leaf": 0}, "min_samples_leaf"),
        ("GaussianProcessClassifier", {}, "cannot be saved without pickle"),
    ],
)
def test_a_classifier_that_cannot_be_used_is_refused_before_it_is_fitted(
    name: str, params: dict[str, ParamValue], reason: str
) -> None:
    target = rows_of_classes()[1]
    assert reason in (member_class(name, "place").refusal(params, target, varies=True, classes=2) or "")


OWN_CLASSIFIER = """
import json
import numpy as np
from ensemble.members import Member

class Frequencies(Member):
    kind = "frequencies"
    suffix = ".json"
    libraries = ()
    parameters = {}
    tasks = frozenset({"binary", "multiclass"})

    def fit(self, features, target, weights=None):
        self.shares = np.bincount(target.astype(int), weights, minlength=self.classes) / len(target)

    def predict(self, features):
        return np.tile(self.shares, (len(features), 1))

    def save(self, path):
        path.write_text(json.dumps(self.shares.tolist()))

    @classmethod
    def load(cls, path, *, threads, categories=None, classes=0):
        member = cls({}, seed=0, threads=threads, categories=categories, classes=classes)
        member.shares = np.array(json.loads(path.read_text()))
        return member
"""


def test_the_users_own_classifier_is_a_member(own_module: Callable[[str], str], tmp_path: Path) -> None:
    found = member_class(own_module(OWN_CLASSIFIER) + ":Frequencies", "place")
    member = found({}, seed=0, threads=1, classes=3)
    member.fit(np.zeros((4, 1)), np.array([0.0, 2.0, 2.0, 2.0]))
    assert member.predict(np.zeros((2, 1))).tolist() == [[0.25, 0.0, 0.75]] * 2
    member.save(tmp_path / "model.json")
    again = found.load(tmp_path / "model.json", threads=1, classes=3)
    assert again.predict(np.zeros((1, 1))).tolist() == [[0.25, 0.0, 0.75]]


def test_probabilities_of_a_row_do_not_depend_on_the_others() -> None:
    random = np.random.RandomState(0)
    for classes in (1, 2, 3, 9, 40):
        scores = 30 * random.normal(size=(500, classes))
        found = softmax(scores[:, 0] if classes == 1 else scores)
        alone = [softmax(row[:1] if classes == 1 else row[None])[0] for row in scores]
        assert np.array_equal(found, np.array(alone))
        assert found.sum(axis=1) == pytest.approx(np.ones(500), abs=1e-12)
    assert softmax(np.array([-900.0, 0.0, 900.0])).tolist() == [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    assert in_columns(np.array([[0.25, 0.75]]), [0, 2], 4).tolist() == [[0.25, 0.0, 0.75, 0.0]]


@pytest.mark.parametrize("kind", ["random_forest", "extra_trees"])
def test_a_forest_of_many_classes_keeps_a_bounded_number_of_numbers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 20_000
    monkeypatch.setattr(scikit, "MOST_NUMBERS", most)
    kept = {}
    for classes in (scikit.MANY_CLASSES, 2 * scikit.MANY_CLASSES):
        features, target = rows_of_classes(400, classes)
        member = REGISTRY[kind]({"n_estimators": 10}, seed=0, threads=1, categories=CATEGORIES, classes=classes)
        member.fit(features, target)
        kept[classes] = sum(tree.tree_.value.size for tree in member._estimator[-1].estimators_)  # type: ignore[attr-defined]
    assert kept[scikit.MANY_CLASSES] > most  # the numbers of few classes do not change
    assert kept[2 * scikit.MANY_CLASSES] <= most
