"""``byoe.compare``, and the comparison that it returns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.actions.compare import Compared, compare_studies
from experiments.actions.python.study import Study
from experiments.actions.python.unchanged import unchanged
from experiments.comparison.parity import Parity
from experiments.config.arguments import key_of
from experiments.config.compose import compose
from experiments.config.keywords import arguments_of
from experiments.errors import ConfigError, brief, listed
from experiments.reporting.console import PlainConsole
from experiments.reporting.markup import html_table, paragraph

if TYPE_CHECKING:
    import pandas as pd

_STUDIES = "give studies of byoe.tune, their names, or None for the newest of each mode on the same data."


def compare(studies: Study | str | Sequence[Study | str] | None = None, /, **keys: Any) -> Comparison:
    """Compare studies: whether their numbers agree, and which search found the better ensemble.

    Like ``action=compare``, it writes the report page and records the comparison in MLflow.

    Args:
        studies: The studies or their names, also a single one; None for the newest of each mode on the same data.
        **keys: Further configuration, such as ``**{"compare.force": True}``.

    Raises:
        ConfigError: A study does not exist or has no finished trial, or the studies are in different folders.
        EnsembleError: The studies ran on different data.
    """
    with unchanged():
        given = _listed(studies)
        names = None if given is None else [study.name if isinstance(study, Study) else study for study in given]
        arguments = arguments_of({"action": "compare", **({} if names is None else {"compare.studies": names}), **keys})
        typed = {key_of(argument) for argument in arguments}
        objects = [study for study in given or () if isinstance(study, Study)]
        folders = dict.fromkeys(str(study.folder.resolve().parent) for study in objects)
        if len(folders) > 1 and "paths.studies" not in typed:
            raise ConfigError(
                f"the studies are in different folders, {listed(folders)}, and a comparison reads one. Copy the "
                "folders of the studies into one, and name it with paths.studies."
            )
        places = {key_of(place): place for study in objects for place in study.places}
        arguments += [place for key, place in places.items() if key not in typed]
        return Comparison(compare_studies(compose(arguments), PlainConsole(file=io.StringIO())))


def _listed(studies: Any) -> list[Study | str] | None:
    """Return the studies to compare; None for those that the configuration chooses."""
    if studies is None:
        return None
    given = [studies] if isinstance(studies, Study | str) else studies
    if not isinstance(given, list | tuple):
        raise ConfigError(f"studies={brief(studies)}: {_STUDIES}")
    for place, study in enumerate(given):
        if not isinstance(study, Study | str):
            raise ConfigError(f"studies[{place}]={brief(study)}: {_STUDIES}")
    return list(given)


class Comparison:
    """A comparison of studies. ``compare`` returns it.

    Attributes:
        parity: Whether the same trials gave the same numbers: ``verdict``, ``line``, ``pairs``.
        table: The measures as text, a row for each and a column for each study.
        page: The file of the report.
    """

    def __init__(self, compared: Compared) -> None:
        self._compared = compared
        self.parity: Parity = compared.parity
        self.page: Path = compared.page

    @property
    def table(self) -> pd.DataFrame:
        """The measures as text: a row for each, by heading and title, and a column for each study."""
        import pandas as pd

        heading, index, cells = "", [], []
        for row in self._compared.rows:
            if not row.cells:
                heading = row.title
                continue
            index.append((heading, row.title))
            cells.append(row.cells)
        return pd.DataFrame(
            cells,
            index=pd.MultiIndex.from_tuples(index, names=["", "measure"]),
            columns=[one.label for one in self._compared.measures],
        )

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(one.study.name for one in self._compared.measures)}: {self.parity.line}>"

    def _repr_html_(self) -> str:
        rows = [(row.title, *row.cells) for row in self._compared.rows if row.cells]
        header = ("", *(one.label for one in self._compared.measures))
        return f"<div>{paragraph(self.parity.line, bold=True)}{html_table(header, rows)}</div>"
