"""The reference of the configuration, of the typed schema, the comments in ``configs/`` and what members declare.

``python -m docs.configuration_page > docs/configuration.md`` writes it anew.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from ensemble.blending import REGISTRY as BLENDERS
from ensemble.members import REGISTRY as MEMBERS
from ensemble.parameters import encode
from experiments.cli import ACTIONS
from experiments.config.compose import CHOSEN_BY_GROUP, CONFIG_FOLDER, groups
from experiments.config.schema import MODES, Config, ModeConfig

INTRODUCTION = """\
# Configuration

Every key. This page is made by `python -m docs.configuration_page` of
`experiments/config/schema.py`, the comments in `configs/` and what members and blenders declare.

- On the command line: `key=value`, such as `search.n_trials=60`. A group's name chooses one of its files:
  `ensemble=wide`.
- In a file: `configs/local/default.yaml` holds what is yours on this machine, `configs/local/mode/remote.yaml` what is
  yours on AWS; git ignores both. `configs/experiment/<name>.yaml` is a recipe, taken by `experiment=<name>`.
- Later wins: schema, the groups' files, `configs/local/`, the recipe, the command line. `--cfg` after any command shows
  what came out, and where each value is from.
- Quote what a shell would take apart: `'search.space.xgboost.eta={low: 0.01, high: 0.3}'`. A range that is typed
  replaces the file's whole. `~search.space.xgboost.eta` takes a key out. `null` is nothing."""

_TYPES = {"str": "text", "int": "integer", "float": "number", "bool": "true, false", "list[str]": "list"}
_TYPES |= {"dict[str, Any]": "mapping", "Any": "list"}
# What a comment in a file has of code: a command, a key with its value, nothing.
_VALUE = r"(?:[a-z_]+\.)*[a-z_]+=(?:\{[^}]*\}|\[[^]]*\]|[\w/*.:-]*[\w/*])"
_CODE = re.compile(rf"(?<![\w`.])(python run\.py(?: --help|(?: {_VALUE})+)|{_VALUE}|null)(?!\w)")


@dataclass(frozen=True)
class Setting:
    """A key as a file has it.

    Attributes:
        value: Its text; empty for a key with others below it.
        comment: What stands beside it, and below that; empty where nothing does.
    """

    value: str
    comment: str


@dataclass(frozen=True)
class ConfigFile:
    """A file of ``configs/``.

    Attributes:
        head: The first paragraph of the comment that it begins with.
        settings: By dotted key.
    """

    head: str
    settings: Mapping[str, Setting]

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Read a file in the style of ours: one key a line, comments to the right of them."""
        lines = path.read_text().splitlines()
        head: list[str] = []
        for line in lines:
            if not line.startswith("# ") or (head and line.startswith("# -")):
                break
            head += [] if line.startswith("# @package") else [line[2:]]
        settings: dict[str, Setting] = {}
        above: list[tuple[int, str]] = []
        column, key = -1, ""
        for line in lines:
            found = re.match(r"( *)([\w.]+):(?: +(?!#)(.*?))?(?: +(#) (.*))?$", line)
            if found:
                depth = len(found[1])
                above = [(indent, name) for indent, name in above if indent < depth] + [(depth, found[2])]
                key = ".".join(name for _, name in above)
                column = found.start(4)
                settings[key] = Setting((found[3] or "").strip(), found[5] or "")
            elif column > 0 and line[:column].strip() == "" and line[column : column + 2] == "# ":
                settings[key] = Setting(settings[key].value, f"{settings[key].comment} {line[column + 2 :]}")
        return cls(" ".join(head), settings)


def described(schema: type[Any]) -> dict[str, str]:
    """Return by field what the ``Attributes`` of a class's docstring say."""
    _, _, text = (inspect.getdoc(schema) or "").partition("Attributes:\n")
    words: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        found = re.match(r" {4}(\w+): (.*)", line)
        if found:
            name = found[1]
        if name:
            words[name] = f"{words[name]} {line.strip()}" if name in words else (found[2] if found else "")
    return {name: text.replace("``", "`") for name, text in words.items()}


@dataclass(frozen=True)
class Key:
    """A key of the configuration.

    Attributes:
        name: Dotted.
        type: What it takes, in a word.
        default: As YAML.
        text: What it means, in Markdown; empty where that is written nowhere.
    """

    name: str
    type: str
    default: str
    text: str


def keys(schema: type[Any], prefix: str, file: ConfigFile, below: str) -> Iterator[Key]:
    """Yield the keys of a schema, those of schemas inside it too, but for names that come with a group.

    Args:
        schema: The dataclass.
        prefix: What stands before a key, with the dot.
        file: The file that sets them by default.
        below: What stands before a key in the file, with the dot.
    """
    words = described(schema)
    for field in fields(schema):
        inner = _inner(field)
        if inner is not None:
            yield from keys(inner, f"{prefix}{field.name}.", file, f"{below}{field.name}.")
        elif f"{prefix}{field.name}" not in CHOSEN_BY_GROUP:
            setting = file.settings.get(below + field.name)
            text = words.get(field.name) or _markdown(setting.comment if setting else "")
            yield Key(f"{prefix}{field.name}", _type(field), _default(field, setting), text)


def _inner(field: Field[Any]) -> type[Any] | None:
    value = None if field.default_factory is MISSING else field.default_factory()
    return type(value) if is_dataclass(value) else None


