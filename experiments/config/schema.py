"""The configuration's typed schema: every key with its type, its default and its help.

A key's help is Markdown, and code in it is marked with backquotes. ``docs/configuration_page.py`` makes
``docs/configuration.md`` from it, and ``--cfg`` prints it.
"""

# ruff: noqa: RUF009  # what _key returns is a dataclass's field
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple


def _key(default: Any, text: str, values: Sequence[str | int] = ()) -> Any:
    """Return a dataclass's field with its help.

    Args:
        default: The default; a type, such as ``list``, is called.
        text: The help.
        values: What the value, or an entry of a list, can be; or if it can be other things too, the words among them.
    """
    metadata = {"help": text, "values": tuple(values)}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class ModeConfig:
    """Where trials run."""

    name: str = _key("", "Name of the mode, as in `mode=local`.")

    @property
    def runs_jobs(self) -> bool:
        """Whether trials are SageMaker's jobs, here or there: they ship code, and the tuner's limits apply."""
        return False

    @property
    def starts_cold(self) -> bool:
        """Whether each trial gets a container of its own."""
        return False

    @property
    def account(self) -> RemoteModeConfig | None:
        """The settings of the AWS account that this mode works in; None for a mode on this machine."""
        return None

    @property
    def final_rows(self) -> tuple[str, ...]:
        """What ``ensemble.final_rows`` can be, the default first."""
        return ("all", "train_and_validation", "train")


@dataclass
class LocalModeConfig(ModeConfig):
    """In worker processes on this machine."""

    name: str = _key("local", "Name of the mode, as in `mode=local`.")


@dataclass
class ImageConfig:
    """The image that trains and serves."""

    base: str = _key("", "Base image: Debian with Python. The default is the environment variable `BASE_IMAGE`.")
    requirements: str | None = _key(None, "A requirements file for your own packages, installed in the image.")


@dataclass
class SageMakerModeConfig(ModeConfig):
    """SageMaker local mode: in containers on this machine's Docker engine."""

    name: str = _key("sagemaker", "Name of the mode, as in `mode=local`.")
    warm_pool: bool = _key(
        True, "Whether trials run in warm containers; `false` runs each trial as a job of the SDK's local mode."
    )
    max_runtime_seconds: int = _key(
        3600, "A trial is stopped after this time; it is `StoppingCondition.MaxRuntimeInSeconds` of the request."
    )
    network: str = _key(
        "none",
        "Docker network of the containers. The default is `none`, because training that needs a network here also "
        "needs one on SageMaker; `bridge` allows it.",
    )
    cpus: float | None = _key(None, "Cores per container; `null` means no limit.")
    memory_gb: float | None = _key(None, "Memory per container; `null` means no limit.")
    image: ImageConfig = field(default_factory=ImageConfig)

    @property
    def runs_jobs(self) -> bool:
        """True: SageMaker's local mode runs jobs in containers on this machine."""
        return True

    @property
    def starts_cold(self) -> bool:
        """Whether containers are not kept warm."""
        return not self.warm_pool

    @property
    def final_rows(self) -> tuple[str, ...]:
        """As on SageMaker, a job gets the test rows only on request."""
        return ("train_and_validation", "all", "train")


@dataclass
class RemoteImageConfig(ImageConfig):
    """The image that jobs run on SageMaker, and what ``action=push`` builds it from."""

    base: str = _key(
        "",
        "Base image for `action=push`: Debian with Python, for `linux/amd64`. The default is the environment variable "
        "`BASE_IMAGE`.",
    )
    requirements: str | None = _key(
        None, "A requirements file for your own packages, installed in every job or in the image."
    )
    uri: str | None = _key(
        None,
        "An image in your ECR that was built from `container/Dockerfile`, as printed by `action=push`; `null` is AWS's "
        "scikit-learn container, which installs `entry/requirements.txt` in every job and cannot start on a serverless "
        "endpoint.",
    )
    push: bool = _key(
        False,
        "Use byoe's image: build it on this machine's Docker and push it to your ECR first, as `action=push` does, "
        "unless your ECR has it.",
    )


