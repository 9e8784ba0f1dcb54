"""The model that ``model=`` names: a study's winner, a folder, an archive, one in MLflow or one on S3."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble.bundle import bundle_hash, read_manifest
from ensemble.bundle_files import MANIFEST
from ensemble.errors import BundleError
from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.paths import root_folder, studies_folder, user_path
from experiments.errors import ConfigError, StorageError, did_you_mean
from experiments.study.folder import final_folder, model_dir
from experiments.system.archives import MODEL_ARCHIVE, DamagedArchive, pack, unpack
from experiments.tracking.store import store_exists, store_uri

DOWNLOAD = "download"
INFERENCE = "code/inference.py"
_NAMES = "name a model with model=<study, folder, model.tar.gz, MLflow run, name@alias or s3://...>"
_RUN_ID = re.compile(r"(runs:/)?([0-9a-f]{32})")
_REGISTERED = re.compile(r"(models:/)?([^/@:]+)[@/]([^/@]+)")


@dataclass(frozen=True)
class Model:
    """A model on this machine's disk.

    Attributes:
        folder: The unpacked bundle.
        origin: Where it is from, for messages.
        own: Whether a study below this project's folder of studies made it.
        manifest: The record of its training.
        bundle_hash: SHA-256 of the manifest, and so of every file.
    """

    folder: Path
    origin: str
    own: bool
    manifest: Mapping[str, Any]
    bundle_hash: str

    @property
    def target(self) -> str:
        """What it predicts: the name of the target, and how many classes it has."""
        classes = self.manifest.get("classes")
        return f"{self.manifest['target']} ({len(classes)} classes)" if classes else str(self.manifest["target"])


def place_model(composed: Composed, folder: Path) -> Model:
    """Find the configured model, and put its archive and its unpacked files into ``folder``.

    Args:
        composed: The configuration, whose ``model`` names it.
        folder: An empty folder, which gets ``model.tar.gz`` and ``model/``.

    Raises:
        ConfigError: There is no such model.
        BundleError: It is not a bundle that byoe can serve.
    """
    text = composed.config.model
    if text is not None and not text.strip():
        raise ConfigError(f"model={text} names no model: {_NAMES}, or leave it out for the winner of the newest study.")
    archive, bundle = folder / MODEL_ARCHIVE, folder / "model"
    try:
        source, origin = _newest_winner(composed) if text is None else _find(composed, text, folder)
        if source.is_dir():
            read_manifest(source)
            pack(source, archive)
        elif source != archive:
            shutil.copyfile(source, archive)
        unpack(archive, bundle)
    except DamagedArchive as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # tarfile lists what each format's reader found
        raise BundleError(f"{source} cannot be unpacked as {MODEL_ARCHIVE}: {reason}. Train the model again.") from None
    except OSError as error:
        raise StorageError.at(folder, error) from error
    finally:
        shutil.rmtree(folder / DOWNLOAD, ignore_errors=True)
    manifest = read_manifest(bundle)
    if not (bundle / INFERENCE).is_file():
        raise BundleError(f"{origin} has no {INFERENCE}, which serves it. Train the model again.")
    own = source.resolve().is_relative_to(studies_folder(composed.config).resolve())
    return Model(bundle, origin, own, manifest, bundle_hash(bundle))


def _newest_winner(composed: Composed) -> tuple[Path, str]:
    studies = studies_folder(composed.config)
    found = sorted(studies.glob(f"*/final/model/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not found:
        run = typed_command([f"mode={composed.config.mode.name}"])
        raise ConfigError(f"there is no finished study in {studies}: {run} runs one. Or {_NAMES}.")
    return _winner_of(found[-1].parents[2])


def _winner_of(study: Path) -> tuple[Path, str]:
    final = final_folder(study)
    archive = final / MODEL_ARCHIVE
    return archive if archive.exists() else model_dir(final), f"study {study.name}"


def _find(composed: Composed, text: str, folder: Path) -> tuple[Path, str]:
    path = user_path(text)
    study = studies_folder(composed.config) / text
    if text.startswith("s3://"):
        from experiments.aws.storage import user_storage

        user_storage(composed.config.mode).download(text, folder / MODEL_ARCHIVE)
        return folder / MODEL_ARCHIVE, text
    for place in (path, study):
        if (model_dir(final_folder(place)) / MANIFEST).exists():
            return _winner_of(place)
    if path.exists():
        return path, str(path)
    run, registered = _RUN_ID.fullmatch(text), _REGISTERED.fullmatch(text)
    if run is None and registered is None:
        names = [found.name for found in study.parent.glob("*") if (found / "final").is_dir()]
        raise ConfigError(
            f"model={text}: there is no such study, folder or archive.{did_you_mean(text, names)} It can also be an "
            "MLflow run, a registered model as name@alias, or s3://..."
        )
    uri = store_uri(composed.config.mlflow.uri, root_folder(composed.config))
    if not store_exists(uri):
        raise ConfigError(f"model={text}: there is no study of that name, and no MLflow store at {uri}.")
    from experiments.tracking.registry import download_bundle

    if run is not None:
        return download_bundle(uri, run.group(2), None, folder / DOWNLOAD), text
    name, which = registered.group(2, 3) if registered is not None else ("", None)
    return download_bundle(uri, name, which, folder / DOWNLOAD), text
