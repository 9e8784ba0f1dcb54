"""One module for each action=, named after it."""
