"""Names, sizes, times and rates as a report writes them."""

from __future__ import annotations

from typing import Final

from bridge.bench.statistics import Interval
from bridge.bench.summary import Row
from bridge.display import list_text, nbytes_text, text

__all__ = [
    "CHANGED",
    "about_text",
    "interval_text",
    "list_text",
    "marked",
    "number_text",
    "percent_text",
    "phase_text",
    "rate_text",
    "seconds_text",
    "size_text",
]

# Stands before the name of a format that changes the data, in every table and figure.
CHANGED: Final = "≠"


def marked(row: Row) -> str:
    """Return the name of a format, with `CHANGED` before it where it changes the data."""
    return f"{CHANGED} {text(row.format)}" if row.exact is False else text(row.format)


def interval_text(interval: Interval | None) -> str:
    """Return the ends of an interval of seconds, the unit once where it is the same; nothing if unknown."""
    if interval is None or interval.low != interval.low:
        return ""
    low, high = seconds_text(interval.low), seconds_text(interval.high)
    number, unit = low.split()
    return f"{number if unit == high.split()[1] else low}\N{EN DASH}{high}"


def size_text(nbytes: int) -> str:
    """Return a size of a sweep, without decimals where it is a whole number of units.

    Examples
    --------
    >>> size_text(4096), size_text(2**30), size_text(1500)
    ('4 KiB', '1 GiB', '1.5 KiB')
    """
    return nbytes_text(nbytes).replace(".0 ", " ")


def about_text(nbytes: float) -> str:
    """Return a size with two digits, of something that is not known better.

    Examples
    --------
    >>> about_text(341_300), about_text(3_977), about_text(900)
    ('330 KiB', '3.9 KiB', '900 B')
    """
    number, unit = nbytes_text(nbytes).split()
    rounded = float(f"{float(number):.2g}")
    return f"{rounded:.1f} {unit}" if rounded < 10 and unit != "B" else f"{rounded:.0f} {unit}"


def seconds_text(seconds: float) -> str:
    """Return a time with three digits.

    Examples
    --------
    >>> seconds_text(0.000421), seconds_text(0.0123), seconds_text(12.34), seconds_text(9.996e-4)
    ('421 µs', '12.3 ms', '12.3 s', '1.00 ms')
    """
    for unit, scale in (("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{number_text(seconds * scale)} {unit}"
    return f"{number_text(seconds)} s"


def phase_text(seconds: float) -> str:
    """Return the time of a phase; nothing of one that was not a step of its own, and has exactly 0."""
    return seconds_text(seconds) if seconds else ""


def rate_text(rate: float) -> str:
    """Return bytes per second in GB/s: 1e9 bytes, as networks count.

    Examples
    --------
    >>> rate_text(2.345e9), rate_text(4.4e6), rate_text(1e5)
    ('2.35', '0.004', '<0.001')
    """
    if rate < 0.5e6:
        return "<0.001"
    return number_text(rate / 1e9) if rate >= 99.5e6 else f"{rate / 1e9:.3f}"


def percent_text(share: float) -> str:
    """Return a share as a percentage.

    Examples
    --------
    >>> percent_text(0.934), percent_text(0.0042)
    ('93 %', '0.4 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0095 else f"{100 * share:.1f} %"


def number_text(value: float) -> str:
    """Return a number with three digits, two where it is below 0.1.

    Examples
    --------
    >>> [number_text(value) for value in (1234.5, 123.4, 12.34, 1.234, 0.1234, 0.01234)]
    ['1234', '123', '12.3', '1.23', '0.12', '0.012']
    """
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.0995 or value == 0 else f"{value:.2g}"
