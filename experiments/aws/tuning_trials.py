"""The trials of a tuning job on SageMaker, as another search can learn from them."""

from __future__ import annotations

import math
import re
from contextlib import suppress

from ensemble.parameters import ParamValue, encode
from experiments.aws.account import Account
from experiments.aws.jobs import COMPLETED, ENDED, SageMakerJobs
from experiments.study.learning import ScoredTrial, Source, refused
from experiments.study.search_space import Choices, Range
from experiments.study.spec import StudySpec

_ARN = re.compile(r"arn:[\w-]+:sagemaker:([\w-]+):\d+:hyper-parameter-tuning-job/([A-Za-z0-9-]+)")
_STATUS = "HyperParameterTuningJobStatus"


def of_arn(arn: str) -> tuple[str, str] | None:
    """Return region and name of a tuning job; None if this is not the ARN of one."""
    found = _ARN.fullmatch(arn)
    return None if found is None else (found[1], found[2])


def read_tuning_job(text: str, name: str, account: Account, study: StudySpec) -> Source | None:
    """Return the finished trials of a tuning job; None if there is no such job.

    A score is the one that SageMaker read from the job's log, in single precision. Jobs that were stopped or failed
    count as trials without a score.

    Args:
        text: How the user named it.
        name: Its name.
        account: The account and region that it is in.
        study: The study that learns, whose space says what the values of its parameters are.

    Raises:
        ConfigError: It has not ended, or its jobs have no objective in common.
        BackendUnavailable: AWS does not answer, or does not let the caller describe it.
    """
    jobs = SageMakerJobs(account)
    job = jobs.tuning_job(name)
    if job is None:
        return None
    if job[_STATUS] not in ENDED:
        raise refused(
            text, f"tuning job {name} is {job[_STATUS]}, and a search learns from jobs that have ended.", "wait"
        )
    objective = job["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective")
    if objective is None:
        raise refused(text, f"tuning job {name} trains by several definitions.", "name a job that trains by one")
    trials, unscored = [], 0
    for one in jobs.training_jobs(name):
        if one.status != COMPLETED or one.objective is None or not math.isfinite(one.objective):
            unscored += 1
            continue
        params = {key: _decoded(value, study.space.ranges.get(key)) for key, value in one.tuned.items()}
        trials.append(ScoredTrial(params, one.objective))
    return Source(
        text=text,
        what=f"tuning job {name}",
        maximised=objective["Type"] == "Maximize",
        objective=objective["MetricName"],
        target=None,
        same_rows=_has_rows(job, study.channels.data_hash) or None,
        trials=tuple(trials),
        unscored=unscored,
    )


def _decoded(text: str, range_: Range | None) -> ParamValue:
    """Return a value as the range has it; text that it cannot be read as stays text."""
    if isinstance(range_, Choices):
        return {encode(value): value for value in range_.values}.get(text, text)
    if range_ is not None:
        for kind in (int, float):
            with suppress(ValueError):
                return kind(text)
    return text


def _has_rows(job: dict[str, object], data_hash: str) -> bool:
    """Whether a job reads the rows with this hash, which is in the address that byoe uploads them to."""
    return f"/data/{data_hash[:16]}/" in str(job.get("TrainingJobDefinition", {}))