@dataclass
class RemoteModeConfig(ModeConfig):
    """On SageMaker, as training jobs that its tuner proposes."""

    name: str = _key("remote", "Name of the mode, as in `mode=local`.")
    region: str | None = _key(
        None, "AWS region; `null` uses your AWS settings (`AWS_DEFAULT_REGION`, or the profile's region)."
    )
    profile: str | None = _key(None, "A profile in `~/.aws`; `null` is the default profile.")
    role: str | None = _key(
        None, "ARN of the IAM role that jobs assume; it reads from the bucket and writes results to it."
    )
    bucket: str | None = _key(None, "Bucket for data, code and results; it must be in the region.")
    prefix: str = _key("byoe", "Prefix of everything that byoe stores in the bucket.")
    image: RemoteImageConfig = field(default_factory=RemoteImageConfig)
    instance_type: str = _key("ml.m5.large", "Instance type of a training job; members train on the CPU.")
    volume_gb: int = _key(10, "Disk size of an instance, for data, code and results.")
    max_runtime_seconds: int = _key(
        3600, "A job is stopped after this time; the upper bound of the cost is based on it."
    )
    spot: bool = _key(
        False,
        "Whether jobs use spot instances, which are much cheaper; an interrupted job starts again from the beginning.",
    )
    max_wait_seconds: int | None = _key(
        None,
        "With `mode.spot`: limit of waiting and running time, at least `mode.max_runtime_seconds`; `null` is twice "
        "that.",
    )
    keep_alive_seconds: int = _key(
        0, "How long an instance waits for the next job (a warm pool); you pay for this time."
    )
    early_stopping: bool = _key(
        False,
        "With `search.engine=amt`: whether AMT stops a job whose intermediate objective looks bad. byoe prints the "
        "objective once, at the end, so this has no effect unless your own members print more.",
    )
    warm_start: list[str] = _key(list, "With `search.engine=amt`: finished tuning jobs that AMT learns from.")
    isolated: bool = _key(
        False,
        "Whether the container has no network. This needs your own image, because AWS's container installs packages.",
    )
    subnets: list[str] = _key(list, "Subnets of your VPC; set `mode.security_groups` too.")
    security_groups: list[str] = _key(list, "Security groups of your VPC; set `mode.subnets` too.")
    volume_kms_key: str | None = _key(None, "KMS key that encrypts the instances' disks; `null` is AWS's own key.")
    output_kms_key: str | None = _key(
        None, "KMS key that encrypts data, code and results in the bucket; `null` is S3's own key."
    )
    tags: dict[str, str | None] = _key(
        dict, "Additional tags, such as `mode.tags={team: risk}`; byoe's own tags begin with `byoe:`."
    )
    price_usd_per_hour: float | None = _key(
        None,
        "Price of one instance; `null` asks AWS's price list, for which the credentials need `pricing:GetProducts`.",
    )
    budget_usd: float | None = _key(
        None,
        "A new search starts only if the upper bound of its cost is within this budget; with `serving=realtime`, an "
        "endpoint only if the cost of one day is.",
    )
    poll_seconds: float = _key(15.0, "Seconds between two queries of the jobs' states.")

    @property
    def runs_jobs(self) -> bool:
        """True: each trial is a training job."""
        return True

    @property
    def account(self) -> RemoteModeConfig:
        """These settings."""
        return self

    @property
    def final_rows(self) -> tuple[str, ...]:
        """The model of the best job is served, which was fitted on the training rows."""
        return ("train",)


@dataclass
class SplitConfig:
    """How rows are set aside: shares of all rows, drawn with a seed."""

    test: float = _key(
        0.2, "Share of the rows that no trial sees; the winner is scored on them once. `0` sets none aside."
    )
    validation: float = _key(
        0.2,
        "Share of the rows that every trial is scored on and that no member is fitted on. `0` sets none aside; trials "
        "are then scored by cross-validation only.",
    )
    seed: int = _key(
        0,
        "Seed of the draw. Groups and time order, as set by `dataset.folds.kind`, are respected here too.",
    )


