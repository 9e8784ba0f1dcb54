"""Where studies run."""
