"""A proposal depends on the seed and on the results before it, and on nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.errors import ConfigError
from experiments.planning.study import plan_study
from experiments.study.sampling import make_proposer
from experiments.study.spec import Point, StudySpec, TrialResult


def study(*arguments: str) -> StudySpec:
    return plan_study(compose(["search.n_trials=20", "search.startup_trials=5", *arguments])).study


def value(params: Point) -> float:
    return sum(hash(repr(entry)) % 1000 if isinstance(entry, str) else float(entry or 0) for entry in params.values())


def result(index: int, objective: float | None, **scores: float) -> TrialResult:
    if objective is None:
        return TrialResult(index, "failed", {}, 0.0, 1.0, failure="no luck")
    return TrialResult(index, "complete", {}, 0.0, 1.0, {"cv_rmse_blended": objective, **scores})


def proposals(spec: StudySpec, known: int = 0, reference: list[Point] | None = None) -> list[Point]:
    """Ask and tell as the loop does, the first ``known`` asks coming from an earlier run."""
    proposer = make_proposer(spec)
    points: list[Point] = []
    for told in range(-spec.search.window, spec.n_trials):
        if told >= 0:
            proposer.tell(told, result(told, None if told % 7 == 3 else value(points[told])))
        index = told + spec.search.window
        if index < spec.n_trials:
            recorded = reference[index] if reference is not None and index < known else None
            points.append(proposer.ask(index, recorded))
    return points


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_first_trial_takes_the_first_values_and_the_sampler_chooses_the_rest(folder: Path, sampler: str) -> None:
    arguments = (f"search.sampler={sampler}", "search.space.xgboost.eta={low: 0.1, high: 0.2}")
    first, second = proposals(study(*arguments))[:2]
    assert first["xgboost__max_depth"] == 3
    assert first["catboost__depth"] == 6
    assert 0.1 <= float(first["xgboost__eta"] or 0) <= 0.2
    assert first != second


@pytest.mark.parametrize("known", [0, 1, 3])
def test_first_trials_walk_the_lists_of_first_values(folder: Path, known: int) -> None:
    spec = study(
        "search=blank",
        "search.space.xgboost.eta={low: 0.01, high: 0.5, first: [0.1, 0.2, 0.4]}",
        "search.space.xgboost.max_depth={low: 2, high: 9, first: [3, 4]}",
        "search.space.catboost.depth={low: 3, high: 8, first: 5}",
        "search.space.catboost.learning_rate={low: 0.02, high: 0.3, log: true}",
    )
    unbroken = proposals(spec)
    points = proposals(spec, known, unbroken)
    assert points == unbroken
    assert [point["xgboost__eta"] for point in points[:3]] == [0.1, 0.2, 0.4]
    assert [point["xgboost__max_depth"] for point in points[:3]] == [3, 4, 4]
    assert points[0]["catboost__depth"] == 5
    assert all(0.01 <= float(point["xgboost__eta"] or 0) <= 0.5 for point in points[3:])
    # catboost has one first point, so the sampler chooses for it from the second trial.
    assert len({point["catboost__learning_rate"] for point in points}) == len(points)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("known", [1, 4, 11, 19])
def test_resumed_study_proposes_what_an_uninterrupted_one_does(folder: Path, sampler: str, known: int) -> None:
    spec = study(f"search.sampler={sampler}")
    unbroken = proposals(spec)
    assert proposals(spec, known, unbroken) == unbroken


def test_seed_and_window_decide(folder: Path) -> None:
    base = proposals(study())
    assert proposals(study()) == base
    other = proposals(study("search.seed=1"))
    assert other[:3] == base[:3]  # the first points
    assert all(mine != theirs for mine, theirs in zip(other[3:], base[3:], strict=True))
    assert proposals(study("search.window=2"))[:5] == base[:5]
    assert proposals(study("search.window=2")) != base


def test_tpe_learns_from_what_it_is_told(folder: Path) -> None:
    def best_of_the_last(sampler: str, score: Callable[[Point], float]) -> float:
        space = "search.space.ridge.alpha={low: 0.001, high: 1000, log: true, first: 1}"
        spec = study(
            f"search.sampler={sampler}", "search=blank", "search.n_trials=60", "ensemble.members=[ridge]", space
        )
        proposer = make_proposer(spec)
        told = []
        for index in range(60):
            point = proposer.ask(index, None)
            told.append(score(point))
            proposer.tell(index, result(index, told[-1]))
        return sum(told[-20:]) / 20

    def score(point: Point) -> float:
        return abs(float(point["ridge__alpha"]) - 7.0)  # type: ignore[arg-type]

    assert best_of_the_last("tpe", score) < best_of_the_last("random", score) / 3


def test_grid_is_listed_in_order_and_needs_no_seed(folder: Path) -> None:
    arguments = ("search=blank", "search.sampler=grid", "search.space.xgboost.max_depth={choices: [2, 3, 4]}")
    spec = study(*arguments, "search.space.catboost.depth={low: 3, high: 4}")
    proposer = make_proposer(spec)
    points = [proposer.ask(index, None) for index in range(spec.n_trials)]
    assert spec.n_trials == 6
    assert [tuple(point.values()) for point in points] == [(2, 3), (2, 4), (3, 3), (3, 4), (4, 3), (4, 4)]


def one_member_proposals(spec: StudySpec, known: int = 0, reference: list[Point] | None = None) -> list[Point]:
    """Ask and tell with scores of each member that depend on its own parameters."""
    proposer = make_proposer(spec)
    points: list[Point] = []
    for told in range(-spec.search.window, spec.n_trials):
        if told >= 0:
            proposer.tell(told, result(told, None if told == 4 else 1.0, **scores_of(points[told])))
        index = told + spec.search.window
        if index < spec.n_trials:
            recorded = reference[index] if reference is not None and index < known else None
            points.append(proposer.ask(index, recorded))
    return points


def scores_of(point: Point) -> dict[str, float]:
    return {
        "cv_rmse_xgboost": abs(math.log(float(point["xgboost__eta"] or 1)) - math.log(0.05)),
        "cv_rmse_ridge": abs(math.log(float(point["ridge__alpha"] or 1)) - math.log(7)),
    }


ONE_MEMBER = (
    *("search.vary=one_member", "search=blank", "ensemble.members=[xgboost,ridge]", "search.n_trials=48"),
    "search.space.xgboost.eta={low: 0.001, high: 1, log: true, first: [0.3, 0.1, 0.2]}",
    "search.space.xgboost.max_depth={low: 2, high: 9, first: 6}",
    "search.space.ridge.alpha={low: 0.001, high: 1000, log: true, first: [1, 10]}",
)


def test_each_trial_changes_one_member_from_the_best_of_each(folder: Path) -> None:
    spec = study(*ONE_MEMBER, "search.window=1")
    points = one_member_proposals(spec)
    assert points[0] == {"xgboost__eta": 0.3, "xgboost__max_depth": 6, "ridge__alpha": 1}
    assert (points[1]["xgboost__eta"], points[1]["xgboost__max_depth"]) == (0.1, 6)
    assert points[2]["ridge__alpha"] == 10
    assert points[3]["xgboost__eta"] == 0.2
    for index in range(1, len(points)):
        told = [point for number, point in enumerate(points[:index]) if number != 4]
        own, other = ("xgboost", "ridge") if index % 2 else ("ridge", "xgboost")
        best = min(told, key=lambda point: scores_of(point)[f"cv_rmse_{other}"])
        kept = {name: value for name, value in best.items() if name.startswith(other)}
        assert {name: value for name, value in points[index].items() if not name.startswith(own)} == kept
        assert list(points[index]) == list(spec.space.ranges)
    # Each member's sampler learns from the member's own score.
    assert scores_of(points[-1])["cv_rmse_xgboost"] < 0.6  # the best first point has 0.69
    assert scores_of(points[-2])["cv_rmse_ridge"] < 0.3  # the best first point has 0.36


@pytest.mark.parametrize("known", [1, 2, 5, 13, 23])
def test_a_resumed_study_changes_the_same_members(folder: Path, known: int) -> None:
    spec = study(*ONE_MEMBER)
    unbroken = one_member_proposals(spec)
    assert one_member_proposals(spec, known, unbroken) == unbroken


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("search.sampler=grid",), "search.sampler=grid"),
        (("search.prune=true",), "search.prune=true"),
        (("mode=remote",), "mode=remote"),
        (("search.shared.rate=[xgboost.eta]", "search.space.rate={low: 0.1, high: 0.2}"), "whose rate belongs"),
    ],
)
def test_what_cannot_change_one_member_is_refused(folder: Path, arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"search.vary=one_member cannot be combined with .*{reason}"):
        study(*ONE_MEMBER, *arguments)


def test_a_search_of_all_members_keeps_its_identity(folder: Path) -> None:
    assert "search.vary" not in study().identity()
    assert study(*ONE_MEMBER).identity()["search.vary"] == "one_member"
