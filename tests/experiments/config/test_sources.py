"""Where each value came from, and the configuration that ``--cfg`` prints."""

from __future__ import annotations

import yaml

from experiments.config.compose import compose
from experiments.config.sources import DEFAULT, leaves, nested, on_one_line


def test_a_nested_mapping_is_its_leaves_and_back() -> None:
    tree = {"a": {"b": 1, "c": {}}, "d": [1]}
    assert dict(leaves(tree)) == {"a.b": 1, "a.c": {}, "d": [1]}
    assert nested(dict(leaves(tree))) == tree


def test_a_source_is_the_schema_a_file_or_the_command_line() -> None:
    sources = compose(["mode=remote", "experiment=blog", "search.seed=3"]).sources
    assert sources["search.seed"] == "command line"
    assert sources["search.n_trials"] == "configs/experiment/blog.yaml"
    assert sources["ensemble.members"] == "configs/ensemble/pair.yaml"
    assert sources["mode.name"] == "command line: mode=remote"
    assert sources["mode.region"] == DEFAULT


def test_the_help_of_each_key_is_above_it() -> None:
    shown = compose(["mode=sagemaker"]).with_sources()
    assert "\n  # Cores per container; null means no limit.\n  cpus: null" in shown
    assert (
        "\n    # Base image: Debian with Python. The default is the environment variable BASE_IMAGE.\n    base: "
        in shown
    )
    assert "\n  # What is tuned: search.space.<member>.<parameter>=" in shown
    assert max(map(len, shown.splitlines())) <= 120
    assert yaml.safe_load(shown) == yaml.safe_load(compose(["mode=sagemaker"]).yaml())


def test_a_value_is_one_line_of_yaml() -> None:
    assert [on_one_line(value) for value in (None, True, 1e-9, "a", [1, "b"], {})] == [
        "null",
        "true",
        "1.0e-09",
        "a",
        "[1, b]",
        "{}",
    ]
