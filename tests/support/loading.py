"""What a worker process does in tests that load damaged models, which may crash it."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
from pathlib import Path
from typing import Any

# A damaged model may ask for any memory, or never come to an end.
_MOST_BYTES, _MOST_SECONDS = 4 * 2**30, 20


def use_damaged(bundle: str, place: str, name: str, content: str) -> dict[str, Any]:
    """Load a copy of a bundle whose file ``name`` has other content and the hash of it, and predict its example.

    Args:
        bundle: The bundle.
        place: Folder for the copy.
        name: The file.
        content: What it has, in hexadecimal digits.

    Returns:
        ``refused`` with the message, or nothing if the model predicts its example as before.
    """
    from ensemble.errors import EnsembleError
    from ensemble.serving.predictor import Predictor

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, resource.RLIM_INFINITY))
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + _MOST_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    folder = Path(place)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle, folder)
    data = bytes.fromhex(content)
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    try:
        Predictor.load(folder, 1).check()
    except EnsembleError as error:
        return {"refused": str(error)}
    return {}
