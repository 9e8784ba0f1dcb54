"""The verdict of ``parity``, with the pairs of ``pairing`` and the causes of ``causes`` that it is based on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ensemble.processor import this_processor
from experiments.comparison.pairing import relative_difference
from experiments.comparison.parity import Parity, compare_replay, compare_trials
from experiments.comparison.recorded_study import read_study
from experiments.study.folder import log_path, trial_folder
from experiments.study.spec import TrialResult
from tests.experiments.comparison.builder import POINTS, add_study, edit_facts, failed, scored, splits, table

TOLERANCE = 1e-9


def trials(*places: int, shift: float = 0.0) -> list[TrialResult]:
    return [scored(index, POINTS[place], shift=shift) for index, place in enumerate(places)]


def moved(result: TrialResult, **metrics: float) -> TrialResult:
    return dataclasses.replace(result, metrics={**result.metrics, **metrics})


def named(parity: Parity) -> list[tuple[str, str]]:
    return [(pair.one.name, pair.other.name) for pair in parity.pairs]


def test_the_same_numbers_pass_and_are_shown_as_exact(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 1, 2))
    server = add_study(folder, "server", trials(2, 1), mode="sagemaker", given=True)
    parity = compare_trials([laptop, server], TOLERANCE)
    assert parity.line == "parity: PASS (2 of 2 trials equal)"
    assert (parity.exit_code, parity.exactness, parity.details()) == (0, "equal to the bit: 2 of 2", [])
    assert named(parity) == [("trial 2 of laptop", "trial 0 of server"), ("trial 1 of laptop", "trial 1 of server")]
    assert [(one.trial.name, one.reason) for one in parity.unpaired] == [
        ("trial 0 of laptop", "these parameters ran in no other study")
    ]
    assert {check.outcome for check in parity.checks} == {"same"}


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1 + 2**-52, "PASS"), (1 + 9e-10, "PASS"), (1 + 2e-9, "FAIL"), (1 - 1e-3, "FAIL")]
)
def test_numbers_are_equal_within_the_tolerance_of_the_larger(folder: Path, factor: float, verdict: str) -> None:
    result = trials(0)[0]
    name = "cv_rmse_ridge_fold_1"
    laptop = add_study(folder, "laptop", [result])
    server = add_study(folder, "server", [moved(result, **{name: result.metrics[name] * factor})])
    parity = compare_trials([laptop, server], TOLERANCE)
    assert parity.verdict == verdict
    assert parity.exact == 0
    assert parity.exactness.startswith("equal to the bit: 0 of 1; the largest relative difference is ")
    assert (name in "".join(parity.details())) == (verdict == "FAIL")
    assert compare_trials([laptop, server], 0.0).verdict == "FAIL"


def test_parity_is_not_missed_unless_it_is_asked_for(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    single = scored(0, {"xgboost__eta": 0.1}, members=("xgboost",))
    other = add_study(folder, "other", [single], members=("xgboost",))
    asked, not_asked = (compare_trials([laptop, other], TOLERANCE, parity) for parity in ("required", "auto"))  # type: ignore[arg-type]
    assert (asked.verdict, asked.exit_code) == ("NOT COMPARABLE", 3)
    assert (not_asked.verdict, not_asked.exit_code) == ("NOT CHECKED", 0)
    assert not_asked.line.startswith("parity: NOT CHECKED (parameters after decoding: ")
    replay = dataclasses.replace(other, replay_of="laptop")
    assert compare_trials([laptop, replay], TOLERANCE, "auto").exit_code == 3
    found = dataclasses.replace(add_study(folder, "found", trials(0), given=True), replay_of="laptop")
    three = compare_trials([laptop, other, found], TOLERANCE, "auto")
    assert (three.verdict, three.incomparable) == ("PASS", ())
    assert three.details() == ["no trial of other ran in another study"]
    again = add_study(folder, "again", [scored(0, POINTS[0], shift=1.0)], mode="sagemaker")
    assert compare_trials([laptop, again], TOLERANCE, "auto").exit_code == 1  # a pair that differs is a failure always


def test_a_number_that_one_study_lacks_differs(folder: Path) -> None:
    result = trials(0)[0]
    fewer = {name: value for name, value in result.metrics.items() if name != "validation_rmse_ridge"}
    laptop = add_study(folder, "laptop", [result])
    server = add_study(folder, "server", [dataclasses.replace(result, metrics=fewer)])
    assert compare_trials([laptop, server], TOLERANCE).verdict == "FAIL"


def test_scores_on_test_rows_are_not_compared(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [moved(trials(0)[0], test_rmse_blended=1.0)])
    server = add_study(folder, "server", [moved(trials(0)[0], test_rmse_blended=2.0)])
    assert compare_trials([laptop, server], TOLERANCE).verdict == "PASS"


@pytest.mark.parametrize(
    ("metric", "one", "other", "expected"),
    [
        ("cv_rmse_blended", 2.0, 1.0, 0.5),
        ("cv_mae_blended", 0.0, 0.0, 0.0),
        ("cv_r2_blended", 1e-8, 2e-8, 1e-8),  # near zero, while its error is not
        ("cv_rmse_blended", float("nan"), 1.0, float("inf")),
    ],
)
def test_differences_are_relative(metric: str, one: float, other: float, expected: float) -> None:
    assert relative_difference(metric, one, other) == pytest.approx(expected)


def test_a_trial_that_failed_in_one_study_differs_and_its_reason_is_reported(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 1))
    server = add_study(folder, "server", [scored(0, POINTS[0]), failed(1, POINTS[1], "out of memory")], given=True)
    parity = compare_trials([laptop, server], TOLERANCE)
    why = "trial 1 of laptop and trial 1 of server: it failed in server: out of memory"
    assert parity.line == f"parity: FAIL (1 of 2 trials equal; {why})"
    assert parity.details() == [why]
    assert parity.exactness == "equal to the bit: 1 of 2; 1 failed in one study only"


def test_the_cause_is_that_of_differing_trials_and_not_of_failed_ones(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 1))
    given = [failed(0, POINTS[0]), scored(1, POINTS[1], shift=0.5)]
    server = add_study(folder, "server", given, given=True, info={"threads": 2})
    line = compare_trials([laptop, server], TOLERANCE).line
    assert line == "parity: FAIL (0 of 2 trials equal; threads: 1 in laptop, 2 in server)"


def test_the_same_parameters_in_another_study_are_reported_with_the_difference(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0))
    others: dict[str, dict[str, Any]] = {
        "on different data": {"data": splits(table(13), "b" * 64)},
        "with a different seed": {"seed": 5},
        "on different folds": {"folds": 4},
    }
    for place, (reason, changes) in enumerate(others.items()):
        other = add_study(folder, f"other{place}", trials(0), **changes)
        parity = compare_trials([laptop, other], TOLERANCE)
        assert [one.reason for one in parity.unpaired] == [
            f"the same parameters ran in other{place}, {reason}",
            f"the same parameters ran in laptop, {reason}",
        ]
        (check,) = [check for check in parity.checks if check.name == "parameters after decoding"]
        assert check.outcome == "same"


def test_trials_without_a_recorded_recipe_are_paired_by_their_parameters(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 1), drop=("recipe",))
    server = add_study(folder, "server", [scored(0, POINTS[0]), failed(1, POINTS[1])], drop=("recipe",), given=True)
    assert named(compare_trials([laptop, server], TOLERANCE)) == [
        ("trial 0 of laptop", "trial 0 of server"),
        ("trial 1 of laptop", "trial 1 of server"),
    ]


def test_trials_without_a_score_in_both_studies_are_not_paired(folder: Path) -> None:
    info = {"pruned": {"folds": 2, "expected": 20.0}}
    pruned = dataclasses.replace(scored(2, POINTS[2]), state="pruned", info=info)
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0]), failed(1, POINTS[1]), pruned])
    server = add_study(folder, "server", [scored(0, POINTS[0]), failed(1, POINTS[1]), scored(2, POINTS[2])])
    parity = compare_trials([laptop, server], TOLERANCE)
    assert (parity.verdict, len(parity.pairs)) == ("PASS", 1)
    assert [(one.trial.name, one.reason) for one in parity.unpaired] == [
        ("trial 1 of laptop", "failed: no luck"),
        ("trial 2 of laptop", "pruned between folds"),
        ("trial 1 of server", "failed: no luck"),
        ("trial 2 of server", "trial 2 of laptop, which has the same parameters, was pruned between folds"),
    ]


def test_trials_with_different_objectives_are_paired(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0))
    server = add_study(folder, "server", trials(0), objective="cv_rmse_ridge")
    assert compare_trials([laptop, server], TOLERANCE).verdict == "PASS"
    folds = {f"cv_mae_{name}_fold_{fold}": 1.0 for name in ("xgboost", "ridge", "blended") for fold in range(3)}
    whole = {"cv_mae_blended": 1.0}
    one, other = moved(trials(0)[0], **whole), moved(trials(0)[0], **whole, **folds)
    desk = add_study(folder, "desk", [one])
    cloud = add_study(folder, "cloud", [other], objective="cv_mae_blended")
    assert compare_trials([desk, cloud], TOLERANCE).verdict == "PASS"


def test_trials_whose_objectives_chose_boosting_rounds_by_other_errors_are_not_paired(folder: Path) -> None:
    found: dict[str, Any] = {"info": {"rounds": {"xgboost": 40}}}
    laptop = add_study(folder, "laptop", trials(0), **found)
    again = add_study(folder, "again", trials(0), objective="cv_rmse_ridge", **found)
    other = moved(trials(0, shift=0.5)[0], cv_mae_blended=1.0)
    desk = add_study(folder, "desk", [other], objective="cv_mae_blended", **found)
    assert compare_trials([laptop, again], TOLERANCE).verdict == "PASS"
    parity = compare_trials([laptop, desk], TOLERANCE)
    assert parity.line == (
        "parity: NOT COMPARABLE (parameters after decoding: error by which the objective chooses boosting rounds: "
        "squared in laptop, absolute in desk)"
    )
    assert parity.unpaired[0].reason == (
        "the same parameters ran in desk, whose search.objective=cv_mae_blended chooses boosting rounds by the absolute "
        "error"
    )


def test_each_trial_is_compared_with_the_first_study_that_ran_it(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 1))
    containers = add_study(folder, "containers", trials(1, 2), mode="sagemaker")
    cloud = add_study(folder, "cloud", trials(0, 1, 2), mode="remote")
    assert named(compare_trials([laptop, containers, cloud], TOLERANCE)) == [
        ("trial 1 of laptop", "trial 0 of containers"),
        ("trial 0 of laptop", "trial 0 of cloud"),
        ("trial 1 of laptop", "trial 1 of cloud"),
        ("trial 1 of containers", "trial 2 of cloud"),
    ]


def test_a_point_that_ran_twice_in_a_study_is_compared_with_the_other_study_only(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 0))
    server = add_study(folder, "server", trials(0, 0))
    assert named(compare_trials([laptop, server], TOLERANCE)) == [
        ("trial 0 of laptop", "trial 0 of server"),
        ("trial 0 of laptop", "trial 1 of server"),
    ]


def test_a_search_of_other_points_does_not_change_the_verdict_of_two_that_agree(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0))
    again = add_study(folder, "again", trials(0), given=True)
    cloud = add_study(folder, "cloud", trials(1), mode="remote")
    parity = compare_trials([laptop, again, cloud], TOLERANCE)
    assert parity.line == "parity: PASS (1 of 1 trials equal)"
    assert parity.details() == ["no trial of cloud ran in another study"]


def test_given_points_that_ran_in_no_other_study_are_not_comparable(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0))
    again = add_study(folder, "again", trials(0), given=True)
    lost = add_study(folder, "lost", trials(1), given=True)
    parity = compare_trials([laptop, again, lost], TOLERANCE)
    assert parity.line == (
        "parity: NOT COMPARABLE (1 of 1 trials equal; "
        "parameters after decoding: no set of parameters ran in both laptop and lost)"
    )
    assert parity.exit_code == 3


def test_without_a_common_point_the_command_for_a_replay_is_reported(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0))
    parity = compare_trials([laptop, add_study(folder, "cloud", trials(1), mode="remote")], TOLERANCE)
    assert parity.verdict == "NOT COMPARABLE"
    assert parity.details() == [
        "python run.py mode=remote action=replay replay.study=laptop runs the best trials of laptop there"
    ]


def test_a_replay_is_compared_with_the_trials_that_it_ran_again(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 1, 2))
    server = add_study(folder, "server", trials(1), given=True)
    parity = compare_replay(laptop, server, TOLERANCE)
    assert (parity.line, parity.unpaired) == ("parity: PASS (1 of 1 trials equal)", ())


# By name of the cause: how the other study differs, and how that is reported.
Change = tuple[dict[str, Any], str]
NOT_COMPARABLE: dict[str, Change] = {
    "data hash": (
        {"data": splits(table(11), digest="b" * 64)},
        "24 rows in laptop (12 + 5 + 7), 23 rows in server (11 + 5 + 7); 12 are in both",
    ),
    "folds": ({"folds": 4}, "folds_k 3 in laptop, 4 in server"),
    "seed": ({"seed": 5}, "0 in laptop, 5 in server"),
    "parameters after decoding": ({"blend": "weighted"}, "blend mean in laptop, weighted in server"),
}
FAIL: dict[str, Change] = {
    "rows and dtypes": (
        {"info": {"dtypes": {"features": "float32", "target": "float64"}}},
        "dtype of features float64 in laptop, float32 in server",
    ),
    "library versions": (
        {"info": {"versions": {"python": "3.12.0", "xgboost": "3.1.0", "numpy": "2.4.6"}}},
        "xgboost 3.2.0 in laptop, 3.1.0 in server; python 3.11.2 in laptop, 3.12.0 in server",
    ),
    "CPU features": (
        {"info": {"processor": {**this_processor(), "features": ["NEON", "SVE"]}}},
        f"instructions {' '.join(this_processor()['features'])} in laptop, NEON SVE in server",
    ),
    "threads": ({"info": {"threads": 2}}, "1 in laptop, 2 in server"),
}


@pytest.mark.parametrize("cause", FAIL)
def test_a_difference_is_attributed_to_the_first_cause(folder: Path, cause: str) -> None:
    changes, detail = FAIL[cause]
    laptop = add_study(folder, "laptop", trials(0))
    server = add_study(folder, "server", trials(0, shift=0.5), **changes)
    line = compare_trials([laptop, server], TOLERANCE).line
    assert line.startswith(f"parity: FAIL (0 of 1 trials equal; {cause}: ")
    assert all(part in line for part in detail.split("; "))


@pytest.mark.parametrize("cause", NOT_COMPARABLE)
def test_a_lack_of_pairs_is_attributed_to_the_first_cause(folder: Path, cause: str) -> None:
    changes, detail = NOT_COMPARABLE[cause]
    laptop = add_study(folder, "laptop", trials(0))
    parity = compare_trials([laptop, add_study(folder, "server", trials(0), **changes)], TOLERANCE)
    assert parity.line == f"parity: NOT COMPARABLE ({cause}: {detail})"
    assert parity.exit_code == 3


def test_causes_are_checked_in_a_fixed_order(folder: Path) -> None:
    order = [
        "data hash",
        "rows and dtypes",
        "folds",
        "seed",
        "parameters after decoding",
        "library versions",
        "CPU features",
        "threads",
    ]
    laptop = add_study(folder, "laptop", trials(0))
    for number, name in enumerate(order):
        changes: dict[str, Any] = {"info": {}}
        for cause in order[number:]:
            more = {**NOT_COMPARABLE, **FAIL}[cause][0]
            changes |= {**more, "info": changes["info"] | more.get("info", {})}
        server = add_study(folder, f"server-{number}", trials(0, shift=1.0), **changes)
        parity = compare_trials([laptop, server], TOLERANCE)
        assert f"{name}: " in parity.line
        assert [check.name for check in parity.checks] == [*order, "objective in the log"]


def test_the_users_own_code_counts_among_the_versions(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0), code={"mine": "1111"})
    server = add_study(folder, "server", trials(0, shift=1.0), code={"mine": "2222"})
    line = compare_trials([laptop, server], TOLERANCE).line
    assert "library versions: your package mine 1111 in laptop, 2222 in server" in line


def test_different_versions_pass_if_the_numbers_are_the_same(folder: Path) -> None:
    changes, detail = FAIL["library versions"]
    laptop = add_study(folder, "laptop", trials(0))
    parity = compare_trials([laptop, add_study(folder, "server", trials(0), **changes)], TOLERANCE)
    assert parity.verdict == "PASS"
    (found,) = [check for check in parity.checks if check.outcome != "same"]
    assert (found.name, found.outcome) == ("library versions", "differs")
    assert found.detail == detail


def test_a_log_whose_objective_differs_from_metrics_json_fails(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0))
    server = add_study(folder, "server", trials(0))
    log_path(trial_folder(server.folder, 0)).write_text("[metric] cv_rmse_blended=1.5;\n")
    parity = compare_trials([laptop, server], TOLERANCE)
    assert parity.line == (
        "parity: FAIL (0 of 1 trials equal; objective in the log: the log of trial 0 of server ends with another value than "
        "metrics.json)"
    )


def test_the_objective_read_by_amt_is_compared_in_single_precision(folder: Path) -> None:
    result = trials(0)[0]
    laptop = add_study(folder, "laptop", [result])
    value = result.metrics["cv_rmse_blended"]
    for number, (read, verdict) in enumerate([(value * (1 + 5e-7), "PASS"), (value * 1.01, "FAIL"), (None, "PASS")]):
        cloud = {"cloud": {"job": "job", "objective_in_log": read}}
        server = add_study(folder, f"cloud-{number}", [result], mode="remote", info=cloud)
        assert compare_trials([laptop, server], TOLERANCE).verdict == verdict


@pytest.mark.parametrize(
    ("dropped", "check"),
    [
        ("dtypes", "rows and dtypes"),
        ("processor", "CPU features"),
        ("versions", "library versions"),
        ("threads", "threads"),
    ],
)
def test_facts_that_an_earlier_version_did_not_record_are_unknown(folder: Path, dropped: str, check: str) -> None:
    laptop = add_study(folder, "laptop", trials(0), drop=(dropped,))
    server = add_study(folder, "server", trials(0, shift=1.0))
    parity = compare_trials([laptop, server], TOLERANCE)
    assert parity.line == f"parity: FAIL (0 of 1 trials equal; no cause found; not recorded: {check})"
    assert [(one.name, one.detail) for one in parity.checks if one.outcome == "unknown"] == [
        (check, "not recorded by laptop")
    ]


def test_a_study_of_an_earlier_version_is_read(folder: Path) -> None:
    old = add_study(folder, "old", trials(0), drop=("processor", "dtypes", "columns", "validation_rows"), logs=False)
    edit_facts(old, space=None, dataset=None, action=None, replay_of=None)
    again = read_study(old.folder)
    assert (again.dataset, again.space.ranges) == (None, {})
    parity = compare_trials([again, add_study(folder, "new", trials(0))], TOLERANCE)
    assert parity.line == "parity: PASS (1 of 1 trials equal)"
    assert [check.name for check in parity.checks if check.outcome == "unknown"] == [
        "rows and dtypes",
        "CPU features",
        "objective in the log",
    ]


def test_many_differences_are_listed_in_part_and_counted(folder: Path) -> None:
    laptop = add_study(folder, "laptop", trials(0, 1, 2, 0, 1, 2, 0))
    server = add_study(folder, "server", trials(0, 1, 2, 0, 1, 2, 0, shift=1.0))
    details = compare_trials([laptop, server], TOLERANCE).details()
    assert details[0].startswith(
        "trial 0 of laptop and trial 0 of server: 15 of 21 numbers differ, of blended, ridge, xgboost; the largest difference is in cv_"
    )
    assert details[5:] == ["and 2 more"]
