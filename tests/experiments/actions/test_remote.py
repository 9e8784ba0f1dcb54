"""``mode=remote`` from the arguments that a user types to MLflow, against a double of AWS that runs the jobs.

The checks of ``aws/preflight.py``, and ``backends/attached.py``, are tested here, as commands report them.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_diabetes

from ensemble.parameters import encode
from tests.conftest import QUICK, Ended, run_command
from tests.doubles.aws.double import QUOTAS, Double
from tests.doubles.aws.faults import (
    CutDownload,
    Expiry,
    Interruption,
    JobFailure,
    JobStop,
    LateMetrics,
    Omission,
    Refusal,
    StorageFailure,
    denied,
    limit_exceeded,
    throttled,
)
from tests.doubles.aws.records import SECONDS_RETAINED
from tests.doubles.aws.resident import Resident
from tests.support import forked
from tests.support.account import in_account
from tests.support.clocks import FakeClock
from tests.support.records import logged_runs, logged_trials, recorded_trials, winner_scores

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(300),
]

TRIALS = 3
SEARCH = (f"search.n_trials={TRIALS}", *QUICK)
BILLED = 90
PRICE = 0.4
MINE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine"
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def local_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a study in ``mode=local``."""
    folder = tmp_path_factory.mktemp("laptop")
    arguments = ["mode=local", "study=laptop", *SEARCH]
    ended = run_command(*arguments, folder=folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def local_trials(local_folder: Path) -> list[dict[str, Any]]:
    """The trials of a study in ``mode=local``, whose points the double's tuner gives."""
    final = json.loads((local_folder / "studies/laptop/final/output/data/metrics.json").read_text())
    return [*recorded_trials(local_folder, "laptop"), final]


@pytest.fixture
def double(
    project: Path,
    tmp_path: Path,
    local_trials: list[dict[str, Any]],
    resident: Resident,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Double]:
    points = [{name: encode(value) for name, value in trial["params"].items()} for trial in local_trials[:-1]]
    with opened(Double(tmp_path / "aws", points, resident=resident), monkeypatch) as double:
        yield double


@pytest.fixture
def drawing(project: Path, tmp_path: Path, resident: Resident, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A double whose tuner draws its points."""
    with opened(Double(tmp_path / "aws", resident=resident), monkeypatch) as double:
        yield double


@contextmanager
def opened(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with in_account(double, monkeypatch):
        double.billable_seconds = BILLED
        yield double


def arguments(double: Double, *more: str, study: str = "cloud") -> list[str]:
    settings = {
        "mode.role": double.role,
        "mode.bucket": double.bucket,
        "mode.poll_seconds": "0.05",
        "mode.price_usd_per_hour": f"{PRICE}",
        "study": study,
        "search.parallel": "2",
    }
    given = {argument.partition("=")[0] for argument in more}
    kept = [f"{key}={value}" for key, value in settings.items() if key not in given]
    return ["mode=remote", *kept, *SEARCH, *more]


def numbers(trials: list[dict[str, Any]]) -> list[tuple[int, Mapping[str, Any], Mapping[str, float]]]:
    return [(trial["index"], trial["params"], trial["metrics"]) for trial in trials]


def created(double: Double) -> list[str]:
    return [operation for operation, _ in double.requests if operation.startswith("Create")]


def test_sagemaker_gives_the_numbers_of_mode_local(
    project: Path, double: Double, byoe: Run, local_trials: list[dict[str, Any]]
) -> None:
    ended = byoe(*arguments(double, "mode.budget_usd=2"))
    assert ended.code == 0, ended.err
    assert "costs at most $1.20: 3 jobs of at most 1 h on ml.m5.large at $0.4 an hour" in ended.out
    trials = recorded_trials(project, "cloud")
    assert numbers(trials) == numbers(local_trials[:-1])
    assert [trial["info"]["cloud"]["job"].rpartition("-")[0] for trial in trials] == [
        f"cloud-{number:03d}" for number in (1, 2, 3)
    ]
    for trial in trials:
        assert trial["info"]["cloud"]["objective_in_log"] == pytest.approx(
            trial["metrics"]["cv_rmse_blended"], rel=1e-6
        )
        assert trial["info"]["cloud"]["created"] <= trial["started"]
    runs = sorted(logged_trials(project, "byoe-diabetes"), key=lambda run: run.info.run_name)
    for run, trial in zip(runs, trials, strict=True):
        assert run.data.metrics["billable_seconds"] == BILLED
        assert run.data.metrics["cost_usd"] == pytest.approx(BILLED / 3600 * PRICE)
        assert run.data.tags["byoe.job"] == trial["info"]["cloud"]["job"]
        assert run.data.tags["byoe.mode"] == "remote"
    (winner,) = logged_runs(project, "byoe-diabetes", "final")
    scores = winner_scores(project, winner)
    assert {name: scores[name] for name in local_trials[-1]["metrics"]} == local_trials[-1]["metrics"]
    assert {name: scores[name] for name in winner.data.metrics if name in scores} == {
        name: value for name, value in winner.data.metrics.items() if name in scores
    }
    assert winner.data.metrics["test_rmse_blended"] > 0
    assert created(double) == ["CreateHyperParameterTuningJob"]
    ended = byoe("mode=local", "action=replay", "replay.study=cloud", "replay.top=2", *SEARCH)
    assert ended.code == 0, ended.err
    assert "parity: PASS (2 of 2 trials equal)\n  equal to the bit: 2 of 2" in ended.out


@pytest.mark.slow
def test_a_study_of_classes_gives_the_numbers_of_mode_local(project: Path, drawing: Double, byoe: Run) -> None:
    """Its objective is maximised, and its metrics are others than those of a quantity."""
    search = ["dataset=cancer", "search.objective=cv_auc_blended", "search.n_trials=2", "mode.budget_usd=2"]
    ended = byoe(*arguments(drawing, *search))
    assert ended.code == 0, ended.err
    (request,) = drawing.calls("CreateHyperParameterTuningJob")
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    assert objective == {"Type": "Maximize", "MetricName": "cv_auc_blended"}
    trials = recorded_trials(project, "cloud")
    for trial in trials:
        read = trial["info"]["cloud"]["objective_in_log"]
        assert read == pytest.approx(trial["metrics"]["cv_auc_blended"], rel=1e-6)
    best = max(trials, key=lambda trial: trial["metrics"]["cv_auc_blended"])
    (winner,) = logged_runs(project, "byoe-cancer", "final")
    assert winner.data.metrics["cv_auc_blended"] == best["metrics"]["cv_auc_blended"]
    assert winner.data.metrics["test_logloss_blended"] > 0
    ended = byoe("mode=local", "action=replay", "replay.study=cloud", "replay.top=2", *QUICK)
    assert ended.code == 0, ended.err
    assert "parity: PASS (2 of 2 trials equal)\n  equal to the bit: 2 of 2" in ended.out


def test_a_second_command_attaches_and_imports_only_new_results(
    project: Path, double: Double, byoe: Run, local_trials: list[dict[str, Any]]
) -> None:
    double.hold(1)
    first = forked.Popen(
        forked.command(*arguments(double, "mode.budget_usd=2")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert first.stdout is not None
    until_first = next(line for line in first.stdout if line.startswith("trial 0"))
    assert "$0.01 so far" in until_first
    first.send_signal(signal.SIGINT)
    printed = first.stdout.read()
    assert first.wait() == 130
    assert "the jobs on SageMaker continue" in printed
    assert double.calls("StopHyperParameterTuningJob") == []
    double.release()
    double.wait_for_tuning("cloud")
    before = len(double.calls("DescribeTrainingJob"))
    ended = byoe(*arguments(double))  # no budget: it costs no more
    assert ended.code == 0, ended.err
    described = [call["TrainingJobName"] for call in double.calls("DescribeTrainingJob")[before:]]
    assert not any(name.startswith("cloud-001") for name in described if name != described[-1])
    assert numbers(recorded_trials(project, "cloud")) == numbers(local_trials[:-1])
    assert created(double) == ["CreateHyperParameterTuningJob"]


@pytest.mark.slow
def test_after_a_kill_at_any_point_nothing_is_launched_twice_or_lost(
    project: Path, double: Double, byoe: Run, local_trials: list[dict[str, Any]]
) -> None:
    for point in (
        "channels_written",
        "study_created",
        "uploaded",
        "launched",
        "trial_finished",
        "trials_asked",
        "trial_recorded",
        "mlflow_trial_logged",
        "search_done",
        "final_trained",
        "model_registered",
    ):
        killed_at(point, *arguments(double, "mode.budget_usd=2"))
    assert byoe(*arguments(double)).code == 0
    assert numbers(recorded_trials(project, "cloud")) == numbers(local_trials[:-1])
    assert len(logged_trials(project, "byoe-diabetes")) == TRIALS
    assert len(logged_runs(project, "byoe-diabetes", "final")) == 1
    assert created(double) == ["CreateHyperParameterTuningJob"]


def test_one_training_is_a_plain_job(project: Path, double: Double, byoe: Run) -> None:
    ended = byoe(*arguments(double, "action=train", "mode.budget_usd=1", study="one"))
    assert ended.code == 0, ended.err
    assert created(double) == ["CreateTrainingJob"]
    (trial,) = recorded_trials(project, "one")
    assert trial["state"] == "complete"
    assert trial["info"]["cloud"]["job"] == "one-001"
    status = byoe("mode=remote", "action=status", f"mode.price_usd_per_hour={PRICE}")
    assert "training job one-001  Completed, of no tuning job, $0.01" in status.out
    assert "Training: $0.01 so far" in status.out
    model = project / "studies/one/final/model"
    card = byoe("action=card", "model=one")
    assert (card.code, card.out.strip()) == (0, (model / "card.md").read_text().strip())
    assert "Intervals of 90% hold " in card.out
    rows = load_diabetes(as_frame=True).data
    rows.to_csv("rows.csv", index=False)
    rows.assign(bmi=rows["bmi"] + 1).to_csv("moved.csv", index=False)
    assert byoe("action=drift", "model=one", "input=rows.csv").code == 0
    moved = byoe("action=drift", "model=one", "input=moved.csv")
    assert (moved.code, "drift: YES (bmi" in moved.out) == (1, True)


@pytest.mark.slow  # two jobs
def test_the_smaller_ensemble_of_a_study_on_sagemaker_is_a_job_of_its_own(
    project: Path, double: Double, byoe: Run
) -> None:
    assert byoe(*arguments(double, "action=train", "mode.budget_usd=1", study="one")).code == 0
    shrunk = [argument for argument in arguments(double) if not argument.startswith("study=")]
    ended = byoe(*shrunk, "action=shrink", "model=one", "mode.budget_usd=1")
    assert ended.code in (0, 1), ended.err
    found = re.findall(r"shrink: (one-small[a-z-]*) is (WORSE|not worse) on the test rows", ended.out)
    assert [verdict for _, verdict in found][-1] == ("WORSE" if ended.code else "not worse")
    assert [job.name for job in double.jobs] == ["one-001", *(f"{name}-001" for name, _ in found)]
    assert created(double) == ["CreateTrainingJob"] * len(double.jobs)
    replay = byoe("mode=local", "action=replay", f"replay.study={found[-1][0]}", *QUICK)
    assert "parity: PASS (1 of 1 trials equal)" in replay.out


REPLAY = ("action=replay", "replay.study=laptop", "replay.top=3", "search.parallel=1")


def killed_at(point: str, *arguments: str) -> None:
    """Run a command that is killed at a point."""
    ended = run_command(*arguments, BYOE_KILL_AT=point)
    assert ended.code == -signal.SIGKILL, (point, ended.err)


@pytest.fixture
def source(project: Path, local_folder: Path) -> None:
    """The study of ``mode=local``, which is replayed here."""
    shutil.copytree(local_folder / "studies", project / "studies")


@pytest.mark.slow
@pytest.mark.usefixtures("source")
def test_a_replay_killed_at_any_point_resumes_within_the_approved_budget(
    project: Path, double: Double, byoe: Run
) -> None:
    replay = arguments(double, *REPLAY, study="again")
    for point in ("study_created", "uploaded", "launched", "launched:2", "trial_finished", "trial_recorded"):
        killed_at(point, *replay, "mode.budget_usd=2")
    ended = byoe(*replay)
    assert ended.code == 0, ended.err
    assert "parity: PASS (3 of 3 trials equal)" in ended.out
    names = [job.name for job in double.jobs]
    assert names == ["again-001", "again-002", "again-003"]
    assert created(double) == ["CreateTrainingJob"] * len(names)


@pytest.mark.slow
@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(
            ["mode.instance_type=ml.m5.xlarge"],
            "costs at most $0.80: 2 jobs of at most 1 h on ml.m5.xlarge",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["mode.max_runtime_seconds=86400"],
            "costs at most $19.20: 2 jobs of at most 24 h on ml.m5.large",
            marks=pytest.mark.slow,
        ),
        (["mode.budget_usd=0.5"], "mode.budget_usd=0.5 is below what this study may cost, at most $0.80: 2 jobs"),
    ],
)
def test_the_rest_of_a_replay_costs_no_more_than_was_approved(
    more: list[str], message: str, project: Path, double: Double, byoe: Run
) -> None:
    replay = arguments(double, *REPLAY, study="again")
    killed_at("launched", *replay, "mode.budget_usd=2")
    ended = byoe(*replay, *more)
    assert (ended.code, created(double)) == (2, ["CreateTrainingJob"])
    assert message in ended.err


@pytest.mark.usefixtures("source")
@pytest.mark.slow
def test_a_longer_replay_needs_a_budget_and_checks_for_its_new_trials(project: Path, double: Double, byoe: Run) -> None:
    replay = arguments(double, *REPLAY, study="again")
    assert byoe(*replay, "replay.top=1", "mode.budget_usd=1").code == 0
    shutil.rmtree("studies/again")
    ended = byoe(*replay)
    assert (ended.code, created(double)) == (2, ["CreateTrainingJob"])
    assert "costs at most $0.80: 2 jobs of at most 1 h on ml.m5.large" in ended.err
    ended = byoe(*replay, "mode.budget_usd=1", "mode.role=arn:aws:iam::123456789012:role/none")
    assert (ended.code, created(double)) == (2, ["CreateTrainingJob"])
    assert "there is no such role" in ended.err
    ended = byoe(*replay, "mode.budget_usd=1")
    assert ended.code == 0, ended.err
    assert "the rest of study again costs at most $0.80: 2 jobs" in ended.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "costs at most $1.20: 3 jobs of at most 1 h on ml.m5.large at $0.4 an hour"),
        (["mode.budget_usd=1"], "mode.budget_usd=1 is below what this study may cost, at most $1.20"),
        (
            ["mode.price_usd_per_hour=null", "mode.instance_type=ml.c5.4xlarge", "mode.budget_usd=9"],
            "at most an unknown amount: 3 jobs of at most 1 h on ml.c5.4xlarge, whose price is unknown",
        ),
        (["mode.budget_usd=9", "mode.bucket=no-such-bucket"], "mode.bucket=no-such-bucket: there is no such bucket"),
        (
            ["mode.budget_usd=9", "mode.role=arn:aws:iam::123456789012:role/none"],
            "mode.role=arn:aws:iam::123456789012:role/none: there is no such role",
        ),
        (["mode.budget_usd=9", "mode.instance_type=ml.c5.xlarge", "mode.spot=true"], "spot training job usage' in"),
        (
            ["mode.budget_usd=9", "search.parallel=3", "mode.instance_type=ml.m5.xlarge"],
            "Use search.parallel=2 or less",
        ),
        (
            ["mode.budget_usd=9", "mode.keep_alive_seconds=60", "action=train"],
            "or use another mode.instance_type, or omit mode.keep_alive_seconds",
        ),
        (["mode.budget_usd=9", "mode.image.uri=byoe:1"], "mode.image.uri=byoe:1: SageMaker runs images from ECR"),
        (
            ["mode.budget_usd=9", "mode.image.uri=123456789012.dkr.ecr.us-east-1.amazonaws.com/none:1"],
            "there is no such image. `python run.py mode=remote action=push` pushes",
        ),
        (["mode.budget_usd=9", "mode.bucket=null"], "mode.bucket is not set: add mode.bucket="),
        (["mode.bucket=null", "mode.role=null"], "mode.role and mode.bucket are not set: add mode.role="),
    ],
)
def test_nothing_is_created_that_would_fail_or_cost_too_much(
    more: list[str], message: str, project: Path, double: Double, byoe: Run
) -> None:
    ended = byoe(*arguments(double, *more))
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert not (project / "studies").exists()
    assert created(double) == []
    assert "Contents" not in double.client("s3").list_objects_v2(Bucket=double.bucket)


def test_a_role_that_sagemaker_may_not_assume_is_refused(
    project: Path, double: Double, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeClock(monkeypatch)  # a role may not be visible yet
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}]}
    role = double.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    ended = byoe(*arguments(double, "mode.budget_usd=9", f"mode.role={role['Arn']}"))
    assert ended.code == 2
    assert f"AWS refused to start the job: Could not assume role {role['Arn']}." in ended.err
    assert "docs/aws.md has the commands that create the role." in ended.err
    assert double.jobs == []


@pytest.mark.parametrize("index", [False, True], ids=["one platform", "index"])
def test_an_image_for_another_architecture_is_refused(index: bool, project: Path, double: Double, byoe: Run) -> None:
    double.put_image("mine", "1", "arm64", index=index)
    ended = byoe(*arguments(double, "mode.budget_usd=9", f"mode.image.uri={MINE}:1"))
    assert ended.code == 2
    assert f"mode.image.uri={MINE}:1 is built for arm64, and SageMaker's instances are amd64" in ended.err
    assert created(double) == []


def test_an_unrelated_tuning_job_of_that_name_is_left_alone(project: Path, double: Double, byoe: Run) -> None:
    double.hold(0)
    byoe_plan = byoe(*arguments(double, "action=plan"))
    document = json.loads(byoe_plan.out)["CreateHyperParameterTuningJob"][0]
    document["Tags"] = [{"Key": "team", "Value": "other"}]
    double.client("sagemaker").create_hyper_parameter_tuning_job(**document)
    ended = byoe(*arguments(double, "mode.budget_usd=9"))
    assert ended.code == 2
    assert "tuning job cloud already exists, with another configuration" in ended.err


@pytest.mark.slow
def test_a_training_job_of_that_name_with_another_configuration_is_left_alone(
    project: Path, double: Double, byoe: Run
) -> None:
    training = arguments(double, "action=train", "mode.budget_usd=2", study="one")
    assert byoe(*training).code == 0
    shutil.rmtree("studies")
    ended = byoe(*training, "ensemble.params.xgboost.max_depth=2")
    assert ended.code == 2
    assert "training job one-001 already exists, with another configuration or other data" in ended.err
    assert created(double) == ["CreateTrainingJob"]


@pytest.mark.slow
def test_a_tuning_job_is_not_extended(project: Path, double: Double, byoe: Run) -> None:
    assert byoe(*arguments(double, "mode.budget_usd=9")).code == 0
    ended = byoe(*arguments(double, "mode.budget_usd=9", "search.n_trials=6"))
    assert ended.code == 2
    assert "mode.warm_start=[cloud]" in ended.err
    assert created(double) == ["CreateHyperParameterTuningJob"]


@pytest.mark.slow
def test_temporary_faults_are_waited_out(
    project: Path, double: Double, byoe: Run, local_trials: list[dict[str, Any]]
) -> None:
    double.inject(
        throttled("Describe*", 3),
        throttled("CreateHyperParameterTuningJob", 2),
        Interruption(1),
        StorageFailure("*sourcedir.tar.gz", "PUT", 2),
        StorageFailure("*-001-*output.tar.gz", "GET", 2),
        CutDownload("*-002-*/output/output.tar.gz", 2),
        CutDownload("*/output/model.tar.gz", 1),
    )
    ended = byoe(*arguments(double, "mode.budget_usd=2"))
    assert ended.code == 0, ended.err
    assert numbers(recorded_trials(project, "cloud")) == numbers(local_trials[:-1])
    assert [job.status for job in double.jobs] == ["Completed"] * TRIALS


def test_failed_and_stopped_jobs_are_trials_with_their_reasons(project: Path, double: Double, byoe: Run) -> None:
    double.inject(JobFailure(0, "AlgorithmError: out of memory", run=True), JobStop(2))
    ended = byoe(*arguments(double, "mode.budget_usd=2", "search.max_failure_rate=1"))
    assert ended.code == 0, ended.err
    first, second, third = recorded_trials(project, "cloud")
    assert (first["state"], first["failure"]) == ("failed", "AlgorithmError: out of memory")
    assert second["state"] == "complete"
    assert third["state"] == "failed"
    assert "mode.max_runtime_seconds=3600 and was stopped" in third["failure"]
    assert "trial 0 failed: AlgorithmError: out of memory" in ended.out
    assert "[metric] cv_rmse_blended=" in (project / "studies/cloud/trials/0000/log.txt").read_text()
    states = {run.data.tags["byoe.trial"]: run.info.status for run in logged_trials(project, "byoe-diabetes")}
    assert states == {"0": "FAILED", "1": "FINISHED", "2": "FAILED"}


@pytest.mark.slow
def test_jobs_that_amt_stops_early_are_pruned_and_not_failed(project: Path, drawing: Double, byoe: Run) -> None:
    early = [JobStop(f"early-{number:03d}", "Stopped", run=number < 5) for number in (2, 3, 4, 5)]
    drawing.inject(*early, JobStop("early-007"))
    search = arguments(drawing, "mode.early_stopping=true", "search.n_trials=8", study="early")
    ended = byoe(*search, "mode.budget_usd=5")
    assert ended.code == 0, ended.err
    assert "trial 1: pruned: AMT stopped it early" in ended.out
    assert "8 trials, 1 failed, 4 pruned" in ended.out
    trials = recorded_trials(project, "early")
    assert [trial["state"] for trial in trials] == ["complete", *["pruned"] * 4, "complete", "failed", "complete"]
    assert {trial["failure"] for trial in trials if trial["state"] == "pruned"} == {"AMT stopped it early"}
    assert ["expected" in trial["info"]["pruned"] for trial in trials[1:5]] == [True, True, True, False]
    runs = sorted(logged_trials(project, "byoe-diabetes"), key=lambda run: run.info.run_name)
    assert [run.data.tags["byoe.state"] for run in runs[:3]] == ["complete", "pruned", "pruned"]
    assert {run.info.status for run in runs[:3]} == {"FINISHED"}
    assert runs[1].data.tags["byoe.failure"] == "AMT stopped it early"
    assert drawing.calls("StopHyperParameterTuningJob") == []
    assert byoe("mode=local", "action=replay", "replay.study=early", "replay.top=1").code == 0
    compared = byoe("action=compare", "compare.studies=[early,replay-early]")
    assert "Traceback" not in compared.err


@pytest.mark.slow
def test_a_late_objective_is_waited_for(
    project: Path, double: Double, byoe: Run, local_trials: list[dict[str, Any]]
) -> None:
    double.inject(LateMetrics(0, 4), LateMetrics(2, 3))
    assert byoe(*arguments(double, "mode.budget_usd=2")).code == 0
    assert numbers(recorded_trials(project, "cloud")) == numbers(local_trials[:-1])


@pytest.mark.slow
def test_the_objective_of_a_direct_job_is_read_in_its_log(project: Path, double: Double, byoe: Run) -> None:
    double.inject(LateMetrics("one-001", 10_000))
    ended = byoe(*arguments(double, "action=train", "mode.budget_usd=2", study="one"))
    assert ended.code == 0, ended.err
    (trial,) = recorded_trials(project, "one")
    assert trial["info"]["cloud"]["objective_in_log"] == trial["metrics"]["cv_rmse_blended"]


def test_a_direct_job_without_an_objective_is_not_trusted_after_five_minutes(
    project: Path, double: Double, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(monkeypatch)
    double.inject(LateMetrics("one-001", 10_000), denied("FilterLogEvents", "logs"))
    ended = byoe(*arguments(double, "action=train", "mode.budget_usd=2", "mode.poll_seconds=15", study="one"))
    assert ended.code == 1
    (trial,) = recorded_trials(project, "one")
    assert "cannot be trusted: SageMaker found no value in the log" in trial["failure"]
    assert clock.time >= 300


@pytest.mark.slow
def test_an_instance_that_is_kept_alive_is_billed_listed_and_ended(
    project: Path, tmp_path: Path, resident: Resident, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas = {**QUOTAS, "ml.m5.large for training warm pool usage": 2}
    with opened(Double(tmp_path / "aws", resident=resident, quotas=quotas), monkeypatch) as double:
        train = arguments(double, "action=train", "mode.keep_alive_seconds=600", study="one")
        assert "at most $0.47: 1 job of at most 1.16667 h" in byoe(*train).err
        ended = byoe(*train, "mode.budget_usd=2")
        assert ended.code == 0, ended.err
        (trial,) = recorded_trials(project, "one")
        assert trial["info"]["cloud"]["billable_seconds"] == BILLED + SECONDS_RETAINED
        account = ("mode=remote", f"mode.price_usd_per_hour={PRICE}")
        assert "warm pool one-001  Available, an instance that waits for a job" in byoe(*account, "action=status").out
        assert "warm pool one-001 is ended." in byoe(*account, "action=clean").out
        assert double.calls("UpdateTrainingJob")[0]["ResourceConfig"] == {"KeepAlivePeriodInSeconds": 0}
        assert "byoe has nothing in this account and region that costs money" in byoe(*account, "action=clean").out


def test_jobs_that_are_being_deleted_are_not_started_again(project: Path, double: Double, byoe: Run) -> None:
    train = arguments(double, "action=train", study="one")
    double.hold(0)
    running = threading.Thread(target=delete_soon, args=(double,))
    running.start()
    ended = byoe(*train, "mode.budget_usd=2")
    running.join()
    double.release()
    assert ended.code == 1
    assert "training job one-001 is being deleted on SageMaker, and its results were not imported" in ended.err
    assert created(double) == ["CreateTrainingJob"]


def delete_soon(double: Double) -> None:
    job = double.wait_for(0, "Training")
    with double.state.changed:
        job.status = "Deleting"


@pytest.mark.slow
def test_a_new_role_and_late_tags_are_waited_for(
    project: Path, drawing: Double, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(monkeypatch)
    refusal = f"Could not assume role {drawing.role}. Please ensure that the role exists and allows principal"
    drawing.inject(
        Refusal("CreateHyperParameterTuningJob", "ValidationException", refusal, times=3),
        Omission("ListTags", "Tags", times=2),
    )
    ended = byoe(*arguments(drawing, "mode.budget_usd=2", "search.n_trials=1"))
    assert ended.code == 0, ended.err
    assert "note: SageMaker refuses: Could not assume role" in ended.out
    assert "tries again for 5 minutes" in ended.out
    assert clock.slept.count(10.0) == 5


@pytest.mark.slow
def test_a_tuning_job_that_is_not_shown_at_once_is_waited_for(project: Path, drawing: Double, byoe: Run) -> None:
    unknown = ("DescribeHyperParameterTuningJob", "ResourceNotFound", "Requested resource not found.")
    search = arguments(drawing, "search.n_trials=1")
    drawing.inject(Refusal(*unknown, times=8))
    ended = byoe(*search, "mode.budget_usd=2")
    assert ended.code == 2
    assert "tuning job cloud was started, and SageMaker does not show it yet" in ended.err
    assert byoe(*search).code == 0
    drawing.inject(Refusal(*unknown, times=4))
    assert byoe(*arguments(drawing, "search.n_trials=1", "mode.budget_usd=2", study="second")).code == 0
    assert created(drawing) == ["CreateHyperParameterTuningJob"] * 2


@pytest.mark.usefixtures("source")
@pytest.mark.slow
def test_launched_jobs_are_reported_when_the_account_allows_no_more(project: Path, double: Double, byoe: Run) -> None:
    replay = arguments(double, *REPLAY, "search.parallel=2", study="again")
    double.hold(0)
    killed_at("launched", *replay, "mode.budget_usd=2")
    double.inject(limit_exceeded("CreateTrainingJob"))
    ended = byoe(*replay)
    assert ended.code == 2
    assert "(ResourceLimitExceeded). 1 job continues on SageMaker, and you pay for it: the same command" in ended.err
    double.release()
    assert byoe(*replay).code == 0
    assert [job.name for job in double.jobs] == ["again-001", "again-002", "again-003"]


@pytest.mark.slow
def test_nothing_is_waited_for_after_the_last_job(project: Path, double: Double, byoe: Run) -> None:
    training = arguments(double, "action=train", "mode.budget_usd=2", study="one")
    killed_at("launched", *training)
    double.wait_for(0)
    begun = time.monotonic()
    assert byoe(*training, "mode.poll_seconds=60").code == 0
    assert time.monotonic() - begun < 60


def test_if_all_trials_fail_the_reason_is_reported(project: Path, double: Double, byoe: Run) -> None:
    double.inject(*(JobFailure(number, "AlgorithmError: no", run=False) for number in range(TRIALS)))
    for _ in range(2):  # the second command attaches
        ended = byoe(*arguments(double, "mode.budget_usd=2", "search.max_failure_rate=1"))
        assert ended.code == 1
        assert "no trial has a score. The last reason: AlgorithmError: no" in ended.err
        assert len(ended.err.splitlines()) == 1


def test_too_many_failures_stop_the_rest(project: Path, drawing: Double, byoe: Run) -> None:
    drawing.inject(*(JobFailure(number, "AlgorithmError: no", run=False) for number in range(4)))
    drawing.hold(4)
    ended = byoe(*arguments(drawing, "mode.budget_usd=9", "search.max_failure_rate=0.5", "search.n_trials=8"))
    assert ended.code == 1
    assert "of 4 trials failed, more than search.max_failure_rate=0.5 allows; the rest was stopped" in ended.err
    assert [call["HyperParameterTuningJobName"] for call in drawing.calls("StopHyperParameterTuningJob")] == ["cloud"]
    assert drawing.wait_for_tuning("cloud").status == "Stopped"
    assert len(drawing.jobs) < 8


@pytest.mark.parametrize("damage", ["missing", "no archive", "cut"])
@pytest.mark.slow
def test_a_job_that_leaves_nothing_readable_is_a_failed_trial(
    damage: str, project: Path, double: Double, byoe: Run
) -> None:
    training = arguments(double, "action=train", "mode.budget_usd=2", study="one")
    double.hold(0)
    first = forked.Popen(
        forked.command(*training, "mode.poll_seconds=60"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    double.wait_for(0, "Training")
    first.kill()
    first.wait()
    double.release()
    double.wait_for(0)
    s3, key = double.client("s3"), "byoe/studies/one/one-001/output/output.tar.gz"
    whole = s3.get_object(Bucket=double.bucket, Key=key)["Body"].read()
    if damage == "missing":
        s3.delete_object(Bucket=double.bucket, Key=key)
    else:
        s3.put_object(
            Bucket=double.bucket, Key=key, Body=b"none" if damage == "no archive" else whole[: len(whole) // 2]
        )
    ended = byoe(*training)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    (trial,) = recorded_trials(project, "one")
    assert trial["state"] == "failed"
    assert ("wrote no output" if damage == "missing" else "cannot be unpacked") in trial["failure"]


@pytest.mark.slow
def test_a_malformed_result_in_a_valid_archive_is_one_failed_trial(project: Path, double: Double, byoe: Run) -> None:
    training = arguments(double, "action=train", study="one")
    assert byoe(*training, "mode.budget_usd=2").code == 0
    s3, key = double.client("s3"), "byoe/studies/one/one-001/output/output.tar.gz"
    files = members_of(s3.get_object(Bucket=double.bucket, Key=key)["Body"].read())
    metrics, folds = files["metrics.json"], files["out_of_fold.npz"]
    for odd, reason in (
        ({**files, "metrics.json/x": b""}, "cannot be unpacked"),
        ({**files, "n" * 300: b""}, "cannot be unpacked"),
        ({"data/metrics.json": metrics, "data/data/x": b"", "x": b""}, "cannot be unpacked"),
        ({**files, "metrics.json": b"[]"}, "its metrics.json is not valid: it has no metrics"),
        ({"metrics.json": metrics}, "its out_of_fold.npz cannot be read"),
        ({**files, "out_of_fold.npz": folds[:-100]}, "its out_of_fold.npz cannot be read"),
        ({**files, "out_of_fold.npz": b""}, "its out_of_fold.npz cannot be read"),
    ):
        shutil.rmtree("studies")
        s3.put_object(Bucket=double.bucket, Key=key, Body=archive_of(odd))
        ended = byoe(*training)
        assert ended.code == 1, reason
        assert "Traceback" not in ended.err
        (trial,) = recorded_trials(project, "one")
        assert trial["state"] == "failed"
        assert reason in trial["failure"]


@pytest.mark.slow
def test_a_malformed_model_is_reported(project: Path, double: Double, byoe: Run) -> None:
    training = arguments(double, "action=train", study="one")
    assert byoe(*training, "mode.budget_usd=2").code == 0
    s3, key = double.client("s3"), "byoe/studies/one/one-001/output/model.tar.gz"
    files = members_of(s3.get_object(Bucket=double.bucket, Key=key)["Body"].read())
    s3.put_object(Bucket=double.bucket, Key=key, Body=archive_of({**files, "manifest.json/x": b""}))
    shutil.rmtree("studies")
    ended = byoe(*training)
    assert ended.code == 1
    assert "one-001/output/model.tar.gz cannot be unpacked: " in ended.err


def members_of(archive: bytes) -> dict[str, bytes]:
    """Return the files of an archive by name."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry)) is not None}


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files by name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.slow
def test_expired_credentials_are_reported_and_renewed_ones_resume_the_job(
    project: Path, double: Double, byoe: Run
) -> None:
    training = arguments(double, "action=train", "mode.budget_usd=2", study="one")
    double.inject(Expiry("DescribeTrainingJob", 4))
    ended = byoe(*training)
    assert ended.code == 2
    assert "the AWS credentials have expired. Renew them" in ended.err
    double.renew()
    assert byoe(*training).code == 0
    assert created(double) == ["CreateTrainingJob"]
    assert [trial["state"] for trial in recorded_trials(project, "one")] == ["complete"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (denied("CreateHyperParameterTuningJob"), "the IAM action sagemaker:CreateHyperParameterTuningJob"),
        (denied("PutObject", "s3"), "the IAM action s3:PutObject"),
        (limit_exceeded("CreateHyperParameterTuningJob"), "ResourceLimitExceeded"),
        (Expiry("GetCallerIdentity", 1), "the AWS credentials have expired"),
    ],
    ids=str,
)
def test_a_fault_of_the_launch_is_one_message(
    fault: Any, message: str, project: Path, double: Double, byoe: Run
) -> None:
    double.inject(fault)
    ended = byoe(*arguments(double, "mode.budget_usd=2"))
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert double.jobs == []


def test_the_doctor_checks_the_account(project: Path, double: Double, byoe: Run) -> None:
    settings = ["mode=remote", "action=doctor", f"mode.role={double.role}"]
    double.put_image("mine", "1", "arm64")
    double.put_image("mine", "2", "amd64")
    ended = byoe(*settings, f"mode.bucket={double.bucket}", f"mode.image.uri={MINE}:2")
    assert ended.code == 0, ended.out
    for line in (
        "ok    credentials    account 123456789012",
        f"ok    bucket         {double.bucket}",
        "ok    role ",
        f"ok    image          {MINE}:2",
    ):
        assert line in ended.out
    assert "mode=remote can run." in ended.out
    ended = byoe(*settings, "mode.bucket=no-such-bucket", f"mode.image.uri={MINE}:1")
    assert ended.code == 1
    assert "there is no such bucket" in ended.out
    assert f"fails image          mode.image.uri={MINE}:1 is built for arm64" in ended.out
    double.inject(Expiry("GetCallerIdentity", 1))
    ended = byoe(*settings, f"mode.bucket={double.bucket}")
    assert ended.code == 1
    assert "fails credentials    the AWS credentials have expired" in ended.out
    assert "mode.role and mode.bucket are not set" in byoe("mode=remote", "action=doctor").out


@pytest.mark.slow  # so is a check of an endpoint (test_remote_endpoints.py)
def test_a_check_that_is_not_permitted_is_a_note(project: Path, double: Double, byoe: Run) -> None:
    double.inject(
        denied("GetRole", "iam"),
        denied("ListServiceQuotas", "servicequotas"),
        denied("GetDownloadUrlForLayer", "ecr"),
    )
    double.put_image("mine", "1", "amd64")
    ended = byoe(*arguments(double, "action=train", "mode.budget_usd=2", f"mode.image.uri={MINE}:1", study="one"))
    assert ended.code == 0, ended.err
    assert "the IAM action iam:GetRole" in ended.out
    assert "the IAM action servicequotas:ListServiceQuotas" in ended.out
    assert "the IAM action ecr:GetDownloadUrlForLayer" in ended.out


@pytest.mark.slow
def test_a_tuning_job_is_attached_to_by_its_name_from_another_machine(
    project: Path,
    double: Double,
    byoe: Run,
    local_trials: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert byoe(*arguments(double, "mode.budget_usd=2")).code == 0
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(project / "mlflow.db", tmp_path / "elsewhere" / "mlflow.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    double.inject(Omission("DescribeHyperParameterTuningJob", "HyperParameterTuningJobConfig.RandomSeed", times=99))
    ended = byoe("mode=remote", "action=attach", "job=cloud", "mode.poll_seconds=0.05", "mlflow.experiment=elsewhere")
    assert ended.code == 0, ended.err
    best = min(local_trials[:-1], key=lambda trial: trial["metrics"]["cv_rmse_blended"])
    assert f"best: training job cloud-{best['index'] + 1:03d}-" in ended.out
    assert numbers(recorded_trials(Path.cwd(), "cloud")) == numbers(local_trials[:-1])
    assert len(logged_trials(Path.cwd(), "elsewhere")) == TRIALS
    assert (Path.cwd() / "studies/cloud/final/model/manifest.json").exists()
    assert (Path.cwd() / "studies/cloud/final/model/sketch.json").exists()
    assert created(double) == ["CreateHyperParameterTuningJob"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["mode=remote"], "action=attach needs the name of a tuning job: add job="),
        (["mode=remote", "job=none"], "job=none: there is no such tuning job in us-east-1"),
        (["mode=local", "job=none"], "python run.py mode=remote action=attach job=<name>"),
    ],
)
def test_a_job_that_cannot_be_attached_to_is_named(
    given: list[str], message: str, project: Path, double: Double, byoe: Run
) -> None:
    ended = byoe("action=attach", *given)
    assert ended.code == 2
    assert message in ended.err


def test_a_job_that_byoe_did_not_create_cannot_be_attached_to(project: Path, double: Double, byoe: Run) -> None:
    double.hold(0)
    document = json.loads(byoe(*arguments(double, "action=plan")).out)["CreateHyperParameterTuningJob"][0]
    document["Tags"] = [{"Key": "team", "Value": "other"}]
    double.client("sagemaker").create_hyper_parameter_tuning_job(**document)
    ended = byoe("mode=remote", "action=attach", "job=cloud")
    assert ended.code == 2
    assert "job=cloud is not one of byoe's: it has no tag byoe:config_hash" in ended.err


@pytest.mark.slow
def test_a_tuning_job_can_be_attached_to_despite_another_study_of_its_name(
    project: Path, double: Double, byoe: Run, local_trials: list[dict[str, Any]]
) -> None:
    assert byoe(*arguments(double, "mode.budget_usd=2")).code == 0
    attach = ["mode=remote", "action=attach", "job=cloud", "mode.poll_seconds=0.05"]
    shutil.rmtree("studies")
    assert byoe(*arguments(double, "action=train", "mode.budget_usd=2")).code == 0
    shutil.rmtree("studies")
    ended = byoe(*arguments(double, "mode.budget_usd=2", "search.seed=7"))
    assert "tuning job cloud already exists, with another configuration" in ended.err
    shutil.rmtree("studies")
    ended = byoe(*attach)
    assert ended.code == 0, ended.err
    assert numbers(recorded_trials(project, "cloud")) == numbers(local_trials[:-1])
    shutil.rmtree("studies")
    s3, folder = double.client("s3"), "byoe/studies/cloud/study-"
    (entry,) = s3.list_objects_v2(Bucket=double.bucket, Prefix=folder)["Contents"]
    for damaged in (b"not json", b"{}", b"[]", b'{"identity": {}, "order": 3, "first": []}', b"\xff"):
        s3.put_object(Bucket=double.bucket, Key=entry["Key"], Body=damaged)
        ended = byoe(*attach)
        assert ended.code == 2, damaged
        assert f"{entry['Key']}, which a launch leaves, is damaged or of another version" in ended.err
        assert len(ended.err.splitlines()) == 1
    s3.delete_object(Bucket=double.bucket, Key=entry["Key"])
    assert f"{entry['Key']}, which a launch leaves: AWS refused to read" in byoe(*attach).err
