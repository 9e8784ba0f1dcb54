"""Train, score, save and serve an ensemble of tabular regressors. It does not need ``experiments``."""

__version__ = "0.1.0"
