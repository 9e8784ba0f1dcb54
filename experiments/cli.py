"""The command line: turn arguments into an action with its configuration, and errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from experiments.config.compose import Composed, compose
from experiments.config.groups import group_files
from experiments.errors import ConfigError, EnsembleError, did_you_mean, listed
from experiments.system.machine import process_began
from experiments.system.project import COMMAND
from experiments.system.signals import raise_on_signals
from experiments.system.temporary_files import temporary_files_removed
from experiments.system.terminal import replace_what_cannot_be_printed, visible

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
# Actions that continue from what is recorded; the others start again.
_RESUMED = ("action=tune", "action=train", "action=replay", "action=attach")

HELP = """\
byoe: bring your own ensemble. One entry script, tuned, trained and served from one configuration.

  {command} [action] [key=value ...] [--cfg] [--help] [--completion bash|zsh|fish]

actions (action=..., or the name alone as the first argument)
{actions}

groups (group=name chooses a file of configs/)
{groups}

examples
  {command} mode=local
  {command} mode=local search.n_trials=60 study=laptop
  {command} mode=local action=train ensemble.params.xgboost.max_depth=4
  {command} mode=local dataset=file dataset.path=your.csv dataset.target=price
  {command} mode=sagemaker
  {command} mode=remote action=plan
  {command} mode=remote mode.budget_usd=5
  {command} mode=sagemaker action=replay replay.study=laptop study=containers
  {command} action=list
  {command} action=compare
  {command} action=compare compare.studies=[laptop,containers,cloud]
  {command} mode=sagemaker action=deploy
  {command} action=invoke input=rows.csv
  {command} action=batch input=big.parquet output=predictions.parquet
  {command} init

