"""Whether a search can learn from earlier tuning jobs, checked before anything is uploaded or created.

AWS checks its rules, "Warm Start Tuning Restrictions"
(https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-warm-start.html), when it creates the tuning
job and before any training job runs, and its refusal is shown. Only what its refusal leaves open is checked here: that
each parent exists and has ended, and that the hyperparameters, fixed and tuned together, have the same names. AWS
refuses other names without saying which ones differ (https://github.com/aws/amazon-sagemaker-examples/issues/861).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.aws.account import Account
from experiments.aws.jobs import ENDED, SageMakerJobs
from experiments.config.arguments import typed_command
from experiments.errors import ConfigError
from experiments.sagemaker_requests.jobs import OBJECTIVE_HYPERPARAMETER
from experiments.system.project import COMMAND


def check_parents(request: Mapping[str, Any], account: Account) -> None:
    """Check the parents of a tuning job's request.

    Args:
        request: The ``CreateHyperParameterTuningJob`` request, or another, which has no parents.
        account: The account that has them.

    Raises:
        ConfigError: A parent does not exist, still runs or has other hyperparameters; the message names the difference
            and the fix.
        BackendUnavailable: AWS does not let the caller describe a parent.
    """
    jobs = SageMakerJobs(account)
    for entry in request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", ()):
        name = entry["HyperParameterTuningJobName"]
        parent = jobs.tuning_job(name)
        if parent is None:
            raise _refused(
                name,
                f"there is no such tuning job in {account.region}.",
                f"list byoe's tuning jobs with {COMMAND} mode=remote action=status",
            )
        status = parent["HyperParameterTuningJobStatus"]
        if status not in ENDED:
            raise _refused(
                name,
                f"it is {status}, and AMT learns from jobs that have ended.",
                f"follow it to its end with {typed_command(['mode=remote', 'action=attach', f'job={name}'])}",
            )
        if "TrainingJobDefinition" in parent:  # a job with several definitions is left to AWS
            _check_names(name, _names(parent), _names(request))


def _check_names(name: str, theirs: set[str], wanted: set[str]) -> None:
    sides = {f"only in {name}": theirs - wanted, "only here": wanted - theirs}
    lines = [f"  {side}: {', '.join(sorted(names))}\n" for side, names in sides.items() if names]
    if lines:
        raise _refused(
            name,
            "AMT learns from jobs with the same hyperparameters, fixed and tuned together:\n" + "".join(lines).rstrip(),
            "name the same ones in ensemble.params and search.space",
        )


def _names(job: Mapping[str, Any]) -> set[str]:
    """Return the names of the hyperparameters, fixed and tuned, of a request or of a job's description."""
    ranges = job["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
    tuned = {entry["Name"] for entries in ranges.values() for entry in entries}
    fixed = set(job["TrainingJobDefinition"].get("StaticHyperParameters", {}))
    return (tuned | fixed) - {OBJECTIVE_HYPERPARAMETER}  # which AWS adds


def _refused(name: str, reason: str, fix: str) -> ConfigError:
    separator = "\n" if "\n" in reason else " "
    return ConfigError(f"mode.warm_start={name}: {reason}{separator}Nothing was started: {fix}, or leave {name} out.")
