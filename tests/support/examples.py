"""How many examples Hypothesis tries: a quarter of the usual number by default, more with ``--hypothesis-profile``.

The profiles are ``short`` (for each change), ``usual`` (``.ci/run``) and ``long`` (on request, for an hour or so).
"""

from __future__ import annotations

from hypothesis import settings

USUAL = 100


def register_profiles() -> None:
    """Register the profiles, and load the one for each change; an option of the command line overrides it."""
    for name, examples in (("short", USUAL // 4), ("usual", USUAL), ("long", USUAL * 20)):
        settings.register_profile(name, derandomize=True, database=None, deadline=None, max_examples=examples)
    settings.load_profile("short")


def is_long() -> bool:
    """Whether the profile is ``long``, in which a test may take any time."""
    return settings.default.max_examples > USUAL


def examples(usual: int) -> settings:
    """Return settings of a test that usually tries this many examples, scaled by the profile."""
    return settings(max_examples=usual * settings.default.max_examples // USUAL)
