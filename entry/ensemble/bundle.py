"""Bundles: a saved ensemble as one file per model, and ``manifest.json``, which describes and verifies them."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.blending import Blend
from ensemble.bundle_code import write_code
from ensemble.bundle_files import (
    BUNDLE_VERSION,
    CODE,
    COMPLETE,
    MANIFEST,
    MEMBERS,
    DamagedBundle,
    read_manifest_file,
    sha256,
    verify_files,
)
from ensemble.decision import HALF, Decision
from ensemble.errors import BundleError, EnsembleError, MemberError
from ensemble.evaluation import finite
from ensemble.intervals import Intervals
from ensemble.listed_code import check_listed
from ensemble.manifest import fault
from ensemble.members import Member, member_class
from ensemble.recipe import MemberSpec, Recipe
from ensemble.sketch import SKETCH, Sketch, read_sketch, sketch, write_sketch
from ensemble.table import Column, Table
from ensemble.training import FittedEnsemble, Training, classes_argument
from ensemble.versions import library_version, pin, runtime_versions, unreadable

EXAMPLE_ROWS = 5
# The file of the intervals, if the ensemble has any.
INTERVALS = "intervals.npz"
# The accepted relative difference of predictions for the example from those in training. Members predict the same bits
# on any machine, except scikit-learn's members that multiply matrices, and probabilities: the last bit of NumPy's
# exponential depends on the processor. That of ``ensemble.elementary`` does not, but took 17 times as long.
EXAMPLE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Bundle:
    """A loaded ensemble.

    Attributes:
        ensemble: The fitted members and their blend.
        manifest: The contents of ``manifest.json``.
        content_hash: Its ``bundle_hash``.
        sketch: What the rows were like that it learnt from; None in a bundle of an earlier version.
    """

    ensemble: FittedEnsemble
    manifest: Mapping[str, Any]
    content_hash: str
    sketch: Sketch | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The features that ``predict`` takes, in order, and how each is coded."""
        return tuple(Column.from_dict(column) for column in self.manifest["columns"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the classes, in the order of their probabilities; empty for a quantity."""
        return tuple(self.manifest.get("classes", ()))

    @property
    def positive(self) -> str | None:
        """The positive class of two; None unless there are two."""
        found: str | None = self.manifest.get("positive")
        return found

    @property
    def threshold(self) -> float | None:
        """The probability from which a row gets the positive label, as in ``Decision``; None unless two classes."""
        found: float | None = self.manifest.get("threshold")
        return found

    @property
    def members(self) -> list[str]:
        """Member names, in the order of ``predict_members``' columns."""
        return list(self.ensemble.models)

    def example(self) -> tuple[Floats, Floats]:
        """Return rows of the training data and what the ensemble predicted for them when it was trained.

        Returns:
            Features, shape (rows, columns), NaN where missing, and predictions, shape (rows,), in the target's unit, or
            (rows, classes). Both are float64 and have at most ``EXAMPLE_ROWS`` rows.
        """
        example = self.manifest["example"]
        return np.array(example["features"], dtype=np.float64), np.array(example["predictions"], dtype=np.float64)


def save_bundle(
    folder: Path, recipe: Recipe, training: Training, train: Table, data_hash: str, code: Sequence[Path] = ()
) -> None:
    """Write a bundle into ``folder`` and replace the one that is there.

    The manifest is written last, so that an incomplete bundle does not have one. ``code/`` has everything that serving
    needs besides libraries: the inference script, this package, the user's own packages, and a ``requirements.txt``.

    Args:
        folder: Created if missing. Its contents are replaced, but not the folder itself, which may be a mount.
        recipe: What was trained.
        training: The result.
        train: The rows on which it was trained.
        data_hash: Content hash of these rows.
        code: Further folders whose packages and modules are copied into ``code/``.

    Raises:
        EnsembleError: A member cannot be saved without pickle, or cannot be loaded again.
        InputError: One of the user's modules has the name of a module that is already in ``code/``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / INTERVALS).unlink(missing_ok=True)
    for part in COMPLETE:
        shutil.rmtree(folder / part, ignore_errors=True)
    files: dict[str, str] = {}
    members = []
    for spec in recipe.members:
        names = []
        saved = _saved_files(training, spec.name)
        for number, model in enumerate(training.ensemble.models[spec.name]):
            part = f"fold_{number}" if recipe.final == "bag" else "all_rows"
            name = f"{MEMBERS}/{spec.name}/{part}{model.suffix}"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if saved:
                shutil.copyfile(saved[number], path)
            else:
                model.save(path)
                _check_saved(spec, model, path, train)
            files[name] = sha256(path)
            names.append(name)
        members.append({"name": spec.name, "kind": spec.kind, "params": dict(spec.params), "files": names})
    versions = runtime_versions()
    libraries = {name for spec in recipe.members for name in member_class(spec.kind, "members").libraries}
    installed = {library: library_version(library) for library in libraries}
    versions |= {library: version or "unknown" for library, version in installed.items()}
    write_code(
        folder / CODE,
        code,
        versions,
        filter(installed.get, libraries),
        [spec.kind for spec in recipe.members if ":" in spec.kind],
    )
    found = sketch(train, training.out_of_fold, training.ensemble.blend.weights)
    write_sketch(folder / SKETCH, found)
    files[SKETCH] = sha256(folder / SKETCH)
    files |= {
        str(path.relative_to(folder)): sha256(path) for path in sorted((folder / CODE).rglob("*")) if path.is_file()
    }
    if training.ensemble.intervals is not None:
        np.savez_compressed(folder / INTERVALS, allow_pickle=False, **training.ensemble.intervals.as_arrays())
        files[INTERVALS] = sha256(folder / INTERVALS)
    rows = np.asarray(train.features[:EXAMPLE_ROWS])
    manifest = {
        "bundle_version": BUNDLE_VERSION,
        "members": members,
        "blend": {"kind": recipe.blend, **training.ensemble.blend.as_dict()},
        "weights": training.ensemble.weights,
        "rounds": training.rounds,
        "final": recipe.final,
        "folds": asdict(recipe.folds),
        "seed": recipe.seed,
        "columns": [
            replace(column, optional=gaps).as_dict() for column, gaps in zip(train.columns, _gaps(train), strict=True)
        ],
        "target": train.target_name,
        **_of_classes(train, training.ensemble),
        "rows": train.rows,
        "data_hash": data_hash,
        "recipe_hash": recipe.fingerprint(),
        "metrics": finite(training.metrics),
        "versions": versions,
        "example": {
            "features": [[None if np.isnan(value) else float(value) for value in row] for row in rows],
            "predictions": training.ensemble.predict(rows).tolist(),
        },
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _saved_files(training: Training, member: str) -> tuple[Path, ...]:
    """Return the files of another bundle that hold a member's models; none if its models are new."""
    fit, models = training.fits.get(member), training.ensemble.models[member]
    if fit is None or len(fit.models) != len(models):
        return ()
    same = all(one is other for one, other in zip(models, fit.models, strict=True))
    return fit.files if same else ()


def _of_classes(train: Table, ensemble: FittedEnsemble) -> dict[str, Any]:
    """Return what a manifest has for classes only."""
    written = train.classes_as_dict()
    if ensemble.decision is not None and ensemble.decision.positive is not None:
        written["threshold"] = ensemble.decision.threshold
    if ensemble.class_weights:
        written["class_weights"] = list(ensemble.class_weights)
    return written


def _gaps(train: Table) -> list[bool]:
    """Return for each column whether a value is missing in it."""
    return [bool(np.isnan(values).any()) for values in train.features.T]


def _check_saved(spec: MemberSpec, model: Member, path: Path, train: Table) -> None:
    """Raise MemberError unless the file can be loaded and predicts what the model does."""
    rows = np.asarray(train.features[:EXAMPLE_ROWS])
    try:
        more = classes_argument(train.classes)
        again = type(model).load(path, threads=model.threads, categories=train.categories, **more).predict(rows)
    except Exception as error:  # libraries and the user's own members may raise anything
        raise MemberError(spec.name, f"load of the saved {path.name}", error) from error
    if not np.array_equal(again, model.predict(rows), equal_nan=True):
        raise MemberError(spec.name, f"load of the saved {path.name}", "it predicts other numbers than before")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle, whose files are not verified.

    Raises:
        BundleError: The folder does not hold a bundle, or one of another version, or its manifest is damaged.
    """
    with _damage():
        manifest = read_manifest_file(folder)
    wrong = fault(manifest)
    if wrong is not None:
        raise BundleError(f"{folder / MANIFEST} is damaged: {wrong}. Copy it again or train again.")
    return manifest


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except DamagedBundle as error:
        raise BundleError(str(error)) from None


def bundle_hash(folder: Path) -> str:
    """Return the SHA-256 of a bundle's manifest, which itself has the SHA-256 of every other file."""
    return sha256(folder / MANIFEST)


def load_bundle(
    folder: Path,
    threads: int = 1,
    loading: Callable[[str], None] | None = None,
    members: Collection[str] | None = None,
) -> Bundle:
    """Read and verify a bundle.

    Nothing is imported from it or read by a library before all of it is verified. A library may still crash this
    process on a file that somebody has prepared: load a bundle that you do not trust in a process that may die.

    Args:
        folder: What ``save_bundle`` wrote.
        threads: Threads that a member may use to predict.
        loading: Called with the name of each file before a library reads it.
        members: The members whose models are read, by name; without the others, the ensemble cannot predict. None for
            all.

    Raises:
        BundleError: The folder does not hold a bundle of this version, a file is missing, has changed or is not listed,
            a class is not from its code, or the installed libraries may not read the models as they were saved.
        InputError: A member's kind is unknown, or its class cannot be imported.
    """
    path, manifest = folder / MANIFEST, read_manifest(folder)
    with _damage():
        verify_files(folder, manifest["files"])
    for kind in {member["kind"] for member in manifest["members"] if ":" in member["kind"]}:
        check_listed(kind, folder, manifest["files"])
    kinds = {member["kind"]: member_class(member["kind"], str(path)) for member in manifest["members"]}
    needed = sorted({library for found in kinds.values() for library in found.libraries})
    problems = unreadable(manifest["versions"], needed)
    if problems:
        pins = [pin(name, manifest["versions"].get(name)) for name in needed]
        raise BundleError(
            f"{folder} cannot be trusted with these libraries: {'; '.join(problems)}. "
            f"Install: pip install {shlex.join(pins)}"
        )
    columns = [Column.from_dict(column) for column in manifest["columns"]]
    labels = tuple(manifest.get("classes", ()))
    categories = {place: len(column.levels) for place, column in enumerate(columns) if column.type == "category"}

    def load(kind: str, name: str) -> Member:
        if loading is not None:
            loading(name)
        try:
            return kinds[kind].load(folder / name, threads=threads, categories=categories, **classes_argument(labels))
        except BundleError as error:
            raise BundleError(f"{str(error).rstrip(' (.')}. Copy it again or train again.") from None
        except EnsembleError:
            raise
        except Exception as error:  # a library, or the user's own class, may raise anything
            text = (str(error).strip() or "no message").splitlines()[0]
            raise BundleError(
                f"{folder / name} cannot be read as a {kind} member ({type(error).__name__}: {text}). Copy it again or "
                "train again."
            ) from None

    models = {
        member["name"]: [load(member["kind"], name) for name in member["files"]]
        for member in manifest["members"]
        if members is None or member["name"] in members
    }
    blend = Blend.from_dict(manifest["blend"])
    decision = None
    if labels:
        positive = manifest.get("positive")
        decision = Decision(None if positive is None else labels.index(positive), manifest.get("threshold", HALF))
    intervals = read_intervals(folder, manifest)
    ensemble = FittedEnsemble(models, blend, decision, tuple(manifest.get("class_weights", ())), intervals)
    known = read_sketch(folder / SKETCH, columns) if SKETCH in manifest["files"] else None
    return Bundle(ensemble, manifest, bundle_hash(folder), known)


def read_intervals(folder: Path, manifest: Mapping[str, Any]) -> Intervals | None:
    """Return the intervals of a bundle, None if it was saved without.

    Raises:
        BundleError: They are damaged.
    """
    if INTERVALS not in manifest["files"]:
        return None
    path = folder / INTERVALS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Intervals.from_arrays(dict(arrays), len(manifest["columns"]))
    except Exception as error:  # NumPy raises many types of exception for a broken file
        raise BundleError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Copy it again or train again."
        ) from None
