"""The blend over a study: each member's best trial, scored on folds that had no part in the choice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils.class_weight import compute_sample_weight

from ensemble.arrays import Floats
from ensemble.blending import Blend, Rows, Weighted, make_blender
from ensemble.channel import write_channel
from ensemble.table import Table
from ensemble.wire import decode_recipe
from experiments.study.spec import TrialResult
from experiments.study.study_blend import (
    Allowed,
    ChosenBlend,
    StudyBlend,
    blend_study,
    decide,
    is_open,
    origin,
    recorded_blend,
)
from tests.experiments.comparison import builder

ROWS, TRIALS, K, SEED = 90, 4, 3, 5
MEMBERS = ("ridge", "xgboost")


def table(*, weighted: bool = False, keys: Floats | None = None) -> Table:
    made = builder.table(ROWS, seed=1)
    weights = np.random.RandomState(2).uniform(0.1, 3.0, ROWS) if weighted else None
    return dataclasses.replace(made, weights=weights, fold_keys=keys)


def predictions(target: Floats, repeats: int = 1, seed: int = 0) -> Floats:
    """Return predictions of shape (trials, repeats, rows, members): which trial is best depends on the member and row."""
    random = np.random.RandomState(seed)
    found: Floats = target[:, None] + random.normal(size=(TRIALS, repeats, ROWS, 2)) * random.uniform(
        0.5, 1.0, (TRIALS, 1, 1, 2)
    )
    return found


def place(folder: Path, rows: Table, found: Floats, **hyperparameters: str) -> dict[str, Any]:
    """Write the channel and each trial's file; return the arguments of ``blend_study``."""
    (folder / "train").mkdir()
    write_channel(rows, folder / "train")
    trials = []
    for index, members in enumerate(found):
        output = folder / str(index)
        output.mkdir()
        arrays: dict[str, Any] = {"members": members.mean(axis=0), "target": rows.target}
        if len(members) > 1:
            arrays["by_repeat"] = members
        np.savez(output / "out_of_fold.npz", **arrays)
        text = {"members": ",".join(MEMBERS), "ridge__alpha": repr(1.0 + index), "xgboost__eta": "0.1"}
        text |= {"folds_k": str(K), "seed": str(SEED), "blend": "weighted", **hyperparameters}
        trials.append({"index": index, "folder": str(output), "hyperparameters": text})
    return {"trials": trials, "train": str(folder / "train"), "predictions": str(folder / "nested.npz")}


def best_trials(target: Floats, found: Floats, weights: Floats | None, *, absolute: bool) -> list[int]:
    """Return, by member, the trial with the smallest error; ``found`` has shape (trials, rows, members)."""
    errors = np.abs(found - target[:, None]) if absolute else (found - target[:, None]) ** 2
    return [int(np.argmin([np.average(trial[:, m], weights=weights) for trial in errors])) for m in range(2)]


def pair_weight(target: Floats, pair: Floats, weights: Floats | None) -> float:
    """Return the first member's weight in the best weighted mean of two."""
    rows = np.ones(len(target)) if weights is None else weights
    apart = pair[:, 0] - pair[:, 1]
    return float(np.clip(np.sum(rows * apart * (target - pair[:, 1])) / np.sum(rows * apart**2), 0, 1))


def nested_by_hand(rows: Table, found: Floats, folds: list[tuple[Any, Any, int]], *, absolute: bool = False) -> Floats:
    """Return the blend's out-of-fold predictions, shape (repeats, rows)."""
    blended = np.full(found.shape[1:3], np.nan)
    for fit, score, repeat in folds:
        weights = None if rows.weights is None else rows.weights[fit]
        chosen = best_trials(rows.target[fit], found[:, repeat, fit], weights, absolute=absolute)
        pair = np.column_stack([found[trial, repeat, :, member] for member, trial in enumerate(chosen)])
        share = pair_weight(rows.target[fit], pair[fit], weights)
        blended[repeat, score] = share * pair[score, 0] + (1 - share) * pair[score, 1]
    return blended


def divisions(repeats: int = 1) -> list[tuple[Any, Any, int]]:
    places = np.empty((ROWS, 1))
    return [
        (fit, score, repeat)
        for repeat in range(repeats)
        for fit, score in KFold(K, shuffle=True, random_state=SEED + repeat).split(places)
    ]


