"""``action=list``: the studies, and the leaderboard over members, trials and studies on the same folds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ensemble.evaluation import MetricName
from ensemble.recipe import BLENDED
from experiments.comparison.leaderboard import Listed, Placed, age, leaderboard, read_studies
from experiments.comparison.measures import Measures
from experiments.config.compose import Composed
from experiments.config.paths import studies_folder
from experiments.errors import ConfigError
from experiments.reporting.console import at_least, print_plain
from experiments.reporting.score_names import shown
from experiments.study.ledger import find_study
from experiments.system.files import replace_file
from experiments.system.output_file import output_file
from experiments.system.project import COMMAND

_MOST = 20
_WIDEST = 1000


def list_studies(composed: Composed, console: Console) -> int:
    """Print the studies, the newest first, and the leaderboard of the data of ``study``, or of the newest; return 0.

    With ``output=<file>.json`` both are written there too.

    Raises:
        InputError: There is no such study, or the file cannot be written.
    """
    config = composed.config
    folder = studies_folder(config)
    output = None if config.output is None else output_file(config.output, "studies.json")
    if output is not None and output.suffix != ".json":
        raise ConfigError(f"output={config.output}: action=list writes JSON. Use a name that ends with .json.")
    if config.study is not None:
        find_study(folder, config.study, "study")
    measures, lines = read_studies(folder)
    of = next((one for one in measures if config.study in (None, one.study.name)), None)
    board = [] if of is None else leaderboard(measures, of)
    if not lines:
        print_plain(console, f"there are no studies in {folder}. Run one: {COMMAND} mode=local.")
    else:
        _print(_studies(lines), console)
    if of is not None:
        _print_board(board, of, len(measures), console)
    if output is not None:
        document = {"studies": [asdict(line) for line in lines], "leaderboard": [asdict(line) for line in board]}
        replace_file(Path(output), json.dumps(document, indent=1) + "\n")
        print_plain(console, f"\nwritten: {config.output}")
    return 0


def _studies(lines: Sequence[Listed]) -> Table:
    table = _table("study", "dataset", "mode", "age", "state", "trials", "objective", "best")
    for line in lines:
        best = "" if line.best is None else f"{line.best:.6g}"
        created = "" if line.created is None else age(line.created)
        trials = "" if line.trials is None else str(line.trials)
        cells = (
            line.name,
            line.dataset or "",
            line.mode or "",
            created,
            line.state,
            trials,
            line.objective or "",
            best,
        )
        table.add_row(*cells)
    return table


def _print_board(board: Sequence[Placed], of: Measures, studies: int, console: Console) -> None:
    score = shown(of.decisive)
    better = "higher" if MetricName("cv", of.decisive, BLENDED).maximised else "lower"
    table = _table("", "model", f"CV {score}", "test", "trial", "study", "mode")
    for place, line in enumerate(board[:_MOST], 1):
        test = "" if line.test is None else f"{line.test:.6g}"
        trial = "" if line.trial is None else str(line.trial)
        table.add_row(str(place), line.model, f"{line.score:.6g}", test, trial, line.study, line.mode)
    compared = len({line.study for line in board})
    data = of.study.dataset or of.study.name
    more = f", the best {_MOST} of {len(board)}" if len(board) > _MOST else ""
    print_plain(
        console, f"\nbest of each model in each study on the folds of {data}{more}; a {better} {score} is better"
    )
    _print(table, console)
    if compared < studies:
        left = studies - compared
        print_plain(
            console,
            f"{left} stud{'ies have' if left > 1 else 'y has'} other rows or folds. Their leaderboard: "
            f"{COMMAND} action=list study=<name>",
        )


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    numbers = ("trials", "best", "test", "trial", "age")
    for title in titles:
        right = title in numbers or title.startswith("CV ") or not title
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    return table


def _print(table: Table, console: Console) -> None:
    unbounded = console.options.update(width=_WIDEST)
    at_least(console.measure(table, options=unbounded).maximum, console).print(table, crop=False)
