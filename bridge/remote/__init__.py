"""Handles: what a client gives for a name.

A handle knows what the server said of its name (attributes, no I/O) and holds a way to fetch from it.
Everything that moves data is a method or an index; nothing else does I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bridge import display
from bridge.errors import WireError, remote_error
from bridge.remote.array import RemoteArray
from bridge.remote.handle import Entry, Fetch
from bridge.remote.large import Options, Plan, Rate, options, unknown_rate
from bridge.remote.peek import Peek
from bridge.remote.table import RemoteTable
from bridge.remote.whole import RemoteChannel, RemoteObject, RemoteQuery, RemoteStream

__all__ = [
    "Options",
    "Peek",
    "Plan",
    "RemoteArray",
    "RemoteChannel",
    "RemoteObject",
    "RemoteQuery",
    "RemoteStream",
    "RemoteTable",
    "Ways",
    "handle_of",
    "options",
]

# What a table's entry comes with, by its format: the table without its rows.
_SKELETONS = {"pandas": ("DataFrame",), "arrow": ("Table", "RecordBatch")}


class Ways(NamedTuple):
    """What handles do with their names: a client's methods."""

    fetch: Fetch
    call: Callable[..., Any]
    stream: Callable[..., Any]
    follow: Callable[..., Any]
    rate: Rate = unknown_rate


def handle_of(
    entry: Entry, ways: Ways, skeleton: Any = None
) -> RemoteArray | RemoteTable | RemoteObject | RemoteQuery | RemoteStream | RemoteChannel:
    """Return the handle for an entry of a catalogue.

    Parameters
    ----------
    entry
        As the server sent it.
    ways
        How to fetch, call and follow.
    skeleton
        Of a table: the same without its rows. Of what has labels: these.

    Raises
    ------
    WireError
        If the entry is not one that this version knows.
    """
    kind = entry.get("kind")
    if type(entry.get("name")) is not str:
        raise WireError("the server's entry has no name")
    if kind == "broken":
        raise remote_error(
            "failed",
            f"{entry['name']!r} cannot be read: {display.lines(entry.get('error'))}",
            "ValueError",
        )
    if kind == "array":
        return RemoteArray(entry, ways.fetch, skeleton, rate=ways.rate)
    if kind == "table":
        known = type(skeleton).__name__ in _SKELETONS.get(str(entry.get("format")), ())
        if not known or "rows" not in entry:
            raise WireError(f"the server's entry of the table {entry['name']!r} has no columns or rows")
        try:
            set(skeleton.columns if entry["format"] == "pandas" else skeleton.column_names)
        except TypeError as exc:
            raise WireError(
                f"a column of the table {entry['name']!r} has a label that cannot be looked for: {exc}"
            ) from exc
        return RemoteTable(entry, ways.fetch, skeleton, rate=ways.rate)
    if kind == "query":
        return RemoteQuery(entry, ways.call)
    if kind == "stream":
        return RemoteStream(entry, ways.stream)
    if kind == "channel":
        return RemoteChannel(entry, ways.follow)
    if kind == "object":
        return RemoteObject(entry, ways.fetch, skeleton, rate=ways.rate)
    raise WireError(f"{entry['name']!r} is of the kind {str(kind)[:40]!r}; upgrade zbridge on this side")
