"""Arguments as they are typed, ``key=value``: parsed, checked, and printed without secrets."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ensemble.arguments import unquoted
from experiments.config.groups import CHOSEN_BY_GROUP, group_files, valid_keys
from experiments.config.schema import mode_of
from experiments.config.secrets import masked_argument
from experiments.config.text import (
    CLASS_WEIGHT,
    escaped,
    kept_keys,
    owner,
    read_list,
    read_mapping,
    read_number,
    read_text,
    split_argument,
)
from experiments.errors import ConfigError, did_you_mean, listed
from experiments.system.project import COMMAND

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_BEFORE_A_QUOTE = re.compile(r'(\\*)("|$)')
# Keys below which any name may be added without Hydra's "+".
_OPEN_KEYS = (
    "ensemble.members",
    "ensemble.params",
    "ensemble.weights",
    CLASS_WEIGHT,
    "search.space",
    "search.shared",
)


def typed_command(arguments: Iterable[str]) -> str:
    """Return the command with these arguments, quoted for a shell and without secrets."""
    return f"{COMMAND} {shlex.join(map(masked_argument, arguments))}".rstrip()


def key_of(argument: str) -> str:
    """Return the key of a ``key=value`` argument."""
    return split_argument(argument)[0]


def parsed(argument: str) -> Override:
    """Return an argument as Hydra's parser reads it; a value that it cannot read is text.

    Raises:
        ConfigError: Its key is not one, a quote or bracket in it is not closed, or it has no value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    with contextlib.suppress(HydraException):
        return parser.parse_override(argument)
    key, _, text = argument.partition("=")
    try:
        parser.parse_override(f"{key}=1")
    except HydraException:
        raise _unreadable_key(unquoted(key_of(argument))) from None
    if not text or text[0] in "[{'\"":
        raise ConfigError(
            f"{argument!r} cannot be read: close every bracket and quote, and put quotes around a value with commas, "
            "brackets or an equals sign in it: 'key=\"a, b\"'."
        )
    # Hydra's grammar lacks some characters that occur in paths.
    return parser.parse_override(f"{key}={quoted_for_hydra(text)}")


def _unreadable_key(key: str) -> ConfigError:
    """Return the error for a key that no configuration can have."""
    above = next((known for known in _OPEN_KEYS if key.startswith(f"{known}.")), None)
    if above is None:
        return unknown_key(key)
    name = key.removeprefix(f"{above}.")
    return ConfigError(f"{above}: {name!r} is not a name. A name has letters, digits and _, and begins with a letter.")


def quoted_for_hydra(text: str) -> str:
    """Return a text in quotes, in which Hydra reads a backslash as an escape only if a quote follows."""
    escaped = _BEFORE_A_QUOTE.sub(lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text)
    return f'"{escaped}"'


@dataclass(frozen=True)
class Checked:
    """Checked arguments.

    Attributes:
        for_hydra: The arguments that Hydra composes.
        replaced: By dotted key, values below open keys. These replace the files' values and are not merged with them,
            so that a range on the command line is the whole range.
        texts: By dotted key, values that are text, consist of text, or have text as names.
        entries: By dotted key of a mapping with any text as names, the entries that are set in it.
    """

    for_hydra: list[str] = field(default_factory=list)
    replaced: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str | list[str] | Mapping[str, Any] | None] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def set_text(self, argument: str, of: str, kind: str) -> None:
        """Keep the value of an argument as it was typed.

        Args:
            argument: The argument.
            of: The key of the schema whose value is text.
            kind: How it is written, as in ``text_keys``.
        """
        key, text = split_argument(argument)
        if key != of:
            self.entries.setdefault(of, {})[key.removeprefix(f"{of}.")] = _escaped(read_text(text))
        elif kind == "mapping":
            self.texts[of] = {name: _escaped(value) for name, value in read_mapping(of, text).items()}
        elif kind == "list":
            items = read_list(of, text)
            self.texts[of] = None if items is None else [escaped(item) for item in items]
        else:
            self.texts[of] = _escaped(read_text(text))

    def set_class_weight(self, argument: str) -> None:
        """Keep the labels of classes in an argument as they were typed."""
        key, text = split_argument(argument)
        if key != CLASS_WEIGHT:
            self.entries.setdefault(CLASS_WEIGHT, {})[key.removeprefix(f"{CLASS_WEIGHT}.")] = _weight(read_text(text))
        elif text.startswith("{"):
            weights = read_mapping(CLASS_WEIGHT, text)
            self.texts[CLASS_WEIGHT] = {label: _weight(value) for label, value in weights.items()}
        else:
            self.texts[CLASS_WEIGHT] = _escaped(read_text(text))


def _weight(text: str | None) -> float | str | None:
    found = read_number(text)
    return escaped(found) if isinstance(found, str) else found


def _escaped(text: str | None) -> str | None:
    return None if text is None else escaped(text)


def checked(arguments: Sequence[str]) -> Checked:
    """Check arguments for mistakes that Hydra would accept or explain badly.

    Raises:
        ConfigError: An argument cannot be read, or has an unknown key or several values.
    """
    found = Checked()
    known, kept = group_files(), kept_keys()
    for argument in arguments:
        if "=" not in argument and not argument.startswith("~"):
            suggestion = did_you_mean(argument, [*valid_keys(), "--help", "--cfg"])
            raise ConfigError(f"{argument!r} is not key=value.{suggestion}")
        key = key_of(argument)
        if key in CHOSEN_BY_GROUP:
            group = key.partition(".")[0]
            raise ConfigError(f"{argument}: {key} is set by the group. Use {group}={split_argument(argument)[1]}.")
        of = owner(key, kept)
        if of is not None and not argument.startswith("~"):
            if of == CLASS_WEIGHT:
                found.set_class_weight(argument)
            else:
                found.set_text(argument, of, kept[of])
            continue
        override = parsed(argument)
        if override.is_sweep_override():
            raise ConfigError(
                f"{argument}: a key takes one value. Run the command once for each value; a list needs brackets, "
                "key=[a,b], and text with a comma needs quotes, 'key=\"a,b\"'."
            )
        key = override.key_or_group
        is_open = any(key == prefix or key.startswith(prefix + ".") for prefix in _OPEN_KEYS)
        if not is_open and key not in valid_keys():
            raise unknown_key(key)
        value = override.value()
        if key in known and not isinstance(value, str) and not (key == "experiment" and value is None):
            raise ConfigError(f"{argument}: there is no such {key}. It can be: {listed(known[key])}.")
        if is_open and not argument.startswith("~"):
            found.replaced[key] = value
        else:
            found.for_hydra.append(override.input_line or argument)
    return found


def unknown_key(key: str) -> ConfigError:
    """Return the error for a key that the configuration, or its mode, does not have."""
    mode = mode_of(key)
    if mode is not None:
        return ConfigError(f"{key} is a key of mode={mode}. Add mode={mode} to the command.")
    return ConfigError(f"there is no key {key!r} in the configuration.{did_you_mean(key, valid_keys())}")
