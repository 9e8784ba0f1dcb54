"""What decides a study's numbers, compared with a record of it and named by the keys that a user types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensemble.wire import SEPARATOR
from experiments.study.spec import UNSET, comparable_identity

# Parts of an identity by the key in which they are configured, where that is not their own name.
_KEYS = {
    "cold": "mode.warm_pool",
    "objective": "search.objective",
    "fixed.objective": "search.objective",
    "fixed.seed": "search.seed",
    "fixed.shared": "search.shared",
    "fixed.folds_kind": "dataset.folds.kind",
    "fixed.folds_k": "dataset.folds.k",
    "fixed.folds_repeats": "dataset.folds.repeats",
}
# How booleans are typed, for a part that is another key's opposite.
_OPPOSITE = {"cold": {"True": "false", "nothing": "true"}}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return how two identities differ, a line for each key; empty if they are of the same study.

    Args:
        there: The recorded identity, as of ``StudySpec.recorded_identity``.
        here: The wanted one.
    """
    there, here = _decisive(there), _decisive(here)
    names = [name for name in (*there, *here) if there.get(name) != here.get(name)]
    lines = dict[str, str]()
    if any(name == "points" for name in names) and ("points" in there) != ("points" in here):
        lines["action"] = f"action: {_action(there)} there, {_action(here)} here"
        decided = ("points", "mode", "cold")
        names = [name for name in names if name not in decided and not name.startswith(("search.", "space."))]
    for name in names:
        key = typed_key(name)
        if name == "data":
            lines[key] = f"{key}: other rows, columns, target or split"
        elif name.startswith("code."):
            lines[key] = f"{key}: another content"
        else:
            lines.setdefault(key, f"{key}: {_shown(name, there)} there, {_shown(name, here)} here")
    return [f"  {line}" for _, line in sorted(lines.items())]


def typed_key(name: str) -> str:
    """Return the key in which a part of an identity is configured, as it is typed."""
    if name in _KEYS:
        return _KEYS[name]
    part, _, rest = name.partition(".")
    if name == "data":
        return "dataset"
    if part == "code":
        return f"entry.dependencies, the code in {rest}"
    if part == "space":
        return f"search.space.{rest.replace(SEPARATOR, '.')}" if SEPARATOR in rest else f"search.shared.{rest}"
    if part == "fixed":
        return f"ensemble.params.{rest.replace(SEPARATOR, '.')}" if SEPARATOR in rest else f"ensemble.{rest}"
    return "replay.study" if name == "points" else name


def _decisive(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded identity, which an earlier version may have written, as ``StudySpec.identity`` has it now."""
    identity = comparable_identity(identity)
    learns = identity.get("search.sampler") == "tpe" or "search.vary" in identity
    unset = {f"search.{name}": value for name, value in UNSET.items() if name == "prune" or not learns}
    return {name: unset.get(name, value) for name, value in identity.items()}


def _action(identity: Mapping[str, Any]) -> str:
    if "points" not in identity:
        return "tune"
    return "train" if identity["points"] == "[{}]" else "replay"


def _shown(name: str, identity: Mapping[str, Any]) -> str:
    value = identity.get(name, "nothing")
    text = _OPPOSITE.get(name, {}).get(str(value), str(value))
    return f"[{text}]" if name == "fixed.members" else text
