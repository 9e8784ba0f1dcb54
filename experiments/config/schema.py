"""The configuration's typed schema: every key, its type and its default.

What a key means stands in one place: as a comment in the file of ``configs/`` that sets it for everyone, or else in its
class below. ``docs/configuration_page.py`` makes ``docs/configuration.md`` of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any


@dataclass
class ModeConfig:
    """Where trials run."""

    name: str = ""


@dataclass
class LocalModeConfig(ModeConfig):
    """In worker processes on this machine."""

    name: str = "local"


@dataclass
class ImageConfig:
    """The image that trains and serves."""

    base: str = ""
    requirements: str | None = None


@dataclass
class SageMakerModeConfig(ModeConfig):
    """In SageMaker local mode containers on this machine's Docker."""

    name: str = "sagemaker"
    warm_pool: bool = True
    max_runtime_seconds: int = 3600
    network: str = "none"
    cpus: float | None = None
    memory_gb: float | None = None
    image: ImageConfig = field(default_factory=ImageConfig)


@dataclass
class RemoteImageConfig(ImageConfig):
    """The image that jobs run on SageMaker, and what ``action=push`` makes one from."""

    uri: str | None = None


@dataclass
class RemoteModeConfig(ModeConfig):
    """On SageMaker, as training jobs that its tuner picks."""

    name: str = "remote"
    region: str | None = None
    profile: str | None = None
    role: str | None = None
    bucket: str | None = None
    prefix: str = "byoe"
    image: RemoteImageConfig = field(default_factory=RemoteImageConfig)
    instance_type: str = "ml.m5.large"
    volume_gb: int = 10
    max_runtime_seconds: int = 3600
    spot: bool = False
    max_wait_seconds: int | None = None
    keep_alive_seconds: int = 0
    early_stopping: bool = False
    warm_start: list[str] = field(default_factory=list)
    isolated: bool = False
    subnets: list[str] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)
    volume_kms_key: str | None = None
    output_kms_key: str | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    price_usd_per_hour: float | None = None
    budget_usd: float | None = None
    poll_seconds: float = 15.0


@dataclass
class SplitConfig:
    """How rows are set aside: shares of all rows, drawn with a seed.

    Attributes:
        test: Share of the rows that no trial sees; the winner is scored on them once.
        validation: Share of the rows that every trial is scored on and none is fitted on.
        seed: Of the draw. Rows that ``dataset.folds`` keeps together or in time are set aside so as well.
    """

    test: float = 0.2
    validation: float = 0.2
    seed: int = 0


@dataclass
class FoldsConfig:
    """Cross-validation over the rows that are left for training.

    Attributes:
        kind: ``kfold``: at random. ``repeated``: at random, several times. ``group``: rows of one value of ``column``
            stay together, in the split too. ``time``: in the order of ``column``, models are scored on what came after.
        k: Number of folds.
        repeats: For ``repeated``: how often; null is 3.
        column: For ``group`` and ``time``: the column, which is then no feature.
    """

    kind: str = "kfold"
    k: int = 5
    repeats: int | None = None
    column: str | None = None


@dataclass
class DatasetConfig:
    """The data.

    Attributes:
        weights: The column with the rows' weights; null counts every row alike.
        drop: Columns that are left out, as a list.
    """

    name: str = ""
    path: str | None = None
    target: str | None = None
    weights: str | None = None
    drop: list[str] = field(default_factory=list)
    split: SplitConfig = field(default_factory=SplitConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)


@dataclass
class EnsembleConfig:
    """Who is in the ensemble, and how their predictions become one.

    Attributes:
        members: Names of [members](#members), or ``{name: {kind: member}}`` for several of a kind, for a regressor of
            scikit-learn by its class name, or for a class of yours as ``module:Class``.
        params: Fixed parameters: ``ensemble.params.<member>.<parameter>``, or ``ensemble.params.<shared name>``.
        blend: A [blender](#blenders), or one of yours as ``module:Class``.
        weights: For ``fixed``: one non-negative number a member, ``ensemble.weights.<member>``.
        final: What is served. ``bag``: the average of the folds' models. ``refit``: one model fitted on all training
            rows.
        drop_slow: Whether members are left out that would take longer than all others together, or that heed no
            ``dataset.weights``.
    """

    members: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    blend: str = "mean"
    weights: dict[str, Any] = field(default_factory=dict)
    final: str = "bag"
    drop_slow: bool = False


