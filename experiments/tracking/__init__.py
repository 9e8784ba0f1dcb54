"""MLflow: store, runs, model registry, comparisons."""
