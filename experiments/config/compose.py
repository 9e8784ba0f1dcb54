"""The configuration, composed from files and command line, and where each value came from.

This is the only module that reads Hydra's and OmegaConf's own types; everything else gets the dataclasses below.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from experiments.config.arguments import masked
from experiments.config.schema import MODES, Config, known_keys, mode_of
from experiments.errors import ConfigError, did_you_mean, listed
from experiments.system.project import PROJECT

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

CONFIG_FOLDER = PROJECT / "configs"
COMMAND_LINE = "command line"
DEFAULT = "default (experiments/config/schema.py)"
CHOSEN_BY_GROUP = ("mode.name", "dataset.name", "serving.name")
# Keys below which any name may be added without Hydra's "+".
_OPEN_KEYS = ("ensemble.members", "ensemble.params", "ensemble.weights", "search.space", "search.shared", "mode.tags")


@dataclass(frozen=True)
class Composed:
    """A composed configuration.

    Attributes:
        config: The values.
        choices: Which member of each group was chosen, such as ``{"ensemble": "pair"}``.
        sources: By dotted key, where its value came from: a file below ``configs``, the schema or the command line.
        values: By dotted key, the resolved value of every leaf.
        arguments: The ``key=value`` arguments that it was composed of.
    """

    config: Config
    choices: Mapping[str, str]
    sources: Mapping[str, str]
    values: Mapping[str, Any]
    arguments: tuple[str, ...]

    def given(self, key: str) -> list[str]:
        """Return what a file or the command line sets below a key, as ``key=value``."""
        below = (leaf for leaf in self.sources if leaf.startswith(f"{key}."))
        return [f"{leaf}={self.values[leaf]}" for leaf in below if self.sources[leaf] != DEFAULT]

    def yaml(self) -> str:
        """Return the resolved configuration as YAML, without passwords."""
        import yaml

        return masked(yaml.safe_dump(_nested(self.values), sort_keys=False))

    def with_sources(self) -> str:
        """Return the resolved configuration as YAML with each value's source as a comment, without passwords."""
        return masked("\n".join(_annotated(_nested(self.values), self.sources)))


def groups() -> dict[str, list[str]]:
    """Return the members of every group, read from the folder names."""
    return {
        folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
        for folder in sorted(CONFIG_FOLDER.iterdir())
        if folder.is_dir() and folder.name != "local"
    }


def compose(overrides: Sequence[str]) -> Composed:
    """Compose the configuration.

    Args:
        overrides: ``key=value`` arguments, as typed.

    Raises:
        ConfigError: An argument that cannot be read, an unknown key, group member or value of a wrong type.
    """
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for schema in MODES:
        store.store(group="mode", name=f"{schema.name}_schema", node=schema)
    arguments, replaced = _checked(overrides)
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        try:
            loader = GlobalHydra.instance().config_loader()
            composed = hydra.compose("config", arguments, return_hydra_config=True)
            choices = dict(composed.hydra.runtime.choices)
            defaults = loader.compute_defaults_list("config", arguments, RunMode.RUN).defaults
            OmegaConf.set_struct(composed, False)
            composed.pop("hydra")
            for key, value in replaced.items():
                OmegaConf.update(composed, key, value, merge=False, force_add=True)
            config: Config = OmegaConf.to_object(composed)  # type: ignore[assignment]  # by its schema
            values = dict(_leaves(OmegaConf.to_container(composed, resolve=True)))
        except Exception as error:
            raise _explained(error, overrides) from None
    sources = _sources([(default.config_path, default.package) for default in defaults], values, overrides)
    chosen = {key: value for key, value in choices.items() if value is not None and "hydra" not in key}
    return Composed(config, chosen, sources, values, tuple(overrides))


def compose_over(arguments: Sequence[str], origin: str, composed: Composed) -> Composed:
    """Compose a configuration again over further arguments: what was typed wins, as the later of two.

    Args:
        arguments: ``key=value`` arguments.
        origin: Where they are from, for the sources of values.
        composed: What was typed.
    """
    typed = {key_of(argument) for argument in composed.arguments}
    both = compose([*(argument for argument in arguments if key_of(argument) not in typed), *composed.arguments])
    sources = {
        key: source.replace(COMMAND_LINE, origin) if composed.sources.get(key) != source else source
        for key, source in both.sources.items()
    }
    return replace(both, sources=sources)


def key_of(argument: str) -> str:
    """Return the key of a ``key=value`` argument."""
    return argument.lstrip("+~").partition("=")[0]


