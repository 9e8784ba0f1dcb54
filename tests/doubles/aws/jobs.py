"""Requests for small jobs of the double's own tests, and the scripts that they run."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from tests.doubles.aws.double import Double

# Prints its objective twice (the last value counts) and writes a file of each kind.
SCORE = """
import json, os, pathlib
given = json.loads(pathlib.Path(os.environ["SM_INPUT_CONFIG_DIR"], "hyperparameters.json").read_text())
print("score=99;")
print(f"score={float(given['x']) * 2};", flush=True)
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text("{}")
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(given["x"])
"""


def submit(double: Double, script: str, name: str = "code") -> str:
    """Upload a script as ``sourcedir.tar.gz`` and one object for the train channel; return the location of the script."""
    storage = double.client("s3")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo("main.py")
        entry.size = len(script.encode())
        tar.addfile(entry, io.BytesIO(script.encode()))
    storage.put_object(Bucket=double.bucket, Key=f"{name}/sourcedir.tar.gz", Body=archive.getvalue())
    storage.put_object(Bucket=double.bucket, Key="data/train/rows.csv", Body=b"a,b\n1,2\n")
    return f"s3://{double.bucket}/{name}/sourcedir.tar.gz"


def definition(double: Double) -> dict[str, Any]:
    """Return the fields that a training job and the definition in a tuning job share."""
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{double.bucket}/data/train"}
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/byoe:1",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "score", "Regex": "score=([-+.0-9e]+);"}],
        },
        "RoleArn": double.role,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{double.bucket}/out/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


def static(location: str) -> dict[str, str]:
    """Return the hyperparameters that select a script."""
    return {"sagemaker_program": json.dumps("main.py"), "sagemaker_submit_directory": json.dumps(location)}


def training(double: Double, name: str, script: str = SCORE, **changed: Any) -> dict[str, Any]:
    """Return the request of a training job that runs a script, which is uploaded."""
    hyperparameters = {**static(submit(double, script, name)), "x": "0.25"}
    return {"TrainingJobName": name, "HyperParameters": hyperparameters, **definition(double), **changed}


def tuning(double: Double, name: str, jobs: int, script: str = SCORE, parallel: int = 1) -> dict[str, Any]:
    """Return the request of a tuning job that runs a script, which is uploaded."""
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": static(submit(double, script, name)),
            **definition(double),
        },
        "Tags": [{"Key": "byoe:study", "Value": name}],
    }


def members(double: Double, location: str) -> dict[str, bytes]:
    """Return the files of a ``.tar.gz`` on S3 by name."""
    key = location.removeprefix(f"s3://{double.bucket}/")
    archive = double.client("s3").get_object(Bucket=double.bucket, Key=key)["Body"].read()
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is not None:
                found[entry.name] = content.read()
    return found
