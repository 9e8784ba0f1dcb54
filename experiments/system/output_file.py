"""The file that ``output=`` names: where it goes, and whether it can be made, asked before anything is computed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.errors import ConfigError

if TYPE_CHECKING:
    pass


def output_file(text: str, example: str) -> Path:
    """Return the file to write, behind links.

    Args:
        text: What was typed.
        example: A name for such a file, for messages.

    Raises:
        ConfigError: It is a folder, a device or write-protected, or no file can be made in its folder.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        raise ConfigError(f"output={text} is a folder: name a file in it, such as output={path / example}.")
    if not path.parent.is_dir():
        raise ConfigError(f"output={text}: there is no folder {path.parent}. Make it, or name another file.")
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise ConfigError(f"output={text} is no file that can be replaced: name one, such as output={example}.")
    # Replacing a file needs no permission on it, and the superuser has any, so its mode is asked too.
    if path.exists() and not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK)):
        raise ConfigError(f"output={text} is write-protected: name another file, or allow that with chmod +w {path}.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"output={text}: no file can be made in {path.parent} ({reason}). Name another.") from None
    return path


def check_not_input(source: str | None, output: str | None) -> None:
    """Raise ConfigError where predictions would take the place of the rows that they are of."""
    if source in (None, "-") or output is None:
        return
    rows, predictions = (Path(str(text)).expanduser() for text in (source, output))
    if rows.exists() and predictions.exists() and rows.samefile(predictions):
        raise ConfigError(f"output={output} is the input itself: name another file.")
