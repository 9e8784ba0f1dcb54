"""A named table to channels: datasets, presplit folders, column report."""
