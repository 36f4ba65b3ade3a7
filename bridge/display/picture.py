"""Tiny pictures of numbers, as SVG and as text. They are drawn in the colour of the text around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.display.markup import Markup, element

__all__ = ["histogram", "histogram_text", "line", "thumbnail"]

# Pixels.
BAR: Final = 5
HEIGHT: Final = 22
CELL: Final = 4
# Shades of a thumbnail. All cells of one shade are one path.
SHADES: Final = 8

_BLOCKS = "▁▂▃▄▅▆▇█"


def histogram(counts: Sequence[int]) -> Markup:
    """Draw counts as bars. One that is not 0 is always seen."""
    top = max(counts, default=0) or 1
    bars = "".join(
        f"M{place * BAR} {HEIGHT}v-{max(1.0, count / top * HEIGHT):.1f}h{BAR - 1}V{HEIGHT}z"
        for place, count in enumerate(counts)
        if count
    )
    return _svg(len(counts) * BAR, HEIGHT, element("path", d=bars, fill_opacity=".6"))


def histogram_text(counts: Sequence[int]) -> str:
    """Draw counts as a line of text.

    Examples
    --------
    >>> histogram_text([0, 1, 4, 8])
    ' ▁▄█'
    """
    top = max(counts, default=0) or 1
    return "".join(_BLOCKS[-(-count * 8 // top) - 1] if count else " " for count in counts)


def line(values: Sequence[float | None]) -> Markup:
    """Draw values in their order, with gaps where there is None."""
    known = [value for value in values if value is not None]
    low, span = min(known, default=0.0), (max(known, default=0.0) - min(known, default=0.0)) or 1.0
    path, pen = "", "M"
    for place, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{place * 2} {HEIGHT - 1 - (value - low) / span * (HEIGHT - 2):.1f}"
        pen = "L"
    drawn = element("path", d=path, fill="none", stroke="currentColor", stroke_opacity=".75")
    return _svg(2 * len(values), HEIGHT, drawn)


def thumbnail(rows: Sequence[Sequence[float | None]]) -> Markup:
    """Draw a matrix of values, the highest in the colour of text; where there is None, nothing."""
    known = [value for row in rows for value in row if value is not None]
    low, span = min(known, default=0.0), (max(known, default=0.0) - min(known, default=0.0)) or 1.0
    paths = [""] * SHADES
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            if value is not None:
                shade = min(SHADES - 1, int((value - low) / span * SHADES))
                paths[shade] += f"M{x * CELL} {y * CELL}h{CELL}v{CELL}h-{CELL}z"
    drawn = [
        element("path", d=path, fill_opacity=f"{(shade + 0.5) / SHADES:.2f}")
        for shade, path in enumerate(paths)
        if path
    ]
    return _svg(CELL * max(map(len, rows), default=0), CELL * len(rows), *drawn)


def _svg(width: int, height: int, *drawn: Markup) -> Markup:
    return element(
        "svg",
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        width=str(width),
        height=str(height),
        viewBox=f"0 0 {width} {height}",
        role="img",
        fill="currentColor",
    )
