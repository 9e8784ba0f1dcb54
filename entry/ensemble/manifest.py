"""What a bundle's manifest must hold, checked when it is read, so that nothing that uses it meets a surprise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from ensemble.blending import Rule
from ensemble.table import ColumnType
from ensemble.written_numbers import DECIMAL_MARKS

# Days from 1970-01-01 to the first and the last day that ISO 8601 can write with four digits.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896


def fault(manifest: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a manifest, as the end of a sentence, or None."""
    missing = sorted(name for name in _PARTS if name not in manifest)
    if missing:
        return f"it lacks {', '.join(missing)}"
    parts = {**_PARTS, **{name: fits for name, fits in _PARTS_OF_CLASSES.items() if name in manifest}}
    wrong = [name for name, fits in parts.items() if not fits(manifest[name])]
    if wrong:
        return f"its {wrong[0]} do not have the form in which they are saved"
    return next(_conflicts(manifest), None) or next(
        _misfits(manifest["example"], manifest["columns"], len(manifest.get("classes", ()))), None
    )


def _conflicts(manifest: Mapping[str, Any]) -> Iterator[str]:
    members, blend = manifest["members"], manifest["blend"]
    columns = [column["name"] for column in manifest["columns"]]
    if len({member["name"] for member in members}) < len(members):
        yield "two of its members have the same name"
    if len(set(columns)) < len(columns):
        yield "two of its columns have the same name"
    for member in members:
        for name in member["files"]:
            if name not in manifest["files"]:
                yield f"its list of files lacks {name!r}, which a member needs"
    if len(blend["weights"]) != len(members):
        yield f"its blend has {len(blend['weights'])} weights for {len(members)} members"
    if not all(0 <= passed["place"] < len(columns) for passed in blend["passed"]):
        yield "its blend adds a feature that it does not have"
    yield from _conflicts_of_classes(manifest)


def _conflicts_of_classes(manifest: Mapping[str, Any]) -> Iterator[str]:
    classes, blend = manifest.get("classes", ()), manifest["blend"]
    if len(set(classes)) < len(classes):
        yield "two of its classes have the same label"
    if (len(classes) == 2) != ("positive" in manifest) or manifest.get("positive") not in (None, *classes):
        yield "its positive class is not one of its two classes"
    if (len(classes) == 2) != ("threshold" in manifest):
        yield "it has a threshold, or none, for a number of classes other than two"
    if not classes and any(name in blend for name in ("rule", "biases", "temperature")):
        yield "its blend is for classes, and it has none"
    if len(blend.get("biases", ())) not in (0, len(classes)):
        yield f"its blend has {len(blend['biases'])} biases for {len(classes)} classes"
    if len(manifest.get("class_weights", ())) not in (0, len(classes)):
        yield f"it has {len(manifest['class_weights'])} weights for {len(classes)} classes"
    if blend["passed"] and classes:
        yield "its blend adds features to probabilities"


def _misfits(example: Mapping[str, Any], columns: list[Any], classes: int) -> Iterator[str]:
    if len(example["features"]) != len(example["predictions"]):
        yield "its example has not one prediction for each row"
    for predicted in example["predictions"]:
        if classes and not (isinstance(predicted, list) and len(predicted) == classes):
            yield "its example has not one probability for each class"
        if not classes and isinstance(predicted, list):
            yield "its example has probabilities, and it has no classes"
    for row in example["features"]:
        if len(row) != len(columns):
            yield "its example has not one value for each column"
            return
        for value, column in zip(row, columns, strict=True):
            if value is not None and not _can_hold(column, value):
                yield f"its example has {value!r} in column {column['name']!r}"


def _can_hold(column: Mapping[str, Any], value: float) -> bool:
    if column["type"] == "category":
        return 0 <= value < len(column.get("levels", ())) and value == int(value)
    if column["type"] == "boolean":
        return value in (0, 1)
    return column["type"] != "date" or _FIRST_DAY <= value < _LAST_DAY + 1


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return is_number and math.isfinite(value)
    except OverflowError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _list(fits: Callable[[Any], bool], least: int = 0) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(fits, value))


def _record(**parts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict) and all(name in value and fits(value[name]) for name, fits in parts.items())
    )


def _is_column(value: Any) -> bool:
    named = _record(name=_is_text, type=lambda kind: _is_text(kind) and kind in get_args(ColumnType))
    lists = all(_list(_is_text)(value.get(key, [])) for key in ("levels", "missing")) if named(value) else False
    flags = all(isinstance(value.get(key, False), bool) for key in ("zoned", "optional")) if lists else False
    return flags and value.get("decimal", "") in ("", *DECIMAL_MARKS)


def _is_passed(value: Any) -> bool:
    numbers = _record(place=_is_number, fill=_is_number, weight=_is_number)
    return numbers(value) and len(value) == len(("place", "fill", "weight")) and isinstance(value["place"], int)


def _is_blend(value: Any) -> bool:
    parts = _record(weights=_list(_is_number), intercept=_is_number, passed=_list(_is_passed))
    return (
        parts(value)
        and value.get("rule", "linear") in get_args(Rule)
        and _list(_is_number)(value.get("biases", []))
        and _is_above_zero(value.get("temperature", 1.0))
    )


def _is_above_zero(value: Any) -> bool:
    return _is_number(value) and value > 0


def _texts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


_PARTS: Mapping[str, Callable[[Any], bool]] = {
    "members": _list(_record(name=_is_text, kind=_is_text, files=_list(_is_text, 1)), 1),
    "blend": _is_blend,
    "columns": _list(_is_column, 1),
    "target": _is_text,
    "example": _record(
        features=_list(_list(lambda value: value is None or _is_number(value)), 1),
        predictions=_list(lambda value: _is_number(value) or _list(_is_number)(value), 1),
    ),
    "versions": _texts_by_name,
    "files": _texts_by_name,
}
# What a manifest has for classes only.
_PARTS_OF_CLASSES: Mapping[str, Callable[[Any], bool]] = {
    "classes": _list(_is_text, 2),
    "positive": _is_text,
    "threshold": lambda value: _is_number(value) and 0 < value < 1,
    "class_weights": _list(lambda value: _is_number(value) and value >= 0),
}
