"""Why two trials may differ: every possible cause is checked in a fixed order, and the first that differs is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from experiments.comparison.data_difference import describe_difference
from experiments.comparison.pairing import point_key
from experiments.comparison.recorded_study import RecordedTrial

Outcome = Literal["same", "differs", "unknown"]
_MOST_SHOWN = 3
_ROUNDS = "error by which the objective chooses boosting rounds:"


@dataclass(frozen=True)
class Check:
    """One possible cause.

    Attributes:
        name: What was checked.
        outcome: Whether it differs; unknown if a study did not record it.
        detail: What differs, or which study did not record it.
    """

    name: str
    outcome: Outcome
    detail: str = ""


def checks(one: RecordedTrial, other: RecordedTrial, *, paired: bool = True) -> tuple[Check, ...]:
    """Check every possible cause, in order.

    Args:
        one: A trial.
        other: A trial of another study.
        paired: Whether both have the same parameters.
    """
    return (
        _data(one, other),
        _facts("rows and dtypes", (one, _rows(one)), (other, _rows(other)), absent="none"),
        _facts("folds", (one, _fixed(one, "folds_")), (other, _fixed(other, "folds_"))),
        _facts("seed", (one, _fixed(one, "seed")), (other, _fixed(other, "seed"))),
        Check("parameters after decoding", "same") if paired else _parameters(one, other),
        _facts("library versions", (one, _versions(one)), (other, _versions(other)), absent="not installed"),
        _facts("CPU features", (one, _processor(one)), (other, _processor(other))),
        _facts("threads", (one, _threads(one)), (other, _threads(other))),
        _logs(one, other),
    )


def combine(each: Sequence[Sequence[Check]]) -> tuple[Check, ...]:
    """Combine the checks of many pairs into one for each cause: differs if any differs, else unknown if any is."""
    rank: dict[Outcome, int] = {"differs": 0, "unknown": 1, "same": 2}
    return tuple(min(column, key=lambda check: rank[check.outcome]) for column in zip(*each, strict=True))


def first_cause(found: Sequence[Check]) -> str:
    """Return the first cause that differs, with its detail."""
    for check in found:
        if check.outcome == "differs":
            return f"{check.name}: {check.detail}"
    unknown = [check.name for check in found if check.outcome == "unknown"]
    return "no cause found" + (f"; not recorded: {', '.join(unknown)}" if unknown else "")


Facts = Mapping[str, Any]


def _facts(
    name: str, one: tuple[RecordedTrial, Facts | None], other: tuple[RecordedTrial, Facts | None], absent: str = "none"
) -> Check:
    """Compare what two trials recorded; None if a trial recorded nothing."""
    (left, a), (right, b) = one, other
    if a is None or b is None:
        missing = dict.fromkeys(side.study.name for side, facts in (one, other) if facts is None)
        return Check(name, "unknown", f"not recorded by {' and '.join(missing)}")
    lines = [
        ("" if key == name else f"{key} ") + f"{a.get(key, absent)} in {left.study.name}, "
        f"{b.get(key, absent)} in {right.study.name}"
        for key in dict.fromkeys([*a, *b])
        if a.get(key, absent) != b.get(key, absent)
    ]
    if not lines:
        return Check(name, "same")
    more = f"; and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
    return Check(name, "differs", "; ".join(lines[:_MOST_SHOWN]) + more)


def _data(one: RecordedTrial, other: RecordedTrial) -> Check:
    name = "data hash"
    if one.study.data_hash != other.study.data_hash:
        return Check(name, "differs", describe_difference(one.study, other.study))
    hashes = [side.info.get("train_hash") for side in (one, other)]
    if None not in hashes and hashes[0] != hashes[1]:
        found = f"{one.name} or {other.name} read other rows than its study has"
        return Check(name, "differs", found)
    return Check(name, "same")


def _rows(side: RecordedTrial) -> Facts | None:
    info = side.info
    if "dtypes" not in info:
        return None
    return {
        "training rows": info["rows"],
        "validation rows": info["validation_rows"],
        **{f"{kind} columns": count for kind, count in info["columns"].items()},
        **{f"dtype of {array}": dtype for array, dtype in info["dtypes"].items()},
    }


def _fixed(side: RecordedTrial, prefix: str) -> Facts:
    return {name: text for name, text in side.study.static().items() if name.startswith(prefix)}


def _parameters(one: RecordedTrial, other: RecordedTrial) -> Check:
    name = "parameters after decoding"
    left, right = (
        {k: v for k, v in side.study.static().items() if not _checked_separately(k)} for side in (one, other)
    )
    losses = [side.study.loss_of_rounds for side in (one, other)]
    if None not in losses:
        left, right = ({**facts, _ROUNDS: f"{loss}"} for facts, loss in zip((left, right), losses, strict=True))
    fixed = _facts(name, (one, left), (other, right))
    if fixed.outcome == "differs":
        return fixed
    points = [{point_key(side.study, result) for result in side.study.results} for side in (one, other)]
    if points[0] & points[1]:
        return Check(name, "same")
    return Check(name, "differs", f"no set of parameters ran in both {one.study.name} and {other.study.name}")


def _checked_separately(key: str) -> bool:
    """Whether another check covers a hyperparameter, or it is the objective, of which ``_ROUNDS`` is what matters."""
    return key.startswith("folds_") or key in ("seed", "objective")


def _versions(side: RecordedTrial) -> Facts | None:
    versions = side.info.get("versions")
    if versions is None:
        return None
    own = {f"your package {name}": digest for name, digest in side.study.code().items()}
    # Python is last: a patch release does not change numbers, and the first difference should be one that does.
    return {**own, **dict(sorted(versions.items(), key=lambda item: item[0] == "python"))}


def _processor(side: RecordedTrial) -> Facts | None:
    found = side.info.get("processor")
    if found is None:
        return None
    return {
        "machine": found["machine"],
        "instructions": " ".join(found["features"]) or "none",
        "linear algebra": ", ".join(found["blas"]) or "none",
    }


def _threads(side: RecordedTrial) -> Facts | None:
    return {"threads": side.info["threads"]} if "threads" in side.info else None


def _logs(one: RecordedTrial, other: RecordedTrial) -> Check:
    name = "objective in the log"
    wrong = [side.name for side in (one, other) if side.log_agrees is False]
    if wrong:
        return Check(name, "differs", f"the log of {' and '.join(wrong)} ends with another value than metrics.json")
    missing = dict.fromkeys(side.study.name for side in (one, other) if side.log_agrees is None)
    return Check(name, "unknown", f"no log in {' and '.join(missing)}") if missing else Check(name, "same")
