"""The training of an ensemble for classes, its bundle and the entry script."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss
from sklearn.utils.class_weight import compute_class_weight

from ensemble.blending import CALIBRATION_ROWS, Rows
from ensemble.bundle import load_bundle, read_manifest, save_bundle
from ensemble.channel import write_channel
from ensemble.cli import main
from ensemble.decision import fit_threshold
from ensemble.errors import BundleError, EnsembleError, InputError, MemberError
from ensemble.evaluation import accuracy, make_folds
from ensemble.known_fits import Known
from ensemble.nested_blend import blender_of
from ensemble.racing import RaceLost, Rival
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Table
from ensemble.training import Training, fit_again, fit_ensemble
from tests.entry.conftest import QUICK, make_class_table

MEMBERS = ("xgboost", "extra_trees")
BINARY, MULTICLASS = make_class_table(classes=2, missing=0.1), make_class_table(classes=3, missing=0.1)
TABLES = {"binary": BINARY, "multiclass": MULTICLASS}
UNSEEN = {task: make_class_table(40, len(table.classes), 1, 0.1) for task, table in TABLES.items()}
every_task = pytest.mark.parametrize("task", sorted(TABLES))


def recipe(*kinds: str, **more: Any) -> Recipe:
    members = tuple(MemberSpec(kind, kind, QUICK[kind]) for kind in kinds or MEMBERS)
    return Recipe(members, **{"folds": FoldSpec(k=3), "objective": "cv_logloss_blended", **more})


def equal(one: Training, other: Training) -> bool:
    return (
        one.metrics == other.metrics
        and one.ensemble.blend == other.ensemble.blend
        and one.ensemble.decision == other.ensemble.decision
        and np.array_equal(one.out_of_fold, other.out_of_fold, equal_nan=True)
    )


@every_task
@pytest.mark.parametrize("blend", ["weighted", "stacking"])
def test_one_and_two_threads_and_the_loaded_bundle_give_the_same_bits(task: str, blend: str, tmp_path: Path) -> None:
    table, rows = TABLES[task], UNSEEN[task]
    what = recipe(blend=blend, threshold="f1" if task == "binary" else 0.5)
    one, two = (fit_ensemble(what, table, rows, threads) for threads in (1, 2))
    assert equal(one, two)
    save_bundle(tmp_path, what, one, table, table.content_hash())
    found = load_bundle(tmp_path, threads=2)
    predicted = found.ensemble.predict(rows.features)
    assert np.array_equal(predicted, one.ensemble.predict(rows.features))
    assert np.array_equal(found.ensemble.predict(rows.features[5:6]), predicted[5:6])
    assert found.ensemble.decision == one.ensemble.decision
    assert (found.classes, found.positive) == (table.classes, table.positive)
    assert np.array_equal(found.example()[1], one.ensemble.predict(table.features[:5]))
    assert predicted.shape == (40, len(table.classes))
    assert predicted.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-9)


@every_task
def test_scores_are_of_predictions_by_models_and_blends_that_have_not_seen_the_rows(task: str) -> None:
    table = TABLES[task]
    what = recipe(blend="weighted", threshold="f1" if task == "binary" else 0.5, objective="cv_f1_blended")
    training = fit_ensemble(what, table, None, 1)
    folds = make_folds(what.folds, table.rows, what.seed, None, table.target)
    blender, blended = blender_of(what, table), np.empty((table.rows, len(table.classes)))
    labels = np.empty(table.rows)
    for number, fold in enumerate(folds):
        for place, name in enumerate(MEMBERS):
            again = training.ensemble.models[name][number].predict(table.features[fold.score])
            assert np.array_equal(again, training.out_of_fold[fold.score, place])
        rows = Rows(training.out_of_fold[fold.fit], table.target[fold.fit], table.features[fold.fit])
        blend = blender.fit(rows)
        blended[fold.score] = blend.predict(training.out_of_fold[fold.score], table.features[fold.score])
        labels[fold.score] = blended[fold.score].argmax(axis=1)
        if task == "binary":
            seen = blend.predict(rows.predictions, rows.features)
            threshold = fit_threshold("f1", 1, seen, rows.target)
            labels[fold.score] = blended[fold.score][:, 1] >= threshold
        name = f"cv_logloss_blended_fold_{number}"
        expected = log_loss(table.target[fold.score], blended[fold.score], labels=range(len(table.classes)))
        assert training.metrics[name] == pytest.approx(expected)
        expected = f1_score(table.target[fold.score], labels[fold.score], average="macro")
        assert training.metrics[f"cv_f1_blended_fold_{number}"] == pytest.approx(expected)
    assert np.array_equal(blended, training.out_of_fold_blended)
    assert training.labels is not None
    assert np.array_equal(labels, training.labels)
    assert training.metrics["cv_logloss_blended"] == pytest.approx(log_loss(table.target, blended))
    assert training.metrics["cv_f1_blended"] == pytest.approx(f1_score(table.target, labels, average="macro"))
    expected = log_loss(table.target, training.out_of_fold[:, 0])
    assert training.metrics["cv_logloss_xgboost"] == pytest.approx(expected)


def test_validation_rows_get_the_label_of_the_threshold(tmp_path: Path) -> None:
    rows = UNSEEN["binary"]
    what = recipe(threshold=0.2, blend="mean")
    training = fit_ensemble(what, BINARY, rows, 1)
    labels = training.ensemble.predict(rows.features)[:, 1] >= 0.2
    assert training.metrics["validation_f1_blended"] == pytest.approx(f1_score(rows.target, labels, average="macro"))
    member = training.ensemble.predict_members(rows.features)[:, 0].argmax(axis=1)
    assert training.metrics["validation_f1_xgboost"] == pytest.approx(f1_score(rows.target, member, average="macro"))


@every_task
def test_weights_of_classes_are_weights_of_their_rows(task: str) -> None:
    table, rows = TABLES[task], UNSEEN[task]
    rare = np.flatnonzero((table.target > 0) | (np.arange(table.rows) % 3 == 0))
    table = table.take(rare)
    balanced = compute_class_weight("balanced", classes=np.unique(table.target), y=table.target)
    asked = fit_ensemble(recipe(class_weight="balanced", blend="stacking"), table, rows, 1)
    by_hand = replace(table, weights=balanced[table.target.astype(int)])
    unseen = replace(rows, weights=balanced[rows.target.astype(int)])
    expected = fit_ensemble(recipe(blend="stacking"), by_hand, unseen, 1)
    assert asked.metrics == pytest.approx(expected.metrics)
    assert asked.weights == pytest.approx(by_hand.weights)
    assert asked.metrics != pytest.approx(fit_ensemble(recipe(blend="stacking"), table, rows, 1).metrics)
    refitted = recipe(class_weight="balanced", final="refit")
    once = fit_ensemble(refitted, table, None, 1)
    again = fit_again(refitted, table, once.ensemble, 1)
    assert np.array_equal(again.predict(rows.features), once.ensemble.predict(rows.features))


def test_weights_of_classes_multiply_those_of_rows() -> None:
    row_weights = np.random.RandomState(0).uniform(0.5, 2, BINARY.rows)
    table = replace(BINARY, weights=row_weights)
    found = fit_ensemble(recipe(class_weight={"class 0": 1, "class 1": 3}), table, None, 1)
    assert found.weights == pytest.approx(row_weights * np.where(BINARY.target == 1, 3, 1))


def test_a_class_with_one_row_is_trained_and_scored(tmp_path: Path) -> None:
    kept = np.flatnonzero((MULTICLASS.target < 2) | (np.arange(MULTICLASS.rows) == np.argmax(MULTICLASS.target == 2)))
    table = MULTICLASS.take(kept)
    assert (table.target == 2).sum() == 1
    training = fit_ensemble(recipe(blend="stacking"), table, UNSEEN["multiclass"], 1)
    assert np.isfinite(list(training.metrics.values())).all()
    assert training.ensemble.predict(table.features).shape == (table.rows, 3)


@every_task
def test_rounds_are_found_on_the_log_loss_of_all_folds(task: str) -> None:
    table = TABLES[task]
    what = Recipe((MemberSpec("xgboost", "xgboost", {"eta": 0.5, "max_depth": 3}),), folds=FoldSpec(k=3))
    what = replace(what, objective="cv_logloss_blended", calibrate=False)
    found = fit_ensemble(what, table, None, 1)
    rounds = found.rounds["xgboost"]
    losses = {}
    for number in (max(1, rounds - 3), rounds, rounds + 3):
        fixed = replace(what.members[0], params={"eta": 0.5, "max_depth": 3, "num_round": number})
        losses[number] = fit_ensemble(replace(what, members=(fixed,)), table, None, 1).metrics["cv_logloss_xgboost"]
    assert min(losses, key=losses.__getitem__) == rounds
    assert losses[rounds] == pytest.approx(found.metrics["cv_logloss_xgboost"])


def test_known_fits_give_the_same_numbers() -> None:
    what = recipe(blend="log_pool")
    first = fit_ensemble(what, MULTICLASS, UNSEEN["multiclass"], 1)
    again = fit_ensemble(what, MULTICLASS, UNSEEN["multiclass"], 1, known=Known(first.fits))
    assert equal(first, again)


def test_a_training_that_cannot_win_is_stopped() -> None:
    what = recipe(folds=FoldSpec(k=5))
    whole = fit_ensemble(what, MULTICLASS, None, 1, Rival())
    value = whole.metrics["cv_logloss_blended"]
    better = Rival(value / 3, tuple(tuple(score / 3 for score in standing) for standing in whole.standings))
    with pytest.raises(RaceLost) as lost:
        fit_ensemble(what, MULTICLASS, None, 1, better)
    done = len(lost.value.folds)
    assert lost.value.folds == whole.standings[done - 1]
    assert f"cv_logloss_xgboost_fold_{done - 1}" in lost.value.metrics
    maximised = replace(what, objective="cv_auc_blended")
    best = Rival(1.0, tuple(tuple(1.0 for _ in standing) for standing in whole.standings))
    with pytest.raises(RaceLost):
        fit_ensemble(maximised, MULTICLASS, None, 1, best)


def test_a_fold_of_one_class_has_no_auc_and_ends_no_race() -> None:
    target = np.sort(BINARY.target)[::-1].copy()  # the last folds in time have the first class only
    table = replace(BINARY, target=target, fold_keys=np.arange(BINARY.rows, dtype=float))
    what = recipe("extra_trees", folds=FoldSpec("time", 5))
    auc = fit_ensemble(replace(what, objective="cv_auc_blended"), table, None, 1, Rival())
    assert "cv_auc_blended_fold_4" in auc.metrics
    assert auc.standings == [[]] * 4
    standings = fit_ensemble(what, table, None, 1, Rival()).standings
    assert [len(scores) for scores in standings] == [0, 2, 3, 4]
    with pytest.raises(RaceLost) as lost:
        fit_ensemble(what, table, None, 1, Rival(-1.0, tuple(tuple(-1.0 for _ in scores) for scores in standings)))
    assert "cv_logloss_extra_trees_fold_1" in lost.value.metrics
    assert all(np.isfinite(list(lost.value.metrics.values())))


def test_folds_in_time_score_rows_after_those_of_the_fit() -> None:
    table = replace(BINARY, fold_keys=np.arange(BINARY.rows, dtype=float))
    training = fit_ensemble(recipe(folds=FoldSpec("time", 3), blend="weighted", threshold=0.3), table, None, 1)
    assert training.labels is not None
    unscored = training.fold_of_row[:, 0] < 0
    assert (training.labels[unscored] == -1).all()
    assert np.isnan(training.out_of_fold_blended[unscored]).all()
    scored = training.out_of_fold_blended[~unscored]
    assert np.array_equal(training.labels[~unscored], scored[:, 1] >= 0.3)


def test_fixed_weights_apply_to_the_first_fold_in_time_too() -> None:
    table = replace(BINARY, fold_keys=np.arange(BINARY.rows, dtype=float))
    fixed = {"blend": "fixed", "weights": {"xgboost": 1.0, "extra_trees": 0.0}}
    metrics = fit_ensemble(recipe(folds=FoldSpec("time", 3), **fixed), table, None, 1).metrics
    for score in ("logloss", "auc"):
        assert metrics[f"cv_{score}_blended_fold_0"] == metrics[f"cv_{score}_xgboost_fold_0"]


def test_repeated_folds_average_probabilities() -> None:
    training = fit_ensemble(recipe(folds=FoldSpec("repeated", 3, 2), blend="stacking"), MULTICLASS, None, 1)
    assert training.by_repeat.shape == (2, MULTICLASS.rows, 2, 3)
    assert training.out_of_fold == pytest.approx(training.by_repeat.mean(axis=0))
    assert training.out_of_fold_blended.sum(axis=1) == pytest.approx(np.ones(MULTICLASS.rows))
    assert training.metrics["cv_accuracy_blended"] == pytest.approx(
        np.mean([accuracy(MULTICLASS.target, labels) for labels in training.labels_by_repeat])  # type: ignore[union-attr]
    )


def test_few_rows_are_not_calibrated_and_that_is_noted() -> None:
    few = make_class_table(CALIBRATION_ROWS - 6, 2)
    training = fit_ensemble(recipe(), few, None, 1)
    assert training.ensemble.blend.temperature == 1.0
    assert training.notes == ("the probabilities are not calibrated: that needs 50 rows, and there are 44.",)
    enough = fit_ensemble(recipe(), BINARY, None, 1)
    assert (enough.notes, enough.ensemble.blend.temperature == 1.0) == ((), False)
    assert fit_ensemble(recipe(calibrate=False), BINARY, None, 1).ensemble.blend.temperature == 1.0


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        (
            "binary",
            {"objective": "cv_rmse_blended"},
            [
                "objective=cv_rmse_blended is a score of quantities, and the target 'y' has 2",
                "such as cv_logloss_blended",
            ],
        ),
        ("binary", {"kinds": ("xgboost", "ridge")}, ["'ridge' does not predict classes", "'y' has 2 classes"]),
        ("binary", {"blend": "stacking_passthrough"}, ["blend=stacking_passthrough does not blend classes"]),
        ("multiclass", {"threshold": 0.3}, ["threshold is for two classes", "'y' has 3 classes"]),
        ("multiclass", {"threshold": "f1"}, ["threshold is for two classes"]),
        ("binary", {"class_weight": {"class 9": 1.0}}, ["class_weight: 'class 9' is not a class"]),
    ],
)
def test_what_does_not_suit_the_target_is_refused(task: str, changes: dict[str, Any], words: list[str]) -> None:
    changed = dict(changes)
    what = recipe(*changed.pop("kinds", MEMBERS), **changed)
    with pytest.raises(InputError) as error:
        fit_ensemble(what, TABLES[task], None, 1)
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"objective": "cv_logloss_blended"},
            "objective=cv_logloss_blended is a score of classes, and the target 'y' is a quantity. Leave it out",
        ),
        ({"threshold": 0.3}, "threshold is for two classes, and the target 'y' is a quantity"),
        ({"class_weight": "balanced"}, "class_weight is for classes, and the target 'y' is a quantity"),
        ({"calibrate": False}, "calibrate is for classes, and the target 'y' is a quantity"),
        ({"blend": "vote"}, "blend=vote does not blend a quantity"),
    ],
)
def test_what_is_for_classes_is_refused_for_a_quantity(changes: dict[str, Any], words: str) -> None:
    table = replace(BINARY, classes=(), positive=None)
    with pytest.raises(InputError, match=words):
        fit_ensemble(recipe(**{"objective": "cv_rmse_blended", **changes}), table, None, 1)


OWN = """
import numpy as np
from ensemble.blending import Blend, Blender
from ensemble.members import Member

