"""What a study came to, readable in ten seconds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ensemble.evaluation import Interval, paired_lift
from ensemble.parameters import encode
from ensemble.recipe import BLENDED
from ensemble.wire import SEPARATOR
from experiments.reporting.console import at_least
from experiments.study.spec import WINNER_ALIAS, StudySpec, TrialResult

# Columns of text below which the table would lose digits.
NARROWEST = 80


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


@dataclass(frozen=True)
class LoneMember:
    """The best that one member reached by itself.

    Attributes:
        name: The member.
        trial: The trial in which it did.
        rmse: Its cross-validated RMSE there.
    """

    name: str
    trial: TrialResult
    rmse: float


def best_lone_member(results: Sequence[TrialResult], members: Sequence[str]) -> LoneMember:
    """Return the member and trial with the lowest cross-validated RMSE of all complete trials."""
    complete = [result for result in results if result.state == "complete"]
    candidates = [LoneMember(name, trial, trial.metrics[f"cv_rmse_{name}"]) for trial in complete for name in members]
    return min(candidates, key=lambda candidate: candidate.rmse)


def lift_over_lone_member(winner: TrialResult, lone: LoneMember, members: Sequence[str]) -> Interval | None:
    """Return how much lower the blend's RMSE is than the best lone member's, or None for an ensemble of one.

    That member comes from whatever trial it did best in, as it would if it had been tuned alone.
    """
    if len(members) < 2:
        return None
    k = winner.info.get("recipe", {}).get("folds", {}).get("k")
    return paired_lift(fold_rmse(lone.trial, lone.name), fold_rmse(winner, BLENDED), k)


def ruling(lift: Interval) -> Literal["pays", "costs", "undecided"]:
    """Say in a word what a lift over the best lone member means."""
    return "pays" if lift.low > 0 else "costs" if lift.high < 0 else "undecided"


def study_metrics(final: TrialResult, results: Sequence[TrialResult], members: Sequence[str]) -> dict[str, float]:
    """Return what the study's own MLflow run shows: the winner's RMSEs, the best lone member's and the lift over it."""
    names = [*members, BLENDED]
    numbers = {
        key: final.metrics[key]
        for split in ("cv", "validation", "test")
        for name in names
        if (key := f"{split}_rmse_{name}") in final.metrics
    }
    lone = best_lone_member(results, members)
    lift = lift_over_lone_member(final, lone, members)
    if lift is not None:
        numbers |= {"lift_mean": lift.mean, "lift_low": lift.low, "lift_high": lift.high}
    return numbers | {"cv_rmse_best_lone_member": lone.rmse}


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


def show(outcome: Outcome, console: Console) -> None:
    """Print the summary, no narrower than its table is readable, commands on one line each."""
    at_least(NARROWEST, console).print(render(outcome), crop=False)


def as_text(outcome: Outcome) -> str:
    """Return the summary as plain text, 100 columns wide."""
    file = io.StringIO()
    show(outcome, Console(file=file, width=100, color_system=None))
    return file.getvalue()


def _headline(outcome: Outcome) -> Text:
    failed = sum(result.state == "failed" for result in outcome.results)
    trials = len(outcome.results)
    text = Text()
    text.append(f"\nstudy {outcome.study.name}", style="bold")
    text.append(f"  {trials} trial{'s' if trials != 1 else ''}")
    timeout = outcome.study.timeout if trials < outcome.study.n_trials else None
    text.append(f" of {outcome.study.n_trials}" if timeout is not None else "")
    text.append(f", {failed} failed" if failed else "", style="red")
    pruned = sum(result.state == "pruned" for result in outcome.results)
    text.append(f", {pruned} given up early" if pruned else "")
    if timeout is not None:
        text.append(f"\nended by search.timeout={timeout:g}; the same command goes on", style="yellow")
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
            "" if blend else f"{round(weights[name], 3) + 0.0:.3f}",
            f"{sum(seconds.values()) if blend else seconds[name]:.2f}",
            style="bold" if blend else "",
        )
    return table


def _verdict(outcome: Outcome) -> Text:
    lone = best_lone_member(outcome.results, outcome.members)
    lift = lift_over_lone_member(outcome.final, lone, outcome.members)
    if lift is None:
        return Text("\n  A lone member: there is no blend to compare.")
    interval = f"{below_or_above(lift.high)} to {below_or_above(lift.low)}"
    word, style = {
        "pays": ("The ensemble pays", "green"),
        "costs": ("The ensemble costs", "red"),
        "undecided": ("Undecided", "yellow"),
    }[ruling(lift)]
    best = f"the best that a member reached alone ({lone.name} in trial {lone.trial.index}, {lone.rmse:.6g})"
    tail = ", which includes zero" if word == "Undecided" else ""
    sentence = (
        f"{word}: on the mean fold the blend is {below_or_above(lift.mean)} {best}; 95% interval {interval}{tail}."
    )
    return Text(f"\n  {sentence}", style=style)


def below_or_above(lift: float) -> str:
    """Say a lift as where the blend's RMSE is."""
    size = np.format_float_positional(abs(lift), precision=3, fractional=False, unique=False, trim="-")
    return f"{size} {'below' if lift >= 0 else 'above'}"


def _next(outcome: Outcome) -> Text:
    # A command stays on one line, however long, so that it can be copied.
    text = Text("\nNext:", overflow="ignore", no_wrap=True)
    for command, purpose in outcome.next_commands:
        text.append(f"\n  {command}", style="cyan")
        text.append(f"   # {purpose}", style="dim")
    return text
