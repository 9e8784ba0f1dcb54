"""The store that has MLflow's runs: the user's tracking URI, or a SQLite file in the project folder."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import shlex
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.config.secrets import masked_value, without_parts
from experiments.errors import ConfigError, did_you_mean, listed
from experiments.system import crash_points
from experiments.system.locks import lock_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
ARTIFACTS = "mlartifacts"
_LONGEST_PROBLEM = 400
_OTHER_SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+), but expected (\w+)\)")
# SageMaker's managed MLflow (MlflowResourceArn in its API reference), in the partitions that the plugin supports.
_MANAGED = re.compile(r"arn:(aws|aws-us-gov):sagemaker:[a-z0-9-]+:\d{12}:mlflow-(app|tracking-server)/[\w.-]+")
PLUGIN = "sagemaker-mlflow"
# Where ``mlflow ui`` listens.
LOCAL_PAGE = "http://127.0.0.1:5000"
_REGISTRY = "MLFLOW_REGISTRY_URI"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks")


def quiet() -> None:
    """Turn off MLflow's telemetry and messages, unless the user has turned them on; call before its first import."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Stop trying an unreachable server after seconds, not minutes: the next run logs what is missing.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # Matplotlib's warning of a column's name in a script that its font lacks, when a figure is logged.
    warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)


@contextlib.contextmanager
def store_kept() -> Iterator[None]:
    """Hide the store, the experiment and the active runs that the user's own program has set, and restore them."""
    before, variable = _mlflow_state(), os.environ.get(_REGISTRY)
    stack = list(before.pop("runs", ()))
    if "experiment" in before:
        _set_experiment_and_runs(None, [])
    try:
        yield
    finally:
        if "mlflow" in sys.modules:
            import mlflow

            mlflow.set_tracking_uri(before.get("tracking"))  # type: ignore[arg-type]  # None is what it is at first
            mlflow.set_registry_uri(before.get("registry"))  # type: ignore[arg-type]
            _set_experiment_and_runs(before.get("experiment"), stack)
            # MLflow sets it beside the registry, and does not take it away.
            if variable is None:
                os.environ.pop(_REGISTRY, None)
            else:
                os.environ[_REGISTRY] = variable


def _mlflow_state() -> dict[str, Any]:
    """Return what this process has set; empty if MLflow is not imported."""
    if "mlflow" not in sys.modules:
        return {}
    from mlflow.tracking import fluent
    from mlflow.tracking._model_registry import utils as registry
    from mlflow.tracking._tracking_service import utils as tracking

    return {
        "tracking": tracking._tracking_uri,
        "registry": registry._registry_uri,
        "experiment": fluent._active_experiment_id,
        "runs": _active_runs(),
    }


def _set_experiment_and_runs(experiment: Any, runs: list[Any]) -> None:
    from mlflow.tracking import fluent

    fluent._active_experiment_id = experiment
    _active_runs()[:] = runs


def _active_runs() -> list[Any]:
    """Return the list of this thread's active runs."""
    from mlflow.tracking import fluent

    found: list[Any] = fluent._active_run_stack.get()  # type: ignore[no-untyped-call]
    return found


def store_uri(uri: str | None, root: Path) -> str:
    """Return the tracking URI: the user's, or the SQLite store in ``root`` that ``mlflow ui`` opens there.

    Raises:
        ConfigError: MLflow cannot keep runs at this address.
    """
    if not uri:
        return f"{SQLITE}{(root / 'mlflow.db').absolute()}"
    if uri.startswith("arn:"):
        return _managed_uri(uri)
    shown = masked_value(uri) if "://" in uri else uri.rpartition("@")[2]
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme == "file" or ("://" not in uri and scheme != "databricks"):
        raise ConfigError(
            f"mlflow.uri={shown}: MLflow no longer keeps runs in a folder. Leave it out to use the store in the "
            f"project folder, or set it to {SQLITE}folder/mlflow.db or a server's address."
        )
    if scheme not in SCHEMES:
        raise ConfigError(
            f"mlflow.uri={shown}: {scheme!r} is not a kind of store.{did_you_mean(scheme, SCHEMES)} "
            f"Allowed: {listed(SCHEMES)}."
        )
    return uri


def _managed_uri(arn: str) -> str:
    if not is_managed(arn):
        raise ConfigError(
            f"mlflow.uri={arn} is not the ARN of SageMaker's managed MLflow. Use "
            "arn:aws:sagemaker:<region>:<account>:mlflow-tracking-server/<name> or "
            "arn:aws:sagemaker:<region>:<account>:mlflow-app/<id>, as shown in SageMaker Studio."
        )
    if importlib.util.find_spec("sagemaker_mlflow") is None:
        raise ConfigError(
            f"mlflow.uri={arn}: MLflow's plugin for SageMaker is not installed. Install it: pip install {PLUGIN}, or "
            "pip install -e '.[managed-mlflow]'."
        )
    return arn


