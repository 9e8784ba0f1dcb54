"""``action=compare``: from the words that were typed to the verdict, the table, the page and MLflow."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console

from experiments.comparing.choosing import choose_studies
from experiments.comparing.measures import measure
from experiments.comparing.parity import EXIT_CODES, compare_trials
from experiments.comparing.sentences import which_search
from experiments.comparing.table import comparison_rows
from experiments.comparing.terminal import show_parity, show_table
from experiments.config import Composed
from experiments.errors import ConfigError, EnsembleError
from experiments.schema import CompareConfig


class DifferentData(EnsembleError):
    """Studies that ran on different data, which nobody asked to compare all the same."""

    exit_code = EXIT_CODES["NOT COMPARABLE"]


def compare(composed: Composed, console: Console) -> int:
    """Compare studies. Returns the exit code: 0 for PASS, 1 for FAIL, 3 for NOT COMPARABLE.

    Args:
        composed: The configuration.
        console: Where verdict and table go.

    Raises:
        EnsembleError: A mistake in the input, or a page that cannot be written.
    """
    config = composed.config
    tolerance = check_tolerance(config.compare)
    studies = choose_studies(config.compare, Path(config.paths.studies).expanduser().absolute())
    parity = compare_trials(studies, tolerance)
    other = next((study for study in studies if study.data_hash != studies[0].data_hash), None)
    if other is not None and not config.compare.force:
        show_parity(parity, console)
        raise DifferentData(
            f"{studies[0].name} and {other.name} ran on different data, so their numbers mean different things. Leave "
            "one out; compare.force=true compares them all the same."
        )
    measures = measure(studies)
    show_table(measures, comparison_rows(measures), console)
    console.print(f"\n{which_search(measures)}", highlight=False, markup=False)
    show_parity(parity, console)
    return parity.exit_code


def check_tolerance(config: CompareConfig) -> float:
    """Return the tolerance, or raise ConfigError where it is none."""
    if not 0 <= config.rtol < 1 or math.isnan(config.rtol):
        raise ConfigError(f"compare.rtol={config.rtol:g} is no share from 0 to below 1, such as 1e-9.")
    return config.rtol
