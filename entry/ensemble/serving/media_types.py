"""The content types of requests and answers, and what an answer may hold."""

from __future__ import annotations

from typing import Literal, get_args

CSV, JSON, JSON_LINES, NPY, PARQUET = (
    "text/csv",
    "application/json",
    "application/jsonlines",
    "application/x-npy",
    "application/x-parquet",
)
ALIASES = {
    "application/jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/parquet": PARQUET,
    "application/vnd.apache.parquet": PARQUET,
}
# What an answer holds: the blend's prediction; with the probability of each class; with the predictions of every
# member; with an interval, or for classes a set of them; or with each column's part.
Detail = Literal["blended", "probabilities", "members", "interval", "explanation"]
DETAILS: tuple[Detail, ...] = get_args(Detail)


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """Return the type of a header's value and its parameters, in lower case and without quotes.

    Several values of one parameter are joined with commas, so that the parameter is refused.
    """
    kind, *rest = (text or "").split(";")
    found: dict[str, str] = {}
    for name, _, given in (part.partition("=") for part in rest):
        key, value = name.strip().lower(), given.strip().strip('"').lower()
        found[key] = value if found.get(key, value) == value else f"{found[key]}, {value}"
    return kind.strip().lower(), found


def wrong_detail(given: str, classes: bool) -> str | None:
    """Return why a model cannot predict this detail, as a sentence, or None; ``classes``: whether it predicts these."""
    details = details_of(classes)
    if given in details:
        return None
    allowed = f"use {', '.join(details[:-1])} or {details[-1]}"
    if given in DETAILS:
        return f"detail={given} is for a model that predicts classes, and this one predicts a number: {allowed}."
    return f"detail={given} is not known: {allowed}."


def details_of(classes: bool) -> list[Detail]:
    """Return the details that a model has, whether it predicts ``classes`` or a number."""
    return [detail for detail in DETAILS if classes or detail != "probabilities"]
