"""Reads what ``search.learn_from`` names: studies on this machine, tuning jobs on SageMaker, storages of Optuna."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ensemble.evaluation import MetricName
from experiments.aws.account import Account, configured_region
from experiments.aws.tuning_trials import of_arn, read_tuning_job
from experiments.config.schema import ModeConfig
from experiments.config.secrets import masked_value
from experiments.errors import BackendUnavailable, ConfigError, InputError, did_you_mean
from experiments.study.continuing import JOBS
from experiments.study.learning import (
    KEY,
    ScoredTrial,
    Source,
    check_quantity,
    is_address,
    learn,
    refused,
    source_name,
)
from experiments.study.ledger import FILE, is_held, read, recorded_studies
from experiments.study.optuna_storage import read_storage
from experiments.study.spec import StudySpec


def learned(study: StudySpec, given: Sequence[str], mode: ModeConfig) -> StudySpec:
    """Return a study that begins, with what its sampler learns from others. Writes nothing.

    Args:
        study: The study; ``search.learn_from`` names the sources.
        given: The same sources as the user gave them, with passwords.
        mode: The mode, whose account has the tuning jobs.

    Raises:
        ConfigError: There is no such source, it runs, or nothing in it can be learned.
        BackendUnavailable: AWS does not answer.
    """
    sources = []
    for text in given:
        source = _read(text, study, mode)
        check_quantity(source, study.objective, study.target_label, maximise=study.maximise)
        sources.append(source)
    return replace(study, learned=learn(sources, study.space, study.objective))


def _read(text: str, study: StudySpec, mode: ModeConfig) -> Source:
    shown = masked_value(text)
    if "://" in text:
        return read_storage(text, shown, study.channels.data_hash)
    if is_address(text):
        return _job_of_arn(text, study, mode)
    studies = study.folder.parent
    name = source_name(text, studies)
    folder = Path(text).expanduser() if os.sep in name else studies / name
    if (folder / FILE).exists():
        return _study(text, folder, study)
    if os.sep in name or folder.is_dir() or Path(text).is_file():
        hint = (
            f" A storage of Optuna is named by its address, {KEY}=[sqlite:///{text}]." if Path(text).is_file() else ""
        )
        raise refused(
            text, f"{Path(text) if hint else folder} is not a study's folder: it has no {FILE}.{hint}", "name one"
        )
    return _job_by_name(text, study, mode)


def _study(text: str, folder: Path, study: StudySpec) -> Source:
    """Return the finished trials of a study that has a ledger."""
    if folder.resolve() == study.folder.resolve():
        raise refused(text, "this is the study itself, which learns from its own trials anyway.", "name another study")
    try:
        known = read(folder / FILE)
        identity = known.identity
    except InputError as error:
        raise ConfigError(f"{KEY}={text}: {str(error).rpartition(': ')[0] or error}. Leave {text} out.") from None
    name = folder.name
    done = {result.index for result in known.results}
    jobs = known.facts.get(JOBS) or {"mode": "", "trials": []}
    running = sorted(set(jobs["trials"]) - done)
    if is_held(folder) or running:
        where = f"in mode={jobs['mode']}" if running and not is_held(folder) else "now"
        raise refused(
            text, f"study {name} runs {where}, and a search learns from studies that do not.", "wait for its end"
        )
    objective = identity["objective"]
    values = [(result, result.value(objective)) for result in known.results]
    trials = tuple(ScoredTrial(result.params, value) for result, value in values if value is not None)
    return Source(
        text=text,
        what=f"study {name}",
        maximised=MetricName.parse(objective).maximised,
        objective=objective,
        target=known.facts.get("target"),
        same_rows=identity["data"] == study.channels.data_hash,
        trials=trials,
        unscored=len(values) - len(trials),
    )


def _job_of_arn(text: str, study: StudySpec, mode: ModeConfig) -> Source:
    found = of_arn(text)
    if found is None:
        raise refused(
            text,
            "this is not the ARN of a tuning job.",
            "name one, such as arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/mine",
        )
    region, name = found
    source = read_tuning_job(text, name, Account(region, _profile(mode)), study)
    if source is None:
        raise refused(text, f"there is no such tuning job in {region}.", "name another")
    return source


def _job_by_name(text: str, study: StudySpec, mode: ModeConfig) -> Source:
    """Return the trials of the tuning job of a name that no study has."""
    studies = study.folder.parent
    known = [folder.name for folder in recorded_studies(studies)]
    missing = f"there is no study of this name in {studies}.{did_you_mean(text, known)}"
    region = configured_region(None if mode.account is None else mode.account.region, _profile(mode))
    if region is None:
        raise refused(
            text,
            f"{missing} No AWS region is set, in which there could be a tuning job of this name.",
            "name a study, or set AWS_DEFAULT_REGION",
        )
    try:
        source = read_tuning_job(text, text, Account(region, _profile(mode)), study)
    except BackendUnavailable as error:
        raise refused(
            text, f"{missing} A tuning job of this name cannot be looked up: {error}", "name a study"
        ) from None
    if source is None:
        raise refused(text, f"{missing} Nor is there such a tuning job in {region}.", "name another")
    return source


def _profile(mode: ModeConfig) -> str | None:
    return None if mode.account is None else mode.account.profile
