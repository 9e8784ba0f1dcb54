"""``action=shrink``: find the smallest ensemble that is not worse than a study's winner, and train it as a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from ensemble.bundle import bundle_hash
from ensemble.bundle_files import MANIFEST
from ensemble.finished_trainings import OUT_OF_FOLD_FILE
from ensemble.wire import decode_recipe
from experiments.actions.tune import finish_study
from experiments.aws.pricing import SERVERLESS_SOURCE, serverless_usd
from experiments.backends.winner import FINAL
from experiments.config.arguments import key_of, typed_command
from experiments.config.compose import Composed, compose
from experiments.config.keywords import arguments_of
from experiments.config.paths import endpoints_folder, root_folder, studies_folder
from experiments.data.channels import channels_at
from experiments.errors import ConfigError, storage_errors
from experiments.planning.packages import make_importable
from experiments.planning.replay import KEY as REPLAYED
from experiments.planning.replay import over_arguments_of_study
from experiments.reporting.console import print_plain
from experiments.reporting.score_names import shown
from experiments.reporting.shrink import PricedStep, sentence, show_steps, shrink_figure
from experiments.sagemaker_requests.limits import SERVERLESS_MEMORY, STUDY_NAME_LENGTH
from experiments.serving.memory import Rehearsal, find_rehearsal
from experiments.serving.part_memory import SERVER_BYTES, part_bytes
from experiments.study.folder import final_folder, model_dir, output_data_dir, test_predictions
from experiments.study.ledger import FILE, find_study, read
from experiments.study.predictions import Predictions
from experiments.study.row_intervals import difference_on_rows, score_of
from experiments.study.shrink import Step, chosen, shrink_steps, smaller
from experiments.study.spec import STUDY_BLEND, TrialResult
from experiments.system.files import replacing
from experiments.system.output_file import output_file

FIGURE = "shrink.png"
_ENDING, _SEVERAL = "-small", "-bag"
# What the smaller ensemble sets itself, and what is of no use to it.
_REPLACED = (
    *("ensemble.members", "ensemble.params", "ensemble.weights", "ensemble.final", "ensemble.blend_over"),
    *("ensemble.max_ms", "ensemble.drop_slow", "search.space", "search.shared"),
)


def shrink(composed: Composed, command: Sequence[str], console: Console) -> int:
    """Show what each step to a smaller ensemble costs and saves, and train the smallest one that is not worse.

    Returns:
        0, or 1 if the trained ensemble is worse on the test rows.

    Raises:
        ConfigError: There is no such study, or it has no winner.
        StorageError: The figure cannot be written.
    """
    config = composed.config
    most = config.shrink.most_worse
    if most is not None and not 0 <= most < math.inf:
        raise ConfigError(f"shrink.most_worse={most:g} is not a share of at least 0, such as 0.01.")
    studies = studies_folder(config)
    folder = find_study(studies, config.model, "model") if config.model else _newest(studies)
    figure = output_file(config.output or str(root_folder(config) / FIGURE), FIGURE)
    if figure.suffix.lower() != ".png":
        raise ConfigError(f"output={config.output}: a file name ends with .png.")
    make_importable(config.entry)
    known = read(folder / FILE)
    if FINAL not in known.facts or not (model_dir(final_folder(folder)) / MANIFEST).exists():
        raise ConfigError(f"model={folder.name}: this study has no winner. Run its command again.")
    final = TrialResult(**known.facts[FINAL])
    hyperparameters = _trained(known.facts["identity"], final)
    steps = _steps(folder, str(known.facts["identity"]["data"]), final, hyperparameters)
    found = chosen(steps, most)
    rehearsal = find_rehearsal(endpoints_folder(config), bundle_hash(model_dir(final_folder(folder))))
    print_plain(console, f"\nstudy {folder.name}: what can be taken away?")
    with console.status("measuring the memory of each step"):
        priced = priced_steps(steps, rehearsal, partial(part_bytes, model_dir(final_folder(folder))))
    show_steps(priced, found, final.main_score, console)
    print_plain(console, f"\n{_memory(rehearsal)}")
    with storage_errors(figure), replacing(figure) as unfinished:
        shrink_figure(steps, found, final.main_score).savefig(unfinished, format="png")
    print_plain(console, f"figure: {config.output or figure}")
    if found is steps[0]:
        print_plain(console, "shrink: nothing can be taken away: the first step is worse, or there is none.")
        return 0
    print_plain(console, f"shrink: {sentence(found, steps[0])}. It is trained as a study of its own.")
    return _train(command, folder, final, hyperparameters, found, console)


def _newest(studies: Path) -> Path:
    found = sorted(studies.glob(f"*/final/model/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(f"there is no finished study in {studies}: run one, or name it with model=<study>.")
    return found[-1].parents[2]


def _trained(identity: Mapping[str, Any], final: TrialResult) -> dict[str, str]:
    """Return the hyperparameters of what the winner trained, in the wire format."""
    from ensemble.parameters import encode
    from ensemble.wire import without_members

    blend = final.info.get(STUDY_BLEND)
    if blend is not None:
        return dict(blend["hyperparameters"])
    static = {name.removeprefix("fixed."): text for name, text in identity.items() if name.startswith("fixed.")}
    whole = {**static, **{name: encode(value) for name, value in final.params.items()}}
    return without_members(whole, tuple(final.info.get("left_out", ())))


def _steps(folder: Path, data_hash: str, final: TrialResult, hyperparameters: Mapping[str, str]) -> list[Step]:
    final_place = final_folder(folder)
    predictions = output_data_dir(final_place) / OUT_OF_FOLD_FILE
    train = channels_at(data_hash, folder.parent) / "train"
    for path in (predictions, train):
        if not path.exists():
            raise ConfigError(f"model={folder.name}: {path} is missing. Run the study's command again.")
    found = shrink_steps(hyperparameters, str(predictions), str(train), str(model_dir(final_place)), final.info)
    return [Step.from_dict(step) for step in found]


def priced_steps(
    steps: Sequence[Step], rehearsal: Rehearsal | None, measured: Callable[[Sequence[str], int], int | None]
) -> list[PricedStep]:
    """Return the steps with the smallest serverless memory of each.

    That of the first is from its rehearsal in a container, if there was one. A part of a model does not need more than
    the whole, so that no step is measured once one fits into the smallest size.

    Args:
        steps: In order, the first one with all members.
        rehearsal: That of the first step.
        measured: Returns the memory that members need with a number of models, in bytes, as ``part_bytes``.
    """
    size = None if rehearsal is None else rehearsal.memory_size_in_mb
    peak = None if rehearsal is None else rehearsal.peak_bytes
    more, found = SERVER_BYTES, list[PricedStep]()
    for step in steps:
        if size != SERVERLESS_MEMORY[0]:
            used = measured(step.members, step.models)
            if not found and used is not None and peak is not None:
                more = peak - used
            if found or size is None:
                fitting = [each for each in SERVERLESS_MEMORY if used is not None and each * 2**20 >= used + more]
                size = min([*fitting[:1], *([] if size is None else [size])], default=None)
        found.append(PricedStep(step, size, None if size is None else serverless_usd(step.ms, size)))
    return found


def _memory(rehearsal: Rehearsal | None) -> str:
    where = (
        "in a process of its own, with what a server has more"
        if rehearsal is None
        else "by the rehearsal of the winner in a container, and of a part of it in a process of its own"
    )
    return (
        f"Memory is the smallest size of a serverless endpoint with which the largest request is answered, measured "
        f"{where}. Dollars are for a million requests of one row to it, for the time of the prediction "
        f"({SERVERLESS_SOURCE})."
    )


def _train(
    command: Sequence[str],
    folder: Path,
    final: TrialResult,
    hyperparameters: Mapping[str, str],
    found: Step,
    console: Console,
) -> int:
    """Train the ensemble of a step as a study, and compare it on the test rows; return the exit code.

    It has one model of each member. What the mean of several is worth cannot be seen in cross-validation, so if the
    test rows say worse, it is trained with several, in another study.
    """
    served = decode_recipe(hyperparameters).final
    for ending, models in {"refit": ("", "refit"), served: ("" if served == "refit" else _SEVERAL, served)}.values():
        arguments = _arguments(command, folder.name, hyperparameters, found, ending, models)
        print_plain(console, typed_command(arguments))
        outcome = finish_study(compose(arguments), arguments, console).outcome
        name, score = outcome.study.name, final.main_score
        files = [test_predictions(place) for place in (folder, outcome.study.folder)]
        before, after = (Predictions.read(path) if path.exists() else None for path in files)
        apart = None if before is None or after is None else difference_on_rows(before, after)
        if before is None or after is None or apart is None:
            print_plain(console, f"\nshrink: {name}; there are no test rows on which both models were scored.")
            return 0
        worse = apart.low > 0
        verdict, style = ("WORSE", "yellow") if worse else ("not worse", "green")
        print_plain(
            console,
            f"\nshrink: {name} is {verdict} on the test rows: {shown(score)} {score_of(after):.6g}, and "
            f"{score_of(before):.6g} of {folder.name}; 95% interval of the difference {apart.low:+.3g} to "
            f"{apart.high:+.3g}.",
            style,
        )
        if not worse:
            return 0
        if models != served:
            print_plain(console, "So it is trained with several models of each member, as the winner was.")
    return 1


def _arguments(
    command: Sequence[str], study: str, hyperparameters: Mapping[str, str], found: Step, ending: str, models: str
) -> list[str]:
    """Return the arguments of the command that trains the ensemble of a step.

    Args:
        command: The arguments that were typed.
        study: The study with the winner.
        hyperparameters: What the winner trained.
        found: The step.
        ending: The end of the new study's name.
        models: How many models of each member it has, as ``ensemble.final``.
    """
    own = ("action", "model", "output", "study", "shrink.most_worse")
    typed = [argument for argument in command if key_of(argument) not in own]
    name = next((argument.partition("=")[2] for argument in command if key_of(argument) == "study"), None)
    base = over_arguments_of_study(compose([*typed, "action=train", f"{REPLAYED}={study}"]), "model")
    dropped = (*own, REPLAYED)
    kept = [
        argument
        for argument in base.arguments
        if key_of(argument) not in dropped
        and not any(key_of(argument) == key or key_of(argument).startswith(f"{key}.") for key in _REPLACED)
    ]
    recipe = smaller(decode_recipe(hyperparameters), found.members)
    keys: dict[str, Any] = {
        "action": "train",
        "study": _name(name, ending) if name else _name(study, f"{_ENDING}{ending}"),
        "ensemble.members": [{member.name: {"kind": member.kind}} for member in recipe.members],
        "ensemble.params": {member.name: dict(member.params) for member in recipe.members if member.params},
        "ensemble.weights": dict(recipe.weights or {}),
        "ensemble.final": models,
        "ensemble.blend_over": "trial",
        "ensemble.max_ms": None,
        "ensemble.drop_slow": False,
    }
    return [*kept, *arguments_of({key: value for key, value in keys.items() if value not in ({},)})]


def _name(text: str, ending: str) -> str:
    return f"{text[: STUDY_NAME_LENGTH - len(ending)].rstrip('-')}{ending}"
