"""The summary of a finished study, readable in ten seconds."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ensemble.decision import HALF
from ensemble.errors import listed
from ensemble.parameters import encode
from ensemble.recipe import BLENDED
from ensemble.wire import SEPARATOR
from experiments.reporting.console import PlainConsole, at_least
from experiments.reporting.markup import html_of, paragraph
from experiments.reporting.score_names import shown
from experiments.reporting.shrink import compared
from experiments.reporting.verdict import baseline_text, digits, gap_text, next_step_text, outlook_text, verdict_text
from experiments.study.baseline import CATBOOST, MEAN
from experiments.study.coverage import Coverage, coverage_of
from experiments.study.more_trials import Outlook, outlook
from experiments.study.serving_cost import ServingCost
from experiments.study.spec import WINNER_ALIAS, StudySpec, TrialResult
from experiments.study.study_blend import StudyBlend
from experiments.study.verdict import score_rows

# In a narrower console the table would lose digits.
NARROWEST = 80
# What bounds the width that a table with long names or numbers may need.
_WIDEST = 1000

_NO_TEST_ROWS = (
    "There are no test rows (dataset.split.test=0). The winner was chosen by its score, so that score is a little too "
    "good."
)

# What intervals do not promise, by the kind of the folds.
_NOT_PROMISED = {
    "group": " That is for new groups that are like these, and not for each group.",
    "time": " That is for the times that were scored, and not for later ones if the target drifts.",
}


@dataclass(frozen=True)
class Outcome:
    """A finished study.

    Attributes:
        study: The study.
        results: Every finished trial.
        best: The best trial.
        final: The winner with test scores: the best trial, trained once more, or the blend over the study.
        members: Member names in order.
        next_commands: Commands to run next, each with its purpose.
        blend: The blend over the study, if one was looked for.
        problem: Why MLflow did not record everything; None if it did.
        baseline: Scores of plain CatBoost and of the mean of the target; None if it was not trained.
        cost: What the served model costs; None if it was not measured.
        registered: Whether the winner is in MLflow's registry.
        rises: By member, the rise of the blend's main score when it is left out; empty if that is not known.
    """

    study: StudySpec
    results: Sequence[TrialResult]
    best: TrialResult
    final: TrialResult
    members: Sequence[str]
    next_commands: Sequence[tuple[str, str]]
    blend: StudyBlend | None = None
    problem: str | None = None
    baseline: TrialResult | None = None
    cost: ServingCost | None = None
    registered: bool = True
    rises: Mapping[str, float] = field(default_factory=dict)

    @property
    def outlook(self) -> Outlook | None:
        """What more trials may bring; None if points were given or come from a grid, or if there are too few trials."""
        is_open = self.study.points is None and self.study.search.sampler != "grid"
        return outlook(self.results, self.study.objective) if is_open else None


def render(outcome: Outcome) -> RenderableType:
    """Return the summary for a console."""
    parts: list[RenderableType] = [_headline(outcome), _parameters(outcome), _table(outcome), Text("")]
    parts += [Text.assemble("  ", sentence) for sentence in _verdicts(outcome)]
    rounds = outcome.final.info.get("rounds")
    if rounds:
        found = ", ".join(f"{name} {number}" for name, number in rounds.items())
        parts.append(Text(f"  Boosting rounds that were found, one number for all folds: {found}."))
    parts += [Text(f"  {line}") for line in (*_of_classes(outcome.final), *_limited(outcome))]
    coverage = coverage_of(outcome.final.info)
    if coverage is not None:
        parts.append(Text(f"  {_coverage_text(coverage, outcome)}"))
    if "final_rows" in outcome.final.info:
        parts.append(Text(f"  {_served_rows(outcome)}"))
    if outcome.cost is not None:
        parts.append(
            Text(
                f"  The served model predicts one row in {digits(outcome.cost.one_row_ms)} ms and many in "
                f"{digits(outcome.cost.bulk_row_ms)} ms each, on one core here, and has "
                f"{digits(outcome.cost.megabytes)} MB."
            )
        )
        parts += [Text(f"  {line}") for line in _alone(outcome.final, outcome.cost)]
    if outcome.study.channels.test is None:
        parts.append(Text(f"  {_NO_TEST_ROWS}"))
    ahead = outcome.outlook
    if ahead is not None:
        parts.append(Text(f"  {outlook_text(ahead, outcome.study.parallel)}"))
    if outcome.problem is not None:
        parts.append(
            Text(
                f"\nMLflow could not record everything ({outcome.problem}). No trial is lost: all are recorded in "
                f"{outcome.study.folder}. Fix the store, then run the same command again.",
                style="yellow",
            )
        )
    else:
        line = f"The winner is in MLflow's registry: models:/{outcome.study.name}@{WINNER_ALIAS}"
        if not outcome.registered:
            line = "The model is in its run in MLflow. To add it to MLflow's registry: mlflow.register=true"
        parts.append(Text(f"  {line}", overflow="ignore", no_wrap=True))
    return Group(*parts, _next(outcome))


def _verdicts(outcome: Outcome) -> list[Text]:
    """Return whether the ensemble pays, against what, what would decide it, and what the scores mean."""
    final, members, objective = outcome.final, outcome.members, outcome.study.objective
    verdict = verdict_text(final, outcome.results, members, objective)
    step = next_step_text(final, outcome.results, members, objective, outcome.rises, outcome.outlook)
    if step is not None:
        verdict.append(f" {step}")
    plain = [text for text in (spread_text(outcome.study, final), gap_text(final)) if text is not None]
    found = [verdict, baseline_text(final, outcome.results, members, objective, outcome.baseline), *map(Text, plain)]
    return [text for text in found if text is not None]


def spread_text(study: StudySpec, final: TrialResult) -> str | None:
    """Return the winner's RMSE as a share of the target's spread; None for classes, or a target without a spread.

    The spread is the standard deviation, which R² compares with.
    """
    error, explained = (final.metrics.get(f"cv_{score}_{BLENDED}") for score in ("rmse", "r2"))
    if error is None or explained is None or not explained < 1:
        return None
    share = (1 - explained) ** 0.5
    unit = f" {study.unit}" if study.unit else ""
    return (
        f"The target, {study.target or 'unnamed'}, has a standard deviation of {digits(error / share)}{unit}: the CV "
        f"RMSE is {share:.1%} of it."
    )


def _of_classes(final: TrialResult) -> list[str]:
    """Return what only a winner has that predicts classes: its labels on test rows, its threshold, what it lacks."""
    lines = []
    found = {score: final.metrics.get(f"test_{score}_{BLENDED}") for score in ("accuracy", "auc", "f1")}
    known = [f"{shown(score)} {_number(value)}" for score, value in found.items() if value is not None]
    if known:
        lines.append(f"The blend on the test rows: {', '.join(known)}.")
    decision = final.info.get("decision", {})
    if decision.get("positive") is not None and decision["threshold"] != HALF:
        label = final.classes[decision["positive"]]
        lines.append(f"A row gets the label {label} from a probability of {decision['threshold']:.4g} on.")
    return lines + [f"{note[0].upper()}{note[1:]}" for note in final.info.get("notes", ())]


def _coverage_text(coverage: Coverage, outcome: Outcome) -> str:
    """Return how many of the test rows the intervals hold, and what that does not promise."""
    what = f"{coverage.level:.0%} {'sets of labels' if outcome.final.classes else 'intervals'}"
    size = f"a width of {digits(coverage.size)}"
    if outcome.final.classes:
        size = f"{digits(coverage.size)} label{'' if digits(coverage.size) == '1' else 's'}"
    promise = _NOT_PROMISED.get(outcome.final.info["recipe"]["folds"]["kind"], "")
    return (
        f"{what} hold {coverage.share:.1%} of the test rows ({coverage.low:.1%} to "
        f"{coverage.high:.1%}), with {size} on average.{promise}"
    )


def _alone(final: TrialResult, cost: ServingCost) -> list[str]:
    """Return what the best of the winner's members would cost and save without the others."""
    whole = final.main("cv", BLENDED)
    scores = {name: value for name in cost.members_ms if (value := final.main("cv", name)) is not None}
    if len(scores) < 2 or not whole:
        return []
    best = min(scores, key=lambda name: scores[name])
    line = compared(scores[best] / whole - 1.0, cost.one_row_ms / cost.members_ms[best])
    return [f"{best} alone: {line}. action=shrink finds the smallest ensemble that is not worse."]