class Known(Member):
    kind = "known"
    suffix = ".txt"
    libraries = ()
    parameters = {}
    tasks = frozenset({"binary", "multiclass"})

    def fit(self, features, target, weights=None):
        self.shares = np.bincount(target.astype(int), weights, self.classes) / (len(target) if weights is None else weights.sum())

    def predict(self, features):
        return np.tile(self.shares, (len(features), 1))

    def save(self, path):
        path.write_text(" ".join(map(repr, self.shares.tolist())))

    @classmethod
    def load(cls, path, *, threads, categories=None, classes=0):
        found = cls({}, seed=0, threads=threads, classes=classes)
        found.shares = np.array([float(text) for text in path.read_text().split()])
        return found

class Slow(Known):
    @classmethod
    def seconds(cls, rows, columns, params, classes=0):
        return 1e6 * classes

class Twice(Known):
    def predict(self, features):
        return 2 * super().predict(features)

class Flat(Known):
    def predict(self, features):
        return super().predict(features)[:, 0]

class First(Blender):
    tasks = frozenset({"binary", "multiclass"})
    fitted = False

    def fit(self, rows):
        return Blend((1.0, *[0.0] * (rows.predictions.shape[1] - 1)))

class TooMuch(First):
    def fit(self, rows):
        return Blend((1.0,) * rows.predictions.shape[1])

