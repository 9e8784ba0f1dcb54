"""The winner as a registered MLflow model: a models-from-code pyfunc around the bundle, without a pickle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.bundle import read_manifest
from ensemble.bundle_code import importable
from ensemble.bundle_files import MANIFEST
from ensemble.column_encoding import frame_of
from ensemble.serving.prediction import PREDICTION, probability_of
from ensemble.table import Column
from ensemble.versions import pin
from experiments.errors import ConfigError
from experiments.study.spec import WINNER_ALIAS
from experiments.system.project import PROJECT
from experiments.tracking.store import quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

BUNDLE_HASH = "byoe.bundle_hash"


def find_version(client: MlflowClient, name: str, bundle_hash: str) -> ModelVersion | None:
    """Return the version of model ``name`` that was registered from this bundle, or None."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get(BUNDLE_HASH) == bundle_hash:
            return version
    return None


def download_bundle(uri: str, name: str, which: str | None, folder: Path) -> Path:
    """Return the folder of a model's bundle, downloaded from MLflow into ``folder``.

    Args:
        uri: The store's tracking URI.
        name: A registered model's name; or, if ``which`` is None, the id of the run of a winner or of its study.
        which: Version or alias of the registered model.
        folder: Folder for the files; it is created.

    Raises:
        ConfigError: The model does not exist, or is not one of byoe's.
    """
    quiet()
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    try:
        if which is None:
            run = client.get_run(name)
            found = list(client.search_model_versions(f"run_id = '{name}'"))
            if not found and run.data.tags.get("byoe.role") == "study":
                found = [client.get_model_version_by_alias(run.data.tags["byoe.study"], WINNER_ALIAS)]
            if not found:
                raise ConfigError(
                    f"model={name}: this run has no registered model; give its study's run or the winner's."
                )
            version = found[0]
        elif which.isdecimal():
            version = client.get_model_version(name, which)
        else:
            version = client.get_model_version_by_alias(name, which)
        source = f"models:/{version.name}/{version.version}"
        folder.mkdir()
        place = Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=uri))
    except MlflowException as error:
        raise ConfigError(f"model={name}{f'@{which}' if which else ''}: {error.message}.") from None
    # MLflow stores the folder under the folder's own name, not under the artifact's name.
    found_manifests = list((place / "artifacts").glob(f"*/{MANIFEST}"))
    if not found_manifests:
        raise ConfigError(f"model={name}: this MLflow model does not contain a byoe bundle.")
    return found_manifests[0].parent


def register_model(
    client: MlflowClient, run_id: str, bundle: Path, name: str, bundle_hash: str, packages: Sequence[Path]
) -> str:
    """Log the bundle as the model of a run, register it, and return its version.

    Args:
        client: A client of the store that is set as MLflow's.
        run_id: The run that the model belongs to.
        bundle: Folder of the saved ensemble.
        name: Name in the registry.
        bundle_hash: Hash of the bundle, kept as a tag of the version for ``find_version``.
        packages: Folders of the user's own packages, from which the user's members are loaded.
    """
    import mlflow
    import numpy as np
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    manifest = read_manifest(bundle)
    columns = [Column.from_dict(column) for column in manifest["columns"]]
    example = frame_of(np.array(manifest["example"]["features"], dtype=np.float64), columns)
    requirements = [pin(name, version) for name, version in manifest["versions"].items() if name != "python"]
    with mlflow.start_run(run_id=run_id):
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(PROJECT / "entry" / "ensemble"), *map(str, importable(packages))],
            signature=signature_of(columns, manifest["target"], manifest.get("classes", ())),
            input_example=example,
            pip_requirements=[*requirements, "pandas", "threadpoolctl"],
        )
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    version = client.create_model_version(
        name, f"models:/{info.model_id}", run_id, tags={BUNDLE_HASH: bundle_hash}, model_id=info.model_id
    )
    return str(version.version)


def signature_of(columns: Sequence[Column], target: str, classes: Sequence[str] = ()) -> ModelSignature:
    """Return a model's signature, which accepts what the model accepts, and has the columns of ``pyfunc_model``.

    A number may be an integer or have gaps, a category may be text or pandas' own category, and a date text or a time.
    MLflow has a type for one of two only. So it checks names, and the model checks what each column holds.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    outputs: list[ColSpec | TensorSpec] = [ColSpec("double", target)]
    if classes:
        outputs = [ColSpec("string", PREDICTION), *(ColSpec("double", probability_of(label)) for label in classes)]
    anything = AnyType()  # type: ignore[no-untyped-call]
    return ModelSignature(
        inputs=Schema([ColSpec(anything, column.name, required=not column.optional) for column in columns]),
        outputs=Schema(outputs),
    )
