"""``action=card``: write a model's card, as Markdown or as the request that creates it in SageMaker."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from ensemble.bundle import bundle_hash, read_manifest
from ensemble.bundle_files import MANIFEST
from ensemble.finished_trainings import OUT_OF_FOLD_FILE
from experiments.backends.winner import FINAL, IMPORTANCE
from experiments.comparison.parity import compare_replay
from experiments.comparison.recorded_study import RecordedStudy, read_study
from experiments.config.compose import Composed
from experiments.config.paths import studies_folder
from experiments.errors import ConfigError, InputError
from experiments.reporting.console import print_plain
from experiments.sagemaker_requests.model_card import card_request
from experiments.serving.models import place_model
from experiments.study.card import CARD, Card, as_markdown
from experiments.study.folder import final_folder, model_dir, output_data_dir, test_predictions
from experiments.study.ledger import FILE, read, recorded_studies
from experiments.study.predictions import Predictions
from experiments.study.spec import TrialResult
from experiments.system.files import replace_file
from experiments.system.output_file import output_file


def write_card(composed: Composed, console: Console) -> int:
    """Write the card of the model into ``output``, or print it; return 0.

    A name that ends with ``.json`` gets the arguments of ``CreateModelCard``.

    Raises:
        InputError: There is no such model, or the output is not possible.
    """
    config = composed.config
    output = None if config.output is None else output_file(config.output, CARD)
    if output is not None and output.suffix.lower() not in (".md", ".json"):
        raise ConfigError(f"output={config.output}: a file name ends with .md or .json.")
    folder = None if config.model is None else studies_folder(config) / config.model
    if folder is not None and (model_dir(final_folder(folder)) / MANIFEST).exists() and (folder / FILE).exists():
        card = card_of_study(folder, config.compare.rtol)
    else:
        with tempfile.TemporaryDirectory() as place:
            model = place_model(composed, Path(place))
            origin = studies_folder(config) / model.origin.removeprefix("study ")
            known = model.own and (origin / FILE).exists()
            card = card_of_study(origin, config.compare.rtol) if known else _of_bundle(model.origin, model.folder)
    if output is None:
        print_plain(console, as_markdown(card))
        return 0
    is_request = output.suffix.lower() == ".json"
    replace_file(output, request_text(card) if is_request else as_markdown(card))
    print_plain(console, f"the card of {card.name} is in {config.output}.")
    return 0


def request_text(card: Card) -> str:
    """Return the arguments of ``CreateModelCard`` as JSON, checked."""
    name = "".join(character if character.isalnum() and character.isascii() else "-" for character in card.name)
    return json.dumps(card_request(card, name.strip("-")[:63].rstrip("-") or "model"), indent=1)


def card_of_study(folder: Path, tolerance: float) -> Card:
    """Return the card of a study's winner.

    Args:
        folder: The study's folder.
        tolerance: The largest relative difference of numbers that count as equal.

    Raises:
        InputError: The study cannot be read.
    """
    facts, final = read(folder / FILE).facts, final_folder(folder)
    bundle, predictions = model_dir(final), output_data_dir(final) / OUT_OF_FOLD_FILE
    tested = test_predictions(folder)
    return Card(
        name=folder.name,
        manifest=read_manifest(bundle),
        digest=bundle_hash(bundle),
        final=TrialResult(**facts[FINAL]) if FINAL in facts else None,
        importance=facts.get(IMPORTANCE) or {},
        out_of_fold=Predictions.read(predictions) if predictions.is_file() else None,
        tested=Predictions.read(tested) if tested.is_file() else None,
        parity=tuple(_parity(folder, tolerance)),
    )


def _of_bundle(origin: str, folder: Path) -> Card:
    return Card(origin, read_manifest(folder), bundle_hash(folder))


def _parity(folder: Path, tolerance: float) -> Iterator[str]:
    """Yield a line for each replay of a study on this machine, and for the study that it replays."""
    found: dict[str, RecordedStudy] = {}
    for place in recorded_studies(folder.parent):
        with suppress(InputError):  # one that has no trial yet, or is of another version
            found[place.name] = read_study(place)
    study = found.pop(folder.name, None)
    for other in found.values():
        if study is not None and (other.replay_of == study.name or study.replay_of == other.name):
            original, replay = (study, other) if other.replay_of == study.name else (other, study)
            line = compare_replay(original, replay, tolerance).line
            yield f"{original.name} (mode={original.mode}) and {replay.name} (mode={replay.mode}): {line}"
