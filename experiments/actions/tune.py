"""``action=tune``, ``action=train`` and ``action=replay``: run a study on its backend, record it, and sum it up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ensemble.blending import make_blender
from ensemble.finished_trainings import OUT_OF_FOLD_FILE
from ensemble.members import member_class
from experiments.actions.card import card_of_study, request_text
from experiments.backends.base import Backend, StudyHandle
from experiments.backends.baseline import Baseline
from experiments.backends.learning import learned
from experiments.backends.open import backend_type, open_backend
from experiments.backends.spot_check import spot_check
from experiments.backends.winner import FINAL, IMPORTANCE, is_winner, place_winner
from experiments.backends.worker_pool import LocalWorkers
from experiments.comparison.parity import Parity, compare_replay
from experiments.comparison.recorded_study import read_study
from experiments.comparison.selection import check_tolerance
from experiments.comparison.terminal import show_parity
from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.paths import root_folder
from experiments.config.secrets import masked_value
from experiments.data.column_report import report
from experiments.errors import StorageError, StudyFailed, StudyTaken, listed
from experiments.planning.packages import make_importable
from experiments.planning.study import StudyPlan, plan_study
from experiments.reporting.console import at_least, print_plain
from experiments.reporting.explanation_figures import explanation_figures
from experiments.reporting.figures import study_figures, winner_figures
from experiments.reporting.progress import StudyProgress
from experiments.reporting.summary import NARROWEST, Outcome, as_text, show
from experiments.sagemaker_requests.model_card import CARD_JSON
from experiments.study.baseline import BASELINE
from experiments.study.card import CARD, as_markdown
from experiments.study.explained_rows import ExplainedRows
from experiments.study.folder import (
    explained_rows_file,
    final_folder,
    log_path,
    model_dir,
    output_data_dir,
    trial_folder,
)
from experiments.study.leave_one_out import leave_one_out_rises
from experiments.study.ledger import Ledger, Peek, peek
from experiments.study.predictions import Predictions
from experiments.study.serving_cost import SERVING_COST, ServingCost
from experiments.study.spec import COMMANDS, STUDY_BLEND, TIME_LIMIT, StudySpec, TrialResult, best_of
from experiments.study.study_blend import StudyBlend, is_open, recorded_blend
from experiments.study.verdict import study_metrics
from experiments.system import crash_points
from experiments.system.files import replace_file
from experiments.system.machine import check_folder
from experiments.tracking import runs
from experiments.tracking.store import interface, store_exists, store_uri
from experiments.tracking.views import STUDIES, runs_page

# How many times slower than usual this machine is taken to be, at most, from the share of a core that the command got.
MOST_SLOWNESS = 3.0
# A time limit that is exceeded by no more than this is not worth a line.
TOLERATED_SECONDS = 3.0
# The ledger's fact of what MLflow has of the study.
_RECORDED = "recorded"


@dataclass(frozen=True)
class _Session:
    """One command's study and what it is recorded and shown with; ``experiment`` is MLflow's id, once it is known."""

    study: StudySpec
    backend: type[Backend]
    composed: Composed
    command: Sequence[str]
    console: Console
    root: Path
    uri: str
    progress: type[StudyProgress]
    experiment: str | None = None

    @property
    def register(self) -> bool:
        """Whether the winner becomes a version of a registered model in MLflow."""
        asked = self.composed.config.mlflow.register
        return self.study.action != "train" if asked is None else asked

    def recorded(self, trials: int, experiment: str | None) -> dict[str, object]:
        """Return the ledger's note that MLflow has everything of the first ``trials`` trials, in this experiment."""
        store = masked_value(self.uri)
        return {"store": store, "trials": trials, "registered": self.register, "experiment": experiment}

    def has_recorded(self, noted: Mapping[str, Any], trials: int) -> bool:
        """Whether MLflow has everything of the first ``trials`` trials, as far as the ledger's note tells."""
        same = noted.get("store") == masked_value(self.uri) and noted.get("trials") == trials
        return same and (noted.get("registered", True) or not self.register) and store_exists(self.uri)

    @property
    def members(self) -> list[str]:
        return [member.name for member in self.study.recipe({}).members]