def _limited(outcome: Outcome) -> list[str]:
    """Return what the time limit has left out."""
    study, first = outcome.study, outcome.results[0]
    lacking = (
        "the search.timeout of its first trial had"
        if study.timeout is None
        else f"search.timeout={study.timeout:g} has"
    )
    lines = [
        f"Member {name} is left out, because {lacking} no time for it: {reason}."
        for result in outcome.results
        for name, reason in result.info.get("left_out", {}).items()
    ]
    if study.timeout is not None and len(outcome.results) == 1 and study.n_trials > 1:
        lines.append(f"There was time for one trial, which took {first.finished - first.started:.2g} s.")
    if study.timeout is not None and study.final_rows != "train" and "final_rows" not in outcome.final.info:
        lines.append(
            f"There was no time to fit the served model on further rows (ensemble.final_rows={study.final_rows}): it "
            "learnt from the training rows only. The same command does it, with a longer search.timeout."
        )
    kept = outcome.final.info.get("served_from_folds")
    if kept:
        lines.append(f"There was no time to fit {listed(kept)} on further rows: their models of the folds are served.")
    return lines


def _served_rows(outcome: Outcome) -> str:
    """Return which rows the served model was fitted on."""
    final = outcome.final
    is_all = final.info["final_rows"] == "all" or outcome.study.channels.test is None
    which = "all" if is_all else "the training and validation rows,"
    found = final.info.get("rounds", {})
    served = final.info.get("rounds_served", {}).items()
    rounds = ", ".join(f"{name} {number}" for name, number in served if number != found.get(name))
    more = f" With more rows, its boosters have more rounds: {rounds}." if rounds else ""
    return (
        f"The served model was then fitted on {which} {final.info['rows_served']} rows (ensemble.final_rows).{more} "
        f"The scores are those of the models that were fitted on the {final.info['rows']} training rows."
    )


