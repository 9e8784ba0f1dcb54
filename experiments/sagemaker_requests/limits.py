"""SageMaker's limits: those of its tuner (AMT), of training jobs and of endpoints.

The sources are the AWS documentation ("Resource Limits for Automatic Model Tuning", "Amazon SageMaker AI endpoints and
quotas") and the service model.
``validation`` enforces them in requests, and the planning in a configuration.
"""

from __future__ import annotations

import re

# A tuning job's name.
STUDY_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*")
STUDY_NAME_LENGTH = 32
# Ranges of all kinds in a tuning job, and values that a categorical range can list.
MOST_RANGES = 30
MOST_VALUES = 30
# Hyperparameters of a training job, fixed and tuned, and the characters of a value.
MOST_HYPERPARAMETERS = 100
LONGEST_VALUE = 2500
# The tuner adds one hyperparameter, which names the objective.
ADDED_BY_TUNER = 1
# Script mode adds sagemaker_program and sagemaker_submit_directory.
ADDED_BY_SCRIPT_MODE = 2
# Metrics that a tuning job reads from a log; a training job reads 40.
MOST_METRIC_DEFINITIONS = 20
# Training jobs of a tuning job at a time: in a new account, and where AWS has raised it on request.
USUAL_PARALLEL_JOBS, MOST_PARALLEL_JOBS = 10, 100
# Training jobs of a tuning job, and of one by random search, for which AWS raises it on request.
MOST_JOBS = 750
MOST_RANDOM_JOBS = 10_000
# Tuning jobs that another one learns from.
MOST_PARENTS = 5
# Seconds: the shortest tuning job, the longest training job (28 days), and how long its instance is kept at most.
SHORTEST_TUNING_JOB = 120
LONGEST_RUNTIME = 28 * 86_400
LONGEST_KEEP_ALIVE = 3600
# Sizes of a serverless endpoint's memory, in MB, and requests that it answers at a time.
SERVERLESS_MEMORY = tuple(range(1024, 6145, 1024))
MOST_CONCURRENCY = 200
# What many accounts allow, until AWS raises it on request, in MB.
USUAL_SERVERLESS_MEMORY = 3072
# Where there are serverless endpoints: "Deploy models with Amazon SageMaker Serverless Inference", read on 2026-11-27.
SERVERLESS_REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-east-1", "ap-south-1", "ap-northeast-1"),
    *("ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2", "ca-central-1", "eu-central-1"),
    *("eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-south-1", "me-south-1", "sa-east-1"),
)
# A request to an endpoint on instances and to a serverless one.
BODY_BYTES, SERVERLESS_BODY_BYTES = 6 * 2**20, 4 * 2**20
# Until a container answers /ping for the first time, and for one answer; and how long a client waits for an answer,
# according to the API reference of InvokeEndpoint.
SECONDS_TO_PING = 180
SECONDS_TO_ANSWER = 60
SECONDS_TO_INVOKE = 70
# Instances with local disks, which a KMS key cannot encrypt ("Instance Store Volumes" in Amazon EC2's guide;
# ResourceConfig and CreateEndpointConfig in SageMaker's API reference).
LOCAL_DISKS = re.compile(
    r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g4ad|g4dn|g5|g6e?|gr6|i\d[a-z]*|p3dn|p4de?|p5[a-z]*|p6\S*|trn\d\w*)\..+"
)
