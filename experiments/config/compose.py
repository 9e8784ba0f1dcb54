"""Compose the configuration from the files of ``configs/`` and the command line into the schema's dataclasses.

Only this package knows Hydra and OmegaConf; everything else gets the dataclasses.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from experiments.config import groups
from experiments.config.arguments import checked, key_of, unknown_key
from experiments.config.schema import MODES, Config, known_hints
from experiments.config.secrets import masked_argument, masked_values
from experiments.config.sources import COMMAND_LINE, DEFAULT, annotated_yaml, leaves, nested, sources
from experiments.errors import ConfigError, did_you_mean, listed

if TYPE_CHECKING:
    from hydra.core.config_store import ConfigStore

# Hydra has one configuration in a process, also for several threads.
_HYDRA = threading.Lock()


@dataclass(frozen=True)
class Composed:
    """A composed configuration.

    Attributes:
        config: The values.
        choices: Which file of each group was chosen, such as ``{"ensemble": "trio"}``.
        sources: By dotted key, where its value came from: a file below ``configs``, the schema or the command line.
        values: By dotted key, the resolved value of every leaf.
        arguments: The ``key=value`` arguments that it was composed from.
        began: When the command began, by ``time.monotonic``.
    """

    config: Config
    choices: Mapping[str, str]
    sources: Mapping[str, str]
    values: Mapping[str, Any]
    arguments: tuple[str, ...]
    began: float = field(default_factory=time.monotonic)

    def given(self, key: str) -> list[str]:
        """Return what a file or the command line sets below a key, as ``key=value``."""
        below = (leaf for leaf in self.sources if leaf.startswith(f"{key}."))
        return [f"{leaf}={self.values[leaf]}" for leaf in below if self.sources[leaf] != DEFAULT]

    def yaml(self) -> str:
        """Return the resolved configuration as YAML, without secrets."""
        import yaml

        return str(yaml.safe_dump(nested(masked_values(self.values)), sort_keys=False))

    def with_sources(self) -> str:
        """Return the resolved configuration as YAML with each key's help and source as comments, without secrets."""
        return annotated_yaml(self.config, masked_values(self.values), self.sources)


def compose(arguments: Sequence[str], began: float | None = None) -> Composed:
    """Compose the configuration.

    Args:
        arguments: ``key=value`` arguments, as typed.
        began: When the command began, by ``time.monotonic``; None for now.

    Raises:
        ConfigError: An argument cannot be read, or has an unknown key or group file or a value of the wrong type.
    """
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    began = time.monotonic() if began is None else began
    given = checked(arguments)
    further = [f"file://{folder}" for folder in groups.config_folders()[1:]]
    for_hydra = [*given.for_hydra, f"hydra.searchpath={further}"]
    with _HYDRA, _hydra_kept(), hydra.initialize_config_dir(str(groups.CONFIG_FOLDER), version_base="1.3"):
        try:
            loader = GlobalHydra.instance().config_loader()
            composed = hydra.compose("config", for_hydra, return_hydra_config=True)
            choices = dict(composed.hydra.runtime.choices)
            defaults = loader.compute_defaults_list("config", for_hydra, RunMode.RUN).defaults
            for key, text in given.texts.items():
                OmegaConf.update(composed, key, text, merge=False)
            for key, entries in given.entries.items():
                before = OmegaConf.select(composed, key)
                kept = before if isinstance(before, Mapping) else {}
                OmegaConf.update(composed, key, {**kept, **entries}, merge=False)
            OmegaConf.set_struct(composed, False)
            composed.pop("hydra")
            for key, value in given.replaced.items():
                OmegaConf.update(composed, key, value, merge=False, force_add=True)
            config: Config = OmegaConf.to_object(composed)  # type: ignore[assignment]  # by its schema
            values = dict(leaves(OmegaConf.to_container(composed, resolve=True)))
        except Exception as error:
            raise _explained(error, arguments) from None
    files = [(default.config_path, default.package) for default in defaults]
    chosen = {key: value for key, value in choices.items() if value is not None and "hydra" not in key}
    return Composed(config, chosen, sources(files, values, arguments), values, tuple(arguments), began)


