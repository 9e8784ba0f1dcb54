"""A registered model is found by the bundle that it has.

Registering, downloading and ``pyfunc_model`` need MLflow itself: ``actions/test_tune`` and ``serving/test_models`` test
them with a study's winner.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from experiments.tracking.registry import BUNDLE_HASH, find_version


def test_the_version_of_a_bundle_is_known_by_its_hash() -> None:
    asked: list[str] = []
    versions = [SimpleNamespace(version=str(number), tags={BUNDLE_HASH: f"hash{number}"}) for number in (1, 2)]
    versions.insert(0, SimpleNamespace(version="0", tags={}))

    def search_model_versions(filter_string: str) -> list[SimpleNamespace]:
        asked.append(filter_string)
        return versions

    client = cast("Any", SimpleNamespace(search_model_versions=search_model_versions))
    found = find_version(client, "mine", "hash2")
    assert found is not None
    assert found.version == "2"
    assert find_version(client, "mine", "other") is None
    assert asked == ["name = 'mine'"] * 2
