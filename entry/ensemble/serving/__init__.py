"""From requests to predictions: content types, rows matched to a model's columns, errors as JSON."""
