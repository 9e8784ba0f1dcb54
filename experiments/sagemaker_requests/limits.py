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
# Metrics that are read from a log.
MOST_METRIC_DEFINITIONS = 40
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
# A request to an endpoint on instances and to a serverless one.
BODY_BYTES, SERVERLESS_BODY_BYTES = 6 * 2**20, 4 * 2**20
# Until a container answers /ping for the first time, and for one answer.
SECONDS_TO_PING = 180
SECONDS_TO_ANSWER = 60
