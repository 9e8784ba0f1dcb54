"""The requests of a study on SageMaker."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from experiments.aws.settings import remote_settings
from experiments.backends.remote_requests import RemoteRequests
from experiments.config.compose import compose
from experiments.config.schema import RemoteModeConfig
from experiments.sagemaker_requests.jobs import TRAINING
from experiments.study.folder import trial_folder
from experiments.study.sampling import make_proposer
from experiments.study.spec import TrialSpec
from tests.support.ledgers import planned

REMOTE = (
    *("mode=remote", "mode.region=eu-west-1", "mode.bucket=rows", "mode.role=arn:aws:iam::123456789012:role/byoe"),
    *("mode.image.uri=123456789012.dkr.ecr.eu-west-1.amazonaws.com/byoe:1", "mode.price_usd_per_hour=1"),
)
CODE = "sagemaker_submit_directory"


def requests() -> RemoteRequests:
    mode = cast(RemoteModeConfig, compose([*REMOTE]).config.mode)
    return RemoteRequests(mode, remote_settings(mode, "python run.py"))


def test_later_jobs_run_the_code_that_was_uploaded_though_its_files_change(folder: Path) -> None:
    package = folder / "packages" / "own_code"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("ONE = 1\n")
    study = planned("mine", *REMOTE, "search.engine=optuna", "entry.dependencies=[packages]")
    launch = requests()
    (first,) = launch.build(study)[TRAINING]
    (package / "__init__.py").write_text("TWO = 2\n")
    point = make_proposer(study).ask(0, None)
    trial = TrialSpec(1, point, study.hyperparameters(point), trial_folder(study.folder, 1))
    later, again = launch.job(study, trial), requests().job(study, trial)
    assert later["TrainingJobName"] == "mine-002"
    assert later["HyperParameters"][CODE] == first["HyperParameters"][CODE]
    assert again["HyperParameters"][CODE] != first["HyperParameters"][CODE]
