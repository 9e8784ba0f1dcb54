"""A Gaussian process as a member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ensemble.classes import ALL_TASKS
from ensemble.members.scikit import ScikitMember
from ensemble.parameters import Parameter, ParamValue, integer


class GaussianProcess(ScikitMember):
    """A Gaussian process with a Matern 5/2 covariance and a length scale for each feature, on standardised features.

    It is the best member where the target is a smooth function of few features. The time of a fit grows with the cube
    of the number of rows, up to ``max_rows``; of a larger table it uses random rows. Classes have a process each, of
    whether a row has the class.

    Source: C. Rasmussen and C. Williams, "Gaussian Processes for Machine Learning", MIT Press 2006.
    """

    kind = "gaussian_process"
    tasks = ALL_TASKS
    scaled = True
    target_scaled = True
    parameters: ClassVar[dict[str, Parameter]] = {
        "max_rows": integer(2, 20_000),
        "tuned_rows": integer(2, 5_000),
        "max_iter": integer(1),
    }
    # Twenty more steps take as much time again, and the error is the same.
    defaults: ClassVar[dict[str, ParamValue]] = {"max_rows": 3_000, "tuned_rows": 500, "max_iter": 20}
    # The calibration of probabilities inverts the covariance of all rows. More steps find scales at which the process
    # passes through every label.
    class_defaults: ClassVar[dict[str, ParamValue]] = {"max_rows": 2_000, "max_iter": 15}

    def build(self) -> Any:
        """Return the regressor or classifier."""
        from ensemble.members.matern_classes import MaternClasses
        from ensemble.members.matern_regression import MaternRegression

        if self.classes:
            return MaternClasses(**self.params, seed=self.seed)  # type: ignore[arg-type]
        return MaternRegression(**self.params, seed=self.seed)  # type: ignore[arg-type]

    def fit_arguments(self, steps: Mapping[str, Any]) -> dict[str, Any]:
        """Return the group of each prepared column: the columns of one category share a length scale."""
        places = self.places(steps["preparation"]).tolist()
        groups = {place: number for number, place in enumerate(dict.fromkeys(places))}
        return {"groups": [groups[place] for place in places]}

    @classmethod
    def seconds(cls, rows: int, columns: int, params: Mapping[str, ParamValue], classes: int = 0) -> float:
        """Estimate the seconds that ``fit`` and the prediction of a fold take on one core."""
        tuned = min(rows, cls.number("tuned_rows", params, 500, classes))
        used = min(rows, cls.number("max_rows", params, 3_000, classes))
        steps = cls.number("max_iter", params, 20, classes)
        inverse = 8e-11 * used**3 if classes else 0.0
        return steps * (7e-8 * tuned**2 + 7e-11 * tuned**3) + 4e-11 * used**3 + 5e-9 * used * rows + inverse
