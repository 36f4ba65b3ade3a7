"""A run as tables for a terminal, 80 to 120 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from bridge.bench.findings import sentences, warnings
from bridge.bench.record import PHASES, Document
from bridge.bench.summary import REFERENCE, Row, Sweep
from bridge.bench.words import (
    CHANGED,
    interval_text,
    list_text,
    marked,
    number_text,
    percent_text,
    phase_text,
    rate_text,
    seconds_text,
    size_text,
)
from bridge.display import lines, text

__all__ = ["report"]

NARROWEST: Final = 80
WIDEST: Final = 120

# The head of a column, its width, and what stands in it.
Column: TypeAlias = tuple[str, int, Callable[[Row], str]]

COLUMNS: Final[tuple[Column, ...]] = (
    ("median", 8, lambda row: seconds_text(row.seconds.value) if row.seconds else ""),
    ("95 % interval", 15, lambda row: interval_text(row.seconds)),
    ("p99", 8, lambda row: "" if row.p99 is None else seconds_text(row.p99)),
    ("GB/s", 6, lambda row: "" if row.rate is None else rate_text(row.rate)),
    ("% tcp", 5, lambda row: percent_text(row.of_tcp.value).removesuffix(" %") if row.of_tcp else ""),
    (
        f"× {REFERENCE}",
        14,
        lambda row: f"{number_text(row.to_raw.value)} {row.verdict:6}" if row.to_raw else "",
    ),
)

# From this width on, there is room for the phases.
ROOM: Final = 117


def report(document: Document, sweeps: Sequence[Sweep], *, width: int = NARROWEST) -> str:
    """Return the tables, sentences and warnings of a checked record.

    Parameters
    ----------
    document, sweeps
        The record, and its numbers.
    width
        Columns of the terminal; taken as 80 to 120. From `ROOM` on, there are columns for the phases.
    """
    width = min(max(width, NARROWEST), WIDEST)
    parts = [_head(document, width)]
    parts += [_sweep_text(sweep, width) for sweep in sweeps]
    parts += [_changes(sweeps, width), _wrapped(_notes(sweeps), width)]
    parts += [_wrapped(f"Warning: {line}", width) for line in warnings(document, sweeps)]
    return lines("\n\n".join(part for part in parts if part))


def _head(document: Document, width: int) -> str:
    clients = f", {document['clients']} clients at once, times of one" if document["clients"] > 1 else ""
    pairs = f"{document['processes']} pairs of processes, seed {document['seed']}"
    facts = (
        f"{text(document['url'])}, {text(document['created'])}, zbridge {text(document['zbridge'])}",
        f"client: {_environment_text(document['client'])}",
        f"server: {_environment_text(document['server'])}",
        f"{pairs}, {document['elapsed']:.0f} s{clients}",
    )
    return "\n".join(_wrapped(fact, width) for fact in facts)


def _environment_text(environment: dict[str, Any]) -> str:
    cores, memory = environment["cores"], environment["memory"]
    known = (
        environment["host"],
        environment["cpu"],
        None if cores is None else f"{cores} cores",
        None if memory is None else f"{memory / 2**30:.0f} GiB",
        environment["system"],
        None if environment["python"] is None else f"Python {environment['python']}",
    )
    return ", ".join(text(part) for part in known if part is not None)


def _sweep_text(sweep: Sweep, width: int) -> str:
    columns = [*COLUMNS, *(map(_phase_column, PHASES) if width >= ROOM else ())]
    head = "".join(f" {name:>{size}}" for name, size, _ in columns)
    title = f"{text(sweep.payload)}, {sweep.direction}"
    parts = [f"{title:16}{head}"]
    for nbytes in sweep.sizes:
        if rows := sweep.measured(nbytes=nbytes):
            parts += [size_text(nbytes), *_rows_text(rows, columns)]
    skipped = dict.fromkeys(row.skipped for row in sweep.rows if row.skipped is not None)
    if skipped:
        parts.append(_wrapped(f"Not measured: {list_text(skipped, between='; ')}.", width))
    parts += [_wrapped(sentence, width) for sentence in sentences(sweep)]
    return "\n".join(parts)


def _phase_column(phase: str) -> Column:
    place = PHASES.index(phase)
    return phase, 8, lambda row: phase_text(row.phases[place]) if row.phases else ""


def _rows_text(rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    for row in sorted(rows, key=lambda row: row.seconds.value if row.seconds else 0):
        cells = "".join(f" {cell(row):>{size}}" for _, size, cell in columns)
        yield f"  {_name(row)}{cells}".rstrip()


def _name(row: Row) -> str:
    name = marked(row)
    return (name if row.exact is False else f"  {name}")[:14].ljust(14)


def _changes(sweeps: Sequence[Sweep], width: int) -> str:
    """Return what the formats change: once for each format and payload."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for sweep in sweeps:
        for row in sweep.rows:
            if row.exact is False:
                found.setdefault((row.format, row.payload), {}).update(dict.fromkeys(row.changes))
    return "\n".join(
        _wrapped(f"{CHANGED} {name} changes {payload}: {list_text(changes)}.", width)
        for (name, payload), changes in found.items()
    )


def _notes(sweeps: Sequence[Sweep]) -> str:
    if not any(sweep.measured() for sweep in sweeps):
        return "Nothing was measured, for the reasons above."
    return (
        f"Times are until the last page of the result was touched. {CHANGED}: the format changes the data. "
        f"% tcp: of a plain socket's rate. × {REFERENCE}: the time relative to {REFERENCE}, of paired rounds; "
        "faster and slower are said where the 95 % interval excludes 1. p99: from 100 samples on."
    )


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(lines(line), width, subsequent_indent="  ", break_on_hyphens=False)
