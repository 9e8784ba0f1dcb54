"""Requests to SageMaker: built, read back and validated."""
