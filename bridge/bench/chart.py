"""The parts of an SVG figure: scales, axes, lines with bands, bars.

Colours are classes, so that one style sheet serves the light and the dark page. Every format has its colour,
its marker and its name beside what is drawn: no two are told apart by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

from bridge.bench.markup import Element, element
from bridge.bench.palette import css_class, marker_path

__all__ = [
    "HEIGHT",
    "WIDTH",
    "Bar",
    "Part",
    "Point",
    "Scale",
    "Series",
    "bar_chart",
    "legend",
    "line_chart",
    "log_ticks",
    "strip_chart",
]

# In the units of the drawing, which are pixels where a figure is 460 pixels wide. On a phone it is 358 wide,
# and the text of 13 is still read.
WIDTH: Final = 460
HEIGHT: Final = 340
LEFT, RIGHT, TOP, BOTTOM = 56, 112, 26, 40

# Of bars: the width of the names, the place for numbers, the height of a row and of a bar.
NAMES, NUMBERS, ROW, THICK = 88, 136, 26, 13
# A range has ticks at 2 and 5 too where they are not more than this.
TICKS: Final = 5
# Direct labels keep this distance.
LABEL_GAP: Final = 14


class Point(NamedTuple):
    """A point of a line, with the ends of its interval; NaN where these are unknown."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """One format's line, of at least one point."""

    name: str
    label: str
    points: Sequence[Point]


class Part(NamedTuple):
    """A part of a bar: how long, and the class that gives its look."""

    value: float
    style: str


