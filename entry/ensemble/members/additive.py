"""An additive model: a bent line for each feature."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.classes import ALL_TASKS
from ensemble.members.probabilities import softmax
from ensemble.members.scikit import ScikitMember, linear_scores
from ensemble.parameters import Parameter, ParamValue, integer, real

# Of a quantity, the penalty that is best for rows that are left out, by generalised cross-validation.
_ALPHAS = tuple(10.0 ** (half / 2) for half in range(-4, 9))
# Of classes.
_ALPHA = 10.0


class Additive(ScikitMember):
    """A sum of a bent line for each feature, with an L2 penalty.

    Categories and missing values are treated as in the linear models. Of classes, the logarithm of the odds is such a
    sum. ``alpha`` is the penalty; where it is not set, a quantity's is found by generalised cross-validation.

    Source: T. Hastie and R. Tibshirani, "Generalized Additive Models", Statistical Science 1, 297-310, 1986.
    """

    kind = "additive"
    tasks = ALL_TASKS
    scaled = True
    seeded = False
    parameters: ClassVar[dict[str, Parameter]] = {
        "knots": integer(2, 100),
        "alpha": real(0, low_open=True, optional=True),
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"knots": 6}

    def build(self) -> Any:
        """Return the linear model of the hinges."""
        from sklearn.linear_model import LogisticRegression, RidgeCV

        alpha = self.params.get("alpha")
        if self.classes:
            return LogisticRegression(C=1 / float(alpha or _ALPHA), max_iter=1000)
        return RidgeCV(alphas=_ALPHAS if alpha is None else [alpha])

    def of_numbers(self) -> Any:
        """Return the transformer of the numbers, with the hinges."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from ensemble.members.hinges import Hinges

        return make_pipeline(
            *super().of_numbers().named_steps.values(),
            Hinges(int(self.number("knots", self.params, 6))),
            StandardScaler(),
        )

    def places(self, preparation: Any) -> npt.NDArray[np.intp]:
        """Return the position of the column from which each prepared column is made, in their order."""
        places, numbers = super().places(preparation), len(preparation.transformers_[0][2])
        if not numbers:
            return places
        bends = preparation.named_transformers_["numbers"].named_steps["hinges"].bends
        of_numbers = np.repeat(places[:numbers], [1 + len(own) for own in bends])
        return np.concatenate([of_numbers, places[numbers:]])

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Fit the model, without a warning if logistic regression stops early."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(features, target, weights)

    def predict(self, features: Floats) -> Floats:
        """Predict column by column: a matrix product may add up one row in a different order than many rows."""
        if self.classes:
            return super().predict(features)
        return linear_scores(self._regressor(), self._estimator[:-1].transform(features))[:, 0]

    def probabilities(self, classifier: Any, prepared: Floats) -> Floats:
        """Compute probabilities from sums that go column by column, as in ``predict``."""
        scores = linear_scores(classifier, prepared)
        return softmax(scores[:, 0] if scores.shape[1] == 1 else scores)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        prepared = columns * cls.number("knots", params, 6)
        if classes:
            return 3e-7 * rows * prepared * max(classes - 1, 1)
        return 1e-9 * rows * prepared * min(rows, prepared) + 2e-8 * rows * prepared