@dataclass(frozen=True)
class Finished:
    """A study that has been run.

    Attributes:
        outcome: Its trials and its winner.
        notes: How the configuration and the data were read.
        parity: Whether a replay gave the numbers of the study that it replays; None if it is not a replay.
    """

    outcome: Outcome
    notes: tuple[str, ...]
    parity: Parity | None


def run_study(composed: Composed, command: Sequence[str], console: Console) -> int:
    """Run, resume or show the study of this configuration. Returns the exit code.

    The arguments are those of ``finish_study``.
    """
    parity = finish_study(composed, command, console).parity
    return 0 if parity is None else parity.exit_code


def finish_study(
    composed: Composed, command: Sequence[str], console: Console, progress: type[StudyProgress] = StudyProgress
) -> Finished:
    """Run the study of this configuration, resume it, or read it if it is finished.

    Args:
        composed: The configuration.
        command: The arguments that were typed, for the commands that the summary proposes.
        console: Where notes and summary go.
        progress: How progress is shown there.

    Raises:
        EnsembleError: A mistake in the input, or a study that failed.
    """
    root = root_folder(composed.config)
    uri = store_uri(composed.config.mlflow.uri, root)
    check_tolerance(composed.config.compare)
    make_importable(composed.config.entry)
    plan = plan_study(composed)
    known = peek(plan.study)
    if known is not None:
        plan = plan.continuing(known)
    elif plan.study.search.learn_from:
        given = composed.config.search.learn_from
        plan = plan.learning(learned(plan.study, given, composed.config.mode))
    session = _Session(plan.study, backend_type(composed.config.mode), composed, command, console, root, uri, progress)
    notes = plan.notes
    for note in notes:
        print_plain(console, f"note: {note}")
    outcome = None if known is None else _show_finished(session, known)
    if outcome is not None:
        return Finished(outcome, notes, _show_parity(session))
    if composed.config.dataset.path is not None and known is None:
        notes = (*notes, *show_data(plan, console))
    for folder in (session.root, plan.study.folder.parent):
        check_folder(folder)
    opened = open_backend(composed.config.mode, plan.study, command, console)
    with opened as (backend, local_workers):
        study = plan.place()  # after everything that may be refused
        del plan  # and with it the tables, which workers map from disk
        with Ledger.open(study) as ledger:
            crash_points.point("study_created")
            session = replace(session, study=_begun(study, composed.began))
            with _timed(ledger, session.study), backend.submit(session.study, ledger) as handle:
                spot_check(study, ledger, handle, console)
                outcome = _run(session, ledger, handle, local_workers)
    return Finished(outcome, notes, _show_parity(session))


@contextlib.contextmanager
def _timed(ledger: Ledger, study: StudySpec) -> Iterator[None]:
    """Note in the ledger when the command began and when it ended, however it ends."""
    began = time.time() - study.spent
    try:
        yield
    finally:
        with contextlib.suppress(StorageError, StudyTaken):
            ledger.note(COMMANDS, [*(ledger.noted(COMMANDS) or ()), [began, time.time()]])


def _begun(study: StudySpec, began: float) -> StudySpec:
    """Return the study with the time that the command has taken so far; on an idle machine it is all processor time."""
    spent = time.monotonic() - began
    return replace(study, spent=spent, slowness=min(max(spent / time.process_time(), 1.0), MOST_SLOWNESS))


def show_data(plan: StudyPlan, console: Console) -> tuple[str, ...]:
    """Show what the columns hold, once for each table; return the warnings, which every study shows."""
    members = {spec.name: member_class(spec.kind, "ensemble.members") for spec in plan.study.recipe({}).members}
    found = report(plan.splits, members)
    if not plan.study.channels.train.exists():  # an earlier study of this table has written it
        at_least(NARROWEST, console).print(found.render(), crop=False)
    for warning in found.warnings:
        print_plain(console, f"warning: {warning}.", "yellow")
    return tuple(f"{warning}." for warning in found.warnings)


