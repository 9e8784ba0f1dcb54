"""``action=doctor``: check what works on this machine, and print the command that fixes what does not."""

from __future__ import annotations

import functools
import http.client
import platform
import shlex
import shutil
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from rich.console import Console
from rich.text import Text

from ensemble.errors import InputError
from ensemble.versions import library_version
from experiments.config.compose import Composed
from experiments.config.paths import root_folder, studies_folder
from experiments.config.schema import RemoteModeConfig
from experiments.config.secrets import masked_value, without_parts
from experiments.errors import BackendUnavailable
from experiments.reporting.console import print_plain
from experiments.system.machine import available_cores, check_folder
from experiments.system.project import COMMAND, PROJECT
from experiments.tracking.store import is_managed, store_fault, store_file, store_uri

REQUIREMENT_FILES = ("entry/requirements.txt", "experiments/requirements.txt")
OLDEST_PYTHON = (3, 11)
LITTLE_MEMORY_GB = 2.0
LITTLE_DISK_GB = 4.0
# Docker's names of architectures, and those of Python's platform module.
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_ANSWER_SECONDS = 10
# The states in which SageMaker's managed MLflow answers; the other states of its two kinds are of changes and failures.
_SERVING = ("Created", "Updated", "Started", "MaintenanceComplete")