def _type(field: Field[Any]) -> str:
    name, _, optional = str(field.type).partition(" | ")
    return _TYPES[name] + (" or null" if optional else "")


def _default(field: Field[Any], setting: Setting | None) -> str:
    if setting is not None:
        return setting.value or "of the file"
    value: Any = field.default if field.default_factory is MISSING else field.default_factory()
    return "null" if value is None else repr(value) if isinstance(value, list | dict) else encode(value)


def _markdown(comment: str) -> str:
    """Return a comment of a file as Markdown: a sentence, with what is code set as code."""
    text = _with_code(comment)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") or not text else ".")


def _with_code(text: str) -> str:
    return _CODE.sub(r"`\1`", text).replace("<", "&lt;")


def sections() -> dict[str, list[Key]]:
    """Return every key by the title of its section, in order."""
    whole = ConfigFile.read(CONFIG_FOLDER / "config.yaml")
    found = {"The command": [key for key in keys(Config, "", whole, "") if "." not in key.name]}
    for field in fields(Config):
        schema = _inner(field)
        if schema is None:
            continue
        if schema is ModeConfig:
            found |= {f"`mode={mode.name}`": _of_file(mode, "mode", mode.name) for mode in MODES}
        elif field.name == "serving":
            for name in groups()["serving"]:
                own = ConfigFile.read(CONFIG_FOLDER / "serving" / f"{name}.yaml").settings
                listed = _of_file(schema, "serving", name)
                found[f"`serving={name}`"] = [key for key in listed if key.name.partition(".")[2] in own]
        elif field.name in groups():
            found[f"`{field.name}`"] = _of_file(schema, field.name, _DEFAULTS[field.name])
        else:
            found[f"`{field.name}`"] = list(keys(schema, f"{field.name}.", whole, f"{field.name}."))
    return found


# The file of a group that has the keys' comments or, where it has none, their defaults.
_DEFAULTS = {"dataset": "file", "ensemble": "pair", "search": "quick", "paths": "default"}


def _of_file(schema: type[Any], group: str, name: str) -> list[Key]:
    return list(keys(schema, f"{group}.", ConfigFile.read(CONFIG_FOLDER / group / f"{name}.yaml"), ""))


def reference() -> str:
    """Return ``docs/configuration.md``."""
    parts = [INTRODUCTION]
    for title, listed in sections().items():
        parts += [f"## {title}", *_files(title), _table(listed)]
        if title == "The command":
            parts.append("`action` is one of:\n\n" + _actions())
    parts += ["## Recipes", "`experiment=` takes one of these, over all of the groups:\n\n" + _heads("experiment")]
    return "\n\n".join([*parts, *_members(), *_blenders()]) + "\n"


def _files(title: str) -> list[str]:
    group, _, name = title.strip("`").partition("=")
    if name:
        return [_markdown(ConfigFile.read(CONFIG_FOLDER / group / f"{name}.yaml").head)]
    return [f"Files, by `{group}=`:\n\n" + _heads(group)] if len(groups().get(group, ())) > 1 else []


def _heads(group: str) -> str:
    heads = {name: ConfigFile.read(CONFIG_FOLDER / group / f"{name}.yaml").head for name in groups()[group]}
    return "\n".join(f"- `{name}`: {_markdown(head)}" for name, head in heads.items())


def _table(listed: list[Key]) -> str:
    if not listed:
        return "It has no keys of its own."
    rows = [f"| `{key.name}` | {key.type} | `{key.default}` | {key.text} |" for key in listed]
    return "\n".join(["| key | takes | default | |", "|---|---|---|---|", *rows])


def _actions() -> str:
    return "\n".join(f"- `{name}`: {_with_code(purpose)}" for name, (purpose, _) in ACTIONS.items())


def _members() -> Iterator[str]:
    yield "## Members"
    yield (
        "`ensemble.params.<member>.<parameter>` fixes a parameter, `search.space.<member>.<parameter>` tunes it. What "
        "is not set is the library's own default, but for those named here. Any other regressor of scikit-learn is a "
        "member by its class name, with the parameters that scikit-learn declares: `{huber: {kind: HuberRegressor}}`."
    )
    for name, member in MEMBERS.items():
        yield f"### `{name}`"
        yield _summary(member)
        rows = [
            f"| `{parameter}` | {declared.describe()} | {_code(member.defaults.get(parameter))} |"
            for parameter, declared in member.parameters.items()
        ]
        yield "\n".join(["| parameter | takes | our default |", "|---|---|---|", *rows])


def _blenders() -> Iterator[str]:
    yield "## Blenders"
    yield (
        "`ensemble.blend` is one of these. What is fitted is fitted on out-of-fold predictions, and scored by a blend "
        "of the other folds."
    )
    rows = [
        f"| `{name}` | {'yes' if blender.fitted else 'no'} | {_summary(blender)} |"
        for name, blender in BLENDERS.items()
    ]
    yield "\n".join(["| blender | fitted | |", "|---|---|---|", *rows])


def _summary(described_class: type[Any]) -> str:
    return (inspect.getdoc(described_class) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")


def _code(value: Any) -> str:
    return "" if value is None else f"`{encode(value)}`"


if __name__ == "__main__":
    print(reference(), end="")
