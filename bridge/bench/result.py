"""What a run came to, for people in notebooks and scripts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.bench import page, record
from bridge.bench import text as tables
from bridge.bench.record import PHASES, Document
from bridge.bench.summary import Row, Sweep, summarise
from bridge.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Result"]

# The columns of `Result.to_pandas`, in their order.
_PLAIN = (
    "direction",
    "payload",
    "format",
    "nbytes",
    "skipped",
    "exact",
    "changes",
    "samples",
    "processes",
)
_INTERVALS = ("seconds", "of_tcp", "to_raw")
_NUMBERS = ("p90", "p99", "shortest", "longest", "rate", "wire")
_ENDS = ("client_cpu", "server_cpu", "client_memory", "server_memory")


class Result:
    """One run of the benchmark.

    Parameters
    ----------
    document
        The record; it is checked, and kept as it is.

    Raises
    ------
    BenchError
        If it does not fit the schema.

    Attributes
    ----------
    document : dict
        The record, with every sample.
    sweeps : list of Sweep
        The numbers, by direction and kind of payload.
    """

    def __init__(self, document: Document) -> None:
        self.document: Document = record.check(document)
        self.sweeps: list[Sweep] = summarise(self.document)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read the JSON that `save` or ``zbridge bench`` wrote.

        Raises
        ------
        BenchError
            If the file holds no record.
        OSError
            If it cannot be read.
        """
        return cls(record.load(path))

    def text(self, *, width: int | None = None) -> str:
        """Return the tables for a terminal of `width` columns, by default of the one at hand."""
        return tables.report(
            self.document, self.sweeps, width=width or shutil.get_terminal_size().columns
        )

    def to_html(self) -> str:
        """Return the report as one HTML page that loads nothing from elsewhere."""
        return page.page(self.document, self.sweeps)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each case.

        Times are seconds, rates bytes per second, CPU is seconds for 1e9 bytes, memory and bytes on the
        wire are multiples of the payload. ``_low`` and ``_high`` are the ends of 95 % intervals. What was
        not measured is missing.
        """
        import pandas as pd

        return pd.DataFrame([_flat(row) for sweep in self.sweeps for row in sweep.rows])

    def plot(self) -> Figure:
        """Draw time and rate against size, a row of axes for each kind of payload.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it where it is the last of a cell; a script saves it with ``savefig``.

        Raises
        ------
        ImportError
            Without matplotlib: the extra ``plot``.
        """
        from bridge.bench.plot import plot

        return plot(self.sweeps)

    def save(self, path: str | Path) -> None:
        """Write the record (``.json``) or the report (``.html``).

        Raises
        ------
        BenchError
            For another suffix.
        OSError
            If it cannot be written.
        """
        path = Path(path)
        forms = {".json": lambda: record.dumps(self.document), ".html": self.to_html}
        form = forms.get(path.suffix.lower())
        if form is None:
            raise BenchError(f"{str(path)!r} ends in neither .json (the record) nor .html (the report)")
        path.write_text(form(), "utf-8")

    def __repr__(self) -> str:
        return tables.report(self.document, self.sweeps)

    def _repr_html_(self) -> str:
        return page.fragment(self.document, self.sweeps)


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    for name in _INTERVALS:
        interval = getattr(row, name)
        for suffix, place in (("", 0), ("_low", 1), ("_high", 2)):
            flat[name + suffix] = None if interval is None else interval[place]
    for place, phase in enumerate(PHASES):
        flat[phase] = row.phases[place] if row.phases else None
    return flat | {name: getattr(row, name) for name in (*_NUMBERS, *_ENDS)}
