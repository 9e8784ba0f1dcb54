"""The reference of the configuration, from the schema, the files of ``configs/`` and the members' declarations.

``python -m docs.configuration_page > docs/configuration.md`` writes it.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from ensemble.blending import REGISTRY as BLENDERS
from ensemble.members import REGISTRY as MEMBERS
from ensemble.members import Member
from ensemble.parameters import encode
from experiments.cli import ACTIONS
from experiments.config.groups import CHOSEN_BY_GROUP, CONFIG_FOLDER, group_files
from experiments.config.schema import MODES, Config, keys
from experiments.config.sources import on_one_line

INTRODUCTION = """\
# Configuration

Every key. This page is made by `python -m docs.configuration_page` from `experiments/config/schema.py`, the files of
`configs/` and what members and blenders declare.

- On the command line: `key=value`, such as `search.n_trials=60`. A group's name chooses one of its files:
  `ensemble=wide`.
- In a file: `configs/local/default.yaml` holds your own settings for this machine, `configs/local/mode/remote.yaml`
  those for AWS; git ignores both. `configs/experiment/<name>.yaml` is a recipe, chosen by `experiment=<name>`.
- The last one wins: schema, the groups' files, `configs/local/`, the recipe, the command line. `--cfg` after any
  command prints the resulting configuration, with the help of each key and where its value came from.
- Text is kept as it is typed: `dataset.target=1e3` is the column `1e3`, and `dataset.drop=[007,true]` names two
  columns. Quotes around all of it are removed, so that `'dataset.target="null"'` is the column `null`. In a list, quote
  what has a comma, bracket or quote in it: `'dataset.drop=["a, b"]'`. In a file, quote what YAML reads as a number,
  date or boolean.
- Quote what a shell would split: `'search.space.xgboost.eta={low: 0.01, high: 0.3}'`. A range on the command line
  replaces the whole range of the file. `~search.space.xgboost.eta` removes a key. `null` means no value."""

_TYPES = {"str": "text", "int": "integer", "float": "number", "bool": "true, false", "list[str]": "list"}
_TYPES |= {"dict[str, Any]": "mapping", "dict[str, str]": "mapping", "dict[str, str | None]": "mapping"}
# The types of keys that the schema leaves open.
_OPEN = {
    "keep": "list or text",
    "ensemble.members": "list",
    "ensemble.class_weight": "text, mapping or null",
    "ensemble.threshold": "number, text or list",
}
# The file of a group whose values the page shows as defaults.
_DEFAULT_FILES = {"dataset": "file", "ensemble": "trio", "search": "quick", "paths": "default"}


def reference() -> str:
    """Return ``docs/configuration.md``."""
    parts = [INTRODUCTION]
    for title, rows in sections().items():
        parts += [f"## {title}", *_files(title), _table(rows)]
        if title == "The command":
            parts.append("`action` is one of:\n\n" + _actions())
    parts += [
        "## Recipes",
        "`experiment=` chooses one of these, which overrides all groups:\n\n" + _heads("experiment"),
    ]
    return "\n\n".join([*parts, *_members(), *_blenders()]) + "\n"


@dataclass(frozen=True)
class Row:
    """A key of the configuration as a row of a table.

    Attributes:
        name: Dotted.
        type: The kind of value that it takes.
        default: As YAML.
        help: In Markdown.
    """

    name: str
    type: str
    default: str
    help: str


def sections() -> dict[str, list[Row]]:
    """Return every key by the title of its section, in order."""
    found = {"The command": [row for row in _rows(Config(), "", {}) if "." not in row.name]}
    for field in fields(Config):
        schema, group = getattr(Config(), field.name), field.name
        if group == "mode":
            found |= {f"`mode={mode.name}`": list(_rows(mode(), "mode", _content("mode", mode.name))) for mode in MODES}
        elif group == "serving":  # a kind of endpoint has the keys that its file sets
            for kind in group_files()["serving"]:
                content = _content("serving", kind)
                rows = _rows(schema, "serving", content)
                found[f"`serving={kind}`"] = [row for row in rows if row.name.partition(".")[2] in content]
        elif is_dataclass(schema):
            content = _content(group, _DEFAULT_FILES[group]) if group in _DEFAULT_FILES else {}
            found[f"`{group}`"] = list(_rows(schema, group, content))
    return found


def _rows(config: Any, group: str, content: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of a schema's keys, except the name of a group's file.

    Args:
        config: The schema's dataclass, with its defaults.
        group: What precedes its keys; empty for the whole configuration.
        content: The file whose values are the defaults.
    """
    for key in keys(config, f"{group}." if group else ""):
        if key.name not in CHOSEN_BY_GROUP and not is_dataclass(key.value):
            value = _value_in(content, key.name.removeprefix(f"{group}."), key.value)
            default = "of the file" if isinstance(value, dict) and value else on_one_line(value)
            yield Row(key.name, _OPEN.get(key.name) or _type(key.field), default, key.help)