@dataclass
class FoldsConfig:
    """Cross-validation over the rows that remain for training."""

    kind: str = _key(
        "kfold",
        "How rows are assigned to folds. `kfold`: at random. `repeated`: at random, several times. `group`: rows with "
        "the same value of `dataset.folds.column` stay together, in the split too. `time`: ordered by "
        "`dataset.folds.column`; models are scored on later rows than those they are fitted on.",
        ("kfold", "repeated", "group", "time"),
    )
    k: int = _key(5, "Number of folds.")
    repeats: int | None = _key(None, "With `repeated`: how many times; `null` is 3.")
    column: str | None = _key(None, "With `group` and `time`: the column, which is then not a feature.")


@dataclass
class DatasetConfig:
    """The data."""

    name: str = _key("", "Name of the dataset, as in `dataset=diabetes`.")
    path: str | None = _key(
        None,
        "A CSV file with a header row, or a Parquet file; on this machine, or on S3 as `s3://bucket/key`. Or a folder "
        "(on S3 with a slash at the end, `s3://bucket/prefix/`) with `train/`, `validation/` and `test/`, each with "
        "one such file or several of one kind. byoe keeps that split and ignores `dataset.split`, except that "
        "`dataset.split.validation=0` or `.test=0` says that this folder is missing.",
    )
    target: str | None = _key(None, "The column to predict.")
    unit: str | None = _key(
        None, "Unit of the target, such as `EUR`, shown beside its name in tables and figures. It changes no number."
    )
    task: str = _key(
        "auto",
        "What the target is: `regression` for a quantity, `binary` for two classes, `multiclass` for more. With "
        "`auto`, text, true and false, and categories are classes, and so are the numbers 0 and 1; other numbers are a "
        "quantity. Folds and the split have the same share of each class.",
        ("auto", "regression", "binary", "multiclass"),
    )
    positive: str | None = _key(
        None,
        "The positive class of two, such as `dataset.positive=churned`; `null` is the second in sorted order: `1` "
        "of 0 and 1, `true` of true and false, `yes` of no and yes.",
    )
    weights: str | None = _key(None, "The column with the rows' weights; `null` gives every row the same weight.")
    drop: list[str] = _key(list, "Columns to leave out.")
    columns: dict[str, str] = _key(
        dict,
        "What columns hold, where byoe would not recognise it: `dataset.columns.<name>=number`, `decimal_comma`, "
        "`category`, `date` or `boolean`. `number` also reads `1,250`, `$1,250.50`, `12 %` and `(3)`, and "
        "`decimal_comma` reads `1.250,50`. Endpoints and `action=batch` read rows by the same declaration.",
    )
    missing: list[str] | None = _key(
        None,
        "The texts that mean a missing value besides the empty one, such as `dataset.missing=[-,unknown]`; `[]` leaves "
        "only the empty one, so that `NA` is a value. `null` is pandas' list: `NA`, `N/A`, `n/a`, `NaN`, `nan`, "
        "`NULL`, `null`, `None`, `<NA>`, `#N/A` and similar ones.",
    )
    split: SplitConfig = field(default_factory=SplitConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)