class OfQuantities(First):
    tasks = Blender.tasks
"""


def test_the_users_own_member_and_blender_predict_classes(own_module: Callable[[str], str], tmp_path: Path) -> None:
    module = own_module(OWN)
    members = (MemberSpec("known", f"{module}:Known"), MemberSpec("xgboost", "xgboost", QUICK["xgboost"]))
    what = Recipe(members, f"{module}:First", folds=FoldSpec(k=3), objective="cv_logloss_blended", calibrate=False)
    training = fit_ensemble(what, MULTICLASS, None, 1)
    assert np.array_equal(training.out_of_fold_blended, training.out_of_fold[:, 0])
    save_bundle(tmp_path, what, training, MULTICLASS, "x", [Path(str(__import__(module).__file__)).parent])
    assert np.array_equal(
        load_bundle(tmp_path).ensemble.predict(MULTICLASS.features), training.ensemble.predict(MULTICLASS.features)
    )
    with pytest.raises(EnsembleError, match="must sum to one, unless the blend's rule is log; they are 1, 1"):
        fit_ensemble(replace(what, blend=f"{module}:TooMuch"), MULTICLASS, None, 1)
    with pytest.raises(InputError, match="blend=own_member:OfQuantities does not blend classes"):
        fit_ensemble(replace(what, blend=f"{module}:OfQuantities"), MULTICLASS, None, 1)


def test_a_time_limit_leaves_out_what_is_too_slow_for_these_classes(own_module: Callable[[str], str]) -> None:
    what = recipe(blend="stacking")
    free = fit_ensemble(what, MULTICLASS, None, 1)
    assert equal(fit_ensemble(what, MULTICLASS, None, 1, known=Known(seconds=1e9)), free)
    slow = replace(what, members=(*what.members, MemberSpec("slow", f"{own_module(OWN)}:Slow")))
    limited = fit_ensemble(slow, MULTICLASS, None, 1, known=Known(seconds=1e4))
    assert list(limited.left_out) == ["slow"]
    assert equal(limited, free)


@pytest.mark.parametrize(
    ("name", "words"), [("Twice", "0 or more and sum to 1"), ("Flat", "one probability per row and class")]
)
def test_a_member_that_does_not_give_probabilities_fails(
    name: str, words: str, own_module: Callable[[str], str]
) -> None:
    what = Recipe((MemberSpec("own", f"{own_module(OWN)}:{name}"),), objective="cv_logloss_blended")
    with pytest.raises(MemberError, match=words):
        fit_ensemble(what, MULTICLASS, None, 1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle for each task."""
    found = {}
    for task, table in TABLES.items():
        found[task] = tmp_path_factory.mktemp(task)
        what = recipe(blend="stacking", class_weight="balanced", threshold=0.3 if task == "binary" else 0.5)
        training = fit_ensemble(what, table, None, 1)
        save_bundle(found[task], what, training, table, table.content_hash())
    return found


