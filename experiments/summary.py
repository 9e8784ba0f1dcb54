"""What a study came to, readable in ten seconds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ensemble.evaluation import Lift, paired_lift
from ensemble.parameters import encode
from ensemble.recipe import BLENDED
from ensemble.wire import SEPARATOR
from experiments.study import WINNER_ALIAS, StudySpec, TrialResult


@dataclass(frozen=True)
class Outcome:
    """A finished study.

    Attributes:
        study: What was run.
        results: Every finished trial.
        best: The best trial.
        final: Its last training, with test scores.
        members: Member names in order.
        next_commands: Commands that make sense now, each with a word on what it does.
        problem: What MLflow could not record, if anything.
    """

    study: StudySpec
    results: Sequence[TrialResult]
    best: TrialResult
    final: TrialResult
    members: Sequence[str]
    next_commands: Sequence[tuple[str, str]]
    problem: str | None = None


def fold_rmse(result: TrialResult, name: str) -> list[float]:
    """Return the RMSE of a member or the blend on each fold, in order of the folds."""
    prefix = f"cv_rmse_{name}_fold_"
    folds = {int(key[len(prefix) :]): value for key, value in result.metrics.items() if key.startswith(prefix)}
    return [folds[number] for number in sorted(folds)]


def best_member(result: TrialResult, members: Sequence[str]) -> str:
    """Return the member with the lowest cross-validated RMSE."""
    return min(members, key=lambda name: result.metrics[f"cv_rmse_{name}"])


def lift_over_best_member(result: TrialResult, members: Sequence[str]) -> Lift | None:
    """Return how much lower the blend's RMSE is than the best member's, or None for a lone member."""
    if len(members) < 2:
        return None
    k = result.info.get("recipe", {}).get("folds", {}).get("k")
    return paired_lift(fold_rmse(result, best_member(result, members)), fold_rmse(result, BLENDED), k)


def study_metrics(final: TrialResult, members: Sequence[str]) -> dict[str, float]:
    """Return what the study's own MLflow run shows: the winner's RMSEs and the lift."""
    names = [*members, BLENDED]
    numbers = {
        key: final.metrics[key]
        for split in ("cv", "validation", "test")
        for name in names
        if (key := f"{split}_rmse_{name}") in final.metrics
    }
    lift = lift_over_best_member(final, members)
    if lift is not None:
        numbers |= {"lift_mean": lift.mean, "lift_low": lift.low, "lift_high": lift.high}
    return numbers


def render(outcome: Outcome) -> RenderableType:
    """Return the summary for a console."""
    parts: list[RenderableType] = [_headline(outcome), _parameters(outcome), _table(outcome), _verdict(outcome)]
    if outcome.problem is not None:
        parts.append(
            Text(
                f"\nMLflow could not record everything ({outcome.problem}). Nothing is lost: every trial is in "
                f"{outcome.study.folder}; mend the store and run the same command again.",
                style="yellow",
            )
        )
    else:
        model = f"models:/{outcome.study.name}@{WINNER_ALIAS}"
        parts.append(Text(f"  The winner is in MLflow's registry: {model}", overflow="ignore", no_wrap=True))
    return Group(*parts, _next(outcome))


def as_text(outcome: Outcome) -> str:
    """Return the summary as plain text, 100 columns wide."""
    file = io.StringIO()
    Console(file=file, width=100, color_system=None).print(render(outcome), crop=False)
    return file.getvalue()


def _headline(outcome: Outcome) -> Text:
    failed = sum(result.state == "failed" for result in outcome.results)
    trials = len(outcome.results)
    text = Text()
    text.append(f"\nstudy {outcome.study.name}", style="bold")
    text.append(f"  {trials} trial{'s' if trials != 1 else ''}")
    text.append(f", {failed} failed" if failed else "", style="red")
    if outcome.study.points is None:
        text.append(
            f"\nbest: trial {outcome.best.index}, {outcome.study.objective} = "
            f"{outcome.best.metrics[outcome.study.objective]:.6g}"
        )
    return text


def _parameters(outcome: Outcome) -> Table:
    """Return a line of parameters a member, and one for those that several members share."""
    table = Table.grid(padding=(0, 2))
    if not outcome.best.params:
        table.add_row("  nothing was searched")
    lines: dict[str, list[str]] = {}
    for name, value in outcome.best.params.items():
        member, _, param = name.rpartition(SEPARATOR)
        lines.setdefault(member or "shared", []).append(f"{param}={_short(encode(value))}")
    for member, parameters in lines.items():
        table.add_row(f"  {member}", "  ".join(parameters))
    table.add_row("")
    return table


def _short(text: str) -> str:
    try:
        return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text


def _table(outcome: Outcome) -> Table:
    metrics = outcome.final.metrics
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for title in ("", "CV RMSE", "validation", "test", "weight", "fit seconds"):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    weights, seconds = outcome.final.info["weights"], outcome.final.info["fit_seconds"]
    for name in [*outcome.members, BLENDED]:
        blend = name == BLENDED
        cells = [f"{metrics[f'{split}_rmse_{name}']:.6g}" for split in ("cv", "validation", "test")]
        table.add_row(
            f"  {name}",
            *cells,
            "" if blend else f"{weights[name]:.3f}",
            f"{sum(seconds.values()) if blend else seconds[name]:.2f}",
            style="bold" if blend else "",
        )
    return table


def _verdict(outcome: Outcome) -> Text:
    lift = lift_over_best_member(outcome.final, outcome.members)
    if lift is None:
        return Text("\n  A lone member: there is no blend to compare.")
    name = best_member(outcome.final, outcome.members)
    interval = f"on the mean fold (95% interval {lift.low:+.3g} to {lift.high:+.3g})"
    if lift.low > 0:
        words, style = f"The ensemble pays: it is {lift.mean:.3g} below {name} {interval}.", "green"
    elif lift.high < 0:
        words, style = f"The ensemble costs: it is {-lift.mean:.3g} above {name} {interval}.", "red"
    else:
        where = "below" if lift.mean >= 0 else "above"
        words = f"Undecided: the ensemble is {abs(lift.mean):.3g} {where} {name} {interval}, which includes zero."
        style = "yellow"
    return Text(f"\n  {words}", style=style)


def _next(outcome: Outcome) -> Text:
    # A command stays on one line, however long, so that it can be copied.
    text = Text("\nNext:", overflow="ignore", no_wrap=True)
    for command, purpose in outcome.next_commands:
        text.append(f"\n  {command}", style="cyan")
        text.append(f"   # {purpose}", style="dim")
    return text