@dataclass
class EnsembleConfig:
    """The members, and how their predictions become one."""

    members: Any = _key(
        None,
        "Names of members. `{name: {kind: member}}` gives a member a name of its own, so that there can be several of "
        "one kind; `kind` can also be a scikit-learn regressor or classifier by its class name, or your own class as "
        "`module:Class`.",
    )
    params: dict[str, Any] = _key(
        dict, "Fixed parameters: `ensemble.params.<member>.<parameter>`, or `ensemble.params.<shared name>`."
    )
    blend: str = _key(
        "mean",
        "A blender, or your own as `module:Class`.",
        ("mean", "weighted", "greedy", "stacking", "stacking_passthrough", "log_pool", "vote", "fixed"),
    )
    weights: dict[str, Any] = _key(
        dict, "With `ensemble.blend=fixed`: one non-negative number per member, `ensemble.weights.<member>`."
    )
    class_weight: Any = _key(
        None,
        "How much the rows of each class weigh, in fitting and in scores alike: `balanced` gives each class the same "
        "weight in total, before `dataset.weights`, and `{label: number}` one to each row of a class. They multiply "
        "`dataset.weights`. `null` weighs all rows alike.",
        ("balanced",),
    )
    calibrate: bool = _key(
        True,
        "Whether the blended probabilities of classes get a temperature that is fitted on out-of-fold predictions, "
        "where there are enough rows.",
    )
    threshold: Any = _key(
        0.5,
        "Of two classes, the probability from which a row gets the positive label (`dataset.positive`): a number, "
        "`accuracy` or `f1` to choose the best one out of fold, or what wrong labels cost, by true class and label in "
        "sorted order, such as `[[0, 1], [5, 0]]`.",
        ("accuracy", "f1"),
    )
    blend_over: str = _key(
        "trial",
        "What the winner blends. `trial`: the members of the best trial. `study`: each member from the trial in which "
        "it did best, if that is better than the best trial. The objective must be a score of the blend in "
        "cross-validation. Not for `mode=remote` and `ensemble.blend=fixed`.",
        ("trial", "study"),
    )
    final: str = _key(
        "bag",
        "What is served. `bag`: the average of several models of each member, which are those of the folds or, with "
        "further rows (`ensemble.final_rows`), models of three seeds on all of these rows. `refit`: one model on all "
        "rows.",
        ("bag", "refit"),
    )
    final_rows: str | None = _key(
        None,
        "The rows that the served model is fitted on, once its scores are known: `train`, `train_and_validation` or "
        "`all`. `null` is `all` with `mode=local`, `train_and_validation` with `mode=sagemaker`, where jobs get the "
        "test rows only on request, and `train` with `mode=remote`.",
        ("train", "train_and_validation", "all"),
    )
    max_ms: float | None = _key(
        None,
        "The most milliseconds that the winner may take to predict one row on one core of this machine. Members are "
        "left out until the measured times of the others add up to no more, first those that save most time for the "
        "error that they add. The objective must be a score of the blend in cross-validation. Not for `mode=remote` "
        "and `ensemble.blend=fixed`. `null` means no limit.",
    )
    drop_slow: bool = _key(
        False,
        "Whether to leave out members that would take longer than all others together, or that do not use the weights "
        "of `dataset.weights` and `ensemble.class_weight`.",
    )


