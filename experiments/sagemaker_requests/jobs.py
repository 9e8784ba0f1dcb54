"""The requests of tuning and training jobs, built from a study, and read back. ``mode=sagemaker`` executes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ensemble.evaluation import main_score
from ensemble.parameters import Parameter
from ensemble.recipe import BLENDED
from ensemble.wire import DATA_PARAMETERS, declaration, metric_regex
from experiments.sagemaker_requests.limits import MOST_METRIC_DEFINITIONS
from experiments.sagemaker_requests.parameter_ranges import parameter_ranges, search_space
from experiments.sagemaker_requests.placement import Placement, RemoteOptions
from experiments.sagemaker_requests.tags import CONFIG_TAG, TAG_PREFIX
from experiments.study.spec import Sampler, SearchSpec, StudySpec

# The operations that create the two kinds of jobs.
TUNING, TRAINING = "CreateHyperParameterTuningJob", "CreateTrainingJob"
PROGRAM = "train.py"
CODE_ARCHIVE = "sourcedir.tar.gz"
# A placeholder in the right format: local mode has no account and assumes no role.
LOCAL_ROLE = "arn:aws:iam::000000000000:role/byoe-local"
LOCAL_INSTANCE = "local"
# AMT's name of each sampler. Bayesian is AWS's own method there, and TPE on this machine.
STRATEGIES: dict[Sampler, str] = {"tpe": "Bayesian", "random": "Random", "grid": "Grid"}
# AMT adds this to the hyperparameters of every training job.
OBJECTIVE_HYPERPARAMETER = "_tuning_objective_metric"


def tuning_job(study: StudySpec, placement: Placement) -> dict[str, Any]:
    """Return the ``CreateHyperParameterTuningJob`` request of a search.

    AMT has no field for the window, random start-up trials and first values; they stay in ``study``.
    """
    objective_type = "Maximize" if study.maximise else "Minimize"
    limits: dict[str, Any] = {
        "MaxNumberOfTrainingJobs": study.n_trials,
        "MaxParallelTrainingJobs": study.parallel,
    }
    if study.timeout is not None:
        limits["MaxRuntimeInSeconds"] = round(study.timeout)
    request = {
        "HyperParameterTuningJobName": study.name,
        "HyperParameterTuningJobConfig": {
            "Strategy": STRATEGIES[study.search.sampler],
            "HyperParameterTuningJobObjective": {"Type": objective_type, "MetricName": study.objective},
            "ResourceLimits": limits,
            "ParameterRanges": parameter_ranges(study.space, grid=study.search.sampler == "grid"),
            "TrainingJobEarlyStoppingType": "Auto" if placement.options.early_stopping else "Off",
            "RandomSeed": study.search.seed,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {**study.static, **_added(placement)},
            **_definition(study, placement),
        },
        "Tags": _tags(study, placement),
    }
    if placement.options.warm_start:
        request["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": name} for name in placement.options.warm_start
            ],
            # The other type requires the same data, ranges and image, which are what a user changes.
            "WarmStartType": "TransferLearning",
        }
    return request


def job_name(study: StudySpec, index: int) -> str:
    """Return the name of a trial's training job."""
    return f"{study.name}-{index + 1:03d}"


def training_job(
    study: StudySpec, placement: Placement, index: int, hyperparameters: Mapping[str, str], suffix: str = ""
) -> dict[str, Any]:
    """Return the ``CreateTrainingJob`` request of one point of a study.

    Args:
        study: The study.
        placement: Where it runs.
        index: The trial's index.
        hyperparameters: What the trial trains, in the wire format.
        suffix: A suffix of the job's name, such as ``-final``.
    """
    return {
        "TrainingJobName": f"{job_name(study, index)}{suffix}",
        "HyperParameters": {**hyperparameters, **_added(placement)},
        **_definition(study, placement),
        "Tags": _tags(study, placement),
    }


def trial_job(request: Mapping[str, Any], index: int, tuned: Mapping[str, str], suffix: str = "") -> dict[str, Any]:
    """Return the ``CreateTrainingJob`` request that AMT sends for one trial of a tuning job.

    Args:
        request: The tuning job's request.
        index: The trial's index.
        tuned: The tuned hyperparameters, encoded.
        suffix: A suffix of the job's name.
    """
    definition = dict(request["TrainingJobDefinition"])
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    hyperparameters = {**definition.pop("StaticHyperParameters"), **tuned, OBJECTIVE_HYPERPARAMETER: objective}
    return {
        "TrainingJobName": f"{request['HyperParameterTuningJobName']}-{index + 1:03d}{suffix}",
        "HyperParameters": hyperparameters,
        **definition,
        "Tags": request.get("Tags", []),
    }