State = Literal["ok", "note", "fails"]
_STYLES: dict[State, str] = {"ok": "green", "note": "yellow", "fails": "red"}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        subject: What was checked.
        state: ``fails`` means that the mode cannot run; ``note`` is about something that the mode does not need.
        text: What was found.
        fix: The command that fixes it.
    """

    subject: str
    state: State
    text: str
    fix: str | None = None


def examine(composed: Composed, console: Console) -> int:
    """Check everything, print a line for each check, and return 0, or 1 if the mode cannot run here."""
    mode = composed.config.mode
    root = root_folder(composed.config)
    uri = store_uri(composed.config.mlflow.uri, root)
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _packages,
        _machine,
        lambda: _folders([root, studies_folder(composed.config)]),
        lambda: _store(uri),
        lambda: _docker(needed=mode.runs_jobs and mode.account is None),
    ]
    if mode.account is not None:
        checks.append(functools.partial(_account, mode.account))
    failed = False
    for check in checks:
        for finding in check():
            failed = failed or finding.state == "fails"
            console.print(_line(finding), soft_wrap=True)
    print_plain(console, f"\nmode={mode.name} {'cannot run yet: fix what fails above' if failed else 'can run'}.")
    return 1 if failed else 0


def _line(finding: Finding) -> Text:
    text = Text(f"{finding.state:<6}", style=_STYLES[finding.state])
    text.append(f"{finding.subject:<14} ", style="bold")
    text.append(finding.text, style="default")
    if finding.fix is not None:
        text.append(f"\n{'':<21} {finding.fix}", style="cyan")
    return text


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        yield Finding("Python", "ok", f"{version} ({sys.executable})")
    else:
        yield Finding("Python", "fails", f"{version} is older than 3.11", "python3.11 -m venv .venv")


def _packages() -> Iterator[Finding]:
    for file in REQUIREMENT_FILES:
        good = []
        for requirement in _requirements(PROJECT / file):
            name, needed = requirement.name, requirement.specifier
            found = library_version(name)
            fix = shlex.join([sys.executable, "-m", "pip", "install", str(requirement)])
            if found is None:
                yield Finding(name, "fails", "is not installed", fix)
            elif not needed.contains(found, prereleases=True):
                yield Finding(name, "fails", f"{found} is installed, {needed} is needed ({file})", fix)
            else:
                good.append(f"{name} {found}")
        yield Finding("packages", "ok", ", ".join(good))


def _requirements(file: Path) -> Iterator[Requirement]:
    for line in file.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text:
            yield Requirement(text)


def _machine() -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    cores = available_cores()
    yield Finding("cores", "ok", f"{cores} for this process, of {psutil.cpu_count()}")
    if free < LITTLE_MEMORY_GB:
        yield Finding(
            "memory",
            "note",
            f"{free:.1f} GB free: parallel trials may not fit",
            f"{COMMAND} mode=local search.parallel=1",
        )
    else:
        yield Finding("memory", "ok", f"{free:.1f} GB free")


def _folders(folders: list[Path]) -> Iterator[Finding]:
    for folder in folders:
        try:
            check_folder(folder)
        except InputError as error:
            yield Finding("folder", "fails", str(error), f"df -h {folder}; ls -ld {folder}")
        else:
            existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
            free = shutil.disk_usage(existing).free / 2**30
            yield Finding("folder", "ok", f"{folder.absolute()} can be written, {free:.1f} GB free")


def _store(uri: str) -> Iterator[Finding]:
    path = store_file(uri)
    if path is None:
        yield _server(uri)
        return
    if not path.exists():
        yield Finding("MLflow store", "ok", f"{path} will be created by the first study")
        return
    fault = store_fault(path)
    if fault is not None:
        yield Finding("MLflow store", "fails", f"{path} {fault}", shlex.join(["mv", str(path), f"{path}.broken"]))
    else:
        yield Finding("MLflow store", "ok", f"{path} can be written")


def _managed_server(arn: str) -> Finding:
    """Check that SageMaker's managed MLflow runs, and that this machine's MLflow can use it."""
    from experiments.aws.managed_mlflow import find_server

    try:
        server = find_server(arn)
    except InputError as error:
        return Finding("MLflow store", "fails", str(error))
    ours = library_version("mlflow") or "0"  # it is installed, as a requirement
    if server.status not in _SERVING:
        region, name = arn.split(":")[3], arn.rpartition("/")[2]
        start = f"aws sagemaker start-mlflow-tracking-server --region {region} --tracking-server-name {name}"
        return Finding("MLflow store", "fails", f"{arn} is {server.status}", start)
    if int(server.version.partition(".")[0]) < int(ours.partition(".")[0]):
        # A client of MLflow 3 logs models by requests that a server of MLflow 2 does not know.
        text = f"{arn} has MLflow {server.version}, which is too old for MLflow {ours} here"
        return Finding("MLflow store", "fails", text, "create a tracking server or an app with MLflow 3")
    return Finding("MLflow store", "ok", f"{arn}: MLflow {server.version}")


def _server(uri: str) -> Finding:
    """Check that a tracking server answers; a database is not checked, because only MLflow can open it."""
    if is_managed(uri):
        return _managed_server(uri)
    if not uri.startswith("http"):
        return Finding(
            "MLflow store", "note", f"{masked_value(uri)} is not checked; trials are also recorded in studies/"
        )
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_SECONDS).close()  # noqa: S310  # http, by the if
    except (OSError, ValueError, http.client.HTTPException) as error:  # also for an address that it cannot read
        reason = without_parts(str(getattr(error, "reason", error)), uri)
        return Finding(
            "MLflow store",
            "fails",
            f"{masked_value(uri)} does not answer: {reason}",
            "mlflow server  (or correct mlflow.uri)",
        )
    return Finding("MLflow store", "ok", f"{masked_value(uri)} answers")


def _docker(*, needed: bool) -> Iterator[Finding]:
    """Check Docker, which ``mode=sagemaker`` needs."""
    from experiments.docker import engine

    state: State = "fails" if needed else "note"
    without = "" if needed else "; only mode=sagemaker needs it"
    try:
        client = engine.connect()
    except BackendUnavailable as error:
        installed = shutil.which("docker") is not None
        text = f"is {'installed, but its engine does not answer' if installed else 'not on the PATH'}{without}"
        yield Finding("Docker", state, text, engine.START if installed else engine.INSTALL)
        if needed and installed:
            yield Finding("Docker", "note", str(error))
        return
    with closing(client):
        info = client.info()
        yield Finding("Docker", "ok", f"engine {info['ServerVersion']}")
        yield from _engine(info, state)
    compose = engine.compose_version()
    if compose is None:
        yield Finding("compose", state, f"Docker's compose is not installed{without}", engine.INSTALL_COMPOSE)
    else:
        yield Finding("compose", "ok", compose)
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            yield Finding("port", "ok", f"there are free ports on 127.0.0.1, such as {probe.getsockname()[1]}")
    except OSError as error:
        yield Finding(
            "port", state, f"there are no free ports on 127.0.0.1: {error.strerror}", "ss -ltn  (lists the used ports)"
        )


def _account(mode: RemoteModeConfig) -> Iterator[Finding]:
    """Check the AWS account, which ``mode=remote`` needs."""
    from experiments.aws.account import NotChecked
    from experiments.aws.preflight import check_bucket, check_image, check_role
    from experiments.aws.settings import remote_settings

    try:
        settings = remote_settings(mode, "")
    except InputError as error:
        yield Finding("AWS settings", "fails", str(error))
        return
    yield Finding("AWS settings", "ok", f"{settings.instance_type} in {settings.account.region}")
    try:
        yield Finding("credentials", "ok", f"account {settings.account.identity()}")
    except InputError as error:
        yield Finding("credentials", "fails", str(error))
        return
    for subject, text, check in (
        ("bucket", settings.bucket, check_bucket),
        ("role", settings.role, check_role),
        ("image", settings.image, check_image),
    ):
        try:
            check(settings)
        except NotChecked as error:
            yield Finding(subject, "fails" if subject == "bucket" else "note", str(error))
        except InputError as error:
            yield Finding(subject, "fails", str(error))
        else:
            yield Finding(subject, "ok", text)


def _engine(info: Mapping[str, Any], state: State) -> Iterator[Finding]:
    """Compare the engine's architecture with this machine's, and check its disk."""
    there, here = str(info["Architecture"]), platform.machine()
    if _ARCHITECTURES.get(there, there) == _ARCHITECTURES.get(here, here):
        yield Finding("architecture", "ok", there)
    else:
        text = f"the engine is {there} and this machine is {here}: containers would be emulated and slow"
        yield Finding(
            "architecture",
            "note",
            text,
            "docker context ls  (then docker context use)",
        )
    root = Path(str(info["DockerRootDir"]))
    if not root.exists():  # the engine is in a virtual machine or on another machine
        return
    free = shutil.disk_usage(root).free / 2**30
    if free < LITTLE_DISK_GB:
        yield Finding(
            "Docker's disk", state, f"{free:.1f} GB free, but the image needs {LITTLE_DISK_GB:g}", "docker system prune"
        )
    else:
        yield Finding("Docker's disk", "ok", f"{free:.1f} GB free at {root}")