def _content(group: str, name: str) -> dict[str, Any]:
    content = yaml.safe_load(_path(group, name).read_text())
    return dict(content or {})


def _path(group: str, name: str) -> Path:
    return CONFIG_FOLDER / group / f"{name}.yaml"


def _value_in(content: Any, name: str, default: Any) -> Any:
    for part in name.split("."):
        if not isinstance(content, dict) or part not in content:
            return default
        content = content[part]
    return content


def _type(field: Field[Any]) -> str:
    name = str(field.type)
    plain = name.removesuffix(" | None")
    return _TYPES[plain] + (" or null" if plain != name else "")


def head(path: Path) -> str:
    """Return the first paragraph of the comment with which a YAML file begins."""
    lines = (line for line in path.read_text().splitlines() if not line.startswith("# @package"))
    paragraph = itertools.takewhile(lambda line: line.startswith("# "), lines)
    return " ".join(line.removeprefix("# ") for line in paragraph)


def _files(title: str) -> list[str]:
    group, _, name = title.strip("`").partition("=")
    if name:
        return [head(_path(group, name))]
    return [f"Files, by `{group}=`:\n\n" + _heads(group)] if len(group_files().get(group, ())) > 1 else []


def _heads(group: str) -> str:
    return "\n".join(f"- `{name}`: {head(_path(group, name))}" for name in group_files()[group])


def _table(rows: list[Row]) -> str:
    if not rows:
        return "It has no keys of its own."
    lines = [f"| `{row.name}` | {row.type} | `{row.default}` | {row.help} |" for row in rows]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *lines])


def _actions() -> str:
    return "\n".join(f"- `{name}`: {purpose}" for name, (purpose, _) in ACTIONS.items())


def _members() -> Iterator[str]:
    yield "## Members"
    yield (
        "`ensemble.params.<member>.<parameter>` fixes a parameter, `search.space.<member>.<parameter>` tunes it. A "
        "parameter that is not set has the library's own default, except those with a default of byoe's below. Any "
        "other regressor, or classifier with `predict_proba`, of scikit-learn is a member by its class name, with the "
        "parameters that scikit-learn declares: `{huber: {kind: HuberRegressor}}`. `found` stands for a number of "
        "boosting rounds: where it is not set, a training finds one number for all folds, which is best on the rows "
        "that they score. The defaults that are marked with * apply where the number is found."
    )
    for name, member in MEMBERS.items():
        yield f"### `{name}`"
        yield f"{_summary(member)} {_tasks(member)}"
        rows = [
            f"| `{parameter}` | {declared.describe()} | {_default(member, parameter)} |"
            for parameter, declared in member.parameters.items()
        ]
        yield "\n".join(["| parameter | values | byoe's default |", "|---|---|---|", *rows])


def _tasks(member: type[Member]) -> str:
    if "regression" not in member.tasks:
        return "For classes only."
    return "For quantities and classes." if len(member.tasks) > 1 else "For quantities only."


def _default(member: type[Member], parameter: str) -> str:
    if parameter == member.rounds:
        return "found"
    default = _default_of(member.defaults, member.growing, parameter)
    for_classes = _default_of(member.class_defaults, member.class_growing, parameter)
    return ", ".join(filter(None, [default, for_classes and f"for classes {for_classes}"]))


def _default_of(defaults: Mapping[str, Any], growing: Mapping[str, Any], parameter: str) -> str:
    return f"{_code(growing[parameter])}*" if parameter in growing else _code(defaults.get(parameter))


def _blenders() -> Iterator[str]:
    yield "## Blenders"
    yield (
        "`ensemble.blend` is one of these. A fitted blender is fitted on out-of-fold predictions, and each fold is "
        "scored with a blend that was fitted on the other folds."
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