def read_tuning_job(request: Mapping[str, Any], study: StudySpec) -> StudySpec:
    """Return the study that a tuning job's request describes.

    Args:
        request: The request.
        study: The study that the request was built from, for what a request lacks: folders, data on this machine, and
            what AMT has no field for.
    """
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    objective, limits = config["HyperParameterTuningJobObjective"], config["ResourceLimits"]
    static = {name: text for name, text in definition["StaticHyperParameters"].items() if not _is_added(name)}
    described = replace(study, static=static)

    def declared(name: str) -> Parameter:
        shared = json.loads(static.get("shared", "{}"))
        kinds = {member.name: member.kind for member in described.recipe({}).members}
        return declaration(kinds, shared.get(name, [name])[0])

    samplers = {strategy: sampler for sampler, strategy in STRATEGIES.items()}
    return replace(
        described,
        name=request["HyperParameterTuningJobName"],
        objective=objective["MetricName"],
        space=search_space(config["ParameterRanges"], declared, study.space),
        search=SearchSpec(
            sampler=samplers[config["Strategy"]],
            seed=config.get("RandomSeed", study.search.seed),
            n_trials=limits["MaxNumberOfTrainingJobs"],
            window=study.search.window,
            startup_trials=study.search.startup_trials,
            vary=study.search.vary,
            engine=study.search.engine,
        ),
        parallel=limits["MaxParallelTrainingJobs"],
        timeout=limits.get("MaxRuntimeInSeconds"),
    )


def objective_regex(request: Mapping[str, Any], objective: str) -> str:
    """Return the regular expression of a metric in a request."""
    definitions = request["AlgorithmSpecification"]["MetricDefinitions"]
    return cast(str, next(entry["Regex"] for entry in definitions if entry["Name"] == objective))


def time_limit_failure(job: Mapping[str, Any]) -> str:
    """Return why a training job failed that ran longer than its request or description allows."""
    seconds = job["StoppingCondition"]["MaxRuntimeInSeconds"]
    return f"it ran longer than mode.max_runtime_seconds={seconds} and was stopped"


def _definition(study: StudySpec, placement: Placement) -> dict[str, Any]:
    """Return the fields that a training job shares with the definition in a tuning job."""
    channels = dict(placement.channels)
    if placement.code_channel is not None:
        channels["code"] = placement.code_channel
    request: dict[str, Any] = {
        "AlgorithmSpecification": {
            "TrainingImage": placement.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": name, "Regex": metric_regex(name)} for name in _reported(study)[:MOST_METRIC_DEFINITIONS]
            ],
        },
        "RoleArn": placement.role,
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": location,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for name, location in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": placement.output},
        "ResourceConfig": {
            "InstanceType": placement.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": placement.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": placement.max_runtime_seconds},
        "EnableNetworkIsolation": placement.isolated,
    }
    _add_options(request, placement.options)
    return request | ({"Environment": dict(placement.environment)} if placement.environment else {})


def _add_options(request: dict[str, Any], options: RemoteOptions) -> None:
    resources, output = request["ResourceConfig"], request["OutputDataConfig"]
    if options.spot_wait_seconds is not None:
        request["EnableManagedSpotTraining"] = True
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = options.spot_wait_seconds
    if options.keep_alive_seconds:
        resources["KeepAlivePeriodInSeconds"] = options.keep_alive_seconds
    if options.volume_kms_key is not None:
        resources["VolumeKmsKeyId"] = options.volume_kms_key
    if options.output_kms_key is not None:
        output["KmsKeyId"] = options.output_kms_key
    if options.subnets:
        request["VpcConfig"] = {"Subnets": [*options.subnets], "SecurityGroupIds": [*options.security_groups]}


def _added(placement: Placement) -> dict[str, str]:
    # The framework containers parse the last two as JSON; byoe's are plain text.
    return {
        **placement.reading,
        "sagemaker_program": json.dumps(PROGRAM),
        "sagemaker_submit_directory": json.dumps(
            placement.code if placement.code_channel is None else f"/opt/ml/input/data/code/{CODE_ARCHIVE}"
        ),
    }


def _is_added(name: str) -> bool:
    """Return whether a hyperparameter was added to the study's and is not part of the recipe."""
    return name.startswith("sagemaker_") or name == OBJECTIVE_HYPERPARAMETER or name in DATA_PARAMETERS


def _reported(study: StudySpec) -> list[str]:
    """Return the metrics that SageMaker reads from the log: the objective, then main scores, the blend's first."""
    names = (BLENDED, *(member.name for member in study.recipe({}).members))
    splits = ("cv",) if study.channels.validation is None else ("cv", "validation")
    main = main_score(study.task)
    return list(dict.fromkeys([study.objective, *(f"{split}_{main}_{name}" for name in names for split in splits)]))


def _tags(study: StudySpec, placement: Placement) -> list[dict[str, str]]:
    tags = {
        **placement.options.tags,
        f"{TAG_PREFIX}study": study.name,
        f"{TAG_PREFIX}mode": study.mode,
        f"{TAG_PREFIX}data_hash": study.channels.data_hash,
        CONFIG_TAG: study.identity_hash(),
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]