def test_a_manifest_has_the_classes_and_what_decides_between_them(saved: dict[str, Path]) -> None:
    binary, multiclass = (read_manifest(saved[task]) for task in ("binary", "multiclass"))
    assert (binary["classes"], binary["positive"], binary["threshold"]) == (["class 0", "class 1"], "class 1", 0.3)
    assert multiclass["classes"] == ["class 0", "class 1", "class 2"]
    assert not {"positive", "threshold"} & set(multiclass)
    assert [len(row) for row in multiclass["example"]["predictions"]] == [3] * 5
    assert multiclass["blend"]["rule"] == "log"
    assert len(multiclass["blend"]["biases"]) == 3
    loaded = load_bundle(saved["binary"])
    assert (loaded.threshold, loaded.positive) == (0.3, "class 1")
    assert load_bundle(saved["multiclass"]).threshold is None


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("binary", {"classes": ["a"]}, "its classes do not have the form"),
        ("binary", {"classes": ["a", 3]}, "its classes do not have the form"),
        ("binary", {"classes": ["class 1", "class 1"]}, "two of its classes have the same label"),
        ("binary", {"positive": "b"}, "its positive class is not one of its two classes"),
        ("binary", {"positive": ""}, "its positive class is not one of its two classes"),
        ("binary", {"positive": None}, "its positive do not have the form"),
        ("binary", {"threshold": 1.5}, "its threshold do not have the form"),
        ("binary", {"class_weights": [1.0]}, "it has 1 weights for 2 classes"),
        ("multiclass", {"threshold": 0.5}, "it has a threshold, or none"),
        ("multiclass", {"positive": "class 1"}, "its positive class"),
        ("multiclass", {"classes": ["class 0", "class 1"]}, "its positive class"),
        ("multiclass", {"classes": [f"class {place}" for place in range(4)]}, "its blend has 3 biases for 4 classes"),
        ("multiclass", {"blend": {"biases": [0.0]}}, "its blend has 1 biases for 3 classes"),
        ("multiclass", {"blend": {"rule": "loud"}}, "its blend do not have the form"),
        ("multiclass", {"blend": {"temperature": 0}}, "its blend do not have the form"),
        ("multiclass", {"blend": {"temperature": "1"}}, "its blend do not have the form"),
        ("multiclass", {"example": {"predictions": [0.5] * 5}}, "its example has not one probability for each class"),
        ("multiclass", {"example": {"predictions": [[0.5, 0.5]] * 5}}, "its example has not one probability"),
    ],
)
def test_damage_to_what_a_manifest_has_of_classes_is_named(
    task: str, changes: dict[str, Any], words: str, saved: dict[str, Path], tmp_path: Path
) -> None:
    found = json.loads((saved[task] / "manifest.json").read_text())
    for name, value in changes.items():
        found[name] = {**found[name], **value} if isinstance(value, dict) else value
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged") as error:
        read_manifest(tmp_path)
    assert words in str(error.value)


