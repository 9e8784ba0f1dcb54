"""``action=plan``: print a study's requests, checked as AWS would check them; nothing is started."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from experiments.backends.open import plan_requests
from experiments.config.compose import Composed
from experiments.planning.packages import make_importable
from experiments.planning.study import plan_study
from experiments.reporting.console import PlainConsole


def show_requests(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    """Print the requests of this configuration's search as JSON, and what goes with them; return 0.

    Raises:
        InputError: A mistake in the configuration, or a request that AWS would refuse.
    """
    # The requests alone go to standard output, to be read by a program.
    stderr = PlainConsole(stderr=True, soft_wrap=True)
    make_importable(composed.config.entry)
    plan = plan_study(replace(composed, config=replace(composed.config, action="tune")))
    for note in plan.notes:
        stderr.print(f"note: {note}")
    if plan.study.search.learn_from:
        stderr.print("note: search.learn_from is read when the study begins, so its first trial may have other values.")
    planned = plan_requests(composed.config.mode, plan.study, plan.splits, arguments)
    for note in planned.notes:
        stderr.print(note)
    console.file.write(json.dumps({**planned.requests, "beside the request": planned.beside}, indent=1) + "\n")
    valid = "the tuning job's request and that of its first training job are"
    if len(planned.requests) == 1:
        valid = "the request of its first training job is"
    stderr.print(f"study {plan.study.name}: {valid} valid under AWS's service model. Nothing was started.")
    return 0