def _show_finished(session: _Session, known: Peek) -> Outcome | None:
    """Show the summary if the study has nothing left to run or record, and return what it shows."""
    results = known.results
    session = replace(session, study=session.study.as_trained(results))
    best = best_of(results, session.study.objective)
    final = known.facts.get(FINAL)
    places = list(dict.fromkeys(session.study.place_of(result) for result in results))
    elsewhere = session.study.can_continue and session.study.place()["mode"] not in places
    if elsewhere and final is not None:  # its winner is served as it was trained there
        rows = final["info"].get("final_rows", "train")
        session = replace(session, study=replace(session.study, final_rows=rows))
    noted = known.facts.get(_RECORDED) or {}
    recorded = elsewhere or session.has_recorded(noted, len(results))
    done = len(results) == session.study.n_trials and recorded
    blend = recorded_blend(session.study, results, known.facts.get(STUDY_BLEND))
    done = done and not is_open(session.study, results, known.facts.get(STUDY_BLEND))
    if not done or best is None or final is None or not is_winner(final, best, session.study, blend):
        return None
    print_plain(session.console, f"study {session.study.name} is finished; nothing was run.")
    if elsewhere:
        mode = f"mode={session.study.mode}"
        kept = [argument for argument in session.command if argument.startswith(("paths.", "entry."))]
        replay = typed_command([mode, "action=replay", f"replay.study={session.study.name}", *kept])
        print_plain(
            session.console,
            f"note: its trials ran in {listed([f'mode={place}' for place in places])}. A larger search.n_trials "
            f"continues it in {mode}; {replay} runs its best trials there.",
        )
    session = replace(session, experiment=noted.get("experiment"))
    outcome = _outcome(session, results, best, TrialResult(**final), blend, known.facts)
    show(outcome, session.console)
    return outcome


def _show_parity(session: _Session) -> Parity | None:
    """Show and return whether a replay gave the numbers of the study that it replays; None for another study."""
    study = session.study
    if study.replay_of is None:
        return None
    parity = compare_replay(
        read_study(study.folder.parent / study.replay_of),
        read_study(study.folder),
        session.composed.config.compare.rtol,
    )
    show_parity(parity, session.console)
    return parity


def _run(session: _Session, ledger: Ledger, handle: StudyHandle, local_workers: LocalWorkers) -> Outcome:
    """Run the remaining trials of the study, record it, and sum it up."""
    study, console = session.study, session.console
    experiment = session.composed.config.mlflow.experiment or f"byoe-{study.dataset}"
    sources, register = session.composed.with_sources(), session.register
    with runs.Tracker(study, session.uri, experiment, session.root, sources, register=register) as tracker:
        try:
            baseline = Baseline(study, ledger, handle)
            progress = session.progress(study, session.members, console, len(ledger.results()), handle.note)
            results = follow(handle, tracker, progress, baseline.start)
            searched = handle.seconds_left()
            crash_points.point("search_done")
            study = study.as_trained(results)
            session = replace(session, study=study)
            best = best_of(results, study.objective)
            if best is None:
                failed = max(results, key=lambda result: result.index)
                log = log_path(trial_folder(study.folder, failed.index))
                raise StudyFailed(f"no trial has a score. The last reason: {failed.reason} (output: {log})")
            baseline.finish(local_workers, console)
            place_winner(study, ledger, handle, local_workers, best, console)
            crash_points.point("final_trained")
            if study.timeout is not None and len(results) < study.n_trials:
                ledger.note(TIME_LIMIT, {"seconds": study.timeout, "trials": len(results)})
            with console.status("recording in MLflow"):
                outcome = _record(session, ledger, tracker, results, best)
        except KeyboardInterrupt:
            console.print("\ninterrupted: recording finished trials; interrupt again to leave that to the next run.")
            if session.backend.after_interrupt is not None:
                print_plain(console, session.backend.after_interrupt)
            raise
    if tracker.problem is None:
        ledger.note(_RECORDED, session.recorded(len(results), tracker.experiment_id))
    outcome = replace(outcome, problem=tracker.problem)
    show(outcome, console)
    if searched is not None:
        _show_overrun(study, searched, handle.seconds_left() or 0.0, console)
    return outcome