def test_a_manifest_without_its_classes_is_damaged(saved: dict[str, Path], tmp_path: Path) -> None:
    found = json.loads((saved["multiclass"] / "manifest.json").read_text())
    del found["classes"]
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(BundleError, match="its blend is for classes, and it has none"):
        read_manifest(tmp_path)


# Two threads on a busy machine wait for each other.
ONE_CORE = {"SM_NUM_CPUS": "1"}
LABELS = ("no", 'sí, a "lot"')


def write_csv(folder: Path, table: Table, labels: tuple[str, ...]) -> Path:
    folder.mkdir()
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*table.names, "answer"])
        for row, value in zip(table.features.tolist(), table.target.tolist(), strict=True):
            writer.writerow([*("" if np.isnan(cell) else repr(cell) for cell in row), labels[int(value)]])
    return folder


def test_the_script_trains_classes_from_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write_csv(tmp_path / "train", BINARY, LABELS)
    validation = write_csv(tmp_path / "validation", UNSEEN["binary"], LABELS)
    argv = ["--train", str(train), "--validation", str(validation), "--target", "answer"]
    argv += ["--model-dir", str(tmp_path / "model"), "--output-data-dir", str(tmp_path / "out")]
    argv += ["--members", "xgboost,trees:extra_trees", "--xgboost__num_round", "3", "--folds_k", "3"]
    argv += ["--blend", "weighted", "--threshold", "[[0, 1], [4, 0]]", "--class_weight", "balanced"]
    assert main(argv, ONE_CORE) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1].startswith("[metric] cv_logloss_blended=")
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (document["classes"], document["positive"]) == (list(LABELS), LABELS[1])
    assert document["objective"] == document["recipe"]["objective"] == "cv_logloss_blended"
    assert document["recipe"]["threshold"] == [[0, 1], [4, 0]]
    assert {"validation_auc_blended", "cv_balanced_accuracy_trees", "cv_auc_blended_fold_2"} <= set(document["metrics"])
    found = load_bundle(tmp_path / "model")
    assert (found.classes, found.positive) == (LABELS, LABELS[1])
    assert found.threshold == document["decision"]["threshold"] < 0.5
    with np.load(tmp_path / "out" / "out_of_fold.npz", allow_pickle=False) as arrays:
        assert arrays["members"].shape == (BINARY.rows, 2, 2)
        assert arrays["blended"].shape == (BINARY.rows, 2)
        assert np.array_equal(arrays["target"], BINARY.target)
        weighed = float(np.average(arrays["labels"] == arrays["target"], weights=arrays["weights"]))
    assert document["metrics"]["cv_accuracy_blended"] == pytest.approx(weighed)


