"""The requests to SageMaker, built from a study: what AWS would be sent is what ``mode=sagemaker`` executes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ensemble.parameters import Parameter, ParamValue
from ensemble.recipe import BLENDED
from ensemble.wire import DATA_PARAMETERS, declaration, metric_regex
from experiments.sagemaker_requests.parameter_ranges import parameter_ranges, search_space
from experiments.sagemaker_requests.placement import Placement, RemoteOptions
from experiments.study.spec import Sampler, SearchSpec, StudySpec

# Operations of the two kinds of job.
TUNING, TRAINING = "CreateHyperParameterTuningJob", "CreateTrainingJob"
PROGRAM = "train.py"
CODE_ARCHIVE = "sourcedir.tar.gz"
# A placeholder of the right form: nobody takes it on in local mode, which has no accounts.
LOCAL_ROLE = "arn:aws:iam::000000000000:role/byoe-local"
LOCAL_INSTANCE = "local"
# AMT's name of our sampler, and back. Bayesian is a method of AWS's own there and TPE here.
STRATEGIES: dict[Sampler, str] = {"tpe": "Bayesian", "random": "Random", "grid": "Grid"}
# AMT adds this to the hyperparameters of every training job.
OBJECTIVE_HYPERPARAMETER = "_tuning_objective_metric"
MOST_METRIC_DEFINITIONS = 40


def tuning_job(study: StudySpec, placement: Placement) -> dict[str, Any]:
    """Return the ``CreateHyperParameterTuningJob`` request of a search.

    What AMT cannot hold stays in ``study``: the window, random start-up trials and first values.
    """
    objective_type = "Maximize" if study.maximise else "Minimize"
    limits: dict[str, Any] = {
        "MaxNumberOfTrainingJobs": study.n_trials,
        "MaxParallelTrainingJobs": study.parallel,
    }
    if study.timeout is not None:
        limits["MaxRuntimeInSeconds"] = round(study.timeout)
    document = {
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
            "StaticHyperParameters": _static(study, placement),
            **_definition(study, placement),
        },
        "Tags": _tags(study, placement),
    }
    if placement.options.warm_start:
        document["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": name} for name in placement.options.warm_start
            ],
            # The other kind wants the very same data, ranges and image, and these are what a user changes.
            "WarmStartType": "TransferLearning",
        }
    return document


def training_job(
    study: StudySpec, placement: Placement, index: int, params: Mapping[str, ParamValue], suffix: str = ""
) -> dict[str, Any]:
    """Return the ``CreateTrainingJob`` request of one point of a study.

    Args:
        study: The study.
        placement: Where it runs.
        index: Number of the trial.
        params: Its searched values.
        suffix: Added to the job's name, such as ``-final``.
    """
    hyperparameters = {**_static(study, placement), **study.hyperparameters(params)}
    return {
        "TrainingJobName": f"{study.name}-{index + 1:03d}{suffix}",
        "HyperParameters": hyperparameters,
        **_definition(study, placement),
        "Tags": _tags(study, placement),
    }


def trial_job(document: Mapping[str, Any], index: int, tuned: Mapping[str, str], suffix: str = "") -> dict[str, Any]:
    """Return the ``CreateTrainingJob`` request that a tuning job makes for one trial, as AMT would.

    Args:
        document: The tuning job's request.
        index: Number of the trial.
        tuned: The tuned hyperparameters as text.
        suffix: Added to the job's name.
    """
    definition = dict(document["TrainingJobDefinition"])
    objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    hyperparameters = {**definition.pop("StaticHyperParameters"), **tuned, OBJECTIVE_HYPERPARAMETER: objective}
    return {
        "TrainingJobName": f"{document['HyperParameterTuningJobName']}-{index + 1:03d}{suffix}",
        "HyperParameters": hyperparameters,
        **definition,
        "Tags": document.get("Tags", []),
    }


def read_tuning_job(document: Mapping[str, Any], study: StudySpec) -> StudySpec:
    """Return the study that a tuning job's request describes.

    Args:
        document: The request.
        study: What travels beside it: folders, data on this machine, and what AMT has no place for.
    """
    config, definition = document["HyperParameterTuningJobConfig"], document["TrainingJobDefinition"]
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
        name=document["HyperParameterTuningJobName"],
        objective=objective["MetricName"],
        space=search_space(config["ParameterRanges"], declared, study.space),
        search=SearchSpec(
            sampler=samplers[config["Strategy"]],
            seed=config["RandomSeed"],
            n_trials=limits["MaxNumberOfTrainingJobs"],
            window=study.search.window,
            startup_trials=study.search.startup_trials,
        ),
        parallel=limits["MaxParallelTrainingJobs"],
        timeout=limits.get("MaxRuntimeInSeconds"),
    )


def objective_regex(document: Mapping[str, Any], objective: str) -> str:
    """Return the regular expression that a request has for a metric."""
    definitions = document["AlgorithmSpecification"]["MetricDefinitions"]
    return cast(str, next(entry["Regex"] for entry in definitions if entry["Name"] == objective))


def _definition(study: StudySpec, placement: Placement) -> dict[str, Any]:
    """Return what a training job and a tuning job's definition of one have in common."""
    channels = {"train": placement.train, "validation": placement.validation}
    if placement.code_channel is not None:
        channels["code"] = placement.code_channel
    document: dict[str, Any] = {
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
    _add_options(document, placement.options)
    return document | ({"Environment": dict(placement.environment)} if placement.environment else {})


def _add_options(document: dict[str, Any], options: RemoteOptions) -> None:
    resources, output = document["ResourceConfig"], document["OutputDataConfig"]
    if options.spot_wait_seconds is not None:
        document["EnableManagedSpotTraining"] = True
        document["StoppingCondition"]["MaxWaitTimeInSeconds"] = options.spot_wait_seconds
    if options.checkpoints is not None:
        document["CheckpointConfig"] = {"S3Uri": options.checkpoints}
    if options.keep_alive_seconds:
        resources["KeepAlivePeriodInSeconds"] = options.keep_alive_seconds
    if options.volume_kms_key is not None:
        resources["VolumeKmsKeyId"] = options.volume_kms_key
    if options.output_kms_key is not None:
        output["KmsKeyId"] = options.output_kms_key
    if options.subnets:
        document["VpcConfig"] = {"Subnets": [*options.subnets], "SecurityGroupIds": [*options.security_groups]}


def _static(study: StudySpec, placement: Placement) -> dict[str, str]:
    # The framework containers read these two as JSON; ours are read as they are.
    return {
        **study.static,
        **placement.reading,
        "sagemaker_program": json.dumps(PROGRAM),
        "sagemaker_submit_directory": json.dumps(
            placement.code if placement.code_channel is None else f"/opt/ml/input/data/code/{CODE_ARCHIVE}"
        ),
    }


def _is_added(name: str) -> bool:
    """Whether a hyperparameter is no part of the recipe, and so added to the study's."""
    return name.startswith("sagemaker_") or name == OBJECTIVE_HYPERPARAMETER or name in DATA_PARAMETERS


def _reported(study: StudySpec) -> list[str]:
    """Return the metrics that are read from the log: the objective, then RMSEs, the blend's first."""
    members = [member.name for member in study.recipe({}).members]
    rmses = [f"{split}_rmse_{name}" for name in (BLENDED, *members) for split in ("cv", "validation")]
    return list(dict.fromkeys([study.objective, *rmses]))


def _tags(study: StudySpec, placement: Placement) -> list[dict[str, str]]:
    tags = {
        **placement.options.tags,
        "byoe:study": study.name,
        "byoe:mode": study.mode,
        "byoe:data_hash": study.channels.data_hash,
        "byoe:config_hash": study.identity_hash(),
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]
