"""A configuration to a checked study."""