def show(outcome: Outcome, console: Console) -> None:
    """Print the summary, wide enough for its table, with each command on one line."""
    options = console.options.update(max_width=_WIDEST)
    needed = Measurement.get(console, options, _table(outcome)).maximum
    at_least(max(NARROWEST, needed), console).print(render(outcome), crop=False)


def as_html(outcome: Outcome) -> str:
    """Return the headline, the table and the verdicts as HTML."""
    headline = " ".join(_headline(outcome).plain.split("\n")).strip()
    text = "".join(paragraph(sentence.plain) for sentence in _verdicts(outcome))
    return f"<div>{paragraph(headline, bold=True)}{html_of(_table(outcome))}{text}</div>"


def as_text(outcome: Outcome) -> str:
    """Return the summary as plain text, 100 columns wide."""
    file = io.StringIO()
    show(outcome, PlainConsole(file=file, width=100, color_system=None))
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
    text.append(f", {pruned} pruned" if pruned else "")
    if timeout is not None:
        text.append(f"\nstopped by search.timeout={timeout:g}; run the same command again to continue", style="yellow")
    if outcome.study.learned:
        text.append(f"\nlearned, before its first trial: {'; '.join(source.told for source in outcome.study.learned)}")
    if outcome.study.points is None:
        text.append(
            f"\nbest: trial {outcome.best.index}, {outcome.study.objective} = "
            f"{outcome.best.metrics[outcome.study.objective]:.6g}"
        )
    if outcome.blend is not None:
        text.append(f"\n{_over_the_study(outcome, outcome.blend)}")
    return text


def _over_the_study(outcome: Outcome, blend: StudyBlend) -> str:
    """Return what became of the blend over the study."""
    if not blend.models:
        return "no blend over the study: the trials' out-of-fold predictions cannot be read"
    value = f"{outcome.study.objective} = {blend.metrics[outcome.study.objective]:.6g}"
    if blend.left_out:
        named = ", ".join(f"{name} ({digits(ms)} ms)" for name, ms in blend.left_out.items())
        return f"winner: a blend, {value}, without what is too slow for ensemble.max_ms={blend.limit:g}: {named}"
    if blend.limit is not None and outcome.study.blend_over == "trial":
        return f"all members together are fast enough for ensemble.max_ms={blend.limit:g}"
    if not blend.better:
        return f"the best trial is the winner: a blend over the study, {value}, is not better"
    return f"winner: a blend over the study, {value}: each member from the trial in which it did best, named after it"


def _parameters(outcome: Outcome) -> Table:
    """Return a line of parameters for each member, and one for the parameters that members share."""
    table = Table.grid(padding=(0, 2))
    if not outcome.final.params:
        table.add_row("  nothing was searched")
    lines: dict[str, list[str]] = {}
    for name, value in outcome.final.params.items():
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
    final, metrics = outcome.final, outcome.final.metrics
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    main = final.main_score
    splits = [name for name in ("validation", "test") if f"{name}_{main}_{BLENDED}" in metrics]
    further = ("auc", "accuracy") if final.classes else ("mae", "r2")
    scores = [("cv", main), *((split, main) for split in splits), *(("cv", score) for score in further)]
    titles = [f"CV {shown(score)}" if split == "cv" else split for split, score in scores]
    for title in ("", *titles, "weight", "fit s"):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    weights, seconds = final.info["weights"], final.info["fit_seconds"]
    for name in score_rows(metrics, list(weights)):
        blend = name == BLENDED
        cells = [_number(metrics.get(f"{split}_{score}_{name}"), score) for split, score in scores]
        table.add_row(
            f"  {next(iter(weights))} as served" if blend and len(weights) == 1 else f"  {name}",
            *cells,
            "" if blend else f"{round(weights[name], 3) + 0.0:.3f}",
            f"{sum(seconds.values()) if blend else seconds[name]:.2f}",
            style="bold" if blend else "",
        )
    baseline = {} if outcome.baseline is None else outcome.baseline.metrics
    naive = "class frequencies" if final.classes else "mean of target"
    for name, title in ((CATBOOST, "plain CatBoost"), (MEAN, naive)):
        found = [baseline.get(f"{split}_{score}_{name}") for split, score in scores]
        if found[0] is not None:
            cells = [_number(value, score) for value, (_, score) in zip(found, scores, strict=True)]
            table.add_row(f"  {title}", *cells, style="dim")
    return table


def _number(value: float | None, score: str = "") -> str:
    """Return a score as text; an R², which may be near zero, with four decimals."""
    return "" if value is None else f"{value:.4f}" if score == "r2" else f"{value:.6g}"


def _next(outcome: Outcome) -> Text:
    # A command stays on one line, so that it can be copied.
    text = Text("\nNext:", overflow="ignore", no_wrap=True)
    for command, purpose in outcome.next_commands:
        text.append(f"\n  {command}", style="cyan")
        text.append(f"   # {purpose}", style="dim")
    return text