--cfg after any command prints its configuration, with the help and the source of each value, and runs nothing.
An interrupted command resumes when it is run again."""


def _study(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.tune import run_study

    return run_study(composed, arguments, console)


def _compare(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.compare import compare

    return compare(composed, console)


def _list(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.list import list_studies

    return list_studies(composed, console)


def _doctor(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.doctor import examine

    return examine(composed, console)


def _plan(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.plan import show_requests

    return show_requests(composed, arguments, console)


def _attach(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.attach import attach

    return attach(composed, console)


def _check(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.check import check

    return check(composed, console)


def _push(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.push import push

    return push(composed, console)


def _deploy(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.deploy import deploy

    return deploy(composed, console)


def _invoke(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.invoke import invoke_endpoint

    return invoke_endpoint(composed, console)


def _status(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.status import show_status

    return show_status(composed, console)


def _delete(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.delete import delete_endpoint

    return delete_endpoint(composed, console)


def _batch(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.batch import predict_file

    return predict_file(composed, console)


def _drift(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.drift import drift

    return drift(composed, console)


def _card(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.card import write_card

    return write_card(composed, console)


def _shrink(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.shrink import shrink

    return shrink(composed, arguments, console)


def _export(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.export import export_study

    return export_study(composed, console)


def _dashboard(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.dashboard import serve_dashboard

    return serve_dashboard(composed, console)


def _init(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.init import begin_project

    return begin_project(console)


def _clean(composed: Composed, arguments: Sequence[str], console: Console) -> int:
    from experiments.actions.clean import clean

    return clean(composed, console)


# By name, what an action does, in Markdown, and its function.
ACTIONS: dict[str, tuple[str, Callable[[Composed, Sequence[str], Console], int]]] = {
    "tune": ("search for the best ensemble (the default)", _study),
    "train": ("train one ensemble with fixed parameters", _study),
    "replay": ("run the best trials of a study again in another mode, to check for the same numbers", _study),
    "compare": ("compare studies: do their numbers agree, and which search found the better ensemble?", _compare),
    "list": ("list the studies, and the best models of all of them", _list),
    "export": ("write a study's trials into a storage of Optuna", _export),
    "dashboard": ("serve optuna-dashboard over the studies on this machine, live while they run", _dashboard),
    "plan": ("print the requests to SageMaker, checked; nothing is started", _plan),
    "attach": ("follow a tuning job on SageMaker by its name, from any machine", _attach),
    "check": (
        "with `mode=remote`, run two jobs, an endpoint and a request for under one dollar: PASS, or what differs",
        _check,
    ),
    "push": ("build the image that trains and serves, and push it to the account's registry, for `mode=remote`", _push),
    "deploy": ("serve a model from an endpoint on this machine or, with `mode=remote`, on SageMaker", _deploy),
    "invoke": ("send rows to an endpoint", _invoke),
    "status": (
        "list endpoints on this machine or, with `mode=remote`, jobs and endpoints in the account, with their cost",
        _status,
    ),
    "delete": ("delete an endpoint and everything that belongs to it", _delete),
    "batch": ("predict a whole file, without an endpoint", _batch),
    "card": ("write a model's card: data, scores, importance, parity, versions, licences", _card),
    "shrink": ("train the smallest ensemble that is not worse than a study's winner", _shrink),
    "drift": ("check whether the rows of a file are like those that a model learnt from", _drift),
    "init": ("write the first files of a project into this folder", _init),
    "doctor": ("check what works on this machine, and print the command that fixes what does not", _doctor),
    "clean": (
        "remove unused containers from this machine or, with `mode=remote`, end jobs and endpoints in the account",
        _clean,
    ),
}


# What other tools call an action.
_OTHER_NAMES = {
    "predict": "batch",
    "score": "batch",
    "transform": "batch",
    "fit": "train",
    "run": "train",
    "search": "tune",
    "optimize": "tune",
    "serve": "deploy",
    "remove": "delete",
    "undeploy": "delete",
    "report": "compare",
    "ls": "list",
    "studies": "list",
    "leaderboard": "list",
    "stop": "clean",
}


def command() -> None:
    """Run the command that the package installs, ``byoe``."""
    sys.exit(main(sys.argv[1:], process_began()))


def main(argv: Sequence[str], began: float | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 a mistake, 3 not comparable, 130 interrupted.

    Args:
        argv: Its arguments.
        began: When it began, by ``time.monotonic``; None for now.
    """
    arguments = [argument for argument in argv if argument not in ("--help", "-h", "--cfg")]
    if arguments and arguments[0].isidentifier():
        arguments[0] = f"action={arguments[0]}"
    raise_on_signals()
    replace_what_cannot_be_printed()
    try:
        if "--help" in argv or "-h" in argv:
            print(_help(), flush=True)
            return 0
        if "--completion" in argv:
            print(_completion(argv[argv.index("--completion") + 1 :][:1]), end="", flush=True)
            return 0
        return _dispatch(arguments, began, only_show="--cfg" in argv)
    except EnsembleError as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, RuntimeError) as error:
        # Python's locks raise RuntimeError if a second signal arrives while the first one ends a wait.
        if isinstance(error, RuntimeError) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        resumes = not any(argument.startswith("action=") and argument not in _RESUMED for argument in arguments)
        rest = " What has finished is recorded. Run the same command again to continue." if resumes else ""
        print(f"interrupted.{rest}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has closed it, as in "| head".
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(arguments: Sequence[str], began: float | None, *, only_show: bool) -> int:
    unknown = [argument for argument in arguments if argument.startswith("-")]
    if unknown:
        raise ConfigError(
            f"there is no option {unknown[0]!r}. Options: --help, --cfg, --completion; everything else is key=value."
        )
    _check_encoding(arguments)
    composed = compose(arguments, began)
    action = composed.config.action
    if action not in ACTIONS:
        meant = _OTHER_NAMES.get(action)
        hint = did_you_mean(action, ACTIONS) if meant is None else f" Did you mean {meant!r}?"
        raise ConfigError(f"action={action}: there is no such action.{hint} It can be: {listed(ACTIONS)}.")
    if action == "replay":
        from experiments.planning.replay import over_arguments_of_study

        composed = over_arguments_of_study(composed)
    if only_show:
        print(composed.with_sources())
        return 0
    from experiments.reporting.console import PlainConsole

    with temporary_files_removed():
        return ACTIONS[action][1](composed, arguments, PlainConsole())


def _check_encoding(arguments: Sequence[str]) -> None:
    """Raise ConfigError if an argument has bytes that are not text, which no record could have."""
    for argument in arguments:
        if any("\udc80" <= character <= "\udcff" for character in argument):
            shown = os.fsencode(argument).decode(errors="replace")
            raise ConfigError(
                f"{shown} has bytes that are not text in the encoding {sys.getfilesystemencoding()}. Set "
                "LC_ALL=C.UTF-8 for the command, or rename the file so that its name is UTF-8."
            )


def _help() -> str:
    actions = "\n".join(f"  {name:<12} {purpose.replace('`', '')}" for name, (purpose, _) in ACTIONS.items())
    members = "\n".join(f"  {group:<12} {', '.join(names)}" for group, names in group_files().items())
    return HELP.format(command=COMMAND, actions=actions, groups=members)


def _completion(shells: Sequence[str]) -> str:
    from experiments.config.completion import SHELLS, completion

    if not shells or shells[0] not in SHELLS:
        raise ConfigError(
            f"--completion needs the name of a shell: {listed(SHELLS)}. For this shell only: "
            'eval "$(byoe --completion bash)".'
        )
    return completion(shells[0], ACTIONS)
