"""The double runs the entry script itself, from the requests that a study makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.config.compose import compose
from experiments.planning.study import plan_study
from experiments.sagemaker_requests.jobs import tuning_job
from experiments.sagemaker_requests.placement import Placement
from experiments.study.source_dir import place_source, source_folder
from experiments.study.spec import StudySpec
from experiments.system.archives import pack
from tests.conftest import QUICK
from tests.doubles.aws.double import Double
from tests.doubles.aws.jobs import members, training
from tests.doubles.aws.records import single
from tests.doubles.aws.resident import Resident
from tests.support.docker import left_behind, require_image

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own
ARGUMENTS = ("study=search", "search.n_trials=2", "search.parallel=1", *QUICK)


@pytest.mark.slow
def test_the_entry_script_is_tuned(folder: Path, tmp_path: Path, resident: Resident) -> None:
    study = plan_study(compose(["mode=local", *ARGUMENTS])).place()
    with Double(tmp_path / "aws", resident=resident) as double:
        run(double, study)


@pytest.mark.docker
@pytest.mark.timeout(600)
def test_the_entry_script_is_tuned_in_its_image(folder: Path, tmp_path: Path) -> None:
    image = require_image().tag
    before = left_behind()
    study = plan_study(compose(["mode=local", *ARGUMENTS])).place()
    with Double(tmp_path / "aws", image=image) as double:
        run(double, study)
    assert left_behind() == before


@pytest.mark.docker
@pytest.mark.timeout(600)
def test_containers_are_stopped_and_removed(tmp_path: Path) -> None:
    image = require_image().tag
    before = left_behind()
    script = "import signal; print('begun', flush=True); signal.pause()"
    with Double(tmp_path, image=image) as double:
        sagemaker = double.client("sagemaker")
        short = {"MaxRuntimeInSeconds": 1}
        sagemaker.create_training_job(**training(double, "late", script, StoppingCondition=short))
        sagemaker.create_training_job(**training(double, "stopped", script))
        sagemaker.create_training_job(**training(double, "left", script))
        for name in ("stopped", "left"):
            double.wait_for(name, "Training")
        sagemaker.stop_training_job(TrainingJobName="stopped")
        assert double.wait_for("late").secondary == "MaxRuntimeExceeded"
        assert double.wait_for("stopped").secondary == "Stopped"
    assert left_behind() == before


def run(double: Double, study: StudySpec) -> None:
    """Tune a study, and compare what SageMaker has read with what the script has written."""
    document = tuning_job(study, upload(double, study))
    double.client("sagemaker").create_hyper_parameter_tuning_job(**document)
    assert double.wait_for_tuning("search", 300).status == "Completed"
    assert [(job.status, job.failure) for job in double.jobs] == [("Completed", None)] * 2
    for job in double.jobs:
        metrics = json.loads(members(double, f"{job.output}/output.tar.gz")["metrics.json"])["metrics"]
        assert job.objective == single(metrics[study.objective])
        assert "manifest.json" in members(double, f"{job.output}/model.tar.gz")


def upload(double: Double, study: StudySpec) -> Placement:
    """Upload a study's channels and code, and return where they are."""
    storage: Any = double.client("s3")
    for channel, place in study.channels.for_jobs().items():
        for path in place.iterdir():
            storage.upload_file(str(path), double.bucket, f"data/{channel}/{path.name}")
    place_source(study.dependencies, study.folder.parent)
    archive = study.folder.parent / "sourcedir.tar.gz"
    pack(source_folder(study.dependencies, study.folder.parent), archive)
    storage.upload_file(str(archive), double.bucket, "code/sourcedir.tar.gz")
    base = f"s3://{double.bucket}"
    return Placement(
        image="123456789012.dkr.ecr.us-east-1.amazonaws.com/byoe:1",
        role=double.role,
        channels={name: f"{base}/data/{name}" for name in study.channels.for_jobs()},
        code=f"{base}/code/sourcedir.tar.gz",
        output=f"{base}/out",
        instance_type="ml.m5.large",
        max_runtime_seconds=600,
        isolated=False,
    )
