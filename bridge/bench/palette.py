"""The look of each format, the same in every figure.

The colours were searched for the largest smallest distance (OKLab, above 0.09) between any two as seen with
normal sight, protanopia, deuteranopia and tritanopia (G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A
physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15, 2009), each with a
contrast of at least 3 to the page. The baselines are grey and dashed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["LOOKS", "PHASE_COLOURS", "Look", "css", "css_class", "look", "marker_path"]


class Look(NamedTuple):
    """A colour on a light page and on a dark one, a marker, and the dashes of its line (none: solid)."""

    light: str
    dark: str
    marker: str
    dashes: str = "none"


LOOKS: Final = {
    "tcp": Look("#5c6066", "#b4b8be", "none", "7 4"),
    "zmq": Look("#5c6066", "#b4b8be", "none", "2 3"),
    "raw": Look("#1833d9", "#0360f7", "circle"),
    "bridge": Look("#bd781f", "#fa842f", "square"),
    "pickle": Look("#664890", "#ba89ed", "diamond"),
    "pickle-oob": Look("#fa39c8", "#92687d", "ring"),
    "json": Look("#a83c2a", "#e0111b", "up"),
    "arrow": Look("#4e8783", "#6db49a", "down"),
    "npy": Look("#46350d", "#d9d789", "plus"),
    "flight": Look("#134055", "#6be2f8", "cross"),
}
OTHER: Final = Look("#5c6066", "#b4b8be", "ring", "8 3 2 3")

# Encode, transfer, decode, touch: told apart by lightness, in any sight.
PHASE_COLOURS: Final = (
    ("#0b3c5d", "#cfe6f5"),
    ("#3b82b0", "#7db8de"),
    ("#8fc1de", "#3f7ea8"),
    ("#d5e6f0", "#23485f"),
)

# Paths around (0, 0) of radius 1, made of lines between the points; closed ones end with their first.
_SHAPES: Final = {
    "none": (),
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9), (-0.9, -0.9)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0), (0, -1.3)),
    "up": ((0, -1.2), (1.2, 1), (-1.2, 1), (0, -1.2)),
    "down": ((0, 1.2), (1.2, -1), (-1.2, -1), (0, 1.2)),
    "plus": (
        *((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4), (0.4, 1.2)),
        *((-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4), (-0.4, -1.2)),
    ),
    "cross": (
        *((0, -0.5), (0.7, -1.2), (1.2, -0.7), (0.5, 0), (1.2, 0.7), (0.7, 1.2), (0, 0.5)),
        *((-0.7, 1.2), (-1.2, 0.7), (-0.5, 0), (-1.2, -0.7), (-0.7, -1.2), (0, -0.5)),
    ),
}


def look(name: str) -> Look:
    """Return the look of a format; formats that are not known here share one."""
    return LOOKS.get(name, OTHER)


def css_class(name: str) -> str:
    """Return the class of a format: from the table, never the text of a record."""
    return f"f-{name}" if name in LOOKS else "f-other"


def css(*, dark: bool) -> str:
    """Return the rules that give each format and phase its colour."""
    looks = [*((css_class(name), entry) for name, entry in LOOKS.items()), ("f-other", OTHER)]
    rules = [
        f".zb .{name}{{--c:{entry.dark if dark else entry.light};--dash:{entry.dashes}}}"
        for name, entry in looks
    ]
    rules += [f".zb .p{place}{{--p:{pair[dark]}}}" for place, pair in enumerate(PHASE_COLOURS)]
    return "".join(rules)


def marker_path(name: str, x: float, y: float, radius: float) -> str:
    """Return the marker of a format around a point, as SVG path data; empty for one without."""
    shape = look(name).marker
    if shape in ("circle", "ring"):
        circles = (radius,) if shape == "circle" else (radius * 1.2, radius * 0.5)
        return "".join(
            f"M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0Z"
            for r in circles
        )
    points = [f"{x + dx * radius:.1f} {y + dy * radius:.1f}" for dx, dy in _SHAPES[shape]]
    return f"M{'L'.join(points)}Z" if points else ""
