"""Train, score, save and serve an ensemble of tabular regressors. Runs without the harness around it."""

__version__ = "0.1.0"
