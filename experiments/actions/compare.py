"""``action=compare``: choose studies, compare them, print the result, write the page and record it in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console

from experiments.comparison.measures import Measures, measure
from experiments.comparison.mlflow_entry import comparison_of
from experiments.comparison.page import make_report
from experiments.comparison.parity import EXIT_CODES, Parity, RequiredParity, compare_trials
from experiments.comparison.selection import check_tolerance, choose_studies
from experiments.comparison.table import Row, comparison_rows
from experiments.comparison.terminal import show_finding, show_parity, show_table, show_unpaired
from experiments.config.compose import Composed
from experiments.config.paths import root_folder, studies_folder
from experiments.errors import EnsembleError, one_of
from experiments.reporting.console import print_plain
from experiments.system.files import replace_file
from experiments.system.output_file import output_file
from experiments.tracking.comparisons import PAGE, Comparison, record_comparison
from experiments.tracking.store import interface, store_uri


class DifferentData(EnsembleError):
    """The studies ran on different data, and ``compare.force`` is not set."""

    exit_code = EXIT_CODES["NOT COMPARABLE"]


@dataclass(frozen=True)
class Compared:
    """Studies that were compared.

    Attributes:
        measures: Each study in numbers.
        rows: The table of them.
        parity: Whether their trials gave the same numbers.
        page: The file of the report.
    """

    measures: Sequence[Measures]
    rows: Sequence[Row]
    parity: Parity
    page: Path


def compare(composed: Composed, console: Console) -> int:
    """Compare studies. Returns the exit code: 0 for PASS or NOT CHECKED, 1 for FAIL, 3 for NOT COMPARABLE.

    The arguments are those of ``compare_studies``.
    """
    return compare_studies(composed, console).parity.exit_code


def compare_studies(composed: Composed, console: Console) -> Compared:
    """Compare studies, write the report and record the comparison.

    Args:
        composed: The configuration.
        console: Where the verdict and the table are printed.

    Raises:
        EnsembleError: The input has a mistake, or the page cannot be written.
    """
    config = composed.config
    tolerance = check_tolerance(config.compare)
    required: RequiredParity = one_of("compare.parity", config.compare.parity, get_args(RequiredParity))
    root = root_folder(config)
    output = config.output or str(root / PAGE)
    page = output_file(output, PAGE)
    uri = store_uri(config.mlflow.uri, root)
    studies = choose_studies(config.compare, studies_folder(config))
    parity = compare_trials(studies, tolerance, required)
    other = next((study for study in studies if study.data_hash != studies[0].data_hash), None)
    if other is not None and not config.compare.force:
        show_parity(parity, console)
        raise DifferentData(
            f"{studies[0].name} and {other.name} ran on different data, so their scores cannot be compared. Leave one "
            "out, or add compare.force=true to compare them anyway."
        )
    measures = measure(studies)
    rows = comparison_rows(measures)
    report = make_report(measures, parity, rows)
    show_finding(measures, console)
    show_table(measures, rows, console)
    if parity.required or parity.pairs:
        show_unpaired(parity, console)
    for line in report.partial:
        print_plain(console, f"partial: {line}.", "yellow")
    show_parity(parity, console)
    replace_file(page, report.html)
    kind = "partial report" if report.partial else "report"
    print_plain(console, f"\n{kind}: {output}")
    _record(comparison_of(measures, parity, report.html), uri, root, config.mlflow.experiment, console)
    return Compared(measures, rows, parity, page)


def _record(comparison: Comparison, uri: str, root: Path, experiment: str | None, console: Console) -> None:
    with console.status("recording in MLflow"):
        recorded = record_comparison(comparison, uri, root, experiment)
    if recorded.problem is not None:
        text = f"MLflow could not record the comparison: {recorded.problem}. The report does not depend on it."
        print_plain(console, text, "yellow")
        return
    command, purpose = interface(uri, root, recorded.page, "the studies side by side, in MLflow's compare view")
    print_plain(console, f"{command}   # {purpose}", "cyan")
