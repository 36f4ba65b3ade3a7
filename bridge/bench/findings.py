"""What the numbers say, in sentences: where formats cross, and what to distrust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from bridge.bench.record import Document
from bridge.bench.statistics import MIN_PROCESSES, crossover
from bridge.bench.summary import BASELINES, REFERENCE, Row, Sweep
from bridge.bench.words import about_text, list_text, percent_text, size_text

__all__ = ["sentences", "warnings"]

# "Within 10 %" is what people call the same.
SAME: Final = 1.10

# The median is known worse than this: the run was disturbed, or too short.
UNSTABLE: Final = 0.10

# So much of all cores was busy in the minute before: the run had company.
LOADED: Final = 0.25

# What may be said of a format at one size.
_FASTER, _SLOWER = "faster than", "slower than"
_NEAR, _UNKNOWN = "within 10 % of", "not found to differ from"

# The ratio at which one of these ends and the other begins.
_FACTORS: Final = {
    frozenset((_FASTER, _SLOWER)): 1.0,
    frozenset((_NEAR, _SLOWER)): SAME,
    frozenset((_NEAR, _FASTER)): 1 / SAME,
}

# A format that changes sides more often than this is told by its ends alone.
SEGMENTS: Final = 4


def sentences(sweep: Sweep) -> list[str]:
    """Return what a sweep says of each format against `REFERENCE`, a sentence each.

    Only what the intervals allow: a format is called faster or slower where the interval of the paired ratio
    excludes 1, and within 10 % where the whole interval is.
    """
    compared = {name: [r for r in sweep.measured(name=name) if r.to_raw] for name in sweep.formats}
    return [
        _sentence(sweep, rows)
        for name, rows in compared.items()
        if rows and name not in {*BASELINES, REFERENCE}
    ]


def warnings(document: Document, sweeps: Sequence[Sweep]) -> list[str]:
    """Return what to keep in mind when reading a run, its own warnings first."""
    return [*document["warnings"], *_conditions(document), *_doubts(sweeps)]


def _sentence(sweep: Sweep, rows: Sequence[Row]) -> str:
    name = rows[0].format
    its_time = " and ".join(_ratio_text(row) for row in dict.fromkeys((rows[0], rows[-1])))
    if all(row.to_raw is None or row.to_raw.low != row.to_raw.low for row in rows):
        return f"{name} against {REFERENCE}: {its_time}."  # no interval: nothing more can be said
    segments = [(state, list(group)) for state, group in groupby(rows, key=_state)]
    if len(segments) == 1:
        where = "at every size" if len(rows) > 1 else f"at {size_text(rows[0].nbytes)}"
        return f"{name} is {segments[0][0]} {REFERENCE} {where}: {its_time}."
    if len(segments) > SEGMENTS:
        return f"{name} is now on one side of {REFERENCE}, now on the other: {its_time}."
    # Between faster and slower, there may be sizes where neither can be said: the crossover is there.
    opposite = len(segments) == 3 and {segments[0][0], segments[2][0]} == {_FASTER, _SLOWER}
    sides = segments[::2] if opposite else segments
    places = _around_crossover(sweep, sides)
    if places is None:
        sides, places = segments, [_place(rows, group) for _, group in segments]
    parts = [f"{state} {REFERENCE} {place}" for (state, _), place in zip(sides, places, strict=True)]
    return f"{name} is {', '.join(parts[:-1])}, and {parts[-1]}: {its_time}."


def _state(row: Row) -> str:
    """Return what the interval of a ratio allows to say."""
    if row.to_raw is None:
        return _UNKNOWN
    if row.to_raw.low >= 1 / SAME and row.to_raw.high <= SAME:
        return _NEAR
    return {"faster": _FASTER, "slower": _SLOWER}.get(row.verdict, _UNKNOWN)


def _place(rows: Sequence[Row], group: Sequence[Row]) -> str:
    """Say from which size to which a group of rows goes."""
    first, last = size_text(group[0].nbytes), size_text(group[-1].nbytes)
    if group[0] is rows[0] and len(group) > 1:
        return f"up to {last}"
    if group[-1] is rows[-1] and len(group) > 1:
        return f"from {first} on"
    return f"at {first}" if len(group) == 1 else f"from {first} to {last}"


def _around_crossover(sweep: Sweep, segments: Sequence[tuple[str, list[Row]]]) -> list[str] | None:
    """Say at which size two lines cross.

    The measured ratios say between which two sizes that is; the fits say where, if they agree.
    """
    if len(segments) != 2:
        return None
    (state, before), (next_state, after) = segments
    factor = _FACTORS.get(frozenset((state, next_state)))
    mine, raw = sweep.fits.get(before[0].format), sweep.fits.get(REFERENCE)
    at = None if factor is None or mine is None or raw is None else crossover(mine, raw, factor)
    if at is None or not before[-1].nbytes <= at <= after[0].nbytes:
        return None
    return [f"below about {about_text(at)}", "above"]


def _ratio_text(row: Row) -> str:
    if row.to_raw is None:
        return ""
    value, low, high = (f"{part:.2f}" if part < 10 else f"{part:.0f}" for part in row.to_raw)
    interval = f" ({low} to {high})" if row.to_raw.low == row.to_raw.low else ""
    return f"{value} times its time{interval} at {size_text(row.nbytes)}"


def _conditions(document: Document) -> Iterator[str]:
    if document["same_host"]:
        yield (
            "Both ends ran on one host: nothing crossed a network, and they shared cores, caches and memory. "
            "The numbers say what the software costs, not what a link does."
        )
    ends = {"client": "host"} if document["same_host"] else {"client": "client", "server": "server"}
    for end, name in ends.items():
        load, cores = document[end]["load"], document[end]["cores"]
        if load and cores and load[0] > LOADED * cores:
            yield (
                f"The {name} was loaded before the run: {load[0]:.1f} of {cores} cores were busy over the last "
                "minute. Measure again when it does nothing else."
            )
    if document["processes"] < MIN_PROCESSES:
        yield (
            f"The run used {_count(document['processes'], 'pair')} of processes: no interval is given, and "
            "nothing is called faster or slower. Use at least 5."
        )


def _doubts(sweeps: Sequence[Sweep]) -> Iterator[str]:
    rows = [row for sweep in sweeps for row in sweep.measured()]
    shaky = [
        row for row in rows if row.seconds and row.seconds.high > row.seconds.value * (1 + UNSTABLE)
    ]
    if shaky:
        names = [f"{row.format} {row.payload} {size_text(row.nbytes)}" for row in shaky]
        yield (
            f"Unstable: the intervals of {len(shaky)} of {len(rows)} medians are wider than "
            f"±{percent_text(UNSTABLE)} ({list_text(names)}). "
            "A larger budget or quieter computers make them narrower."
        )


def _count(number: int, what: Any) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
