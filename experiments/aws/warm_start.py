"""Whether a search may begin with what earlier tuning jobs have found, asked before anything is uploaded or created.

The rules are AWS's: "Run a Warm Start Hyperparameter Tuning Job", section "Warm Start Tuning Restrictions"
(https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-warm-start.html), for both types of warm start:

- every parent has ended, as ``Completed``, ``Stopped`` or ``Failed``;
- the objective is the parents';
- the hyperparameters, fixed and tuned together, are the parents'. A fixed one may become tuned and the reverse. The
  guide speaks of their number; what AWS compares is the set of their names, as its refusal says
  (https://github.com/aws/amazon-sagemaker-examples/issues/861);
- one that is tuned is of the kind, integer, continuous or categorical, that it is in the parents;
- at most ten changes from tuned to fixed and of fixed values, where each value of a categorical one counts;
- the training jobs of all parents count with those of the new job against the most that a tuning job may have, which is
  in "Resource Limits for Automatic Model Tuning"
  (https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-limits.html): 750, which AWS raises on request
  to 10,000 for random search alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.aws.account import Account
from experiments.aws.jobs import ENDED, CloudJobs
from experiments.errors import ConfigError
from experiments.sagemaker_requests.jobs import OBJECTIVE_HYPERPARAMETER
from experiments.sagemaker_requests.limits import MOST_JOBS, MOST_RANDOM_JOBS
from experiments.sagemaker_requests.ranges import CATEGORICAL, CONTINUOUS, INTEGER

MOST_CHANGES = 10
_KINDS = {INTEGER: "integer", CONTINUOUS: "continuous", CATEGORICAL: "categorical"}


@dataclass(frozen=True)
class _Hyperparameters:
    """What a tuning job's training jobs are given.

    Attributes:
        kinds: Of what is tuned, by name.
        values: How many values each categorical one has.
        fixed: Text of what is not tuned.
    """

    kinds: Mapping[str, str]
    values: Mapping[str, int]
    fixed: Mapping[str, str]

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> _Hyperparameters:
        """Read a request, or what AWS says of a job."""
        ranges = job["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
        fixed = dict(job["TrainingJobDefinition"].get("StaticHyperParameters", {}))
        fixed.pop(OBJECTIVE_HYPERPARAMETER, None)  # AWS's own, and not in a request
        return cls(
            {entry["Name"]: word for kind, word in _KINDS.items() for entry in ranges.get(kind, ())},
            {entry["Name"]: len(entry["Values"]) for entry in ranges.get(CATEGORICAL, ())},
            fixed,
        )

    @property
    def names(self) -> set[str]:
        """Names of all."""
        return {*self.kinds, *self.fixed}


def check_parents(document: Mapping[str, Any], account: Account) -> list[str]:
    """Check a tuning job's request against the jobs that it is to learn from.

    Args:
        document: The ``CreateHyperParameterTuningJob`` request.
        account: Where they are.

    Returns:
        Sentences of what AWS may yet refuse.

    Raises:
        ConfigError: AWS would refuse it; the message names the parent, what differs and what mends it.
        BackendUnavailable: A parent may not be looked at.
    """
    entries = document.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", ())
    if not entries:
        return []
    notes, launched, jobs = [], 0, CloudJobs(account)
    for name in [entry["HyperParameterTuningJobName"] for entry in entries]:
        parent = jobs.tuning_job(name)
        if parent is None:
            raise _refused(name, f"there is no such tuning job in {account.region}.", "action=status lists ours")
        status = parent["HyperParameterTuningJobStatus"]
        if status not in ENDED:
            raise _refused(
                name,
                f"it is {status}, and AMT learns from jobs that have ended.",
                f"python run.py mode=remote action=attach job={name} follows it to its end",
            )
        if "TrainingJobDefinition" not in parent:
            raise _refused(name, "it trains by several definitions, and a search here has one.", "take another")
        _check_objective(name, parent, document)
        here, there = _Hyperparameters.of(document), _Hyperparameters.of(parent)
        _check_same(name, there, here)
        notes += _check_changes(name, there, here)
        launched += sum(parent["TrainingJobStatusCounters"].values())
    return [*notes, *_check_number(launched, document["HyperParameterTuningJobConfig"])]


def _check_objective(name: str, parent: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    there, here = (
        job["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {}).get("MetricName")
        for job in (parent, document)
    )
    if there != here:
        raise _refused(name, f"its objective is {there}, and here it is {here}.", f"take search.objective={there}")


def _check_same(name: str, there: _Hyperparameters, here: _Hyperparameters) -> None:
    """Raise ConfigError, with a line for each difference, unless names and kinds are the same."""
    lines = [f"only in {name}: {listing}" for listing in _listed(there.names - here.names)]
    lines += [f"only here: {listing}" for listing in _listed(here.names - there.names)]
    lines += [
        f"of another kind: {key}, {there.kinds[key]} in {name} and {here.kinds[key]} here"
        for key in sorted(set(there.kinds) & set(here.kinds))
        if there.kinds[key] != here.kinds[key]
    ]
    if lines:
        raise _refused(
            name,
            "AMT learns from jobs of the same hyperparameters, fixed and tuned together, and of the same kinds:\n"
            + "".join(f"  {line}\n" for line in lines),
            "name the same ones in ensemble.params and search.space",
        )


def _check_changes(name: str, there: _Hyperparameters, here: _Hyperparameters) -> list[str]:
    """Raise ConfigError if more was fixed or fixed anew than AMT takes; return a sentence where that is in doubt."""
    settled = [key for key in sorted(there.kinds) if key in here.fixed]
    changed = [key for key, text in sorted(there.fixed.items()) if here.fixed.get(key, text) != text]
    count = sum(there.values.get(key, 1) for key in settled) + len(changed)
    words = [f"tuned there and fixed here: {listing}" for listing in _listed(settled)]
    words += [f"fixed to another value: {listing}" for listing in _listed(changed)]
    if count > MOST_CHANGES:
        raise _refused(
            name,
            f"{'; '.join(words)}. These are {count} changes, and AMT takes {MOST_CHANGES}.",
            "keep more as it was",
        )
    # The guide's example counts the old and the new value of a fixed hyperparameter; it does not say of which kind.
    if count + len(changed) > MOST_CHANGES:
        return [f"mode.warm_start={name}: AMT may count more than {MOST_CHANGES} changes; {'; '.join(words)}."]
    return []


def _check_number(launched: int, config: Mapping[str, Any]) -> list[str]:
    """Raise ConfigError if parents and new job have too many training jobs; return a sentence if AWS must permit it."""
    total = launched + config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    said = f"{launched} training jobs of mode.warm_start and {total - launched} new ones are {total}"
    if total > (MOST_RANDOM_JOBS if config["Strategy"] == "Random" else MOST_JOBS):
        most = f"{MOST_RANDOM_JOBS:,}" if config["Strategy"] == "Random" else MOST_JOBS
        raise ConfigError(f"{said}, and AMT takes {most} in all: lower search.n_trials, or leave a parent out.")
    if total > MOST_JOBS:
        return [f"{said}; above {MOST_JOBS} AWS must have raised the account's limit."]
    return []


def _listed(names: Iterable[str]) -> list[str]:
    """Return no text for no names, else one that lists them."""
    text = ", ".join(sorted(names))
    return [text] if text else []


def _refused(name: str, reason: str, fix: str) -> ConfigError:
    between = "" if reason.endswith("\n") else " "
    return ConfigError(f"mode.warm_start={name}: {reason}{between}Nothing was started: {fix}, or leave {name} out.")