def _show_overrun(study: StudySpec, searched: float, left: float, console: Console) -> None:
    """Say by how much the time limit was exceeded, and what took how long.

    Args:
        study: The study.
        searched: The seconds that were left of the limit after the trials.
        left: The seconds that are left now.
        console: Where it is shown.
    """
    if left >= -TOLERATED_SECONDS:
        return
    limit = study.timeout or 0.0
    print_plain(
        console,
        f"note: search.timeout={limit:g} was exceeded by {-left:.0f} s: the start took {study.spent:.0f} s, the trials "
        f"{limit - study.spent - searched:.0f} s, and the winner with its record {searched - left:.0f} s.",
        "yellow",
    )


def follow(
    handle: StudyHandle,
    tracker: runs.Tracker,
    progress: StudyProgress,
    seen: Callable[[TrialResult], None] | None = None,
) -> list[TrialResult]:
    """Show and record a study's trials as they finish; return them all.

    Args:
        handle: The running study.
        tracker: Where trials are recorded.
        progress: Where they are shown.
        seen: Called with each of them.
    """
    results: list[TrialResult] = []
    with progress:
        for result in handle.results():
            results.append(result)
            tracker.log(result)
            progress.show(result)
            if seen is not None:
                seen(result)
    return results


def _record(
    session: _Session, ledger: Ledger, tracker: runs.Tracker, results: list[TrialResult], best: TrialResult
) -> Outcome:
    study = session.study
    final = TrialResult(**ledger.noted(FINAL))
    tracker.drain()
    session = replace(session, experiment=tracker.experiment_id)
    blend = recorded_blend(study, results, ledger.noted(STUDY_BLEND))
    facts = {key: ledger.noted(key) for key in (BASELINE, SERVING_COST)}
    outcome = _outcome(session, results, best, final, blend, facts)
    figures = figures_of(outcome, ledger.noted(IMPORTANCE))
    winner = runs.Winner(final, model_dir(final_folder(study.folder)), figures.winner, _cards(session))
    numbers = study_metrics(final, results, session.members, session.study.objective, outcome.baseline)
    numbers |= {} if outcome.cost is None else outcome.cost.metrics()
    states = [result.state for result in results]
    numbers |= {"trials": len(states), "failed": states.count("failed"), "pruned": states.count("pruned")}
    tracker.finish(winner, figures.study, as_text(outcome), numbers)
    return outcome


def _cards(session: _Session) -> dict[str, str]:
    """Write the winner's card into its bundle; return the files of the card by name."""
    folder = session.study.folder
    card = card_of_study(folder, session.composed.config.compare.rtol)
    texts = {CARD: as_markdown(card), CARD_JSON: request_text(card)}
    replace_file(model_dir(final_folder(folder)) / CARD, texts[CARD])
    return texts


@dataclass(frozen=True)
class Figures:
    """The Matplotlib figures of a study and of its winner, by file name."""

    study: Mapping[str, Any]
    winner: Mapping[str, Any]


def figures_of(outcome: Outcome, importance: Mapping[str, float]) -> Figures:
    """Draw the figures of a finished study.

    Args:
        outcome: The study.
        importance: By feature, the rise of the main score when its values are shuffled; empty if that was left out.
    """
    study = outcome.study
    out_of_fold = Predictions.read(output_data_dir(final_folder(study.folder)) / OUT_OF_FOLD_FILE)
    explained = ExplainedRows.read(explained_rows_file(study.folder))
    return Figures(
        study_figures(study, outcome.results, outcome.members, out_of_fold, outcome.final, outcome.rises),
        winner_figures(out_of_fold, importance, study.classes, study.positive, study.target_label)
        | ({} if explained is None else explanation_figures(explained, study.target_label)),
    )


