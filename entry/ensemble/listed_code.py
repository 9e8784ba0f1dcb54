"""The user's own modules in a bundle: a member's class is imported only if its code is what the bundle lists."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from ensemble.bundle_files import CODE, MANIFEST, sha256
from ensemble.errors import BundleError


def check_listed(kind: str, folder: Path, files: Mapping[str, str]) -> None:
    """Check, without an import, that the module of a user's own class is the code that a bundle lists.

    It may be the bundle's own copy or one that is installed here, as where the model was trained, but only with the
    same content: a manifest could name any module of this machine, and to import a module is to run it.

    Args:
        kind: ``module:Class``.
        folder: The bundle.
        files: The SHA-256 of each file of the bundle by its name.

    Raises:
        BundleError: The bundle does not have the module, or another one would be imported.
    """
    module = kind.partition(":")[0]
    top, *rest = module.split(".")
    inside = "/".join([CODE, top, *rest])
    listed = {name for name in (f"{inside}.py", f"{inside}/__init__.py") if name in files}
    if not listed or not all(part.isidentifier() for part in (top, *rest)):
        raise BundleError(
            f"{folder / MANIFEST}: the class {kind!r} is not in the model: it has no {inside}.py. Copy it again or "
            "train again."
        )
    try:
        place = module_path(top)
    except LookupError as error:
        raise BundleError(f"{folder / MANIFEST}: the class {kind!r} cannot be imported: {error}.") from None
    if place is None:
        return  # the import says what is missing
    for name, expected in files.items():
        if name.split("/")[:2] not in ([CODE, top], [CODE, f"{top}.py"]):
            continue
        path = place.parent / name.removeprefix(f"{CODE}/")
        if not path.is_file() or sha256(path) != expected:
            raise BundleError(
                f"{folder / MANIFEST}: the class {kind!r} would be imported from {place}, which is not the code that "
                f"was saved with the model ({name.removeprefix(f'{CODE}/')} differs). Restore it or train again."
            )


def module_path(top: str) -> Path | None:
    """Return the folder of a package or the file of a module that Python would import; None if it finds none.

    Args:
        top: The name, without a dot, so that nothing is imported.

    Raises:
        LookupError: Python would take it from no file.
    """
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:
        raise LookupError(f"the module {top} of this process is not from a file") from None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if not spec.has_location or spec.origin is None:
        raise LookupError(f"the module {top} is a part of Python")
    return Path(spec.origin)
