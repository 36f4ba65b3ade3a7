"""The figures for those who use matplotlib: the extra `plot`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bridge.bench.palette import look
from bridge.bench.summary import Sweep
from bridge.bench.words import marked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]

# Ours, as matplotlib calls them.
_MARKERS = {
    "none": "",
    "circle": "o",
    "ring": "h",
    "square": "s",
    "diamond": "D",
    "up": "^",
    "down": "v",
    "plus": "P",
    "cross": "X",
}


def plot(sweeps: Sequence[Sweep]) -> Figure:
    """Return a figure with time and rate against size, a row of axes for each sweep.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ImportError("plot() needs matplotlib: pip install 'zbridge[plot]'") from exc

    class Shown(Figure):
        """A figure that a notebook shows, also where nothing has set matplotlib up for it."""

        def _repr_png_(self) -> bytes:
            png = io.BytesIO()
            self.savefig(png, format="png")
            return png.getvalue()

    measured = [sweep for sweep in sweeps if sweep.measured()]
    figure = Shown(figsize=(10, 4 * max(len(measured), 1)), layout="constrained")
    for row, sweep in enumerate(measured):
        times = figure.add_subplot(len(measured), 2, 2 * row + 1)
        rates = figure.add_subplot(len(measured), 2, 2 * row + 2)
        for name in sweep.formats:
            _lines(sweep, name, times, rates)
        what = f"{sweep.payload}, {sweep.direction}"
        for axes, ylabel in ((times, "seconds until usable"), (rates, "bytes per second")):
            axes.set(xscale="log", yscale="log", xlabel="bytes of the payload", ylabel=ylabel)
            axes.set_title(what, parse_math=False)
            axes.grid(visible=True, alpha=0.3)
        for handle in rates.legend(
            loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small"
        ).get_texts():
            handle.set_parse_math(False)
    return figure


def _lines(sweep: Sweep, name: str, times: Any, rates: Any) -> None:
    rows = sweep.measured(name=name)
    known = [(row.nbytes, row.rate, *row.seconds) for row in rows if row.seconds is not None]
    if not known:
        return
    sizes, rate, seconds, low, high = zip(*known, strict=True)
    style = {
        "color": look(name).light,
        "marker": _MARKERS[look(name).marker],
        "markersize": 4,
        "linestyle": _dashes(look(name).dashes),
    }
    times.plot(sizes, seconds, label=marked(rows[-1]), **style)
    times.fill_between(sizes, low, high, color=look(name).light, alpha=0.2, linewidth=0)
    rates.plot(sizes, rate, label=marked(rows[-1]), **style)


def _dashes(css: str) -> Any:
    """Return the dashes of a style sheet (pixels, of lines 2 wide) as those of matplotlib (line widths)."""
    return "-" if css == "none" else (0, tuple(float(part) / 2 for part in css.split()))
