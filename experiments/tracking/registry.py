"""The winner as a registered MLflow model: a models-from-code pyfunc around the bundle, without a pickle."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.bundle import read_manifest
from ensemble.bundle_code import importable
from ensemble.bundle_files import MANIFEST
from ensemble.column_encoding import frame_of
from ensemble.evaluation import MetricName
from ensemble.intervals import LEVEL
from ensemble.recipe import BLENDED
from ensemble.serving.prediction import PREDICTION, probability_of
from ensemble.table import Column
from ensemble.versions import pin
from experiments.errors import ConfigError
from experiments.system.project import PROJECT
from experiments.tracking.scores import SPLITS
from experiments.tracking.store import quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

BUNDLE_HASH = "byoe.bundle_hash"
# What ends the name of a library in a line of requirements.
_NAME = re.compile(r"[^\w.-]")


@dataclass(frozen=True)
class Described:
    """What a registered model and its version show.

    Attributes:
        dataset: Display name of the data.
        scores: The winner's scores by metric.
        page: The place of its run in MLflow's page.
    """

    dataset: str
    scores: Mapping[str, float]
    page: str

    def tags(self) -> dict[str, str]:
        """Return the scores of the blend, the data and the place of the run."""
        blended = {name: f"{score:.6g}" for name, score in self.scores.items() if name.endswith(f"_{BLENDED}")}
        return {"byoe.dataset": self.dataset, "byoe.run": self.page, **blended}

    def text(self) -> str:
        """Return a description as Markdown: the link to the run, and a table of the scores."""
        parsed = {MetricName.parse(name): f"{value:.6g}" for name, value in self.scores.items()}
        splits = [split for split in SPLITS if any(name.split == split for name in parsed)]
        lines = ["", *splits], ["---" for _ in ("", *splits)]
        rows = [
            [f"{who} {score}", *(parsed.get(MetricName(split, score, who), "") for split in splits)]
            for who, score in dict.fromkeys((name.who, name.score) for name in parsed)
        ]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in (*lines, *rows))
        return f"[Its run]({self.page}), on {self.dataset}.\n\n{table}"


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

    client = MlflowClient(uri, uri)
    try:
        if which is None:
            model_id = _model_of_study(client, name)
            if model_id is None:
                raise ConfigError(f"model={name}: this run has no model; give its study's run or the winner's.")
            source = f"models:/{model_id}"
        else:
            find = client.get_model_version if which.isdecimal() else client.get_model_version_by_alias
            # By its place, since MLflow looks up a version by its name in the environment's registry.
            source = client.get_model_version_download_uri(name, find(name, which).version)
        folder.mkdir()
        place = Path(download_artifacts(source, dst_path=str(folder), tracking_uri=uri))
    except MlflowException as error:
        raise ConfigError(f"model={name}{f'@{which}' if which else ''}: {error.message}.") from None
    # MLflow stores the folder under the folder's own name, not under the artifact's name.
    found_manifests = list((place / "artifacts").glob(f"*/{MANIFEST}"))
    if not found_manifests:
        raise ConfigError(f"model={name}: this MLflow model does not contain a byoe bundle.")
    return found_manifests[0].parent


def _model_of_study(client: MlflowClient, run_id: str) -> str | None:
    """Return the id of the model of a winner's run, or of the winner of a study's run; None if there is none."""
    run = client.get_run(run_id)
    if run.data.tags.get("byoe.role") != "study":
        return model_of(client, run_id)
    query = f"tags.`mlflow.parentRunId` = '{run_id}' and tags.`byoe.role` = 'final'"
    found = client.search_runs([run.info.experiment_id], query, max_results=1)
    return model_of(client, found[0].info.run_id) if found else None


def model_of(client: MlflowClient, run_id: str) -> str | None:
    """Return the id of the model that a run has logged, or None."""
    outputs = client.get_run(run_id).outputs
    found = [] if outputs is None else [output.model_id for output in outputs.model_outputs]
    return str(found[-1]) if found else None


def log_model(run_id: str, bundle: Path, name: str, params: Mapping[str, str], packages: Sequence[Path]) -> str:
    """Log the bundle as the model of a run, and return the model's id.

    Args:
        run_id: A run of the store that is set as MLflow's.
        bundle: Folder of the saved ensemble.
        name: The model's name.
        params: What it was trained with.
        packages: Folders of the user's own packages, from which the user's members are loaded.
    """
    import mlflow
    import numpy as np
    from mlflow.models import Model

    manifest = read_manifest(bundle)
    columns = [Column.from_dict(column) for column in manifest["columns"]]
    example = frame_of(np.array(manifest["example"]["features"], dtype=np.float64), columns)
    with mlflow.start_run(run_id=run_id):
        info = Model.log(
            artifact_path=None,
            name=name,
            flavor=_Flavor,
            validate_serving_input=False,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(PROJECT / "entry" / "ensemble"), *map(str, importable(packages))],
            signature=signature_of(columns, manifest["target"], manifest.get("classes", ())),
            input_example=example,
            pip_requirements=requirements_of(manifest["versions"]),
            params=dict(params),
        )
    return str(info.model_id)


class _Flavor:
    """MLflow's flavor of Python models, which takes ``validate_serving_input`` as others of MLflow's flavors do.

    MLflow would load the bundle in this process to predict the example, which imports every library, for some seconds.
    The bundle has been loaded when it was saved, and has predicted the test rows.
    """

    @staticmethod
    def save_model(**settings: Any) -> None:
        """Save a model as MLflow does."""
        import mlflow.pyfunc

        del settings["validate_serving_input"]
        mlflow.pyfunc.save_model(**settings)


def requirements_of(versions: Mapping[str, str]) -> list[str]:
    """Return what has to be installed to load a model: what the entry script needs, in the versions that trained it.

    Args:
        versions: Those versions by library, and that of Python.
    """
    lines = (PROJECT / "entry" / "requirements.txt").read_text().splitlines()
    needed = {_NAME.split(line, maxsplit=1)[0]: line for line in lines if line and not line.startswith("#")}
    pinned = {name: pin(name, version) for name, version in versions.items() if name != "python"}
    return list((needed | pinned).values())


def register_model(
    client: MlflowClient, run_id: str, model_id: str | None, name: str, bundle_hash: str, described: Described
) -> ModelVersion:
    """Make the model of a run a version of a registered model.

    Args:
        client: A client of the store.
        run_id: The run that the model belongs to.
        model_id: The model.
        name: Name in the registry.
        bundle_hash: Hash of the bundle, kept as a tag of the version for ``find_version``.
        described: What tags and descriptions have.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    tags = described.tags()
    version = client.create_model_version(
        name,
        f"models:/{model_id}",
        run_id,
        tags={BUNDLE_HASH: bundle_hash, **tags},
        description=described.text(),
        model_id=model_id,
    )
    client.update_registered_model(name, f"The winner of the study {name}. {described.text()}")
    for key, text in tags.items():
        client.set_registered_model_tag(name, key, text)
    return version


def signature_of(columns: Sequence[Column], target: str, classes: Sequence[str] = ()) -> ModelSignature:
    """Return a model's signature, which accepts what the model accepts, and has the columns of ``pyfunc_model``.

    A number may be an integer or have gaps, a category may be text or pandas' own category, and a date text or a time.
    MLflow has a type for one of two only. So it checks names, and the model checks what each column holds. Its
    parameters ``detail`` and ``level`` are those of requests.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    outputs: list[ColSpec | TensorSpec] = [ColSpec("double", target)]
    if classes:
        outputs = [ColSpec("string", PREDICTION), *(ColSpec("double", probability_of(label)) for label in classes)]
    anything = AnyType()  # type: ignore[no-untyped-call]
    return ModelSignature(
        inputs=Schema([ColSpec(anything, column.name, required=not column.optional) for column in columns]),
        outputs=Schema(outputs),
        params=ParamSchema([ParamSpec("detail", "string", ""), ParamSpec("level", "double", LEVEL)]),
    )
