"""How many trials run at a time, and how many threads each has."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.config.schema import Config
from experiments.errors import ConfigError
from experiments.planning.search import SearchPlan
from experiments.system.machine import available_cores

# With more trials at a time than one in this many, a tuner is little better than chance.
TRIALS_TO_LEARN_FROM = 4
# Above this, trials side by side are no faster than one after another on all cores, and each takes memory.
LARGE_TABLE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Parallelism:
    """How a study uses its machines.

    Attributes:
        parallel: Trials at a time.
        threads: Threads of a trial on this machine.
        notes: What the user should know about it.
    """

    parallel: int
    threads: int
    notes: tuple[str, ...]


def plan_parallelism(config: Config, search: SearchPlan, table_bytes: int) -> Parallelism:
    """Choose how many trials run at a time, or check the user's choice.

    Args:
        config: The configuration.
        search: The search.
        table_bytes: Size of the training rows in memory.

    Raises:
        ConfigError: ``search.parallel`` is above the window.
    """
    window, cores, n_trials = config.search.window, available_cores(), search.n_trials
    tuned_by_amt = search.points is None and search.spec.engine == "amt"
    learning = max(1, n_trials // TRIALS_TO_LEARN_FROM)
    jobs_have_machines = config.mode.account is not None
    if jobs_have_machines:
        default = min(window, learning if tuned_by_amt else n_trials)
    else:
        default = 1 if table_bytes > LARGE_TABLE_BYTES else min(cores, window)
    parallel = default if config.search.parallel is None else config.search.parallel
    if not 1 <= parallel <= window:
        raise ConfigError(
            f"search.parallel={parallel} is not from 1 to search.window={window}: each proposal waits until all but "
            "the last search.window trials have finished. Use a number in this range."
        )
    parallel = min(parallel, n_trials)
    notes = []
    if tuned_by_amt and parallel > learning:
        notes.append(
            f"{parallel} of {n_trials} jobs at a time: with few results to learn from, the tuner proposes at random. "
            f"search.parallel={learning} gives it more results for the same number of jobs."
        )
    return Parallelism(parallel, max(1, cores // parallel), tuple(notes))
