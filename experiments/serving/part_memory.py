"""The memory that some members of a model need to answer the largest request to a serverless endpoint, measured.

They answer it in a process of their own, by the code and through the functions that a server calls. A server has some
more: its rehearsal (``serving.rehearsal``) measures a container, and takes a bundle and a minute for each model.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensemble.bundle import read_manifest
from ensemble.bundle_files import MANIFEST
from ensemble.serving.selected import INTERVAL, OUTPUT
from experiments.serving.example import largest_body

PROGRAM = Path(__file__).with_name("answer_once.py")
# What a server may have more than the process that is measured: its own modules, and its first process.
SERVER_BYTES = 64 * 2**20


def part_bytes(bundle: Path, members: Sequence[str], models: int) -> int | None:
    """Return the peak memory in which a part of a model answers the largest request.

    Args:
        bundle: The model.
        members: The names of the members of the part.
        models: How many models of each of them it has.

    Returns:
        Bytes; None if the process did not end as it should.
    """
    manifest = read_manifest(bundle)
    with tempfile.TemporaryDirectory() as folder:
        part, body = Path(folder) / "model", Path(folder) / "body.csv"
        _write_part(bundle, part, manifest, members, models)
        body.write_bytes(largest_body(manifest)[0])
        environ = {name: value for name, value in os.environ.items() if name not in (OUTPUT, INTERVAL)}
        command = [sys.executable, "-I", str(PROGRAM), str(part), str(body)]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    last = ended.stdout.strip().rpartition("\n")[2]
    return int(last) if ended.returncode == 0 and last.isdecimal() else None


def _write_part(bundle: Path, part: Path, manifest: Mapping[str, Any], members: Sequence[str], models: int) -> None:
    """Write the bundle of some members, whose example has the predictions of all."""
    kept, weights, dropped = [], [], set()
    for member, weight in zip(manifest["members"], manifest["blend"]["weights"], strict=True):
        files = member["files"][:models] if member["name"] in members else []
        dropped.update(set(member["files"]) - set(files))
        if files:
            kept.append({**member, "files": files})
            weights.append(weight)
    for name in manifest["files"]:
        if name not in dropped:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, part / name)
    written = {
        **manifest,
        "members": kept,
        "blend": {**manifest["blend"], "weights": weights},
        "weights": {member["name"]: weight for member, weight in zip(kept, weights, strict=True)},
        "files": {name: digest for name, digest in manifest["files"].items() if name not in dropped},
    }
    (part / MANIFEST).write_text(json.dumps(written))
