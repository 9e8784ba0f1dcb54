"""``byoe.load``, and the model that it returns."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.bundle_files import CODE
from ensemble.intervals import LEVEL, check_level
from ensemble.recipe import BLENDED
from ensemble.serving.errors import RequestError
from ensemble.serving.explanation import CALL
from ensemble.serving.media_types import wrong_detail
from ensemble.serving.rows import Matrix, Rows, Values
from ensemble.serving.unseen import Unseen
from ensemble.threads import one_blas_thread
from experiments.actions.python.frames import columns_to_predict, is_array, is_frame, is_pandas
from experiments.actions.python.unchanged import unchanged
from experiments.config.compose import compose
from experiments.config.keywords import arguments_of
from experiments.errors import ConfigError, brief
from experiments.reporting.markup import html_table, paragraph
from experiments.serving import models
from experiments.study.verdict import score_rows
from experiments.system.files import remove
from experiments.system.machine import available_cores

if TYPE_CHECKING:
    from ensemble.serving.predictor import Predictor

# Import paths are those of the process, also for several threads.
_IMPORT_PATHS = threading.RLock()


def load(where: Any, /, **keys: Any) -> Model:
    """Return a model that predicts.

    A model is a program: load one only if you trust who made it.

    Args:
        where: A study or its name, a folder, a ``model.tar.gz``, an MLflow run, ``name@alias`` or ``s3://...``, as in
            ``model=`` of the command.
        **keys: Further configuration, such as ``paths``, or ``mode="remote"`` with the account for S3.

    Raises:
        ConfigError: There is no such model.
        BundleError: It is not a model that byoe can use.
    """
    from ensemble.serving.predictor import Predictor

    if not isinstance(where, str | os.PathLike):
        raise ConfigError(
            f"where={brief(where)}: give a study or its name, a folder, a model.tar.gz, an MLflow run, name@alias or "
            "s3://..."
        )
    text = os.fspath(where)
    with unchanged():
        composed = compose([*arguments_of({"model": text}), *arguments_of(keys)])
        # The model keeps its files, because a user's own class may read its code later.
        folder = Path(tempfile.mkdtemp(prefix="byoe-"))
        try:
            found = models.place_model(composed, folder)
            with _own_code(found.folder, found.manifest):
                predictor = Predictor.load(found.folder, available_cores())
                with one_blas_thread():
                    predictor.check()
        except BaseException:
            remove(folder)
            raise
    model = Model(predictor, found)
    weakref.finalize(model, remove, folder)
    return model


@contextlib.contextmanager
def _own_code(folder: Path, manifest: Mapping[str, Any]) -> Iterator[None]:
    """Let this process import the user's own classes from a model, without writing into it."""
    if not any(":" in member["kind"] for member in manifest["members"]):
        yield
        return
    with _IMPORT_PATHS:
        paths, writes = list(sys.path), sys.dont_write_bytecode
        sys.path.append(str(folder / CODE))
        sys.dont_write_bytecode = True
        try:
            yield
        finally:
            sys.path[:], sys.dont_write_bytecode = paths, writes


