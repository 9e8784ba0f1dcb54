"""byoe in Python: what ``byoe.py`` exports. A call composes the same configuration as a command with the same words."""