@dataclass
class SearchConfig:
    """What is tuned, by which sampler and for how long."""

    sampler: str = _key(
        "tpe",
        "`tpe`, `random`, or `grid` for a space of choices and integers. With `search.engine=amt` it is SageMaker's "
        "Bayesian, random or grid strategy.",
        ("tpe", "random", "grid"),
    )
    engine: str | None = _key(
        None,
        "With `mode=remote`: who proposes the points. `amt`: SageMaker's tuner, in one tuning job. `optuna`: byoe, the "
        "same points as in the other modes; each trial is a training job that this machine starts. `null` is `amt`.",
        ("optuna", "amt"),
    )
    n_trials: int = _key(
        20, "Number of trials of the study, failed ones included; a larger number extends a finished study."
    )
    seed: int = _key(0, "Seed of the proposals, the folds and every member.")
    window: int = _key(
        4,
        "How many trials may be asked before the first of them is told. A proposal depends on the window and not on "
        "which trial finishes first.",
    )
    parallel: int | None = _key(
        None,
        "Trials at the same time, at most `search.window`; `null` is one per core, or one for a large table.",
    )
    vary: str = _key(
        "all",
        "What a trial changes. `all`: the parameters of every member. `one_member`: those of one member in turn, found "
        "by its own score, while the others keep their best ones. With `mode=local` their fits are not repeated, so "
        "that there are several times as many trials in a minute. Not with `search.engine=amt`.",
        ("all", "one_member"),
    )
    startup_trials: int = _key(10, "Number of random trials before `tpe` begins to learn.")
    learn_from: list[str] = _key(
        list,
        "Studies whose trials `tpe` learns from before its first proposal: a study by name or folder, a tuning job on "
        "SageMaker by name or ARN, or a storage of Optuna as `sqlite:///optuna.db:name`. They are read once, when the "
        "study begins. Their trials count as startup trials, but not as the study's own. With `search.engine=amt`, use "
        "`mode.warm_start`.",
    )
    objective: str | None = _key(
        None,
        "The metric that decides: `cv_` or `validation_`, then a score, then `blended` or a member. The scores of "
        "quantities are `rmse`, `mae` and `r2`, and those of classes `logloss`, `auc`, `accuracy`, "
        "`balanced_accuracy`, `f1` and `brier`. `null` is `cv_rmse_blended`, or `cv_logloss_blended` for classes.",
    )
    max_failure_rate: float = _key(0.5, "The study stops when a larger share of its trials has failed.")
    prune: bool = _key(False, "With `mode=local`: whether to stop trials between folds when they cannot win any more.")
    timeout: float | None = _key(
        None,
        "Seconds after which the command ends, with the winner trained and recorded; `null` means no limit. With "
        "`mode=local`, members for which there is no time are left out.",
    )
    baseline: bool = _key(
        True,
        "Whether plain CatBoost is cross-validated once on the study's folds, to compare the blend with. It is left "
        "out where `search.timeout` is too short for it, and trained on this machine with `mode=remote`.",
    )
    portable: bool = _key(True, "Whether a search that SageMaker's tuner could not express is refused, in every mode.")
    space: dict[str, Any] = _key(
        dict,
        "What is tuned: `search.space.<member>.<parameter>={low: 1, high: 9, log: true, first: 3}` or "
        "`={choices: [3, 4], first: 4}`. `log` and `first`, the first trial's value, are optional. A list such as "
        "`first: [0.07, 0.03]` has the values of the first trials; a shorter list of the same member repeats its last.",
    )
    shared: dict[str, Any] = _key(
        dict,
        "One name for the same parameter of several members: "
        "`search.shared.rate=[xgboost.eta, catboost.learning_rate]`.",
    )


@dataclass
class ReplayConfig:
    """For ``action=replay``: which trials run again."""

    study: str | None = _key(None, "For `action=replay`: the study whose trials run again.")
    top: int = _key(5, "For `action=replay`: how many of its best trials run again.")


@dataclass
class CompareConfig:
    """For ``action=compare``: which studies are compared, and with which tolerance."""

    studies: list[str] | None = _key(
        None,
        "For `action=compare`: the studies, such as `compare.studies=[laptop,containers,cloud]`; `null` is the newest "
        "study of each mode on the same data. One study alone is compared by the places in which its trials ran.",
    )
    parity: str = _key(
        "auto",
        "`required` ends with exit code 3 if trials have no pair in the other studies. With `auto` only the comparison "
        "of a replay does.",
        ("auto", "required"),
    )
    rtol: float = _key(1e-9, "Numbers are equal if they differ by at most this share of the larger one.")
    force: bool = _key(False, "Whether to compare studies on different data too; their trials have no pairs.")


@dataclass
class ShrinkConfig:
    """For ``action=shrink``: how much worse the smaller ensemble may be."""

    most_worse: float | None = _key(
        None,
        "For `action=shrink`: by what share of the whole ensemble's score that of the smaller one may be higher, such "
        "as `0.01`; `null` takes members away as long as the interval does not say worse.",
    )


@dataclass
class DriftConfig:
    """For ``action=drift``: from where on rows differ too much from those that the model learnt from."""

    threshold: float = _key(
        0.2,
        "For `action=drift`: a column has drifted from this population stability index on, unless chance explains it.",
    )
    disagreement: float = _key(
        1.5,
        "For `action=drift`: from this multiple of their disagreement out of fold on, the members disagree too much.",
    )


@dataclass
class DashboardConfig:
    """For ``action=dashboard``: where it is served."""

    port: int | None = _key(None, "For `action=dashboard`: port on 127.0.0.1; `null` picks a free one.")


