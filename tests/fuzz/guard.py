"""What holds for every input: only `BridgeError` comes out, no door opens, and memory stays bounded.

Memory is that which Python, numpy and Arrow ask for, also where no page of it is ever touched: the peak
that `tracemalloc` saw, and that of Arrow's own pool. libFuzzer watches the rest (``-rss_limit_mb``), and
the time (``-timeout``).
"""

from __future__ import annotations

import sys
import threading
import tracemalloc
import zoneinfo
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyarrow as pa

from bridge.errors import BridgeError

# Audit events that open no door: looks at objects, and the sockets and threads of a live session.
HARMLESS = ("object.", "builtins.id", "array.__new__", "socket.", "_thread.", "threading.", "time.")

# The files of the time zones that this computer knows: a peer may name one of these, and no other.
ZONES = {(f"{folder}/{zone}",) for folder in zoneinfo.TZPATH for zone in zoneinfo.available_timezones()}

_events: list[str] = []
_watching = threading.Event()


class Broken(Exception):
    """A promise does not hold."""


def begin() -> None:
    """Watch from now on. Whatever is imported or read when it is first needed must have been needed before."""
    tracemalloc.start()
    sys.addaudithook(_hear)


def guarded(run: Callable[[bytes], None], data: bytes, *, declared: int) -> None:
    """Run a target on one input.

    Parameters
    ----------
    declared
        The bytes that the limits allow: twice as many may be asked for.

    Raises
    ------
    Broken
        If a door opened or more memory was asked for.
    Exception
        Whatever comes out of the target and is no `BridgeError`.
    """
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    arrow_before = pa.default_memory_pool().max_memory()
    _watching.set()
    try:
        with suppress(BridgeError):
            run(data)
    finally:
        _watching.clear()
    if _events:
        events = ", ".join(_events)
        _events.clear()
        raise Broken(f"audit events: {events}")
    _, peak = tracemalloc.get_traced_memory()
    asked = max(peak - before, pa.default_memory_pool().max_memory() - arrow_before)
    if asked > 2 * declared:
        raise Broken(f"{asked} bytes of memory were asked for; the limits allow {declared}")


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    harmless = event.startswith(HARMLESS) or arguments[:1] in ZONES
    # The thread that looks at the system's counts of connections hears nothing of what peers say.
    if _watching.is_set() and not harmless and threading.current_thread().name != "bridge-connections":
        _events.append(f"{event} {arguments!r:.200}")