def check(found: Mapping[str, Any], rows: Table, blended: Floats, folds: list[tuple[Any, Any, int]]) -> None:
    scored = np.isfinite(blended[0])
    weights = None if rows.weights is None else rows.weights[scored]
    errors = [(rows.target - each)[scored] for each in blended]
    metrics = found["metrics"]
    rmse = np.mean([np.sqrt(np.average(each**2, weights=weights)) for each in errors])  # each division is scored
    assert metrics["cv_rmse_blended"] == pytest.approx(rmse, rel=1e-9)
    mae = np.mean([np.average(np.abs(each), weights=weights) for each in errors])
    assert metrics["cv_mae_blended"] == pytest.approx(mae, rel=1e-9)
    for number, (_, score, repeat) in enumerate(folds):
        of_fold = (rows.target - blended[repeat])[score]
        weights = None if rows.weights is None else rows.weights[score]
        expected = np.sqrt(np.average(of_fold**2, weights=weights))
        assert metrics[f"cv_rmse_blended_fold_{number}"] == pytest.approx(expected, rel=1e-9)
    assert f"cv_rmse_blended_fold_{len(folds)}" not in metrics


@pytest.mark.parametrize("objective", ["cv_rmse_blended", "cv_mae_blended"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("repeats", [1, 2])
def test_each_fold_is_scored_by_a_choice_and_a_blend_of_the_others(
    tmp_path: Path, objective: str, weighted: bool, repeats: int
) -> None:
    rows = table(weighted=weighted)
    found = predictions(rows.target, repeats)
    kind = {"folds_kind": "repeated", "folds_repeats": str(repeats)} if repeats > 1 else {}
    arguments = place(tmp_path, rows, found, objective=objective, **kind)
    answer = blend_study(**arguments)
    absolute, folds = objective == "cv_mae_blended", divisions(repeats)
    blended = nested_by_hand(rows, found, folds, absolute=absolute)
    check(answer, rows, blended, folds)
    with np.load(arguments["predictions"]) as arrays:
        assert arrays["blended"] == pytest.approx(blended.mean(axis=0), rel=1e-9)
        assert ("blended_by_repeat" in arrays) == (repeats > 1)
    stacked = found.reshape(TRIALS, -1, 2)  # by the errors in each division, not by those of averages
    often = None if rows.weights is None else np.tile(rows.weights, repeats)
    chosen = best_trials(np.tile(rows.target, repeats), stacked, often, absolute=absolute)
    recipe = decode_recipe(answer["hyperparameters"])
    assert [model.name for model in recipe.members] == [f"ridge_{chosen[0]}", f"xgboost_{chosen[1]}"]
    assert [model.kind for model in recipe.members] == ["ridge", "xgboost"]
    assert recipe.members[0].params == {"alpha": 1.0 + chosen[0]}
    assert (recipe.blend, recipe.objective, recipe.seed, recipe.folds.k) == ("weighted", objective, SEED, K)
    assert json.loads(json.dumps(answer)) == answer
    again = blend_study(**arguments)
    assert again == answer


def test_a_choice_that_saw_the_rows_would_score_better(tmp_path: Path) -> None:
    rows = table()
    found = predictions(rows.target, seed=3)
    nested = blend_study(**place(tmp_path, rows, found))["metrics"]["cv_rmse_blended"]
    chosen = best_trials(rows.target, found[:, 0], None, absolute=False)
    pair = np.column_stack([found[trial, 0, :, member] for member, trial in enumerate(chosen)])
    share = pair_weight(rows.target, pair, None)
    flattering = np.sqrt(np.mean((rows.target - pair @ [share, 1 - share]) ** 2))
    assert flattering < nested


def test_rows_that_no_fold_in_time_scores_are_left_out(tmp_path: Path) -> None:
    rows = table(keys=np.arange(ROWS) // 3 * 1.0)
    found = predictions(rows.target)
    block = ROWS // 3 // (K + 1) * 3
    starts = [ROWS - block * (K - number) for number in range(K)]
    found[:, :, : starts[0]] = np.nan
    answer = blend_study(**place(tmp_path, rows, found, folds_kind="time"))
    folds = [(np.arange(starts[0], start), np.arange(start, start + block), 0) for start in starts]
    blended = nested_by_hand(rows, found, folds[1:])
    blended[0, folds[0][1]] = found[:, 0, folds[0][1]].mean(axis=(0, 2))  # nothing to choose by: the mean of all models
    check(answer, rows, blended, folds)


def test_equal_models_count_once_and_unreadable_trials_not_at_all(tmp_path: Path) -> None:
    rows = table()
    found = predictions(rows.target)
    found[2, :, :, 0] = found[0, :, :, 0]
    arguments = place(tmp_path, rows, found)
    assert blend_study(**arguments)["models"] == 2 * TRIALS - 1
    (tmp_path / "1" / "out_of_fold.npz").write_bytes(b"damaged")
    (tmp_path / "3" / "out_of_fold.npz").unlink()
    assert blend_study(**arguments)["models"] == 3
    np.savez(tmp_path / "0" / "out_of_fold.npz", members=found[0, 0], target=rows.target + 1)  # other rows
    assert blend_study(**arguments)["models"] == 2
    (tmp_path / "2" / "out_of_fold.npz").unlink()
    assert blend_study(**arguments) == {"models": 0}


def test_a_model_that_has_diverged_is_not_chosen(tmp_path: Path) -> None:
    rows = table()
    found = predictions(rows.target)
    best = best_trials(rows.target, found[:, 0], None, absolute=False)
    found[best[0], 0, 7, 0] = 1e9
    names = [
        model.name for model in decode_recipe(blend_study(**place(tmp_path, rows, found))["hyperparameters"]).members
    ]
    assert names[0] != f"ridge_{best[0]}"
    assert names[1] == f"xgboost_{best[1]}"


def study_of(*blended: float) -> tuple[Any, list[TrialResult], TrialResult]:
    """Return a study, its trials with these scores, and the best of them."""
    from experiments.study.search_space import SearchSpace
    from experiments.study.spec import Channels, SearchSpec, StudySpec, best_of

    nowhere = Path("nowhere")
    study = StudySpec(
        *("s", "local", "tune", nowhere, Channels(nowhere, nowhere, nowhere, "0"), {"members": ",".join(MEMBERS)}),
        *(SearchSpace({}), SearchSpec("tpe", 0, len(blended), 1, 1), "cv_rmse_blended", 1, 1, 1.0),
        blend_over="study",
    )
    results = [
        TrialResult(index, "complete", {}, 0.0, 1.0, {"cv_rmse_blended": value}) for index, value in enumerate(blended)
    ]
    best = best_of(results, "cv_rmse_blended")
    assert best is not None
    return study, results, best


def answer(value: float, *names: str) -> dict[str, Any]:
    members = ",".join(f"{name}:{origin(name)[0]}" for name in names)
    return {"models": 4, "hyperparameters": {"members": members}, "metrics": {"cv_rmse_blended": value}}


def test_the_blend_wins_if_it_is_better_and_not_the_best_trial() -> None:
    study, results, best = study_of(5.0, 4.0)
    assert decide(answer(3.9, "ridge_0", "xgboost_1"), results, best, study).better
    assert decide(answer(3.9, "ridge_1"), results, best, study).better
    assert not decide(answer(4.0, "ridge_0", "xgboost_1"), results, best, study).better
    assert not decide(answer(3.9, "xgboost_1", "ridge_1"), results, best, study).better
    assert not decide({"models": 0}, results, best, study).better
    higher = dataclasses.replace(study, objective="cv_r2_blended")
    for value, wins in ((0.7, True), (0.5, False)):
        scored = [dataclasses.replace(r, metrics={"cv_r2_blended": 0.6}) for r in results]
        found = {**answer(0.0, "ridge_0", "xgboost_1"), "metrics": {"cv_r2_blended": value}}
        assert decide(found, scored, scored[1], higher).better == wins


def test_a_record_holds_for_its_trials_only() -> None:
    study, results, best = study_of(5.0, 4.0)
    blend = decide(answer(3.9, "ridge_0", "xgboost_1"), results, best, study)
    fact = json.loads(json.dumps(blend.as_dict()))
    assert recorded_blend(study, results, fact) == blend == StudyBlend.from_dict(fact)
    assert not is_open(study, results, fact)
    assert is_open(study, results, None)
    more = [*results, dataclasses.replace(results[0], index=2)]
    assert recorded_blend(study, more, fact) is None
    assert is_open(study, more, fact)
    failed = [*results, dataclasses.replace(results[0], index=2, state="failed")]
    assert recorded_blend(study, failed, fact) == blend
    one = dataclasses.replace(study, blend_over="trial")
    assert recorded_blend(one, results, fact) is None
    assert not is_open(one, results, None)
    assert not is_open(study, results[:1], None)


def limited(limit: float, **milliseconds: float) -> list[str]:
    """Return which of four members remain: two that are as good as each other, one that is noise, and a good slow one."""
    random = np.random.RandomState(0)
    target = random.normal(size=200)
    noise = random.normal(size=(200, 4)) * [0.5, 0.5, 5.0, 0.3]
    names = ("one", "two", "noise", "best")
    rows = Rows(target[:, None] + noise, target, np.empty((200, 0)))
    chooser = ChosenBlend(Weighted(), names, "rmse", Allowed(limit, milliseconds))
    chosen = chooser.choose(rows)
    weights = chooser.fit(rows).weights
    assert [weights[place] for place in range(4) if place not in chosen] == [0.0] * (4 - len(chosen))
    return [names[place] for place in chosen]


def test_members_that_cost_least_error_for_their_time_are_left_out_first() -> None:
    times = {"one": 1.0, "two": 1.0, "noise": 1.0, "best": 1.0}
    assert limited(4.0, **times) == ["one", "two", "noise", "best"]
    assert limited(3.0, **times) == ["one", "two", "best"]
    assert limited(1.0, **times) == ["best"]
    assert limited(3.0, **{**times, "best": 50.0}) == ["one", "two", "noise"]
    assert limited(0.5, **{**times, "two": 0.7}) == ["two"]  # none is fast enough: the fastest


def test_a_limit_of_time_makes_another_winner_whose_score_is_nested(tmp_path: Path) -> None:
    rows = table()
    arguments = place(tmp_path, rows, predictions(rows.target))
    free = blend_study(**arguments)
    allowed = {"limit": 2.0, "milliseconds": {"ridge": 0.5, "xgboost": 1.6}}
    found = blend_study(**arguments, allowed=allowed)
    (model,) = decode_recipe(found["hyperparameters"]).members
    assert found["left_out"] == ({"xgboost": 1.6} if model.kind == "ridge" else {"ridge": 0.5})
    assert found["metrics"]["cv_rmse_blended"] > free["metrics"]["cv_rmse_blended"]
    assert blend_study(**arguments, allowed={**allowed, "limit": 2.1})["metrics"] == free["metrics"]
    again = StudyBlend(trials=(0,), limit=2.0, **found)
    assert StudyBlend.from_dict(json.loads(json.dumps(again.as_dict()))) == again
    assert "limit" not in StudyBlend(trials=(0,), **free).as_dict()


@pytest.mark.parametrize("labels", [("no", "yes"), ("a", "b", "c")], ids=["two", "three"])
def test_models_of_classes_are_chosen_and_scored_by_log_loss(tmp_path: Path, labels: tuple[str, ...]) -> None:
    random = np.random.RandomState(3)
    target = random.permutation(np.arange(ROWS) % len(labels)).astype(float)
    positive = labels[1] if len(labels) == 2 else None
    rows = dataclasses.replace(table(weighted=True), target=target, classes=labels, positive=positive)
    found = random.dirichlet(np.ones(len(labels)), size=(TRIALS, 1, ROWS, 2))
    found[..., np.arange(ROWS), :, target.astype(int)] += random.uniform(0.3, 1.5, (TRIALS, 1, 2))
    found /= found.sum(axis=-1, keepdims=True)
    given = {"blend": "mean", "objective": "cv_logloss_blended", "calibrate": "false", "members": "extra_trees,xgboost"}
    arguments = place(tmp_path, rows, found, **given, class_weight="balanced", ridge__alpha="")
    for trial in arguments["trials"]:
        del trial["hyperparameters"]["ridge__alpha"]
    answer = blend_study(**arguments)
    weights = compute_sample_weight("balanced", target) * rows.weights

    def chosen_on(part: Any) -> list[int]:
        losses = -np.log(found[:, 0, part, :, :][..., np.arange(len(part)), :, target[part].astype(int)])
        return [int(np.argmin(np.average(losses[..., m], axis=0, weights=weights[part]))) for m in range(2)]

    blended = np.full((ROWS, len(labels)), np.nan)
    folds = StratifiedKFold(K, shuffle=True, random_state=SEED).split(target, target)
    for number, (fit, score) in enumerate(folds):
        blended[score] = np.mean([found[t, 0, score, m] for m, t in enumerate(chosen_on(fit))], axis=0)
        error = log_loss(target[score], blended[score], sample_weight=weights[score], labels=range(len(labels)))
        assert answer["metrics"][f"cv_logloss_blended_fold_{number}"] == pytest.approx(error, rel=1e-9)
        assert answer["metrics"][f"cv_auc_blended_fold_{number}"] > 0.5
    assert answer["metrics"]["cv_logloss_blended"] == pytest.approx(log_loss(target, blended, sample_weight=weights))
    with np.load(arguments["predictions"]) as arrays:
        assert arrays["blended"] == pytest.approx(blended, rel=1e-9)
        assert arrays["labels"].tolist() == blended.argmax(axis=1).tolist()
    right = np.average(blended.argmax(axis=1) == target, weights=weights)
    assert answer["metrics"]["cv_accuracy_blended"] == pytest.approx(right)
    best = chosen_on(np.arange(ROWS))
    recipe = decode_recipe(answer["hyperparameters"])
    assert [model.name for model in recipe.members] == [f"extra_trees_{best[0]}", f"xgboost_{best[1]}"]
    assert (recipe.class_weight, recipe.calibrate) == ("balanced", False)


def test_before_there_are_rows_to_choose_on_models_are_blended_by_the_rule() -> None:
    vote = make_blender("vote", ["a", "b"], None, "blend", "binary")
    rows = Rows(np.full((4, 3, 2), 0.5), np.zeros(4), np.empty((4, 0)))
    assert ChosenBlend(vote, ["a", "a", "b"], "logloss").first(rows) == Blend((1 / 3,) * 3, rule="vote")
