"""Requests to predictions: content types in and out, rows held against a model's columns, errors as JSON."""
