"""Arguments to a checked, typed configuration."""
