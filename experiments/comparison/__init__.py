"""``action=compare``: whether the same trials gave the same numbers, and which search found the better ensemble."""