def _outcome(
    session: _Session,
    results: list[TrialResult],
    best: TrialResult,
    final: TrialResult,
    blend: StudyBlend | None,
    facts: Mapping[str, Any],
) -> Outcome:
    study = session.study
    commands = _next_commands(session, finished=len(results) == study.n_trials)
    baseline, cost = facts.get(BASELINE), facts.get(SERVING_COST)
    return Outcome(
        study,
        results,
        best,
        final,
        session.members,
        commands,
        blend,
        registered=session.register,
        baseline=None if baseline is None else TrialResult(**baseline),
        cost=None if cost is None else ServingCost(**cost),
        rises=_rises(study, best),
    )


def _rises(study: StudySpec, best: TrialResult) -> dict[str, float]:
    """Return what the blend would lose without each member; empty where members cannot be left out like this."""
    recipe = study.recipe(best.params)
    if len(recipe.members) < 2:
        return {}
    blender = make_blender(recipe.blend, [member.name for member in recipe.members], recipe.weights, "ensemble.blend")
    path = output_data_dir(final_folder(study.folder)) / OUT_OF_FOLD_FILE
    if blender.passthrough or not path.exists():  # features are not kept with the predictions
        return {}
    return leave_one_out_rises(recipe, Predictions.read(path))


def _is_whole_grid(study: StudySpec) -> bool:
    return study.search.sampler == "grid" and study.n_trials >= study.space.grid_size()


def _deploying(session: _Session) -> list[str]:
    """Return the arguments that serve the study's winner."""
    mode, *kept = session.backend.serving_arguments(session.command)
    account = session.composed.config.mode.account
    if account is not None and account.image.uri is None and not account.image.push:
        kept.append("mode.image.push=true")  # AWS's container cannot serve on a serverless endpoint, the default
    return [mode, "action=deploy", f"model={session.study.name}", *kept]


def _next_commands(session: _Session, *, finished: bool) -> list[tuple[str, str]]:
    def typed(*more: str, without: tuple[str, ...]) -> str:
        dropped = tuple(f"{key}=" for key in without)
        return typed_command([*(argument for argument in session.command if not argument.startswith(dropped)), *more])

    page = None if session.experiment is None else runs_page(session.experiment, STUDIES)
    commands = [interface(session.uri, session.root, page, "every study and trial, in the browser")]
    if not finished:
        commands.append((typed(without=()), "continue this study"))
    elif session.study.can_continue and not _is_whole_grid(session.study):
        commands.append(
            (typed(f"search.n_trials={session.study.n_trials * 2}", without=("search.n_trials",)), "extend this study")
        )
    if finished:
        commands.append((typed_command(_deploying(session)), "serve it"))
    paths = [argument for argument in session.command if argument.startswith("paths.")]
    if finished:
        predict = ("action=batch", f"model={session.study.name}", "input=rows.csv", "keep=all", *paths)
        commands.append((typed_command(predict), "predict a file of rows"))
    commands.append((typed_command(["action=list", *paths]), "every study, and the best models of all of them"))
    if finished and session.backend.replay_mode is not None and session.study.points is None:
        kept = [argument for argument in session.command if argument.startswith(("paths.", "entry."))]
        replay = (f"mode={session.backend.replay_mode}", "action=replay", f"replay.study={session.study.name}")
        commands.append((typed_command([*replay, *kept]), "its best trials again, in containers: the same numbers?"))
    if session.study.replay_of is None:
        seed = f"search.seed={session.study.search.seed + 1}"
        commands.append((typed(seed, without=("study", "search.seed")), "start again from another seed"))
    return commands
