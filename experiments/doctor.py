"""``action=doctor``: what works on this machine, what does not, and the command that mends it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from rich.console import Console
from rich.text import Text

from ensemble.errors import InputError
from ensemble.versions import library_version
from experiments.config import Composed
from experiments.planning import available_cores
from experiments.preflight import check_folder
from experiments.tracking_store import store_fault, store_file, store_uri

PROJECT = Path(__file__).resolve().parent.parent
REQUIREMENT_FILES = ("entry/requirements.txt", "experiments/requirements.txt")
OLDEST_PYTHON = (3, 11)
LITTLE_MEMORY_GB = 2.0
_ANSWER_SECONDS = 10

State = Literal["ok", "note", "fails"]
_STYLES: dict[State, str] = {"ok": "green", "note": "yellow", "fails": "red"}


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        subject: What was looked at.
        state: ``fails`` means that ``mode=local`` will not run; ``note`` is about something that it does not need.
        text: What was found.
        mend: The command that mends it.
    """

    subject: str
    state: State
    text: str
    mend: str | None = None


def examine(composed: Composed, console: Console) -> int:
    """Look at everything, print a line each, and return 0, or 1 if ``mode=local`` cannot run here."""
    root = Path(composed.config.paths.root).expanduser()
    uri = store_uri(composed.config.mlflow.uri, root)
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _packages,
        _machine,
        lambda: _folders([root, Path(composed.config.paths.studies).expanduser()]),
        lambda: _store(uri),
        _docker,
    ]
    failed = False
    for check in checks:
        for finding in check():
            failed = failed or finding.state == "fails"
            console.print(_line(finding), soft_wrap=True)
    console.print("\nmode=local cannot run yet: see above." if failed else "\nmode=local can run.", highlight=False)
    return 1 if failed else 0


def _line(finding: Finding) -> Text:
    text = Text(f"{finding.state:<6}", style=_STYLES[finding.state])
    text.append(f"{finding.subject:<14} ", style="bold")
    text.append(finding.text, style="default")
    if finding.mend is not None:
        text.append(f"\n{'':<21} {finding.mend}", style="cyan")
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
            name, wanted = requirement.name, requirement.specifier
            found = library_version(name)
            mend = f"{sys.executable} -m pip install '{requirement}'"
            if found is None:
                yield Finding(name, "fails", "is not installed", mend)
            elif not wanted.contains(found, prereleases=True):
                yield Finding(name, "fails", f"{found} is installed, {wanted} is wanted ({file})", mend)
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
            "python run.py mode=local search.parallel=1",
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
        yield Finding("MLflow store", "ok", f"{path} will be made by the first study")
        return
    fault = store_fault(path)
    if fault is not None:
        yield Finding("MLflow store", "fails", f"{path} {fault}", f"mv {path} {path}.broken")
    else:
        yield Finding("MLflow store", "ok", f"{path} can be written")


def _server(uri: str) -> Finding:
    """Ask a server whether it is there; a database is left to MLflow."""
    if not uri.startswith("http"):
        return Finding("MLflow store", "note", f"{uri} is used as it is; trials are also kept in studies/")
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_SECONDS).close()  # noqa: S310  # http, by the if
    except OSError as error:
        reason = getattr(error, "reason", error)
        return Finding(
            "MLflow store", "fails", f"{uri} does not answer: {reason}", "mlflow server  (or correct mlflow.uri)"
        )
    return Finding("MLflow store", "ok", f"{uri} answers")


def _docker() -> Iterator[Finding]:
    """Docker is for ``mode=sagemaker``; ``mode=local`` does without."""
    if shutil.which("docker") is None:
        yield Finding(
            "Docker",
            "note",
            "is not installed; mode=local does without",
            "see https://docs.docker.com/engine/install/",
        )
        return
    server = _answer(["docker", "version", "--format", "{{.Server.Version}}"])
    if server is None:
        yield Finding(
            "Docker",
            "note",
            "is installed, and its engine does not answer; mode=local does without",
            "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker",
        )
        return
    yield Finding("Docker", "ok", f"engine {server}")
    compose = _answer(["docker", "compose", "version", "--short"]) or _answer(["docker-compose", "version", "--short"])
    if compose is None:
        yield Finding(
            "compose", "note", "Docker's compose is not installed", "see https://docs.docker.com/compose/install/"
        )
    else:
        yield Finding("compose", "ok", compose)


def _answer(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
