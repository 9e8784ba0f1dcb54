"""The steps to a smaller ensemble (``study.shrink``), and how they are shown (``reporting.shrink``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ensemble.channel import write_channel
from ensemble.cli import main
from ensemble.documents import read_json
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.wire import encode_recipe
from experiments.actions.shrink import priced_steps
from experiments.aws.pricing import serverless_usd
from experiments.reporting.shrink import compared, sentence
from experiments.serving.memory import Rehearsal
from experiments.serving.part_memory import part_bytes
from experiments.study.shrink import Step, chosen, shrink_steps
from tests.entry.conftest import make_table

RECIPE = Recipe(
    (
        MemberSpec("ridge", "ridge"),
        MemberSpec("near", "nearest_neighbors"),
        MemberSpec("poor", "ridge", {"alpha": 1e6}),
    ),
    blend="weighted",
    folds=FoldSpec(k=4),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training, with ``train``, ``output`` and ``model``."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train").mkdir()
    write_channel(make_table(150), folder / "train")
    given = [f"--{name}={value}" for name, value in encode_recipe(RECIPE).items()]
    places = [f"--train={folder}/train", f"--model-dir={folder}/model", f"--output-data-dir={folder}/output"]
    assert main([*places, *given], {"SM_INPUT_CONFIG_DIR": str(folder)}) == 0
    return folder


def steps(folder: Path, recipe: Recipe = RECIPE) -> list[Step]:
    info = {key: value for key, value in read_json(folder / "output/metrics.json").items() if key != "metrics"}
    place = [str(folder / name) for name in ("output/out_of_fold.npz", "train", "model")]
    return [Step.from_dict(step) for step in shrink_steps(encode_recipe(recipe), *place, info)]


def test_the_first_step_has_the_recorded_score_and_the_last_one_member(trained: Path) -> None:
    found = steps(trained)
    recorded = read_json(trained / "output/metrics.json")["metrics"]
    assert found[0].score == recorded["cv_rmse_blended"]
    assert [len(step.members) for step in found] == [3, 3, 2, 1]
    assert [step.models for step in found] == [4, 1, 1, 1]
    (last,) = found[-1].members
    assert found[-1].score == pytest.approx(recorded[f"cv_rmse_{last}"], rel=1e-12)
    assert found[-1].rise == pytest.approx(found[-1].score - found[0].score)
    assert last != "poor"
    assert [step.megabytes for step in found] == sorted((step.megabytes for step in found), reverse=True)
    whole = sum(path.stat().st_size for path in (trained / "model").rglob("*") if path.is_file()) / 1e6
    assert found[0].megabytes == pytest.approx(whole)
    assert found[0].ms > found[-1].ms > 0


def step(rise: float, *, worse: bool = False, ms: float = 1.0, members: tuple[str, ...] = ("a", "b")) -> Step:
    return Step(members, 1, 50.0 + rise, rise, rise - 1, rise + 1, ms, 1.0, worse)


def test_members_are_taken_away_until_a_step_is_worse() -> None:
    found = [step(0.0), step(-0.1), step(0.4), step(2.0, worse=True), step(0.2)]
    assert chosen(found) is found[2]
    assert chosen(found, most_worse=0.005) is found[1]
    assert chosen(found[:1]) is found[0]
    assert chosen([step(0.0), step(1.0, worse=True)]).rise == 0.0


def test_a_step_is_one_sentence_and_a_million_requests_have_a_price() -> None:
    whole = step(0.0, ms=6.0)
    alone = replace(step(0.6, members=("catboost",)), score=50.6)
    assert sentence(alone, whole) == "catboost alone: 1.2% worse, 6 times faster"
    assert compared(-0.02, 0.5) == "2.0% better, 2 times slower"
    assert serverless_usd(100.0, 3072) == pytest.approx(6.0)  # a tenth of a second at $0.00006


def rehearsal(memory: int | None, peak: int | None) -> Rehearsal:
    return Rehearsal(memory, 1.0, peak, 1.0, "image")


@pytest.mark.parametrize(
    ("known", "used", "sizes"),
    [
        (None, [900, 900, 300], [1024, 1024, 1024]),  # the first fits, and so all others
        (None, [3000, 1500, 300], [3072, 2048, 1024]),
        (None, [1000, 950, 300], [2048, 1024, 1024]),  # a server needs some more
        (None, [9000, 1500, 300], [None, 2048, 1024]),
        (None, [None, None, None], [None, None, None]),
        (rehearsal(1024, 500), [], [1024, 1024, 1024]),
        (rehearsal(3072, 2500), [2300, 1900, 300], [3072, 3072, 1024]),  # the container had 200 more
        (rehearsal(4096, None), [2300, 1900, 300], [4096, 2048, 1024]),
        (rehearsal(None, None), [9000, 1900, None], [None, 2048, 2048]),
    ],
)
def test_each_step_has_the_smallest_size_for_what_was_measured(
    known: Rehearsal | None, used: list[int | None], sizes: list[int | None]
) -> None:
    found = [step(0.0), step(0.1), step(0.2, members=("a",))]
    if known is not None and known.peak_bytes is not None:
        known = replace(known, peak_bytes=known.peak_bytes * 2**20)
    left = iter(used)

    def measured(members: Sequence[str], models: int) -> int | None:
        megabytes = next(left)
        return None if megabytes is None else megabytes * 2**20

    priced = priced_steps(found, known, measured)
    assert [one.memory_mb for one in priced] == sizes
    assert [one.usd for one in priced] == [None if size is None else serverless_usd(1.0, size) for size in sizes]


@pytest.mark.slow  # two processes that import the libraries of a model
def test_the_memory_of_a_part_is_measured_where_it_answers(trained: Path) -> None:
    whole = part_bytes(trained / "model", [member.name for member in RECIPE.members], 4)
    part = part_bytes(trained / "model", ["ridge"], 1)
    assert whole is not None
    assert part is not None
    assert 50 * 2**20 < part <= 1.05 * whole < 600 * 2**20
    assert part_bytes(trained / "model", [], 1) is None
