"""The configuration: its typed schema, its composition from files and command line, and where each value came from.

This is the only module that reads Hydra's and OmegaConf's own types; everything else gets the dataclasses below.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import ConfigError, did_you_mean, listed

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "configs"
COMMAND_LINE = "command line"
CHOSEN_BY_GROUP = ("mode.name", "dataset.name", "serving.name")
# Keys below which any name may be added without Hydra's "+".
_OPEN_KEYS = ("ensemble.members", "ensemble.params", "ensemble.weights", "search.space", "search.shared")


@dataclass
class ModeConfig:
    """Where trials run."""

    name: str = ""


@dataclass
class LocalModeConfig(ModeConfig):
    """In worker processes on this machine."""

    name: str = "local"


@dataclass
class SplitConfig:
    """How rows are set aside: shares of all rows, drawn with a seed."""

    test: float = 0.2
    validation: float = 0.2
    seed: int = 0


@dataclass
class FoldsConfig:
    """Cross-validation over the rows that are left for training."""

    kind: str = "kfold"
    k: int = 5
    repeats: int | None = None
    column: str | None = None


@dataclass
class DatasetConfig:
    """The data."""

    name: str = ""
    path: str | None = None
    target: str | None = None
    weights: str | None = None
    drop: list[str] = field(default_factory=list)
    split: SplitConfig = field(default_factory=SplitConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)


@dataclass
class EnsembleConfig:
    """Who is in the ensemble, and how their predictions become one."""

    members: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    blend: str = "mean"
    weights: dict[str, Any] = field(default_factory=dict)
    final: str = "bag"
    drop_slow: bool = False


@dataclass
class SearchConfig:
    """What is tuned, by whom and for how long."""

    sampler: str = "tpe"
    n_trials: int = 20
    seed: int = 0
    window: int = 4
    parallel: int | None = None
    startup_trials: int = 10
    objective: str = "cv_rmse_blended"
    max_failure_rate: float = 0.5
    prune: bool = False
    timeout: float | None = None
    space: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)


@dataclass
class ServingConfig:
    """Endpoint settings."""

    name: str = ""
    memory_size_in_mb: int | None = None
    max_concurrency: int | None = None
    instance_type: str | None = None
    instance_count: int | None = None


@dataclass
class MlflowConfig:
    """Where runs are recorded."""

    uri: str | None = None
    experiment: str | None = None


@dataclass
class EntryConfig:
    """What is shipped along with the entry script."""

    dependencies: list[str] = field(default_factory=list)


@dataclass
class PathsConfig:
    """Directories."""

    root: str = "."
    studies: str = "studies"


@dataclass
class Config:
    """Everything that a command can be told."""

    action: str = "tune"
    study: str | None = None
    mode: ModeConfig = field(default_factory=ModeConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    mlflow: MlflowConfig = field(default_factory=MlflowConfig)
    entry: EntryConfig = field(default_factory=EntryConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass(frozen=True)
class Composed:
    """A composed configuration.

    Attributes:
        config: The values.
        choices: Which member of each group was chosen, such as ``{"ensemble": "pair"}``.
        sources: By dotted key, where its value came from: a file below ``configs``, the schema or the command line.
        values: By dotted key, the resolved value of every leaf.
    """

    config: Config
    choices: Mapping[str, str]
    sources: Mapping[str, str]
    values: Mapping[str, Any]

    def yaml(self) -> str:
        """Return the resolved configuration as YAML."""
        import yaml

        return yaml.safe_dump(_nested(self.values), sort_keys=False)

    def with_sources(self) -> str:
        """Return the resolved configuration as YAML with each value's source as a comment."""
        return "\n".join(_annotated(_nested(self.values), self.sources))


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
        overrides: ``key=value`` words, as typed.

    Raises:
        ConfigError: A word that cannot be read, an unknown key, group member or value of a wrong type.
    """
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(group="mode", name="local_schema", node=LocalModeConfig)
    words, replaced = _checked(overrides)
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        try:
            loader = GlobalHydra.instance().config_loader()
            composed = hydra.compose("config", words, return_hydra_config=True)
            choices = dict(composed.hydra.runtime.choices)
            defaults = loader.compute_defaults_list("config", words, RunMode.RUN).defaults
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
    return Composed(config, chosen, sources, values)


def _checked(overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Check the words for what Hydra itself would accept or explain badly.

    Returns:
        The words that are Hydra's, and the values below open keys, which replace what was there instead of being merged
        with it: a range that is typed is the whole range.
    """
    words = []
    replaced: dict[str, Any] = {}
    known = groups()
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(f"{word!r} is not key=value.{did_you_mean(word, [*_known_keys(), '--help', '--cfg'])}")
        override = _override(word)
        if override.is_sweep_override():
            raise ConfigError(
                f"{word}: one value is wanted. Run the command once for each, or quote it: 'key=\"a,b\"'."
            )
        key = override.key_or_group
        inside = any(key == prefix or key.startswith(prefix + ".") for prefix in _OPEN_KEYS)
        if key in CHOSEN_BY_GROUP:
            group = key.partition(".")[0]
            raise ConfigError(f"{word}: {key} comes with the group. Write {group}={override.value()}.")
        if not inside and key not in _known_keys():
            raise ConfigError(f"there is no key {key!r} in the configuration.{did_you_mean(key, _known_keys())}")
        value = override.value()
        if key in known and not isinstance(value, str) and not (key == "experiment" and value is None):
            raise ConfigError(f"{word}: there is no such {key}. It can be: {listed(known[key])}.")
        if inside and not word.startswith("~"):
            replaced[key] = value
        else:
            words.append(override.input_line or word)
    return words, replaced


def _override(word: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    with contextlib.suppress(HydraException):
        return parser.parse_override(word)
    key, _, text = word.partition("=")
    if not text or text[0] in "[{'\"":
        raise ConfigError(
            f"{word!r} cannot be read: close what you open, and put quotes around a value with commas, brackets or an "
            "equals sign in it: 'key=\"a, b\"'."
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
    defaults: Sequence[tuple[str, str | None]], values: Mapping[str, Any], words: Sequence[str]
) -> dict[str, str]:
    from omegaconf import OmegaConf

    sources = dict.fromkeys(values, "default (experiments/config.py)")
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
    for override in map(_override, words):
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
    """Return Hydra's and OmegaConf's error in our words: the value, its place, the fix."""
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
            key = found.full_key or ""
            return ConfigError(f"there is no key {key!r} in the configuration.{did_you_mean(key, _known_keys())}")
        if isinstance(found, OmegaConfBaseException):
            return ConfigError(f"{found.full_key}: {str(found).splitlines()[0]}")
    text = str(error).splitlines()[0]
    unknown = re.search(r"Could not override '([^']+)'", text)
    key = unknown.group(1) if unknown else ""
    if unknown:
        return ConfigError(f"there is no key {key!r} in the configuration.{did_you_mean(key, _known_keys())}")
    return ConfigError(f"{text} (in: {' '.join(overrides)})")


def _known_keys() -> list[str]:
    from dataclasses import fields, is_dataclass

    def walk(cls: Any, prefix: str) -> Iterator[str]:
        for item in fields(cls):
            yield prefix + item.name
            value = item.default_factory() if callable(item.default_factory) else item.default
            if is_dataclass(value):
                yield from walk(value, prefix + item.name + ".")

    return [*walk(Config, ""), *groups()]