@contextlib.contextmanager
def _hydra_kept() -> Iterator[None]:
    """Take the place of the configuration that the user's own program may have given Hydra, and restore it."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra

    store = ConfigStore.instance()
    before, repository = GlobalHydra.instance().hydra, store.repo
    GlobalHydra.instance().clear()
    store.repo = _with_schemas(store)
    try:
        yield
    finally:
        GlobalHydra.instance().hydra, store.repo = before, repository


@functools.cache
def _with_schemas(store: ConfigStore) -> dict[str, Any]:
    """Return what Hydra's store of structured configurations has, and the schema's dataclasses."""
    kept = store.repo
    store.repo = copy.deepcopy(kept)
    try:
        store.store(name="schema", node=Config)
        for schema in MODES:
            store.store(group="mode", name=f"{schema.name}_schema", node=schema)
        return store.repo
    finally:
        store.repo = kept


def compose_over(arguments: Sequence[str], origin: str, composed: Composed) -> Composed:
    """Compose a configuration again with further arguments; those on the command line win over them.

    Args:
        arguments: ``key=value`` arguments.
        origin: Where they are from, for the sources of values.
        composed: The configuration of the command line.
    """
    typed = {key_of(argument) for argument in composed.arguments}
    both = compose([*(argument for argument in arguments if key_of(argument) not in typed), *composed.arguments])
    found = {
        key: source.replace(COMMAND_LINE, origin) if composed.sources.get(key) != source else source
        for key, source in both.sources.items()
    }
    return replace(both, sources=found)


def _explained(error: Exception, arguments: Sequence[str]) -> ConfigError:
    """Return an error of Hydra or OmegaConf as one that names the value, its place and the fix."""
    from hydra.errors import MissingConfigException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

    for found in _chain(error):
        if isinstance(found, MissingConfigException) and found.missing_cfg_file:
            group, _, name = str(found.missing_cfg_file).rpartition("/")
            valid = [
                option
                for option in found.options or groups.group_files().get(group, [])
                if not option.endswith("_schema")
            ]
            return ConfigError(
                f"{group}={name}: there is no such {group}.{did_you_mean(name, valid)} It can be: {listed(valid)}."
            )
    for found in _chain(error):
        if isinstance(found, ValidationError):
            return _wrong_type(found.full_key or "", str(found).splitlines()[0].rstrip("."))
        if isinstance(found, ConfigAttributeError | ConfigKeyError):
            return unknown_key(found.full_key or "")
        if isinstance(found, OmegaConfBaseException):
            return ConfigError(f"{found.full_key}: {str(found).splitlines()[0]}")
    text = str(error).splitlines()[0]
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return unknown_key(unknown.group(1))
    return ConfigError(f"{text} (in: {' '.join(map(masked_argument, arguments))})")


# By the annotation of a key, what its value must be.
_VALUES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list[str]": "a list, such as {key}=[a]",
    "dict[str, Any]": "a mapping, such as {key}={{a: ...}}",
    "dict[str, str]": "a mapping, such as {key}={{a: b}}",
    "dict[str, str | None]": "a mapping, such as {key}={{a: b}}",
}


def _wrong_type(key: str, message: str) -> ConfigError:
    """Return the error for a value of another type than the key has."""
    hint = known_hints().get(key, "")
    plain = hint.removesuffix(" | None")
    what = _VALUES.get(plain, "text").format(key=key)
    wrong = f"{key} cannot be null" if "is not Optional" in message else f"{key}: {message}"
    return ConfigError(f"{wrong}. It must be {what}{' or null' if plain != hint else ''}.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then its causes."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        yield link
        seen.append(link)
        link = link.__cause__ or link.__context__