class Bar(NamedTuple):
    """A bar of one or more parts, drawn end to end, with what is written behind it."""

    parts: tuple[Part, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to places, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values around a range of positive ones: powers of ten, and 2 and 5 of a short range.

    Examples
    --------
    >>> log_ticks(3.0, 4000.0), log_ticks(130.0, 450.0)
    ([1.0, 10.0, 100.0, 1000.0, 10000.0], [100.0, 200.0, 500.0])
    """
    fine, coarse = (_ticks(low, high, digits) for digits in ((1, 2, 5), (1,)))
    return fine if len(fine) <= TICKS else coarse


def line_chart(
    series: Sequence[Series],
    *,
    x_ticks: Sequence[float],
    x_text: Callable[[float], str],
    y_ticks: Sequence[float],
    y_text: Callable[[float], str],
    y_log: bool,
    y_name: str,
) -> list[Element]:
    """Draw lines over sizes (at least one), with interval bands, and the names at their right ends.

    The horizontal axis is logarithmic; the vertical one too where `y_log` says so.
    """
    few = x_ticks[:: math.ceil(len(x_ticks) / 6)]
    lowest, highest = x_ticks[0], x_ticks[-1]
    if lowest == highest:
        lowest, highest = lowest / 2, highest * 2
    x = Scale(low=lowest, high=highest, start=LEFT, end=WIDTH - RIGHT, log=True)
    y = Scale(low=y_ticks[0], high=y_ticks[-1], start=HEIGHT - BOTTOM, end=TOP, log=y_log)
    drawn = [_grid_y(y(value), y_text(value)) for value in y_ticks]
    drawn += [_tick_x(x(value), x_text(value)) for value in few]
    drawn.append(_text(LEFT, HEIGHT - 4, "size of the payload", "axis"))
    drawn.append(_text(LEFT, TOP - 12, y_name, "axis"))
    drawn += [_band(one, x, y) for one in series]
    drawn += [_line(one, x, y) for one in series]
    return [*drawn, *_labels(series, x, y)]


def bar_chart(
    groups: Sequence[tuple[str, str, Sequence[Bar]]], *, longest: float, mark: float | None = None
) -> tuple[list[Element], float]:
    """Draw horizontal bars, a group for each format; return the drawing and its height.

    Parameters
    ----------
    groups
        A format, what is written before its bars, and these.
    longest
        The value of a bar of full length. A longer one is cut, with a mark at its end.
    mark
        A value at which a line crosses all bars.
    """
    x = Scale(low=0, high=longest, start=NAMES, end=WIDTH - NUMBERS)
    drawn: list[Element] = []
    top = 10.0
    for name, label, bars in groups:
        drawn.append(_text(NAMES - 8, top + len(bars) * (THICK + 2) / 2 + 4, label, "name"))
        for bar in bars:
            drawn += _bar(bar, x, top, name)
            top += THICK + 2
        top += ROW - THICK - 2
    if mark is not None:
        drawn.append(element("path", d=f"M{x(mark):.1f} 2V{top - 6:.1f}", class_="roof"))
    return drawn, top


def strip_chart(
    strips: Sequence[tuple[str, str, Sequence[float], str]],
    *,
    ticks: Sequence[float],
    tick_text: Callable[[float], str],
) -> tuple[list[Element], float]:
    """Draw the distribution of samples, a strip for each format; return the drawing and its height.

    A strip is a format, what is written before it, its sorted samples, and what is written behind it.
    A thin line is a sample (or one of 200 quantiles, of more), the thick part holds the middle half, the dark
    line is the median. The axis is logarithmic.
    """
    x = Scale(low=ticks[0], high=ticks[-1], start=NAMES, end=WIDTH - NUMBERS, log=True)
    bottom = 12 + ROW * len(strips)
    drawn = [
        element(
            "g",
            element("path", d=f"M{x(value):.1f} 8V{bottom}", class_="grid"),
            _text(x(value), bottom + 16, tick_text(value), "tick"),
        )
        for value in ticks
    ]
    for place, (name, label, samples, text) in enumerate(strips):
        middle = 12 + ROW * (place + 0.5)
        shown = [_quantile(samples, i / 199) for i in range(200)] if len(samples) > 200 else samples
        ticks_path = "".join(f"M{x(value):.1f} {middle - 7:.1f}v14" for value in shown)
        low, mid, high = (x(_quantile(samples, q)) for q in (0.25, 0.5, 0.75))
        drawn += [
            element(
                "g",
                element("path", d=ticks_path, class_="samples"),
                element("path", d=f"M{low:.1f} {middle:.1f}H{max(high, low + 1):.1f}", class_="half"),
                element("path", d=f"M{mid:.1f} {middle - 9:.1f}v18", class_="median"),
                class_=css_class(name),
            ),
            _text(NAMES - 8, middle + 4, label, "name"),
            _text(WIDTH - NUMBERS + 8, middle + 4, text, "number"),
        ]
    return drawn, bottom + 24


def legend(entries: Sequence[tuple[str, str]], top: float) -> tuple[list[Element], float]:
    """Draw what the looks of bars mean, in a line; return the drawing and its height."""
    drawn = []
    for place, (style, text) in enumerate(entries):
        left = NAMES + place * (WIDTH - NAMES) / len(entries)
        drawn.append(element("rect", x=left, y=top, width=12, height=12, class_=f"bar {style} f-other"))
        drawn.append(_text(left + 18, top + 11, text, "label"))
    return drawn, 20


def _ticks(low: float, high: float, digits: Sequence[int]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    first = max((place for place, tick in enumerate(ticks) if tick <= low), default=0)
    last = next((place for place, tick in enumerate(ticks) if tick >= high), len(ticks) - 1)
    return ticks[first : max(last, first + 1) + 1]


def _band(one: Series, x: Scale, y: Scale) -> Element:
    known = [p for p in one.points if p.low == p.low and p.high == p.high]
    there = [(x(p.x), y(_inside(p.high, y))) for p in known]
    back = [(x(p.x), y(_inside(p.low, y))) for p in reversed(known)]
    return element("path", d=_path(there + back), class_=f"band {css_class(one.name)}")


def _line(one: Series, x: Scale, y: Scale) -> Element:
    places = [(x(p.x), y(_inside(p.y, y))) for p in one.points]
    markers = "".join(marker_path(one.name, *place, 3.5) for place in places)
    return element(
        "g",
        element("path", d=_path(places), class_="line"),
        element("path", d=markers, class_="marker"),
        class_=css_class(one.name),
    )


def _labels(series: Sequence[Series], x: Scale, y: Scale) -> Iterable[Element]:
    """Draw the names beside the ends of the lines, moved apart, each with a dotted line from its end."""
    by_place = [(y(_inside(one.points[-1].y, y)), one) for one in series]
    ends = sorted(by_place, key=itemgetter(0))
    heights = _apart([place for place, _ in ends], low=TOP + 4, high=HEIGHT - BOTTOM)
    for (place, one), height in zip(ends, heights, strict=True):
        end, label = x(one.points[-1].x), WIDTH - RIGHT + 16
        yield element(
            "g",
            element("path", d=f"M{end + 5:.1f} {place:.1f}L{label - 2} {height:.1f}", class_="leader"),
            element("path", d=f"M{label} {height:.1f}h8", class_="line"),
            element("path", d=marker_path(one.name, label + 4, height, 4), class_="marker"),
            _text(label + 12, height + 4, one.label, "label"),
            class_=css_class(one.name),
        )


def _apart(places: Sequence[float], *, low: float, high: float) -> list[float]:
    """Move sorted places so that neighbours are `LABEL_GAP` apart: down, and up again from the end."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + LABEL_GAP if moved else low))
    ceiling = high
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - LABEL_GAP
    return moved


def _bar(bar: Bar, x: Scale, top: float, name: str) -> Iterable[Element]:
    start = 0.0
    for part in bar.parts:
        left, right = (x(min(value, x.high)) for value in (start, start + part.value))
        style = f"bar {part.style} {css_class(name)}"
        yield element("rect", x=left, y=top, width=right - left, height=THICK, class_=style)
        start += part.value
    if start > x.high * 1.001:  # more than a rounding error: two slanted cuts say that the bar goes on
        cuts = "".join(f"M{x.end - d} {top - 2:.1f}l-5 {THICK + 4}" for d in (8, 13))
        yield element("path", d=cuts, class_="cut")
    yield _text(x.end + 8, top + THICK - 2, bar.text, "number")


def _grid_y(place: float, text: str) -> Element:
    return element(
        "g",
        element("path", d=f"M{LEFT} {place:.1f}H{WIDTH - RIGHT}", class_="grid"),
        _text(LEFT - 6, place + 4, text, "tick left"),
    )


def _tick_x(place: float, text: str) -> Element:
    return element(
        "g",
        element("path", d=f"M{place:.1f} {TOP}V{HEIGHT - BOTTOM}", class_="grid"),
        _text(place, HEIGHT - BOTTOM + 16, text, "tick"),
    )


def _text(x: float, y: float, text: str, style: str) -> Element:
    return element("text", text, x=x, y=y, class_=style)


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) if places else ""


def _inside(value: float, scale: Scale) -> float:
    return min(max(value, scale.low), scale.high)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]