@dataclass
class ServingConfig:
    """Settings of an endpoint."""

    name: str = _key("", "Kind of endpoint, as in `serving=realtime`.")
    memory_size_in_mb: int | None = _key(
        None,
        "Memory: 1024 to 6144 in steps of 1024; `null` is the size that the rehearsal of the model on this machine "
        "found sufficient, or 2048 without a rehearsal.",
        (1024, 2048, 3072, 4096, 5120, 6144),
    )
    max_concurrency: int | None = _key(None, "Requests at the same time.")
    instance_type: str | None = _key(None, "Instance type on SageMaker; members predict on the CPU.")
    instance_count: int | None = _key(None, "Number of instances on SageMaker.")
    port: int | None = _key(None, "Port on 127.0.0.1 of an endpoint on this machine; `null` picks a free one.")
    workers: int | None = _key(None, "Worker processes; `null` is one per core. A serverless endpoint always has one.")
    inference_output: list[str] = _key(
        list,
        "What answers hold, by the names of AWS's containers, as `SAGEMAKER_INFERENCE_OUTPUT`: for classes "
        "`predicted_label`, `probability`, `probabilities`, `labels`, `raw_score` and `raw_scores`, for numbers "
        "`predicted_score`. If it is empty, answers have byoe's own form.",
        ("predicted_label", "probability", "probabilities", "labels", "raw_score", "raw_scores", "predicted_score"),
    )
    interval: float | None = _key(
        None,
        "Level of the interval that an endpoint's answers hold, such as 0.9, or for classes of the set of labels; "
        "`null` gives the prediction alone. With `action=batch` and `action=invoke`, the level of `detail=interval`; "
        "`null` is 0.9.",
    )


MODES: tuple[type[ModeConfig], ...] = (LocalModeConfig, SageMakerModeConfig, RemoteModeConfig)


@dataclass
class MlflowConfig:
    """Where runs are recorded."""

    uri: str | None = _key(
        None,
        "Tracking URI: a server's address, or the ARN of SageMaker's managed MLflow; `null` is the SQLite store in "
        "`paths.root`.",
    )
    experiment: str | None = _key(None, "Name of the MLflow experiment; `null` is `byoe-<dataset>`.")
    register: bool | None = _key(
        None,
        "Whether the winner becomes a version of the registered model with the study's name; `null` means yes, except "
        "with `action=train`.",
    )


@dataclass
class EntryConfig:
    """What is sent along with the entry script."""

    dependencies: list[str] = _key(list, "Folders that contain your own packages; they can be imported in every trial.")


@dataclass
class PathsConfig:
    """Folders. Relative paths start at the working directory."""

    root: str = _key(".", "The folder of MLflow's store and, by default, of the folders below.")
    studies: str = _key("studies", "One folder per study: ledger, trials, the winner's bundle.")
    endpoints: str = _key(
        "endpoints", "One folder per endpoint on this machine: its model and the requests that created it."
    )


