"""The image is named by what goes into it."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from experiments.docker.engine import LABEL, connect
from experiments.docker.image import ImageSpec, build_image, image_exists, image_spec
from experiments.errors import BackendUnavailable, ConfigError
from tests.support.docker import require_image

BASE = "python:3.12-slim-bookworm"


def test_the_name_is_the_same_until_something_in_it_changes(tmp_path: Path) -> None:
    requirements = tmp_path / "more.txt"
    requirements.write_text("six==1.16.0\n")
    spec = image_spec(BASE, None)
    tags = [spec.tag, image_spec("python:3.11-slim-bookworm", None).tag, image_spec(BASE, requirements).tag]
    tags += [ImageSpec(BASE, {**spec.files, name: content + b"#"}).tag for name, content in spec.files.items()]
    assert len(set(tags)) == len(tags)
    assert all(re.fullmatch(r"byoe:[0-9a-f]{12}", tag) for tag in tags)
    assert image_spec(BASE, None).tag == spec.tag


def test_the_image_has_the_pins_of_the_entry_script_without_the_gpu() -> None:
    pins = image_spec(BASE, None).files["requirements.txt"].decode()
    entry = (Path(__file__).resolve().parents[3] / "entry" / "requirements.txt").read_text()
    assert pins.startswith(entry.replace("xgboost==", "xgboost-cpu=="))
    assert "\nxgboost-cpu==" in pins
    assert re.search(r"^sagemaker-training==", pins, re.MULTILINE)


@pytest.mark.parametrize(("base", "file", "message"), [("", None, "mode.image.base"), (BASE, "none.txt", "none.txt")])
def test_an_unusable_base_or_requirements_file_is_named(base: str, file: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        image_spec(base, None if file is None else Path(file))


@pytest.mark.docker
@pytest.mark.timeout(600)
class TestBuild:
    def test_the_image_exists_and_is_small(self) -> None:
        spec = require_image()
        with closing(connect()) as client:
            assert image_exists(client, spec)
            assert not image_exists(client, ImageSpec(spec.base, {"Dockerfile": b"FROM scratch"}))
            assert client.images.get(spec.tag).attrs["Size"] < 900e6
            assert client.images.get(spec.tag).labels[LABEL] == "image"

    def test_a_users_packages_are_in_it_and_a_failing_step_shows_its_last_lines(self, tmp_path: Path) -> None:
        base = require_image().tag
        files = {
            "Dockerfile": b"ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nLABEL byoe=image\nCOPY note.txt /note.txt\n",
            "note.txt": b"x",
        }
        spec = ImageSpec(base, files)
        printed: list[str] = []
        with closing(connect()) as client:
            build_image(client, spec, printed.append)
            try:
                assert any("COPY note.txt" in line for line in printed)
            finally:
                client.images.remove(spec.tag)
            broken = ImageSpec(
                base,
                {
                    "Dockerfile": files["Dockerfile"] + b"RUN echo first && echo no luck >&2 && exit 9\n",
                    "note.txt": b"x",
                },
            )
            with pytest.raises(BackendUnavailable) as failed:
                build_image(client, broken, printed.append)
            text = str(failed.value)
            assert "RUN echo first" in text
            # The engine promises no order between standard output and standard error.
            assert {"  first", "  no luck"} <= set(text.splitlines())
            assert not image_exists(client, broken)
            assert client.images.list(filters={"dangling": True, "label": LABEL}) == []
