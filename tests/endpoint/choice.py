"""The endpoint that ``--endpoint`` selects."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tests.endpoint.bridge import SageMakerEndpoint

PROCESS = "process"


@dataclass(frozen=True)
class Choice:
    """An endpoint to test.

    Attributes:
        name: ``process``, an endpoint's name or a URL.
        url: Where it answers; None for one that is still to be started.
        model_dir: Its unpacked bundle; None for one that is still to be trained.
        why: Why it was chosen, for the header of the report.
        sagemaker: The endpoint, if it is on SageMaker; ``url`` is None then.
    """

    name: str
    url: str | None
    model_dir: Path | None
    why: str
    sagemaker: SageMakerEndpoint | None = None


def choose(option: str) -> Choice:
    """Return the endpoint that the option selects.

    Raises:
        LookupError: There is no record of that name; the message names the folder that was searched.
    """
    if option == PROCESS:
        return Choice(option, None, None, "trained and started by the tests; another by --endpoint=local|<name>|<url>")
    folder = Path(os.environ.get("BYOE_ENDPOINTS", "endpoints")).absolute()
    if option.startswith("http://"):
        return _at(option.rstrip("/"), folder)
    path, elsewhere = folder / option / "current.json", folder / "_cloud" / option / "record.json"
    try:
        if not path.exists() and elsewhere.exists():
            record = json.loads(elsewhere.read_text())
            sagemaker = SageMakerEndpoint(
                record["endpoint"], record["region"], record["profile"], record["bundle_hash"]
            )
            return Choice(option, None, Path(record["model_dir"]), f"SageMaker, by {elsewhere}", sagemaker)
        record = json.loads(path.read_text())
        return Choice(option, record["url"].rstrip("/"), Path(record["model_dir"]), f"{record['url']}, by {path}")
    except FileNotFoundError:
        raise LookupError(f"--endpoint={option}: there is no {path}; BYOE_ENDPOINTS names another folder.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LookupError(f"--endpoint={option}: {path} is not a record of an endpoint: {error!r}.") from None


def _at(url: str, folder: Path) -> Choice:
    """Return the endpoint at an address; its bundle is in BYOE_MODEL_DIR or in its record."""
    bundle = os.environ.get("BYOE_MODEL_DIR")
    if bundle:
        return Choice(url, url, Path(bundle), f"bundle in {bundle}, by BYOE_MODEL_DIR")
    for path in folder.glob("*/current.json"):
        record = json.loads(path.read_text())
        if record.get("url") == url:
            return Choice(url, url, Path(record["model_dir"]), f"by {path}")
    raise LookupError(
        f"--endpoint={url}: which model is it? BYOE_MODEL_DIR=<folder of its bundle> says so; no record in {folder} has "
        "this address."
    )
