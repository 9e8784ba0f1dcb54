"""The schema: each key has its help, and each mode its keys."""

from __future__ import annotations

from dataclasses import is_dataclass

import pytest

from experiments.config.schema import MODES, Config, keys, known_keys, mode_of


@pytest.mark.parametrize(
    ("config", "prefix"),
    [(Config(), ""), *((mode(), "mode.") for mode in MODES)],
    ids=["config", *(m.name for m in MODES)],
)
def test_every_key_has_help_of_whole_sentences(config: object, prefix: str) -> None:
    for key in keys(config, prefix):
        if not is_dataclass(key.value):
            assert key.help.endswith("."), key.name
            assert key.help.count("`") % 2 == 0, key.name


def test_known_keys_are_those_of_every_mode_once() -> None:
    known = known_keys()
    assert len(known) == len(set(known))
    assert {"search.n_trials", "mode.warm_pool", "mode.image", "mode.image.uri"} <= set(known)


def test_a_key_of_one_mode_is_found() -> None:
    assert mode_of("mode.cpus") == "sagemaker"
    assert mode_of("mode.image.uri") == "remote"
    assert mode_of("search.n_trials") is None
