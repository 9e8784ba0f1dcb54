"""scikit-learn regressors, saved by skops with a list of the types that we write and no others."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ensemble.errors import BundleError, listed
from ensemble.members.base import Floats, Member
from ensemble.parameters import Parameter, ParamValue, boolean, choice, integer, real

# What a file may contain besides the types that skops trusts by itself. A file with anything else is refused.
TRUSTED_TYPES: tuple[str, ...] = ("numpy.dtype", "sklearn.tree._tree.Tree")


class ScikitMember(Member):
    """A member that wraps one scikit-learn estimator."""

    suffix = ".skops"
    libraries = ("scikit-learn",)

    _estimator: Any = None

    @abc.abstractmethod
    def build(self) -> Any:
        """Return the unfitted estimator for these parameters."""

    def fit(self, features: Floats, target: Floats) -> None:
        """Fit the estimator, with preparation steps inside it."""
        self._estimator = self.build()
        self._estimator.fit(features, target)
        self._predict_in_order(self._estimator)

    def predict(self, features: Floats) -> Floats:
        """Predict with the estimator."""
        return np.asarray(self._estimator.predict(features), dtype=np.float64)

    def save(self, path: Path) -> None:
        """Write a skops archive."""
        import zipfile

        import skops.io

        skops.io.dump(self._estimator, path, compression=zipfile.ZIP_DEFLATED, compresslevel=1)

    @classmethod
    def load(cls, path: Path, *, threads: int) -> ScikitMember:
        """Read a skops archive that holds nothing but types of ours."""
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        member = cls({}, seed=0, threads=threads)
        try:
            member._estimator = skops.io.load(path, trusted=list(TRUSTED_TYPES))
        except UntrustedTypesFoundException:
            found = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
            raise BundleError(f"{path} holds types that no member of ours writes: {listed(found)}") from None
        except Exception as error:  # skops raises whatever a broken archive runs into
            raise BundleError(f"{path} is not a skops archive: {type(error).__name__}: {error}") from None
        if type(member._estimator) is not type(member.build()):
            raise BundleError(f"{path} holds a {type(member._estimator).__name__}, which is no {cls.kind}.")
        return member

    @staticmethod
    def _predict_in_order(estimator: Any) -> None:
        # A forest with several threads adds up its trees in the order in which they finish, which moves last bits.
        if hasattr(estimator, "n_jobs"):
            estimator.n_jobs = 1


class RandomForest(ScikitMember):
    """Breiman's forest of bootstrapped trees.

    Source: L. Breiman, "Random Forests", Machine Learning 45, 5-32, 2001.
    """

    kind = "random_forest"
    parameters: ClassVar[dict[str, Parameter]] = {
        "n_estimators": integer(1),
        "criterion": choice("squared_error", "absolute_error", "poisson"),
        "max_depth": integer(1, optional=True),
        "min_samples_split": integer(2),
        "min_samples_leaf": integer(1),
        "max_features": real(0, 1, low_open=True),
        "max_leaf_nodes": integer(2, optional=True),
        "min_impurity_decrease": real(0),
        "max_samples": real(0, 1, low_open=True, optional=True),
        "ccp_alpha": real(0),
        "bootstrap": boolean(),
    }
    defaults: ClassVar[dict[str, ParamValue]] = {"n_estimators": 200}

    def build(self) -> Any:
        """Return the forest."""
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(**self.params, random_state=self.seed, n_jobs=self.threads)


class Ridge(ScikitMember):
    """Linear regression with an L2 penalty on standardised features, missing values set to the median.

    Source: A. E. Hoerl and R. W. Kennard, "Ridge Regression", Technometrics 12, 55-67, 1970.
    """

    kind = "ridge"
    parameters: ClassVar[dict[str, Parameter]] = {"alpha": real(0), "fit_intercept": boolean()}

    def build(self) -> Any:
        """Return imputation, scaling and ridge in one pipeline."""
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import Ridge as RidgeRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            StandardScaler(),
            RidgeRegressor(**self.params, random_state=self.seed),
        )

    def predict(self, features: Floats) -> Floats:
        """Predict, column after column: a matrix product adds up one row in another order than many."""
        model = self._estimator[-1]
        total = np.full(len(features), model.intercept_, dtype=np.float64)
        for column, weight in zip(self._estimator[:-1].transform(features).T, model.coef_, strict=True):
            total += weight * column
        return total
