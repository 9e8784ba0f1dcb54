"""A loaded bundle that answers requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ensemble.arrays import Floats
from ensemble.bundle import EXAMPLE_TOLERANCE, Bundle, load_bundle
from ensemble.disagreement import Disagreement
from ensemble.errors import BundleError, EnsembleError
from ensemble.intervals import LEVEL, check_intervals
from ensemble.serving.errors import RequestError, first_line
from ensemble.serving.explanation import Explainer
from ensemble.serving.prediction import Prediction
from ensemble.serving.rows import Rows
from ensemble.serving.unseen import Unseen
from ensemble.table import Column


@dataclass(frozen=True)
class Predictor:
    """The model of an endpoint.

    Attributes:
        bundle: The loaded bundle.
        level: The level of the intervals of predictions.
    """

    bundle: Bundle
    level: float = LEVEL

    @classmethod
    def load(cls, folder: Path, threads: int, loading: Callable[[str], None] | None = None) -> Predictor:
        """Read and verify a bundle.

        Args:
            folder: The bundle.
            threads: Threads that a member may use.
            loading: Called with the name of each file before a library reads it.

        Raises:
            BundleError: The bundle cannot be used; the message says why.
        """
        return cls(load_bundle(folder, threads, loading))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The model's features."""
        return self.bundle.columns

    @cached_property
    def disagreement(self) -> Disagreement | None:
        """The members' disagreement, if the bundle has what it was out of fold."""
        known = self.bundle.sketch
        if known is None or known.disagreement is None:
            return None
        return Disagreement.of_blend(self.bundle.ensemble.blend.weights)

    @cached_property
    def explainer(self) -> Explainer:
        """What explains predictions."""
        bundle = self.bundle
        positive = None if bundle.positive is None else bundle.classes.index(bundle.positive)
        return Explainer(bundle.ensemble, self.columns, bundle.sketch, positive, len(bundle.classes))

    def features(self, rows: Rows, unseen: Unseen | None = None) -> Floats:
        """Return the features of a request, shape (rows, columns), float64, NaN where missing.

        Args:
            rows: The request.
            unseen: Counts unknown categories and lacking columns, if it is given.

        Raises:
            RequestError: The rows do not fit the model's columns.
        """
        return rows.features(self.columns, unseen)

    def predict(self, features: Floats) -> Prediction:
        """Return the predictions of blend and members for features of shape (rows, columns)."""
        bundle = self.bundle
        members = bundle.ensemble.predict_members(features)
        blended = bundle.ensemble.blend.predict(members, features)
        return Prediction(
            blended,
            members,
            bundle.members,
            classes=bundle.classes,
            positive=bundle.positive,
            threshold=bundle.threshold,
            features=features,
            intervals=bundle.ensemble.intervals,
            level=self.level,
            apart=self.disagreement,
            usually_apart=0.0 if bundle.sketch is None else bundle.sketch.mean,
            explainer=self.explainer,
        )

    def answer(self, rows: Rows) -> Prediction:
        """Return the predictions for a request, with the numbers of unknown categories and lacking columns.

        Raises:
            RequestError: The rows do not fit the model's columns.
        """
        unseen = Unseen()
        return replace(self.predict(self.features(rows, unseen)), unseen=unseen.counts(), absent=unseen.absent)

    def predict_many(self, requests: Sequence[Rows]) -> list[Prediction | RequestError]:
        """Answer several requests with one call of each member; a request that does not fit fails alone.

        Every member of the registry predicts the same bits for a row among others as for the row alone.

        Returns:
            One prediction or error per request, in order.
        """
        answers: list[Prediction | RequestError | None] = []
        parts: list[Floats] = []
        found: list[Unseen] = []
        for rows in requests:
            try:
                unseen = Unseen()
                parts.append(self.features(rows, unseen))
                found.append(unseen)
                answers.append(None)
            except RequestError as error:
                answers.append(error)
        if parts:
            whole = self.predict(parts[0] if len(parts) == 1 else np.concatenate(parts))
        start, read = 0, iter(zip(parts, found, strict=True))
        for place, answer in enumerate(answers):
            if answer is None:
                part, unseen = next(read)
                stop = start + len(part)
                answers[place] = replace(whole.take(slice(start, stop)), unseen=unseen.counts(), absent=unseen.absent)
                start = stop
        return [answer for answer in answers if answer is not None]

    def check_level(self, level: float, place: str) -> None:
        """Raise InputError unless the model has intervals of this level; ``place`` is where it was given."""
        check_intervals(self.bundle.ensemble.intervals, level, place)

    def check(self) -> None:
        """Predict the bundle's example again.

        Raises:
            BundleError: The predictions differ from those in training by more than ``EXAMPLE_TOLERANCE``, relatively
                or for probabilities absolutely, or a member cannot predict.
        """
        features, expected = self.bundle.example()
        try:
            found = self.predict(features).blended
        except EnsembleError:
            raise
        except Exception as error:  # a library, or the user's own class, may raise anything
            raise BundleError(
                f"the model cannot predict its example ({type(error).__name__}: {first_line(error)}). Copy it again or "
                "train again."
            ) from None
        # A small probability may be the rest of a large one, so its relative difference says little.
        relative, absolute = (0.0, EXAMPLE_TOLERANCE) if self.bundle.classes else (EXAMPLE_TOLERANCE, 0.0)
        differs = ~np.isclose(found, expected, rtol=relative, atol=absolute)
        if differs.any():
            row = int(np.argmax(differs.reshape(len(found), -1).any(axis=1)))
            raise BundleError(
                f"the model predicts {found[row].tolist()!r} for row {row + 1} of its example, but predicted "
                f"{expected[row].tolist()!r} when it was trained: the libraries or the processor's arithmetic differ. "
                "Train it again here."
            )
