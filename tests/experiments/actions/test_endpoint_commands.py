"""Commands on endpoints in containers, with ``serving.rehearsal`` and ``serving.client``, and what they leave on the engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ensemble.serving.answers import encode
from ensemble.serving.predictor import Predictor
from experiments.docker.engine import connect
from experiments.serving.client import ping
from experiments.serving.memory import find_rehearsal
from experiments.serving.records import Records
from tests.conftest import PROJECT, environment, run_command, until
from tests.support import forked
from tests.support.docker import left_behind

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
DEPLOY = ("mode=sagemaker", "action=deploy")


def assert_intervals_and_explanations_are_those_of_this_process(model: Path) -> None:
    predictor = Predictor.load(model, threads=1)
    prediction = predictor.predict(predictor.bundle.example()[0])
    expected = encode(prediction, "text/csv", level=0.8)[0].decode()
    assert run_command("action=invoke", "input=rows.csv", "detail=interval", "serving.interval=0.8").out == expected
    expected = encode(prediction, "text/csv; detail=explanation")[0].decode()
    assert run_command("action=invoke", "input=rows.csv", "detail=explanation").out == expected


def test_an_endpoint_from_its_deployment_to_its_end(trained: Path) -> None:
    ended = run_command(*DEPLOY, "model=one")
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if line.strip().startswith("curl")]
    endpoint = Records(trained / "endpoints").get("local")
    assert f"{endpoint.url}/invocations" in line
    assert "serverless rehearsal: cold start" in ended.out
    assert (
        "The smallest memory that passes is 1,024 MB (this one has 2,048: serving.memory_size_in_mb=1024)" in ended.out
    )
    requests = json.loads((Path(endpoint.folder) / "requests.json").read_text())
    found = find_rehearsal(trained / "endpoints", endpoint.bundle_hash)
    assert found is not None
    assert (found.memory_size_in_mb, found.image) == (1024, requests["CreateModel"]["PrimaryContainer"]["Image"])
    assert requests["CreateEndpointConfig"]["ProductionVariants"][0]["ServerlessConfig"]["MaxConcurrency"] == 5
    with closing(connect()) as client:
        facts = client.containers.get(endpoint.container).attrs
    assert (facts["HostConfig"]["ReadonlyRootfs"], facts["HostConfig"]["Memory"]) == (True, 2048 * 2**20)
    assert facts["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostIp"] == "127.0.0.1"

    manifest = json.loads((Path(endpoint.model_dir) / "manifest.json").read_text())
    names = [column["name"] for column in manifest["columns"]]
    rows = manifest["example"]["features"]
    text = [",".join(names), *(",".join(map(repr, row)) for row in rows)]
    (trained / "rows.csv").write_text("\n".join(text) + "\n")
    asked = run_command("action=invoke", "input=rows.csv")
    assert [float(value) for value in asked.out.split()] == manifest["example"]["predictions"]
    asked = run_command("action=invoke", "input=rows.csv", "detail=members", "output=answer.json")
    answer = json.loads((trained / "answer.json").read_text())
    assert (asked.code, answer["predictions"]) == (0, manifest["example"]["predictions"])
    assert_intervals_and_explanations_are_those_of_this_process(Path(endpoint.model_dir))
    (trained / "wrong.csv").write_text(text[0].replace("bmi", "bim") + "\n" + text[1] + "\n")
    asked = run_command("action=invoke", "input=wrong.csv")
    assert asked.code == 2
    assert "column 'bmi' is missing" in asked.err

    (trained / "large.csv").write_text("\n".join([text[0], *text[1:] * 20_000]) + "\n")
    asked = run_command("action=invoke", "input=large.csv")
    assert asked.code == 2
    assert "send fewer rows at a time" in asked.err

    status = run_command("action=status")
    assert status.code == 0
    assert f"local  {endpoint.url}  ok" in status.out
    assert "study one" in status.out
    assert "400  rows_do_not_fit" in status.out
    assert "rows, disagreement " in status.out
    cleaned = run_command("action=clean", "paths.root=.")
    assert "kept: container" in cleaned.out
    assert ping(endpoint.url) is not None

    assert run_command("action=delete").code == 0
    assert left_behind() == []
    assert [path.name for path in (trained / "endpoints").iterdir()] == ["_rehearsals"]
    deleted = run_command("action=invoke", "input=rows.csv")
    assert deleted.code == 2
    assert "action=deploy creates it" in deleted.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mode=local", "action=deploy"), "python run.py mode=sagemaker action=deploy"),
        ((*DEPLOY, "serving.memory_size_in_mb=1500"), "1024, 2048, 3072"),
        ((*DEPLOY, "serving.max_concurrency=0"), "not from 1 to 200"),
        ((*DEPLOY, "mode.network=host"), "an endpoint has its own network"),
        (("action=delete", "endpoint=lokal"), "there is no such endpoint"),
    ],
)
def test_mistakes_exit_2_and_start_nothing(arguments: tuple[str, ...], message: str, trained: Path) -> None:
    ended = run_command(*arguments)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert left_behind() == []
    assert not (trained / "endpoints").exists()


def test_endpoints_of_one_name_in_two_folders_leave_each_other_alone(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(*DEPLOY, "model=one", "serving=realtime").code == 0
    first = Records(trained / "endpoints").get("local")
    other = tmp_path / "other"
    shutil.copytree(trained / "studies", other / "studies")
    monkeypatch.chdir(other)
    assert run_command(*DEPLOY, "model=two", "serving=realtime").code == 0
    assert ping(first.url)["bundle"] == first.bundle_hash
    cleaned = run_command("action=clean")
    assert cleaned.out.count("kept: container") == 2
    assert run_command("action=delete").code == 0
    assert ping(first.url)["bundle"] == first.bundle_hash
    monkeypatch.chdir(trained)


def test_a_deployment_removes_what_a_killed_one_left(trained: Path) -> None:
    process = forked.Popen(forked.command(*DEPLOY, "model=one"), env=environment(), stdout=subprocess.DEVNULL)
    assert until(lambda: any(name.startswith("byoe-local") for name in left_behind()))
    process.kill()
    process.wait()
    assert run_command(*DEPLOY, "model=one", "serving=realtime").code == 0
    endpoint = Records(trained / "endpoints").get("local")
    assert left_behind() == [endpoint.container, endpoint.network]
    assert sorted(path.name for path in (trained / "endpoints" / "local").iterdir() if path.is_dir()) == [
        Path(endpoint.folder).name
    ]


@pytest.mark.parametrize(("serving", "which"), [("serverless", "quick"), ("realtime", "full")])
def test_the_suite_passes_against_a_deployed_endpoint(serving: str, which: str, trained: Path) -> None:
    assert run_command(*DEPLOY, "model=one", f"serving={serving}").code == 0
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--numprocesses=0",
            "-p",
            "no:cacheprovider",
            str(PROJECT / "tests/endpoint"),
            "--endpoint=local",
            f"--endpoint-tests={which}",
        ],
        cwd=PROJECT,
        env=environment(BYOE_ENDPOINTS=str(trained / "endpoints")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