class Model:
    """A trained ensemble. ``load`` and ``Study.model`` return it.

    Attributes:
        origin: Where it is from.
        members: Names of its members, in order.
        columns: Names of its features, in order.
        target: Name of the column that it predicts.
        classes: Labels of the classes, in order; empty if it predicts a number.
        metrics: The scores of its training.
        manifest: The whole record of its training.
    """

    def __init__(self, predictor: Predictor, found: models.Model) -> None:
        manifest = found.manifest
        self._predictor = predictor
        self._folder = found.folder
        self.origin: str = found.origin
        self.manifest: Mapping[str, Any] = manifest
        self.members: tuple[str, ...] = tuple(predictor.bundle.members)
        self.columns: tuple[str, ...] = tuple(column.name for column in predictor.columns)
        self.target: str = manifest["target"]
        self.classes: tuple[str, ...] = tuple(manifest.get("classes", ()))
        self.metrics: Mapping[str, float] = manifest["metrics"]

    def predict(self, frame: Any, detail: str = BLENDED, level: float = LEVEL) -> Any:
        """Return predictions for rows, in their order.

        Unknown categories, and columns that may be lacking and are, are predicted as missing, with a warning.

        Args:
            frame: A DataFrame of pandas, polars or pyarrow, whose columns are found by name and whose other columns are
                ignored, or an array of shape (rows, columns) in the order of ``columns``.
            detail: ``blended``; ``probabilities`` of classes; ``members``, the predictions of each of them too;
                ``interval``, with its ends ``lower`` and ``upper``, or for classes a ``set`` of labels; or
                ``explanation``: ``base`` and for each column ``explanation_<column>``, which add up to the prediction.
            level: The share of targets that intervals and sets hold.

        Returns:
            For ``blended`` an array of shape (rows,): float64, or the labels of classes. Otherwise a DataFrame of
            pandas, with the index of ``frame`` if it is one.

        Raises:
            ConfigError: The rows do not fit the model, or are too many to explain.
            InputError: The model has no interval of this level.
        """
        import numpy as np
        import pandas as pd

        given = detail if isinstance(detail, str) else brief(detail)
        problem = wrong_detail(given, bool(self.classes))
        if problem is not None:
            raise ConfigError(problem)
        check_level(level, "level")
        if detail == "interval":
            self._predictor.check_level(level, "level")
        unseen = Unseen()
        try:
            with _own_code(self._folder, self.manifest), one_blas_thread():
                features = self._predictor.features(self._rows(frame), unseen)
                if detail == "explanation":
                    self._predictor.explainer.check(len(features), CALL)
                predictor = replace(self._predictor, level=level)
                found = predictor.predict(features).table(detail)  # type: ignore[arg-type]  # checked above
        except RequestError as error:
            raise ConfigError(str(error.details["message"])) from None
        for sentence in unseen.sentences(len(features)):
            warnings.warn(sentence, stacklevel=2)
        if detail == BLENDED:
            return np.asarray(next(iter(found.values())))
        return pd.DataFrame(found, index=frame.index if is_pandas(frame) else None)

    def _rows(self, frame: Any) -> Rows:
        import numpy as np

        if is_array(frame):
            if frame.ndim != 2:
                raise ConfigError(f"the rows have the shape {frame.shape}: give an array of shape (rows, columns).")
            if frame.dtype.kind in "fiub":
                return Matrix(np.asarray(frame, dtype=np.float64))
            return Values(None, [list(values) for values in frame.T])
        if not is_frame(frame):
            raise ConfigError(
                f"the rows are a {type(frame).__module__}.{type(frame).__qualname__}: give a DataFrame of pandas or "
                "polars, or an array of shape (rows, columns)."
            )
        return Values(*columns_to_predict(frame, self.columns))

    def __repr__(self) -> str:
        return f"<Model of {self.origin}: {', '.join(self.members)} on {len(self.columns)} columns>"

    def _repr_html_(self) -> str:
        weights = self.manifest["weights"]
        names = score_rows(self.metrics, self.members)
        rows = [(name, "" if name == BLENDED else f"{weights[name]:.3f}", *self._scores(name)) for name in names]
        header = ("", "weight", *(f"{split}_{score}" for split, score in self._shown))
        text = f"{self.origin}: predicts {self.target} from {len(self.columns)} columns; {self.manifest['rows']} rows"
        return f"<div>{paragraph(text, bold=True)}{html_table(header, rows)}</div>"

    @property
    def _shown(self) -> list[tuple[str, str]]:
        pairs = [(split, score) for split in ("cv", "validation", "test") for score in ("rmse", "r2", "logloss", "auc")]
        return [(split, score) for split, score in pairs if f"{split}_{score}_{BLENDED}" in self.metrics]

    def _scores(self, name: str) -> list[str]:
        found = [self.metrics.get(f"{split}_{score}_{name}") for split, score in self._shown]
        return ["" if value is None else f"{value:.6g}" for value in found]
