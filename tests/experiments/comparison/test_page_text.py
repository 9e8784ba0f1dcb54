"""The page as text: what is in it and how large it is."""

from __future__ import annotations

import hashlib

from experiments.comparison import page

# Of the npm package plotly.js-basic-dist-min.
VERSION = "4.1.1"
SHA256 = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"


def test_plotly_is_the_published_file_and_cannot_close_its_element() -> None:
    text = page._text("plotly-basic.min.js")
    assert text.startswith(f"/**\n* plotly.js (basic - minified) v{VERSION}\n")
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256
    assert "</script" not in text
