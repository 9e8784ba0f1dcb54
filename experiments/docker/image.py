"""The image that trains and serves, tagged with a hash of its contents, so that it is built once."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from experiments.config.paths import user_path
from experiments.config.schema import ImageConfig
from experiments.docker.engine import LABEL
from experiments.errors import BackendUnavailable, ConfigError
from experiments.reporting.console import print_plain
from experiments.study.source_dir import pinned_requirements
from experiments.system.project import PROJECT

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "byoe"
_CONTAINER_FOLDER = PROJECT / "container"
_FILES = (
    "Dockerfile",
    "warm_worker.py",
    "serving/serve.py",
    "serving/worker.py",
    "serving/app.py",
    "serving/bundle_files.py",
)
_LINES_SHOWN = 15
_EMULATION = "Docker Desktop can; on Linux run `docker run --privileged --rm tonistiigi/binfmt --install all`."
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"Step (\d+/\d+) : (.*)")


@dataclass(frozen=True)
class ImageSpec:
    """What an image is built from.

    Attributes:
        base: Reference of the base image, Debian with Python.
        files: The build's files, by name.
        architecture: Docker's name of the architecture to build for; None for the engine's own.
    """

    base: str
    files: Mapping[str, bytes]
    architecture: str | None = None

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of a hash of everything that goes into the image."""
        digest = hashlib.sha256(self.base.encode())
        for name, content in sorted(self.files.items()):
            digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:12]

    @property
    def tag(self) -> str:
        """The image's tag on this machine's engine."""
        return f"{REPOSITORY}:{self.version}" + (f"-{self.architecture}" if self.architecture else "")


def image_spec(base: str, extra_requirements: Path | None) -> ImageSpec:
    """Return byoe's image on ``base``, with the user's own requirements.

    Raises:
        ConfigError: ``base`` is empty, or the requirements file cannot be read.
    """
    if not base:
        raise ConfigError("mode.image.base is empty: set an image with Python on Debian, such as python:3.12-slim.")
    extra = b""
    if extra_requirements is not None:
        try:
            extra = extra_requirements.read_bytes()
        except OSError as error:
            raise ConfigError(f"mode.image.requirements={extra_requirements}: {error.strerror}.") from None
    pins = pinned_requirements() + (_CONTAINER_FOLDER / "requirements.txt").read_text()
    files = {Path(name).name: (_CONTAINER_FOLDER / name).read_bytes() for name in _FILES}
    return ImageSpec(base, {**files, "requirements.txt": pins.encode(), "extra-requirements.txt": extra})


def image_exists(client: DockerClient, spec: ImageSpec) -> bool:
    """Return whether the engine has the image."""
    from docker.errors import ImageNotFound

    with suppress(ImageNotFound):
        client.images.get(spec.tag)
        return True
    return False


def build_image(client: DockerClient, spec: ImageSpec, report: Callable[[str], None]) -> None:
    """Build the image, and call ``report`` with a line for each step.

    Raises:
        BackendUnavailable: A step failed; the message has the last lines of its output.
    """
    from docker.errors import APIError

    step, lines, pending = "the build", deque[str](maxlen=_LINES_SHOWN), ""
    try:
        for event in client.api.build(
            fileobj=_context(spec.files),
            custom_context=True,
            decode=True,
            tag=spec.tag,
            buildargs={"BASE_IMAGE": spec.base},
            platform=f"linux/{spec.architecture}" if spec.architecture else None,
            rm=True,
            forcerm=True,
        ):
            if "error" in event:
                raise _failed(spec, step, [*lines, *filter(str.strip, [pending]), event["error"]])
            # A step's output arrives in pieces, which may end within a line.
            *complete, pending = (pending + _COLOUR.sub("", event.get("stream") or "")).split("\n")
            for line in complete:
                found = _STEP.match(line)
                if found:
                    step = f"step {found.group(1)}, {found.group(2)}"
                    lines.clear()
                elif line.strip():
                    lines.append(line.rstrip())
                report(step if found else f"{step}: {line}")
    except APIError as error:
        raise _failed(spec, step, [*lines, str(error.explanation or error)]) from None
    finally:
        # Stages and failed steps leave images without a tag that are larger than the result.
        client.images.prune({"dangling": True, "label": LABEL})


def _context(files: Mapping[str, bytes]) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    archive.seek(0)
    return archive


def _failed(spec: ImageSpec, step: str, lines: list[Any]) -> BackendUnavailable:
    text = "\n".join(f"  {line}" for line in lines)
    hint = "Check the network connection and mode.image.requirements."
    if "exec format error" in text:
        hint = f"This engine cannot run programs for {spec.architecture or 'another architecture'}. {_EMULATION}"
    if re.search(
        r"pull access denied|manifest .*unknown|not found: manifest|repository .* not found|FROM ", text + step
    ):
        hint = f"mode.image.base={spec.base}: set it to an image that this engine can pull."
    return BackendUnavailable(f"the image could not be built; {step} failed:\n{text}\n{hint}")


def configured_image(image: ImageConfig) -> ImageSpec:
    """Return byoe's image as configured.

    Raises:
        ConfigError: The base is empty, or the requirements file cannot be read.
    """
    return image_spec(image.base, None if image.requirements is None else user_path(image.requirements))


def build_image_if_missing(spec: ImageSpec, client: DockerClient, console: Console) -> None:
    """Build an image unless the engine has it, and show the progress.

    Raises:
        BackendUnavailable: A step of the build failed.
    """
    if image_exists(client, spec):
        return
    print_plain(console, f"building image {spec.tag} on {spec.base}. This happens once and takes minutes.")
    with console.status("building the image") as status:
        build_image(client, spec, lambda text: status.update(text[: max(20, console.width - 10)]))
    size = client.images.get(spec.tag).attrs["Size"] / 1e6
    print_plain(console, f"image {spec.tag}: {size:.0f} MB.")