def _checked(overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Check the arguments for what Hydra itself would accept or explain badly.

    Returns:
        The arguments for Hydra, and the values below open keys. These replace the files' values and are not merged with
        them, so that a range on the command line is the whole range.
    """
    arguments = []
    replaced: dict[str, Any] = {}
    known = groups()
    for argument in overrides:
        if "=" not in argument and not argument.startswith("~"):
            raise ConfigError(
                f"{argument!r} is not key=value.{did_you_mean(argument, [*_known_keys(), '--help', '--cfg'])}"
            )
        override = _override(argument)
        if override.is_sweep_override():
            raise ConfigError(
                f"{argument}: one value is wanted. Run the command once for each; a list has brackets, key=[a,b], and "
                "text with a comma has quotes, 'key=\"a,b\"'."
            )
        key = override.key_or_group
        inside = any(key == prefix or key.startswith(prefix + ".") for prefix in _OPEN_KEYS)
        if key in CHOSEN_BY_GROUP:
            group = key.partition(".")[0]
            raise ConfigError(f"{argument}: {key} comes with the group. Write {group}={override.value()}.")
        if not inside and key not in _known_keys():
            raise ConfigError(f"there is no key {key!r} in the configuration.{did_you_mean(key, _known_keys())}")
        value = override.value()
        if key in known and not isinstance(value, str) and not (key == "experiment" and value is None):
            raise ConfigError(f"{argument}: there is no such {key}. It can be: {listed(known[key])}.")
        if inside and not argument.startswith("~"):
            replaced[key] = value
        else:
            arguments.append(override.input_line or argument)
    return arguments, replaced


def _override(argument: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    with contextlib.suppress(HydraException):
        return parser.parse_override(argument)
    key, _, text = argument.partition("=")
    if not text or text[0] in "[{'\"":
        raise ConfigError(
            f"{argument!r} cannot be read: close what you open, and put quotes around a value with commas, brackets or "
            "an equals sign in it: 'key=\"a, b\"'."
        )
    # A path with letters that Hydra does not know, say; as text it is itself.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return parser.parse_override(f'{key}="{escaped}"')


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for dotted, value in values.items():
        *parents, last = dotted.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def _annotated(tree: dict[str, Any], sources: Mapping[str, str]) -> list[str]:
    import yaml

    rows: list[tuple[str, str]] = []

    def walk(node: dict[str, Any], prefix: str, depth: int) -> None:
        for key, value in node.items():
            dotted = f"{prefix}{key}"
            if isinstance(value, dict) and value:
                rows.append((f"{'  ' * depth}{key}:", ""))
                walk(value, dotted + ".", depth + 1)
            else:
                text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
                rows.append((f"{'  ' * depth}{key}: {text}", sources.get(dotted, "")))

    walk(tree, "", 0)
    width = min(60, max(len(text) for text, source in rows if source))
    return [f"{text:<{width}}  # {source}" if source else text for text, source in rows]


def _sources(
    defaults: Sequence[tuple[str, str | None]], values: Mapping[str, Any], arguments: Sequence[str]
) -> dict[str, str]:
    from omegaconf import OmegaConf

    sources = dict.fromkeys(values, DEFAULT)
    for config_path, package in defaults:
        file = CONFIG_FOLDER / f"{config_path}.yaml"
        if not file.is_file():
            continue
        content = OmegaConf.to_container(OmegaConf.load(file))
        if not isinstance(content, dict):
            continue
        content.pop("defaults", None)
        for key, _ in _leaves(content, package or ""):
            _mark(sources, key, f"configs/{config_path}.yaml")
    for override in map(_override, arguments):
        if override.key_or_group in groups():
            _mark(sources, f"{override.key_or_group}.name", f"{COMMAND_LINE}: {override.input_line}")
        else:
            _mark(sources, override.key_or_group, COMMAND_LINE)
    return sources


def _mark(sources: dict[str, str], key: str, source: str) -> None:
    for leaf in sources:
        if leaf == key or leaf.startswith(key + "."):
            sources[leaf] = source


def _explained(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """Return Hydra's and OmegaConf's error in our arguments: the value, its place, the fix."""
    from hydra.errors import MissingConfigException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for found in chain:
        if isinstance(found, MissingConfigException) and found.missing_cfg_file:
            group, _, name = str(found.missing_cfg_file).rpartition("/")
            valid = [option for option in found.options or groups().get(group, []) if not option.endswith("_schema")]
            return ConfigError(
                f"{group}={name}: there is no such {group}.{did_you_mean(name, valid)} It can be: {listed(valid)}."
            )
    for found in chain:
        if isinstance(found, ValidationError):
            message = str(found).splitlines()[0].rstrip(".")
            hint = f" Write {found.full_key}=[a]." if "ListConfig" in message else ""
            return ConfigError(f"{found.full_key}: {message}.{hint}")
        if isinstance(found, ConfigAttributeError | ConfigKeyError):
            return _unknown(found.full_key or "")
        if isinstance(found, OmegaConfBaseException):
            return ConfigError(f"{found.full_key}: {str(found).splitlines()[0]}")
    text = str(error).splitlines()[0]
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return _unknown(unknown.group(1))
    return ConfigError(f"{text} (in: {' '.join(overrides)})")


def _unknown(key: str) -> ConfigError:
    mode = mode_of(key)
    if mode is not None:
        return ConfigError(f"{key} is for mode={mode}: add it to the command.")
    return ConfigError(f"there is no key {key!r} in the configuration.{did_you_mean(key, _known_keys())}")


def _known_keys() -> list[str]:
    return [*known_keys(), *groups()]
