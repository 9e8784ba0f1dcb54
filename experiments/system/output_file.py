"""The file that ``output=`` names, checked before anything is computed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from experiments.errors import ConfigError


def output_file(text: str, example: str) -> Path:
    """Return the file to write, with links resolved.

    Args:
        text: The value of ``output``.
        example: A name for such a file, for messages.

    Raises:
        ConfigError: It is a folder, a device or write-protected, or its folder cannot be written.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        raise ConfigError(f"output={text} is a folder: name a file in it, such as output={path / example}.")
    if not path.parent.is_dir():
        raise ConfigError(f"output={text}: there is no folder {path.parent}. Create it, or name another file.")
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise ConfigError(f"output={text} is not a regular file: name one, such as output={example}.")
    # Replacing a file needs no permission for the file itself, and root has every one, so the mode decides too.
    if path.exists() and not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK)):
        raise ConfigError(f"output={text} is write-protected: name another file, or run chmod +w {path}.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"output={text}: no file can be created in {path.parent} ({reason}). Name another file."
        ) from None
    return path


def check_not_input(source: str | None, output: str | None) -> None:
    """Raise ConfigError if the predictions would replace the file of the rows."""
    if source in (None, "-") or output is None:
        return
    rows, predictions = (Path(str(text)).expanduser() for text in (source, output))
    if rows.exists() and predictions.exists() and rows.samefile(predictions):
        raise ConfigError(f"output={output} is also the input: name another file.")
