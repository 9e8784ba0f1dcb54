"""This machine: archives, temporary files, interrupts, crash points."""