@dataclass
class SearchConfig:
    """What is tuned, by whom and for how long.

    Attributes:
        sampler: ``tpe``, ``random``, or ``grid`` for a space of choices and integers. With ``mode=remote`` SageMaker's:
            Bayesian, random or grid.
        n_trials: Trials of the study in all, failed ones included; more than before extends it.
        seed: Of the proposals, the folds and every member.
        window: A proposal waits for all trials but the last so many, so that results do not depend on who is first.
        parallel: Trials at a time, at most ``window``; null is as many as there are cores, or one for a large table.
        startup_trials: Trials at random before ``tpe`` begins to learn.
        objective: What is made best: a metric of a trial, such as ``cv_rmse_blended``, ``validation_rmse_blended``,
            ``cv_mae_blended`` or ``cv_r2_xgboost``.
        max_failure_rate: Beyond this share of failed trials the study stops.
        prune: For ``mode=local``: whether trials are given up between folds when they cannot win any more.
        timeout: Seconds after which the study ends, with time kept for the winner; null is no limit.
        portable: Whether a search that SageMaker's tuner could not express is refused, in every mode.
        space: What is tuned: ``search.space.<member>.<parameter>={low: 1, high: 9, log: true, first: 3}`` or
            ``={choices: [3, 4], first: 4}``; ``log`` and ``first``, the first trial's value, may be left out.
        shared: One name for a parameter of several members:
            ``search.shared.rate=[xgboost.eta, catboost.learning_rate]``.
    """

    sampler: str = "tpe"
    n_trials: int = 20
    seed: int = 0
    window: int = 4
    parallel: int | None = None
    startup_trials: int = 10
    objective: str = "cv_rmse_blended"
    max_failure_rate: float = 0.5
    prune: bool = False
    timeout: float | None = None
    portable: bool = True
    space: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)


@dataclass
class ReplayConfig:
    """Which trials run again elsewhere."""

    study: str | None = None
    top: int = 5


@dataclass
class CompareConfig:
    """Which studies are held against one another, and how closely."""

    studies: list[str] | None = None
    rtol: float = 1e-9
    force: bool = False


@dataclass
class ServingConfig:
    """Endpoint settings."""

    name: str = ""
    memory_size_in_mb: int | None = None
    max_concurrency: int | None = None
    instance_type: str | None = None
    instance_count: int | None = None
    port: int | None = None
    workers: int | None = None


MODES: tuple[type[ModeConfig], ...] = (LocalModeConfig, SageMakerModeConfig, RemoteModeConfig)


@dataclass
class MlflowConfig:
    """Where runs are recorded."""

    uri: str | None = None
    experiment: str | None = None


@dataclass
class EntryConfig:
    """What is shipped along with the entry script."""

    dependencies: list[str] = field(default_factory=list)


@dataclass
class PathsConfig:
    """Directories."""

    root: str = "."
    studies: str = "studies"
    endpoints: str = "endpoints"


@dataclass
class Config:
    """Everything that a command can be told."""

    action: str = "tune"
    study: str | None = None
    model: str | None = None
    job: str | None = None
    endpoint: str = "local"
    input: str | None = None
    output: str | None = None
    detail: str = "blended"
    mode: ModeConfig = field(default_factory=ModeConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    mlflow: MlflowConfig = field(default_factory=MlflowConfig)
    entry: EntryConfig = field(default_factory=EntryConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


def account_mode(mode: ModeConfig) -> RemoteModeConfig | None:
    """Return the settings of a mode that runs in an AWS account, or None for a mode that runs on this machine."""
    return mode if isinstance(mode, RemoteModeConfig) else None


def known_keys() -> list[str]:
    """Return every dotted key that any mode knows."""
    modes = [key for mode in MODES for key in _keys_of(mode, "mode.")]
    return list(dict.fromkeys([*_keys_of(Config, ""), *modes]))


def mode_of(key: str) -> str | None:
    """Return the first mode that knows ``key``, where not all do."""
    return next((mode.name for mode in MODES if key in _keys_of(mode, "mode.")), None)


def _keys_of(schema: Any, prefix: str) -> Iterator[str]:
    for item in fields(schema):
        yield prefix + item.name
        value = item.default_factory() if callable(item.default_factory) else item.default
        if is_dataclass(value):
            yield from _keys_of(value, prefix + item.name + ".")
