"""What all handles have, and reading ahead."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Any, Protocol, Self, TypeAlias

from bridge import codecs, display
from bridge.codecs import Allocate, Buffer
from bridge.display import Progress
from bridge.errors import Changed, WireError
from bridge.giving_up import check_given_up, given_up_by
from bridge.remote.answered import replaced
from bridge.remote.large import Plan, Rate, unknown_rate
from bridge.threads import DaemonThreads
from bridge.transfer import MAX_IN_FLIGHT

__all__ = ["Entry", "Fetch", "Handle", "no_bar", "one_ahead", "whole_number"]

Entry: TypeAlias = dict[str, Any]


class Fetch(Protocol):
    """A way to read from a name: the client's, handed to its handles."""

    def __call__(
        self,
        name: str,
        *,
        select: Any = None,
        buffers: Sequence[Buffer] = (),
        form: str | None = None,
        allocate: Allocate = codecs.allocate,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> tuple[Any, str]:
        """Return the selected part of what the server holds under `name`, and its version."""


class Handle:
    """What all handles have.

    Attributes
    ----------
    name : str
        The name on the server.
    nbytes : int
        The size of the data on the server, in bytes; an estimate for tables with text.
    version : str
        Changes when the server's data is replaced. As it was when this handle was made.
    """

    def __init__(self, entry: Entry, fetch: Fetch, *, rate: Rate = unknown_rate) -> None:
        self.name: str = entry["name"]
        self.nbytes = whole_number(entry, "nbytes")
        self.version = str(entry.get("version", ""))
        self._fetch = fetch
        self._rate = rate
        self._pinned = False

    def _plan(self, nbytes: int) -> Plan:
        """Return what it will cost to read so many bytes of it."""
        in_flight = min(nbytes, MAX_IN_FLIGHT)
        return Plan(name=self.name, nbytes=nbytes, memory=nbytes + in_flight, rate=self._rate())

    def pinned(self) -> Self:
        """Return a handle to the same data, that reads no other: once it is replaced, `Changed` is raised.

        For those who put together what they read in parts. No I/O.
        """
        handle = copy.copy(self)
        handle._fetch = partial(_fetch_same, self._fetch, self.version)
        handle._pinned = True
        return handle

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        return normalize_token((self._fetch, self.name, self.version))


def _fetch_same(fetch: Fetch, expected: str, name: str, **options: Any) -> tuple[Any, str]:
    obj, version = fetch(name, **options)
    if version != expected:
        raise replaced(name)
    return obj, version


def whole_number(entry: Entry, key: str) -> int:
    """Return what an entry says under a key, by default 0; refuse what is no number of rows or bytes."""
    number = entry.get(key, 0)
    if type(number) is not int or not 0 <= number < 2**63:
        raise WireError(
            f"the server's entry of {entry['name']!r} has {display.text(number)} as {key!r}; "
            "expected 0 to 2**63 - 1"
        )
    return number


def one_ahead(reads: Iterator[Callable[[], tuple[Any, str]]], name: str) -> Iterator[Any]:
    """Yield the results of reads, each begun while the result before it is being used."""
    thread = DaemonThreads(1)
    gave_up = threading.Event()
    version = None
    try:
        read = next(reads, None)
        following = thread.submit(given_up_by, gave_up, read) if read is not None else None
        while following is not None:
            while not wait([following], timeout=0.1).done:
                check_given_up()  # in slices, also as a wait without end does not see Ctrl-C everywhere
            block, its_version = following.result()
            if version not in (None, its_version):
                raise Changed(f"{name!r} was replaced on the server between two blocks; begin again")
            version = its_version
            read = next(reads, None)
            following = thread.submit(given_up_by, gave_up, read) if read is not None else None
            yield block
            del block
    finally:
        gave_up.set()
        thread.shutdown(cancel_futures=True)


def no_bar(done: int, total: int) -> None:
    """Show no progress: a block is a step of somebody's loop, which may show its own."""
