"""Endpoints and batch inference: which model, where it is served, and what it answers."""
