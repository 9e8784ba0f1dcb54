"""A package, since one of the same name that a library brings would be found instead of a plain folder."""
