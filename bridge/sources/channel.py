"""Live channels: rows are appended, and every follower reads them at its own pace.

The rows are numbered from 0. A channel keeps the last of them; a follower asks for the rows from a number on,
and gets a run of them, or waits. Who asks for rows that are no longer kept is told how many were lost.

Rows may come one by one, a thousand times a second, and each may have hundreds of followers. So what was
appended is gathered: small runs are joined into one, once for all followers, and those who wait are woken
together, the less often the more there are. Each follower that is up to date then asks for the same run, which
is encoded once. Runs are joined further as they age, so that a follower that starts at the beginning gets large
ones.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import uuid4

from bridge import codecs
from bridge.codecs import Encoded
from bridge.errors import EncodeError, remote_error
from bridge.sources.rows import alike, checked_rows, joined, rows_from

__all__ = ["Batch", "Channel"]

# A joined run has so many bytes at most: it travels in one message.
MAX_BATCH: Final = 512 * 1024
# A joined run has at most this part of the rows that are kept: rows are dropped in whole runs.
KEPT_RUNS: Final = 8
# So many runs are joined also while nobody reads them: a DataFrame of one row takes kilobytes.
MAX_FRESH: Final = 256
# Between two wakes, for each follower that took something since the last: a server of one process answers
# some 4,000 small requests per second, and this takes half of them.
GATHER_SECONDS: Final = 0.0005
MAX_GATHER_SECONDS: Final = 0.25
# Runs that were encoded, for the followers that are still to ask for them.
ENCODED: Final = 8
# Followers that may wait at the same time; those of one client are a quarter of them at most.
MAX_WAITING: Final = 10_000


@dataclass(frozen=True, slots=True)
class Batch:
    """What a follower gets.

    Attributes
    ----------
    rows
        A run of rows as it travels, or None if there are none yet.
    following
        The number of the row to ask for next.
    lost
        How many rows between the one that was asked for and the first that is kept are gone.
    """

    rows: Encoded | None
    following: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    start: int
    client: Hashable


@dataclass(frozen=True, slots=True)
class _Run:
    first: int
    stop: int
    rows: Any
    nbytes: int


Ready: TypeAlias = Callable[[], None]


class Channel:
    """A live stream of rows.

    Parameters
    ----------
    keep_rows
        How many of the last rows are kept at least, for followers that come late.
    schedule
        Takes a time on the clock of `time.monotonic` and a function, and calls it then, in any thread.
    """

    in_memory = True  # as a `bridge.sources.Source` is

    def __init__(self, *, keep_rows: int, schedule: Callable[[float, Callable[[], None]], Any]) -> None:
        self.version = uuid4().hex[:16]
        self._keep_rows = keep_rows
        self._schedule = schedule
        self._lock = threading.Lock()  # never for longer than it takes to look: the server waits for it
        self._gathering = threading.Lock()
        self._encoding = threading.Lock()
        self._runs: deque[_Run] = deque()
        self._fresh = 0  # how many of the last runs were not gathered yet
        self._end = 0
        self._nbytes = 0
        self._waiting: dict[Ready, _Waiting] = {}
        self._counts: Counter[Hashable] = Counter()  # of those who wait, by client
        # No later than the first row that somebody waits for.
        self._earliest: float = math.inf
        self._is_scheduled = False
        self._woken = 0.0
        self._taken = 0  # batches since then
        self._encoded: dict[tuple[int, int], Encoded] = {}

    def __len__(self) -> int:
        """Return how many rows are kept."""
        return self._end - self._begin

    @property
    def _begin(self) -> int:
        return self._runs[0].first if self._runs else self._end

    @property
    def _gathered(self) -> int:
        """The number of the first row that was not gathered yet."""
        return self._runs[-self._fresh].first if self._fresh else self._end

    def entry(self) -> dict[str, Any]:
        """Return the catalogue's entry."""
        with self._lock:
            return {
                "kind": "channel",
                "version": self.version,
                "rows": self._end,
                "begin": self._begin,
                "nbytes": self._nbytes,
            }

    def append(self, rows: Any) -> int:
        """Add rows at the end, and wake the followers.

        Parameters
        ----------
        rows
            A DataFrame, an Arrow table, an array whose first axis is the rows, or a list. It is not copied,
            and must not change any more.

        Returns
        -------
        int
            The number of rows that were appended since the channel began.

        Raises
        ------
        EncodeError
            If it cannot be sent, or is no run of rows.
        """
        rows = checked_rows(rows)
        nbytes = sum(len(buffer) for buffer in codecs.encode(rows).buffers)
        with self._lock:
            if len(rows):
                self._runs.append(_Run(self._end, self._end + len(rows), rows, nbytes))
                self._end += len(rows)
                self._nbytes += nbytes
                self._fresh += 1
                self._drop()
            end = self._end
            is_due = self._fresh >= MAX_FRESH
            wake = self._next_wake()
        if is_due:
            self._gather()
        if wake is not None:
            self._schedule(wake, self._wake)
        return end

    def position(self, start: str | int) -> int:
        """Return the number of the row that "begin", "end" or a number means."""
        with self._lock:
            return {"begin": self._begin, "end": self._end}[start] if isinstance(start, str) else start

    def has(self, start: int) -> bool:
        """Whether `read` has something to tell that need not be gathered first."""
        with self._lock:
            return start < self._gathered

    def read(self, start: int) -> Batch:
        """Return a run of rows from a number on; none if there are none yet."""
        with self._lock:
            is_due = self._gathered <= start < self._end
        if is_due:
            self._gather()
        with self._lock:
            begin = self._begin
            if start < begin:
                return Batch(None, begin, lost=begin - start)
            if start >= self._end:
                return Batch(None, start)
            run = self._runs[bisect.bisect_right(self._runs, start, key=lambda run: run.first) - 1]
            self._taken += 1
        with self._encoding:  # one follower encodes it, the others find it
            encoded = self._encoded.get((start, run.stop))
            if encoded is None:
                encoded = codecs.encode(rows_from(run.rows, start - run.first))
                self._encoded[start, run.stop] = encoded
                if len(self._encoded) > ENCODED:
                    del self._encoded[next(iter(self._encoded))]
        return Batch(encoded, run.stop)

    def wait(self, start: int, ready: Ready, client: Hashable = None) -> None:
        """Have `ready` called when there are rows from a number on. It is to `read` them.

        Parameters
        ----------
        client
            For whom it is counted.

        Raises
        ------
        RemoteError
            If too many wait, or too many of this client.
        """
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise remote_error("busy", f"{MAX_WAITING} followers wait already; try again later")
            most = max(1, MAX_WAITING // 4)
            if self._counts[client] >= most:
                raise remote_error(
                    "busy",
                    f"{most} followers of yours wait already; follow with fewer, or try again later",
                )
            self._waiting[ready] = _Waiting(start, client)
            self._counts[client] += 1
            self._earliest = min(self._earliest, start)
            wake = self._next_wake()
        if wake is not None:
            self._schedule(wake, self._wake)

    def give_up_waiting(self, ready: Ready) -> None:
        """Call `ready`, if it still waits."""
        with self._lock:
            waits = ready in self._waiting
            if waits:
                self._forget(ready)
        if waits:
            ready()

    def _forget(self, ready: Ready) -> None:
        client = self._waiting.pop(ready).client
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]

    def _next_wake(self) -> float | None:
        """Return when `_wake` is to be called, if it is not known and somebody waits for what is here."""
        if self._is_scheduled or self._earliest >= self._end:
            return None
        self._is_scheduled = True
        followers = max(self._taken, len(self._waiting))
        return self._woken + min(MAX_GATHER_SECONDS, GATHER_SECONDS * followers)

    def _wake(self) -> None:
        self._gather()
        with self._lock:
            self._is_scheduled = False
            self._woken = time.monotonic()
            self._taken = 0
            ready = [wake for wake, waiting in self._waiting.items() if waiting.start < self._end]
            for wake in ready:
                self._forget(wake)
            self._earliest = min((waiting.start for waiting in self._waiting.values()), default=math.inf)
        for wake in ready:
            wake()

    def _gather(self) -> None:
        """Join the runs that were appended since the last time, and older ones that are no larger."""
        with self._gathering:
            with self._lock:
                runs = self._to_gather()
            gathered = self._joined(runs)
            with self._lock:
                self._replace(runs, gathered)

    def _to_gather(self) -> list[_Run]:
        if not self._fresh:
            return []
        runs: list[_Run] = []
        size = 0
        for run in reversed(self._runs):
            if len(runs) >= self._fresh and run.nbytes > size:
                break
            runs.append(run)
            size += run.nbytes
        return runs[::-1]

    def _joined(self, runs: list[_Run]) -> list[_Run]:
        groups: list[list[_Run]] = []
        size = 0
        for run in runs:
            size += run.nbytes
            if not groups or size > MAX_BATCH or not self._may_join(groups[-1][0], run):
                groups.append([])
                size = run.nbytes
            groups[-1].append(run)
        return [run for group in groups for run in _join(group)]

    def _replace(self, runs: list[_Run], gathered: list[_Run]) -> None:
        """Put joined runs in the place of theirs. Meanwhile some were appended, and some of theirs dropped."""
        if not runs or runs[-1].stop <= self._begin:
            return
        appended: list[_Run] = []
        begin = self._begin
        while self._runs and self._runs[-1].first >= runs[0].first:
            run = self._runs.pop()
            self._nbytes -= run.nbytes
            if run.first >= runs[-1].stop:
                appended.append(run)
        for run in (*gathered, *reversed(appended)):
            if run.stop > begin:
                self._runs.append(run)
                self._nbytes += run.nbytes
        self._fresh = len(appended)

    def _may_join(self, run: _Run, other: _Run) -> bool:
        most_rows = max(1, self._keep_rows // KEPT_RUNS)
        return other.stop - run.first <= most_rows and alike(run.rows, other.rows)

    def _drop(self) -> None:
        """Forget runs without which enough rows are kept."""
        while len(self._runs) > 1 and self._end - self._runs[1].first >= self._keep_rows:
            self._nbytes -= self._runs.popleft().nbytes
        self._fresh = min(self._fresh, len(self._runs))


def _join(runs: list[_Run]) -> list[_Run]:
    if len(runs) == 1:
        return runs
    try:
        rows = joined([run.rows for run in runs])
    except (EncodeError, MemoryError):
        return runs
    return [_Run(runs[0].first, runs[-1].stop, rows, sum(run.nbytes for run in runs))]