def is_managed(uri: str) -> bool:
    """Whether a tracking URI is the ARN of SageMaker's managed MLflow."""
    return _MANAGED.fullmatch(uri) is not None


def store_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, or None for another kind."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def store_exists(uri: str) -> bool:
    """Whether the store may exist: false only for a SQLite file that does not."""
    file = store_file(uri)
    return file is None or file.exists()


def make_store(uri: str, artifacts: Path) -> None:
    """Create a SQLite store with its tables, unless it exists; do nothing for another kind of store.

    MLflow takes seconds and many steps, and an interrupted one leaves a store that cannot be used. So one process at a
    time creates the store in a file beside it, and then moves it there.

    Args:
        uri: Tracking URI.
        artifacts: Folder for the artifacts of the store's default experiment.
    """
    file = store_file(uri)
    if file is None or _has_tables(file):
        return
    with lock_folder(file.parent, wait=True):
        if _has_tables(file):
            return
        partial = file.with_name(f"{file.name}.partial")
        for left in (partial, partial.with_name(f"{partial.name}-journal")):
            left.unlink(missing_ok=True)
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        address = f"{SQLITE}{partial}"
        store = SqlAlchemyStore(address, artifacts.absolute().as_uri())  # type: ignore[no-untyped-call]  # MLflow's
        store.engine.dispose()
        crash_points.point("store_made")
        partial.replace(file)


def open_experiment(uri: str, root: Path, name: str) -> tuple[MlflowClient, str]:
    """Return a client of the store and the experiment's id; either is created if it does not exist.

    Args:
        uri: Tracking URI.
        root: Folder of the store's artifacts, for a local store.
        name: The experiment's name.
    """
    from mlflow.exceptions import MlflowException

    client = open_store(uri, root)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return client, str(experiment.experiment_id)
    location = (root / ARTIFACTS).absolute().as_uri() if store_file(uri) else None
    # Without a kind, MLflow shows the experiment as one of language models.
    kind = {"mlflow.experimentKind": "custom_model_development"}
    try:
        return client, str(client.create_experiment(name, artifact_location=location, tags=kind))
    except MlflowException:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise
        return client, str(experiment.experiment_id)  # another command has created it meanwhile


def open_store(uri: str, root: Path) -> MlflowClient:
    """Return a client of the store, which is created if it does not exist, and make it this process's store."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    warnings.filterwarnings("ignore", module="mlflow")
    make_store(uri, root / ARTIFACTS)
    return mlflow.MlflowClient(uri, uri)


def store_problem(error: Exception, uri: str) -> str:
    """Return what went wrong with the store at ``uri``, in one line without secrets."""
    schemas = _OTHER_SCHEMA.search(str(error))
    if schemas is not None:
        upgrade = shlex.join(["mlflow", "db", "upgrade", masked_value(uri)])
        return (
            f"the store was made by another version of MLflow: its schema is {schemas.group(1)}, and this version "
            f"needs {schemas.group(2)}. Back it up and run: {upgrade} (or install the newer MLflow that made it)"
        )
    # SQLAlchemy appends the statement to the message.
    text = " ".join(str(error).partition("[SQL:")[0].split())
    return f"{type(error).__name__}: {without_parts(text, uri)[:_LONGEST_PROBLEM]}"


def _has_tables(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def store_fault(file: Path) -> str | None:
    """Return what is wrong with a SQLite store, or None."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=10, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return f"cannot be written: {error}"
    # Alembic's table is written after all others, whose names depend on MLflow's version.
    return None if {"alembic_version", "runs", "experiments"} <= tables else "is not a complete MLflow store"


def interface(uri: str, root: Path, page: str | None, what: str) -> tuple[str, str]:
    """Return the command or the address that opens MLflow's interface on this store, and what the user finds there.

    Args:
        uri: Tracking URI; its secrets are masked.
        root: Folder of the project.
        page: The place in MLflow's page, or None if the experiment is not known.
        what: What is shown there.
    """
    shown, there = masked_value(uri), "" if page is None else f"/{page}"
    if is_managed(uri):
        region, (kind, name) = uri.split(":")[3], uri.split(":")[5].split("/", 1)
        what_url = (
            f"app-url --arn {uri}" if kind == "mlflow-app" else f"tracking-server-url --tracking-server-name {name}"
        )
        return f"aws sagemaker create-presigned-mlflow-{what_url} --region {region}", what
    if uri.startswith(("http://", "https://")):
        return f"{shown.rstrip('/')}{there}", what
    if uri.startswith("databricks"):
        return shown, what
    is_here = uri == store_uri(None, root) and root.absolute() == Path.cwd()
    command = ["mlflow", "ui"] if is_here else ["mlflow", "ui", "--backend-store-uri", shown]
    return shlex.join(command), what if page is None else f"{what}: {LOCAL_PAGE}{there}"
