"""How many trials run at a time in each kind of mode."""

from __future__ import annotations

import pytest

from experiments.config.schema import Config, LocalModeConfig, ModeConfig, RemoteModeConfig, SearchConfig
from experiments.errors import ConfigError
from experiments.planning import parallelism
from experiments.planning.parallelism import LARGE_TABLE_BYTES, Parallelism, plan_parallelism
from experiments.planning.search import SearchPlan
from experiments.study.search_space import SearchSpace
from experiments.study.spec import Engine, SearchSpec


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallelism, "available_cores", lambda: 4)


def plan(
    mode: ModeConfig,
    n_trials: int,
    size: int = 0,
    *,
    points: int = 0,
    parallel: int | None = None,
    engine: Engine | None = None,
) -> Parallelism:
    config = Config(mode=mode, search=SearchConfig(window=8, parallel=parallel))
    spec = SearchSpec("tpe", 0, n_trials, 8, 10, engine=engine)
    return plan_parallelism(config, SearchPlan(SearchSpace({}), {}, spec, ({},) * points or None, None, ()), size)


def test_trials_on_this_machine_share_its_cores_unless_the_table_is_large() -> None:
    assert plan(LocalModeConfig(), 20) == Parallelism(4, 1, ())
    assert plan(LocalModeConfig(), 20, LARGE_TABLE_BYTES + 1) == Parallelism(1, 4, ())
    assert plan(LocalModeConfig(), 1) == Parallelism(1, 4, ())


def test_jobs_on_separate_machines_leave_results_for_the_tuner_to_learn_from() -> None:
    assert plan(RemoteModeConfig(), 20, engine="amt").parallel == 5
    # byoe's own proposals depend on the window, and not on how many trials run at a time.
    assert plan(RemoteModeConfig(), 20, engine="optuna").parallel == 8
    assert plan(RemoteModeConfig(), 20, points=6).parallel == 6
    (note,) = plan(RemoteModeConfig(), 20, parallel=8, engine="amt").notes
    assert "search.parallel=5 gives it more results" in note


def test_no_more_trials_than_the_window_run_at_a_time() -> None:
    with pytest.raises(ConfigError, match=r"search\.parallel=9 is not from 1 to search\.window=8"):
        plan(LocalModeConfig(), 20, parallel=9)
