"""This machine: files, locks, archives, cores, signals, and the points at which tests kill a command."""
