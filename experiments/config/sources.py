"""Where each value of a configuration came from, and the configuration as YAML with that and its help as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.config import groups
from experiments.config.arguments import key_of
from experiments.config.schema import Config, keys
from experiments.config.secrets import masked_argument
from experiments.config.text import kept_keys, owner, text_keys
from experiments.errors import ConfigError

COMMAND_LINE = "command line"
DEFAULT = "default (experiments/config/schema.py)"
_WIDTH = 120


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nested mapping by their dotted keys."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted key as a nested mapping."""
    tree: dict[str, Any] = {}
    kept = kept_keys()
    for dotted, value in values.items():
        *parents, last = dotted.split(".")
        of = owner(dotted, kept)
        if of is not None and of != dotted:
            # A name of the user's own, such as a label, may have dots in it.
            parents, last = of.split("."), dotted.removeprefix(f"{of}.")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def sources(
    files: Sequence[tuple[str, str | None]], values: Mapping[str, Any], arguments: Sequence[str]
) -> dict[str, str]:
    """Return by dotted key where its value came from.

    Args:
        files: What was composed, in order: a path in ``configs`` without its suffix, and the key that it is below.
        values: The composed values, by dotted key.
        arguments: The arguments, as typed.
    """
    from omegaconf import OmegaConf

    found = dict.fromkeys(values, DEFAULT)
    texts = text_keys()
    for path, package in files:
        file = groups.config_file(path)
        if file is None:
            continue
        content = OmegaConf.to_container(OmegaConf.load(file))
        if not isinstance(content, dict):
            continue
        content.pop("defaults", None)
        for key, value in leaves(content, package or ""):
            _check_text(f"configs/{path}.yaml", key, value, texts)
            _mark(found, key, f"configs/{path}.yaml")
    for argument in arguments:
        key = key_of(argument)
        if key in groups.group_files():
            _mark(found, f"{key}.name", f"{COMMAND_LINE}: {masked_argument(argument)}")
        else:
            _mark(found, key, COMMAND_LINE)
    return found


def _check_text(place: str, key: str, value: Any, texts: Mapping[str, str]) -> None:
    """Raise ConfigError if a file has a number, date or boolean, as YAML reads it, where text is needed."""
    if owner(key, texts) is None:
        return
    for item in value if isinstance(value, list) else [value]:
        if item is not None and not isinstance(item, str | dict):
            raise ConfigError(
                f"{place}: {key} is text, and YAML reads {item!r} as {type(item).__name__}. Put quotes around it, as "
                "in '007'."
            )


def _mark(found: dict[str, str], key: str, source: str) -> None:
    for leaf in found:
        if leaf == key or leaf.startswith(key + "."):
            found[leaf] = source


def annotated_yaml(config: Config, values: Mapping[str, Any], found: Mapping[str, str]) -> str:
    """Return values as YAML: above each key its help, and beside each value its source.

    Args:
        config: The configuration, for the help of its keys.
        values: By dotted key.
        found: By dotted key, the sources.
    """
    help_of = {key.name: key.help.replace("`", "") for key in keys(config)}
    rows: list[tuple[str, str]] = []

    def walk(node: dict[str, Any], prefix: str, indent: str) -> None:
        for key, value in node.items():
            dotted = f"{prefix}{key}"
            margin = f"{indent}# "
            comment = textwrap.wrap(help_of.get(dotted, ""), _WIDTH - len(margin), break_on_hyphens=False)
            rows.extend((margin + line, "") for line in comment)
            if isinstance(value, dict) and value:
                rows.append((f"{indent}{on_one_line(key)}:", ""))
                walk(value, dotted + ".", f"{indent}  ")
            else:
                rows.append((f"{indent}{on_one_line(key)}: {on_one_line(value)}", found.get(dotted, "")))

    walk(nested(values), "", "")
    width = min(60, max(len(text) for text, source in rows if source))
    return "\n".join(f"{text:<{width}}  # {source}" if source else text for text, source in rows)


def on_one_line(value: Any) -> str:
    """Return a value as YAML in one line."""
    import yaml

    return str(yaml.safe_dump(value, default_flow_style=True, width=1000)).removesuffix("\n...\n").strip()