def test_served_models_learn_from_further_rows_and_keep_blend_and_threshold(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train", BINARY, LABELS)
    validation = write_csv(tmp_path / "validation", UNSEEN["binary"], LABELS)
    argv = ["--train", str(train), "--validation", str(validation), "--target", "answer", "--final", "refit"]
    argv += ["--members", "xgboost", "--xgboost__num_round", "3", "--folds_k", "3", "--class_weight", "balanced"]
    argv += ["--threshold", "f1", "--final_rows", "train_and_validation"]

    def trained(name: str, *more: str) -> Path:
        folder = tmp_path / name
        out = ["--model-dir", str(folder / "model"), "--output-data-dir", str(folder / "output" / "data")]
        assert main([*argv, *out, *more], ONE_CORE) == 0
        return folder

    one = trained("one")
    scored, served = load_bundle(one / "output" / "data" / "scored"), load_bundle(one / "model")
    assert (scored.manifest["rows"], served.manifest["rows"]) == (BINARY.rows, BINARY.rows + 40)
    assert served.ensemble.blend == scored.ensemble.blend
    assert served.ensemble.decision == scored.ensemble.decision
    assert served.ensemble.class_weights == scored.ensemble.class_weights != ()
    rows = UNSEEN["binary"].features
    assert not np.array_equal(served.ensemble.predict(rows), scored.ensemble.predict(rows))
    first = tmp_path / "first"
    (first / "output").mkdir(parents=True)
    (one / "output" / "data" / "scored").rename(first / "model")
    (one / "output" / "data").rename(first / "output" / "data")
    again = load_bundle(
        trained("again", "--fitted_members", json.dumps({"xgboost": [str(first), "xgboost"]})) / "model"
    )
    assert np.array_equal(again.ensemble.predict(rows), served.ensemble.predict(rows))
    assert again.ensemble.decision == served.ensemble.decision


@pytest.mark.parametrize("changes", [{"classes": ("class 0", "class 2")}, {"positive": "class 0"}])
def test_a_validation_channel_of_other_classes_is_refused(
    changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--members", "extra_trees", "--extra_trees__n_estimators", "2", "--output-data-dir", str(tmp_path / "out")]
    for name, table in (
        ("train", BINARY),
        ("validation", replace(UNSEEN["binary"], **{"positive": "class 0"} | changes)),
    ):
        (tmp_path / name).mkdir()
        write_channel(table, tmp_path / name)
        argv += [f"--{name}", str(tmp_path / name)]
    assert main(argv, ONE_CORE) == 2
    error = capsys.readouterr().err
    assert "has the classes class 0, class " in error
    assert "has class 0, class 1 with 'class 1' as the positive one: write both channels from one table." in error


def test_the_script_names_an_objective_of_another_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write_csv(tmp_path / "train", BINARY, LABELS)
    argv = ["--train", str(train), "--target", "answer", "--objective", "cv_rmse_blended"]
    assert main([*argv, "--output-data-dir", str(tmp_path / "out")], {}) == 2
    assert (
        "objective=cv_rmse_blended is a score of quantities, and the target 'answer' has 2 classes"
        in capsys.readouterr().err
    )
