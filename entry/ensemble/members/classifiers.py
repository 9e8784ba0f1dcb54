"""Members that predict classes only."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from ensemble.arrays import Floats
from ensemble.classes import CLASS_TASKS
from ensemble.members.probabilities import softmax
from ensemble.members.scikit import ScikitMember, SupportVectors, linear_scores
from ensemble.parameters import Parameter, ParamValue, boolean, integer, real


class Linear(ScikitMember):
    """Logistic regression with an L2 penalty on standardised features, missing values set to the median.

    Source: D. R. Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B 20,
    215-242, 1958; for several classes, the multinomial model.
    """

    kind = "linear"
    tasks = CLASS_TASKS
    scaled = True
    seeded = False
    parameters: ClassVar[dict[str, Parameter]] = {
        "C": real(0, low_open=True),
        "fit_intercept": boolean(),
        "max_iter": integer(1),
        "tol": real(0, low_open=True),
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"max_iter": 1000}

    def build(self) -> Any:
        """Return the linear model."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(**self.params)

    def fit(self, features: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Fit for at most ``max_iter`` steps, without a warning if it stops there."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(features, target, weights)

    def probabilities(self, classifier: Any, prepared: Floats) -> Floats:
        """Predict column by column: a matrix product may add up one row in a different order than many rows."""
        scores = linear_scores(classifier, prepared)
        return softmax(scores[:, 0] if scores.shape[1] == 1 else scores)

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core."""
        return 2e-7 * rows * columns * max(classes - 1, 1)


class SupportVectorClasses(ScikitMember):
    """A support vector machine for each pair of classes, on standardised features, with calibrated probabilities.

    Source: C. Cortes and V. Vapnik, "Support-vector networks", Machine Learning 20, 273-297, 1995. The time of a fit
    grows with the square of the number of rows.
    """

    kind = "svc"
    tasks = CLASS_TASKS
    scaled = True
    seeded = False
    parameters: ClassVar[dict[str, Parameter]] = {
        name: declared for name, declared in SupportVectors.parameters.items() if name != "epsilon"
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"max_iter": SupportVectors.defaults["max_iter"]}

    def build(self) -> Any:
        """Return the classifier."""
        from ensemble.members.calibrated_vectors import CalibratedVectors

        return CalibratedVectors(dict(self.params))

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` takes on one core: of all rows, and of four fifths five times."""
        return 5e-7 * rows**2 + 1e-4 * classes**2
