"""``action=shrink``: a smaller ensemble is chosen, trained as a study, and can be deployed and replayed as any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ended

Run = Callable[..., Ended]
CHEAP = (
    "ensemble.members=[ridge, {near: {kind: nearest_neighbors}}, {flat: {kind: ridge}}]",
    "ensemble.params.flat.alpha=1000000",
    "ensemble.blend=weighted",
    "search.baseline=false",
)


def manifest(study: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(f"studies/{study}/final/model/manifest.json").read_text())
    return found


@pytest.mark.slow  # three studies
def test_the_smallest_ensemble_that_is_not_worse_is_a_study_of_its_own(project: Path, byoe: Run) -> None:
    assert byoe("action=train", "study=mine", *CHEAP).code == 0
    ended = byoe("action=shrink", "model=mine")
    assert ended.code in (0, 1), ended.err
    assert "ridge alone" in ended.out
    assert Path("shrink.png").read_bytes().startswith(b"\x89PNG")
    assert f"shrink: mine-small is {'WORSE' if ended.code else 'not worse'} on the test rows" in ended.out
    small = manifest("mine-small")
    assert [member["name"] for member in small["members"]] == ["ridge"]  # type: ignore[attr-defined]
    assert small["final"] == "refit"
    again = byoe("action=shrink", "model=mine")
    assert "study mine-small is finished; nothing was run." in again.out
    replay = byoe("mode=local", "action=replay", "replay.study=mine-small", "study=again")
    assert replay.code == 0, replay.err
    assert "parity: PASS (1 of 1 trials equal)" in replay.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model=none",), "model=none: there is no such study"),
        ((), "there is no finished study"),
        (("model=none", "shrink.most_worse=-1"), "shrink.most_worse=-1 is not a share"),
    ],
)
def test_a_mistake_is_one_message(arguments: tuple[str, ...], message: str, project: Path, byoe: Run) -> None:
    ended = byoe("action=shrink", *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert not (project / "shrink.png").exists()
