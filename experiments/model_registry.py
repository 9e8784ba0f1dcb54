"""The winner as a registered MLflow model: a models-from-code pyfunc around the bundle, with no pickle in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.coding import frame_of
from ensemble.table import Column
from experiments.source_dir import importable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PROJECT = Path(__file__).resolve().parent.parent
BUNDLE_HASH = "byoe.bundle_hash"


def find_version(client: MlflowClient, name: str, bundle_hash: str) -> ModelVersion | None:
    """Return the version of model ``name`` that was made from this bundle, or None."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get(BUNDLE_HASH) == bundle_hash:
            return version
    return None


def register_model(
    client: MlflowClient, run_id: str, bundle: Path, name: str, bundle_hash: str, packages: Sequence[Path]
) -> str:
    """Log the bundle as the model of a run, register it, and return its version.

    Args:
        client: Of the store that is set as MLflow's.
        run_id: The run that the model belongs to.
        bundle: Folder of the saved ensemble.
        name: Name in the registry.
        bundle_hash: Kept as a tag of the version, by which ``find_version`` knows it.
        packages: Folders of the user's own packages, which members of theirs are loaded from.
    """
    import mlflow
    import numpy as np
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    manifest = json.loads((bundle / "manifest.json").read_text())
    columns = [Column.from_dict(column) for column in manifest["columns"]]
    example = frame_of(np.array(manifest["example"]["features"], dtype=np.float64), columns)
    texts = ("category", "date")
    anything = AnyType()  # type: ignore[no-untyped-call]
    signature = ModelSignature(
        inputs=Schema(
            [
                # Numbers may be whole or have gaps: MLflow would refuse one of the two, and the bundle checks.
                ColSpec("string" if column.type in texts else anything, column.name, required=False)
                for column in columns
            ]
        ),
        outputs=Schema([ColSpec("double", manifest["target"])]),
    )
    requirements = [f"{name}=={version}" for name, version in manifest["versions"].items() if name != "python"]
    with mlflow.start_run(run_id=run_id):
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PROJECT / "experiments" / "mlflow_model.py"),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(PROJECT / "entry" / "ensemble"), *map(str, importable(packages))],
            signature=signature,
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