@dataclass
class Config:
    """Everything that a command can be given."""

    action: str = _key("tune", "What to do; `--help` lists the actions.")
    study: str | None = _key(
        None,
        "The study's name; `null` derives one from the configuration, so that the same command resumes it. For "
        "`action=list`, the study whose rows and folds the leaderboard is about, and for `action=export` the study to "
        "export; `null` is the newest.",
    )
    model: str | None = _key(
        None,
        "For `action=deploy`, `action=batch` and `action=drift`: a study, a folder or `model.tar.gz`, an MLflow run, "
        "`name@alias`, `s3://...`; `null` is the winner of the newest study. Also for `action=card`, and a "
        "study for `action=shrink`.",
    )
    job: str | None = _key(None, "For `action=attach`: name of the tuning job.")
    endpoint: str = _key(
        "local",
        "For `action=deploy`, `action=invoke`, `action=status` and `action=delete`: the endpoint's name or address.",
    )
    input: str | None = _key(
        None,
        "For `action=invoke`, `action=batch` and `action=drift`: file with the rows. With `action=invoke`, `null` "
        "reads standard input.",
    )
    header: str | None = _key(
        None,
        "For `action=invoke`, `action=batch` and `action=drift`: whether the first row of a CSV file is a header, "
        "`present` or `absent`; `null` decides by its cells.",
        ("present", "absent"),
    )
    output: str | None = _key(
        None,
        "File for the predictions; `null` is standard output, for `action=batch` as CSV. For `action=compare`, the "
        "file of the report; `null` is `report.html` in `paths.root`. For `action=drift` and `action=shrink`, the file "
        "of the figure; `null` is `drift.png` or `shrink.png` there; for `action=drift` also a `.csv` file for the "
        "table of all columns. For `action=list`, a `.json` file. "
        "For `action=card`, a file that ends with `.md`, or with `.json` for SageMaker's request; `null` prints it. "
        "For `action=export`, a storage of Optuna as `sqlite:///optuna.db`, or `sqlite:///optuna.db:name` to give the "
        "study another name in it.",
    )
    format: str = _key("optuna", "For `action=export`: what is written. `optuna` is a storage of Optuna.", ("optuna",))
    detail: str = _key(
        "blended",
        "What to predict: `blended`; for classes `probabilities`, which adds the probability of each class; "
        "`members`, which also adds each member's predictions; `interval`, which adds its two ends, or for classes "
        "the set of labels; or `explanation`, each column's part of the prediction.",
        ("blended", "probabilities", "members", "interval", "explanation"),
    )
    keep: Any = _key(
        list,
        "For `action=batch`: columns of `input` to write in front of the predictions, such as `keep=[id]`, or "
        "`keep=all`. They need not be columns of the model. A cell stays as it is written in CSV; a column keeps its "
        "type from Parquet to Parquet.",
        ("all",),
    )
    mode: ModeConfig = field(default_factory=ModeConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    shrink: ShrinkConfig = field(default_factory=ShrinkConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    dashboard: DashboardConfig = field(default_factory=DashboardConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    mlflow: MlflowConfig = field(default_factory=MlflowConfig)
    entry: EntryConfig = field(default_factory=EntryConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


def hints(config: type[Any], prefix: str = "") -> dict[str, str]:
    """Return by dotted key the annotation of every value of a dataclass of the schema, as it is written there."""
    found: dict[str, str] = {}
    for item in fields(config):
        nested = item.default_factory
        if isinstance(nested, type) and is_dataclass(nested):
            found |= hints(nested, f"{prefix}{item.name}.")
        else:
            found[prefix + item.name] = str(item.type)
    return found


def known_hints() -> dict[str, str]:
    """Return by dotted key the annotation of every value that any mode knows."""
    return {**hints(Config), **{f"mode.{name}": hint for mode in MODES for name, hint in hints(mode).items()}}


class Key(NamedTuple):
    """A key of the configuration, with others below it if its value is a dataclass.

    Attributes:
        name: Dotted.
        field: Its field in the schema.
        value: Its value.
    """

    name: str
    field: Field[Any]
    value: Any

    @property
    def help(self) -> str:
        """What the key means, in Markdown; empty for a key with others below it."""
        return str(self.field.metadata.get("help", ""))


def keys(config: Any, prefix: str = "") -> Iterator[Key]:
    """Yield every key of a dataclass of the schema, and the keys below each.

    Args:
        config: The dataclass, as ``Config()``.
        prefix: What precedes its keys, such as ``mode.``.
    """
    for item in fields(config):
        key = Key(prefix + item.name, item, getattr(config, item.name))
        yield key
        if is_dataclass(key.value):
            yield from keys(key.value, f"{key.name}.")


def known_values() -> dict[str, tuple[str | int, ...]]:
    """Return by dotted key the values that can be listed, in any mode."""
    every = [*keys(Config()), *(key for mode in MODES for key in keys(mode(), "mode."))]
    return {key.name: found for key in every if (found := key.field.metadata.get("values"))}


def known_keys() -> list[str]:
    """Return every dotted key that any mode knows."""
    of_modes = (key.name for mode in MODES for key in keys(mode(), "mode."))
    return list(dict.fromkeys([*(key.name for key in keys(Config())), *of_modes]))


def mode_of(name: str) -> str | None:
    """Return the first mode that knows a key, or None if no mode does."""
    return next((mode().name for mode in MODES if name in {key.name for key in keys(mode(), "mode.")}), None)
