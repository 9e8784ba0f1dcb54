"""The schema: each key has its help, and each mode its keys."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from typing import Any, get_args

import pytest

from ensemble.blending import REGISTRY
from ensemble.classes import DeclaredTask
from ensemble.recipe import Final, FinalRows, FoldKind
from ensemble.serving.media_types import DETAILS
from ensemble.serving.selected import KEYS
from experiments.comparison.parity import RequiredParity
from experiments.config.schema import MODES, Config, keys, known_keys, known_values, mode_of
from experiments.sagemaker_requests.limits import SERVERLESS_MEMORY
from experiments.serving.row_files import HEADERS
from experiments.study.spec import BlendOver, Engine, Sampler, Vary
from experiments.system.project import PROJECT

# What the code accepts, by key.
ACCEPTED: dict[str, tuple[Any, ...]] = {
    "dataset.folds.kind": get_args(FoldKind),
    "dataset.task": get_args(DeclaredTask),
    "ensemble.blend": tuple(REGISTRY),
    "ensemble.blend_over": get_args(BlendOver),
    "ensemble.final": get_args(Final),
    "ensemble.final_rows": get_args(FinalRows),
    "search.sampler": get_args(Sampler),
    "search.engine": get_args(Engine),
    "search.vary": get_args(Vary),
    "compare.parity": get_args(RequiredParity),
    "serving.memory_size_in_mb": SERVERLESS_MEMORY,
    "serving.inference_output": KEYS,
    "header": HEADERS,
    "detail": DETAILS,
    "format": ("optuna",),
}


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


def test_known_values_are_those_that_the_code_accepts() -> None:
    words = ("ensemble.class_weight", "ensemble.threshold", "keep")  # they can be numbers or lists too
    assert {key: values for key, values in known_values().items() if key not in words} == ACCEPTED
    code = "".join(path.read_text() for path in (PROJECT / "experiments").rglob("*.py"))
    assert set(re.findall(r'one_of\(\s*"([\w.]+)"', code)) <= set(ACCEPTED)
