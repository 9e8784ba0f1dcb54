"""The tags by which byoe finds what it has created in an account."""

from __future__ import annotations

TAG_PREFIX = "byoe:"
# The identity of a study, by which its tuning job is recognised.
CONFIG_TAG = f"{TAG_PREFIX}config_hash"
