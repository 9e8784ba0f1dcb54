"""The JSON in a ledger, checked as it is read, since anybody may have changed the file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_args

from ensemble.parameters import ParamValue
from experiments.study.coverage import COVERAGE, Coverage
from experiments.study.learning import LEARNED, Learned
from experiments.study.spec import COMMANDS, PLACE, STUDY_BLEND, TrialResult, TrialState


class DamagedRecord(ValueError):
    """A recorded value does not have its form; the text says what is wrong."""


def read_document(text: Any) -> Any:
    """Return a JSON document from a ledger's cell.

    Raises:
        DamagedRecord: It is not JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise DamagedRecord("JSON in it is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise DamagedRecord(f"it has a value that is not JSON: {error}") from None


def read_point(text: Any) -> dict[str, ParamValue]:
    """Return the parameters of a trial.

    Raises:
        DamagedRecord: They are not values by name.
    """
    found: dict[str, ParamValue] = read_document(text)
    if not _is_point(found):
        raise DamagedRecord("the parameters of a trial are not values by name")
    return found


def read_result(text: Any) -> TrialResult:
    """Return a finished trial.

    Raises:
        DamagedRecord: It is not one.
    """
    return result_of(read_document(text))


def result_of(document: Any) -> TrialResult:
    """Return a finished trial from its JSON document.

    Raises:
        DamagedRecord: It is not one.
    """
    if not isinstance(document, dict):
        raise DamagedRecord("a trial's result is not an object")
    unknown = [name for name in document if name not in _RESULT]
    if unknown:
        raise DamagedRecord(f"another version of byoe recorded {unknown[0]!r} of a trial")
    wrong = [name for name, fits in _RESULT.items() if name in document and not fits(document[name])]
    wrong += [name for name in ("index", "state", "params", "started", "finished") if name not in document]
    if wrong:
        raise DamagedRecord(f"{wrong[0]!r} of a trial's result is wrong or missing")
    info = document.get("info", {})
    wrong = [name for name, fits in _INFO.items() if name in info and not fits(info[name])]
    if wrong:
        raise DamagedRecord(f"{wrong[0]!r} of a trial's result is wrong")
    if document["state"] == "pruned" and "pruned" not in info:
        raise DamagedRecord("a pruned trial does not say when it was pruned")
    return TrialResult(**document)


def read_fact(key: Any, text: Any) -> Any:
    """Return a fact about the study.

    Raises:
        DamagedRecord: A fact that byoe uses does not have its form.
    """
    found = read_document(text)
    fits = _FACTS.get(str(key))
    if fits is not None and not fits(found):
        raise DamagedRecord(f"the fact {str(key)!r} does not have its form")
    return found


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _named(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _many(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _is_point(value: Any) -> bool:
    return _named(_or_none(lambda entry: isinstance(entry, int | float | bool | str)))(value)


def _is_recipe(value: Any) -> bool:
    return isinstance(value, dict) and _many(lambda one: isinstance(one, dict) and _is_text(one.get("name")))(
        value.get("members", [])
    )


def _is_final(value: Any) -> bool:
    try:
        result_of(value)
    except DamagedRecord:
        return False
    return True


def _is_serving_cost(value: Any) -> bool:
    numbers = ("one_row_ms", "bulk_row_ms", "megabytes")
    return (
        isinstance(value, dict)
        and set(value) == {*numbers, "members_ms"}
        and all(_is_number(value[name]) for name in numbers)
        and _named(_is_number)(value["members_ms"])
    )


def _is_coverage(value: Any) -> bool:
    names = {field.name for field in fields(Coverage)}
    return isinstance(value, dict) and set(value) == names and all(map(_is_number, value.values()))


def _is_identity(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(value.get(name, "")) for name in ("mode", "data", "objective"))


def _is_pruned(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _or_none(_is_number)(value[name]) for name in ("folds", "expected") if name in value
    )


def _is_cloud(value: Any) -> bool:
    numbers = ("created", "billable_seconds", "cost_usd", "objective_in_log")
    return (
        isinstance(value, dict)
        and _is_text(value.get("job"))
        and all(_or_none(_is_number)(value[name]) for name in numbers if name in value)
    )


def _is_study_blend(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) - {"limit", "left_out"} == {"trials", "models", "hyperparameters", "metrics", "better"}
        and _is_number(value.get("limit", 0.0))
        and _named(_is_number)(value.get("left_out", {}))
        and _many(_is_count)(value["trials"])
        and _is_count(value["models"])
        and _named(_is_text)(value["hyperparameters"])
        and _named(_is_number)(value["metrics"])
        and isinstance(value["better"], bool)
    )


def _is_learned(value: Any) -> bool:
    try:
        found = Learned.from_dict(value)
    except (ValueError, TypeError, LookupError, AttributeError):
        return False
    texts = (found.source, found.what, *found.used, *found.left_out, *found.remarks, *found.missing.values())
    return (
        all(map(_is_text, texts))
        and all(map(_is_count, (found.unscored, found.outside, found.repeated)))
        and all(_is_point(trial.params) and _is_number(trial.value) for trial in found.trials)
    )


def _is_jobs(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("mode")) and _many(_is_count)(value.get("trials"))


_RESULT: Mapping[str, Callable[[Any], bool]] = {
    "index": _is_count,
    "state": lambda value: _is_text(value) and value in get_args(TrialState),
    "params": _is_point,
    "started": _is_number,
    "finished": _is_number,
    "metrics": _named(_is_number),
    "info": lambda value: isinstance(value, dict),
    "failure": _or_none(_is_text),
}
_INFO: Mapping[str, Callable[[Any], bool]] = {
    "weights": _named(_is_number),
    "fit_seconds": _named(_is_number),
    "versions": _named(_is_text),
    "processor": lambda value: isinstance(value, dict),
    "columns": _named(_is_number),
    "dtypes": _named(_is_text),
    "recipe": _is_recipe,
    "rounds": _named(_is_count),
    "timed": lambda value: isinstance(value, bool),
    "left_out": _named(_is_text),
    "recipe_hash": _is_text,
    PLACE: _is_text,
    "standings": _many(_many(_is_number)),
    "pruned": _is_pruned,
    "cloud": _is_cloud,
    STUDY_BLEND: _is_study_blend,
    COVERAGE: _is_coverage,
}
_FACTS: Mapping[str, Callable[[Any], bool]] = {
    "identity": _is_identity,
    "created": _is_number,
    "dataset": _or_none(_is_text),
    "target": _is_text,
    "has_test_rows": lambda value: isinstance(value, bool),
    "words": _many(_is_text),
    "space": _named(lambda entry: isinstance(entry, dict)),
    "replay_of": _or_none(_is_text),
    "final": _is_final,
    "baseline": _is_final,
    "spot_checks": _named(_is_final),
    "jobs": _is_jobs,
    LEARNED: _many(_is_learned),
    "serving_cost": _is_serving_cost,
    COMMANDS: _many(_many(_is_number)),
    "members_ms": _named(_is_number),
    "feature_importance": _named(_is_number),
    STUDY_BLEND: _is_study_blend,
}
