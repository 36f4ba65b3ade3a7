"""From a record to the numbers that are shown: a row for each case, a sweep for each kind of payload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.bench.record import PHASES, Document
from bridge.bench.statistics import Fit, Interval, fit, median, percentile, ratio

__all__ = ["BASELINES", "REFERENCE", "ROOFLINE", "Row", "Sweep", "summarise", "total_seconds"]

# A plain socket: no format can be expected to be faster, and what it reaches is 100 %.
ROOFLINE: Final = "tcp"

# They carry bytes and know nothing of what these mean.
BASELINES: Final = frozenset({"tcp", "zmq"})

# The format that the others are compared with.
REFERENCE: Final = "raw"

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One format with one payload of one size, in one direction.

    Times are seconds, None where nothing was measured.

    Attributes
    ----------
    direction, payload, format, nbytes
        What was sent, and how; `nbytes` is the size of the payload.
    skipped
        Why nothing was measured, or None.
    exact, changes
        Whether what arrived is what was sent, and what was different; None and () of a baseline.
    samples, processes
        How many transfers were timed, in how many pairs of fresh processes.
    seconds
        The median, with its interval.
    p90, p99, shortest, longest
        Of the single transfers; p90 from 10 samples, p99 from 100.
    phases
        Medians of encode, transfer, decode and first touch. They need not add up to the median.
    rate
        Payload bytes per second, at the median.
    of_tcp
        The share of the plain socket's rate: 1 is as fast. Of paired rounds.
    to_raw
        The time relative to that of `REFERENCE` in the same rounds: 2 takes twice as long.
    wire
        Bytes on the wire for each byte of the payload.
    client_cpu, server_cpu
        CPU seconds of all threads for 1e9 bytes of the payload, on average.
    client_memory, server_memory
        The peak beyond what the process held before, as a multiple of the payload.
    spread
        All times, ascending.
    """

    direction: str
    payload: str
    format: str
    nbytes: int
    skipped: str | None
    exact: bool | None
    changes: tuple[str, ...]
    samples: int
    processes: int
    seconds: Interval | None = None
    p90: float | None = None
    p99: float | None = None
    shortest: float | None = None
    longest: float | None = None
    phases: tuple[float, ...] = ()
    rate: float | None = None
    of_tcp: Interval | None = None
    to_raw: Interval | None = None
    wire: float | None = None
    client_cpu: float | None = None
    server_cpu: float | None = None
    client_memory: float | None = None
    server_memory: float | None = None
    spread: tuple[float, ...] = ()

    @property
    def verdict(self) -> str:
        """``faster`` or ``slower`` than `REFERENCE`; nothing where the interval does not exclude 1."""
        if self.to_raw is None or not self.to_raw.excludes_one:
            return ""
        return "faster" if self.to_raw.value < 1 else "slower"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One kind of payload in one direction, over sizes and formats.

    Attributes
    ----------
    direction, payload
        What was sent.
    rows
        By size, and within a size in the order of the record.
    fits
        Startup and rate of each format with at least three sizes.
    """

    direction: str
    payload: str
    rows: tuple[Row, ...]
    fits: dict[str, Fit]

    @property
    def formats(self) -> list[str]:
        """The formats, in the order of the record."""
        return list(dict.fromkeys(row.format for row in self.rows))

    @property
    def sizes(self) -> list[int]:
        """The sizes, in bytes, ascending."""
        return sorted({row.nbytes for row in self.rows})

    def measured(self, *, name: str | None = None, nbytes: int | None = None) -> list[Row]:
        """Return the rows with times, of one format, of one size, or all."""
        return [
            row
            for row in self.rows
            if row.seconds is not None and name in (None, row.format) and nbytes in (None, row.nbytes)
        ]


def summarise(document: Document) -> list[Sweep]:
    """Return the sweeps of a checked record, in its order."""
    cases = document["cases"]
    names = dict.fromkeys((case["direction"], case["payload"]) for case in cases)
    return [
        _sweep(
            direction,
            payload,
            [c for c in cases if (c["direction"], c["payload"]) == (direction, payload)],
        )
        for direction, payload in names
    ]


def total_seconds(case: dict[str, Any]) -> Floats:
    """Return the time of each transfer of a case, the sum of its phases, shape (samples,)."""
    phases = np.array([case["samples"][phase] for phase in PHASES], np.float64)
    total: Floats = phases.sum(axis=0)
    return total


def _sweep(direction: str, payload: str, cases: Sequence[dict[str, Any]]) -> Sweep:
    ordered = sorted(cases, key=lambda case: case["nbytes"])
    rows = []
    for _, group in groupby(ordered, key=lambda case: case["nbytes"]):
        of_size = list(group)
        rivals = {case["format"]: case for case in of_size if not case["skipped"]}
        rows += [_row(case, rivals) for case in of_size]
    fits = {}
    for name in dict.fromkeys(row.format for row in rows):
        points = [(row.nbytes, row.seconds.value) for row in rows if row.format == name and row.seconds]
        line = fit(*zip(*points, strict=True)) if points else None
        if line is not None:
            fits[name] = line
    return Sweep(direction=direction, payload=payload, rows=tuple(rows), fits=fits)


def _row(case: dict[str, Any], rivals: dict[str, dict[str, Any]]) -> Row:
    samples = case["samples"]
    nbytes = case["nbytes"]
    what: dict[str, Any] = {
        "direction": case["direction"],
        "payload": case["payload"],
        "format": case["format"],
        "nbytes": nbytes,
        "skipped": case["skipped"],
        "exact": case["exact"],
        "changes": tuple(case["changes"] or ()),
        "samples": len(samples["process"]),
        "processes": len(set(samples["process"])),
        "wire": None if case["wire_bytes"] is None else case["wire_bytes"] / nbytes,
    }
    if case["skipped"] is not None:
        return Row(**what)
    seconds = total_seconds(case)
    middle = median(seconds, samples["process"])
    memory = case["memory"] or {"client": None, "server": None}
    return Row(
        **what,
        seconds=middle,
        p90=percentile(seconds, 90),
        p99=percentile(seconds, 99),
        shortest=float(seconds.min()),
        longest=float(seconds.max()),
        phases=tuple(float(np.median(samples[phase])) for phase in PHASES),
        rate=nbytes / middle.value,
        of_tcp=_against(rivals.get(ROOFLINE), case),
        to_raw=_against(case, rivals.get(REFERENCE)),
        client_cpu=float(np.mean(samples["client_cpu"])) / nbytes * 1e9,
        server_cpu=float(np.mean(samples["server_cpu"])) / nbytes * 1e9,
        client_memory=None if memory["client"] is None else memory["client"] / nbytes,
        server_memory=None if memory["server"] is None else memory["server"] / nbytes,
        spread=tuple(np.sort(seconds).tolist()),
    )


def _against(case: dict[str, Any] | None, other: dict[str, Any] | None) -> Interval | None:
    """Return the paired ratio of two cases' times; None where one was not measured."""
    if case is None or other is None:
        return None
    return ratio(total_seconds(case), _rounds(case), total_seconds(other), _rounds(other))


def _rounds(case: dict[str, Any]) -> NDArray[np.int64]:
    return np.stack([case["samples"]["process"], case["samples"]["round"]], axis=1)
