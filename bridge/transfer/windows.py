"""The client's end: which window next, and where does it land.

How much is in flight. A link needs its bandwidth times its delay in flight to be kept busy; more only
queues. Both are measured on the windows themselves, as congestion control by BBR does (Cardwell et al.,
"BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016): the delay is the shortest time from
asking to landing, the bandwidth the largest number of bytes that landed, per second, while one window
was on its way. Twice their product is in flight, between `MIN_IN_FLIGHT` and `MAX_IN_FLIGHT`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import WireError
from bridge.limits import STANDARD
from bridge.transfer.ranges import MIN_WINDOW, EndToEnd

__all__ = ["MAX_IN_FLIGHT", "MIN_IN_FLIGHT", "Download", "Windows"]

# A window in this part of what is in flight: small windows on slow links, so that something arrives often.
WINDOWS_IN_FLIGHT: Final = 4

# What a client may have in flight: 1 Gbit/s with a delay of 0.5 s.
MAX_IN_FLIGHT: Final = 64 * 1024 * 1024
# And at least, also before anything is known: a fast link grows out of it in a few round trips, and on one of
# 64 kB/s a window arrives each second.
MIN_IN_FLIGHT: Final = WINDOWS_IN_FLIGHT * MIN_WINDOW
# On a link without delay, what arrives in this time is in flight: both ends work at the same time.
SLACK_SECONDS: Final = 0.002
# Samples of the rate among which the largest counts.
RATE_SAMPLES: Final = 16


@dataclass(frozen=True, slots=True)
class _Asked:
    length: int
    at: float
    arrived: int


class Windows:
    """The client's end: which window to ask for, or to send, next; each once, and again if it is lost.

    Times are seconds on any clock that does not go back. Not thread-safe.

    Parameters
    ----------
    total
        Bytes to move.
    in_flight
        How many of them to have in flight at first.
    largest
        Bytes of the largest window, if that is less than the protocol's.

    Attributes
    ----------
    total, arrived
        Bytes in all, and those that have landed.
    windows, retries
        Windows that landed, and those that were lost and asked for again.
    """

    def __init__(
        self, total: int, *, in_flight: int = MIN_IN_FLIGHT, largest: int = STANDARD.window
    ) -> None:
        self.total = total
        self._largest = max(MIN_WINDOW, min(STANDARD.window, largest))
        self.arrived = 0
        self.windows = 0
        self.retries = 0
        self._next = 0  # everything before it was asked for
        self._lost: deque[tuple[int, int]] = deque()
        self._in_flight: dict[int, _Asked] = {}
        self._in_flight_bytes = 0
        self._limit = in_flight
        self._delay = float("inf")
        self._rates: deque[float] = deque(maxlen=RATE_SAMPLES)

    @property
    def finished(self) -> bool:
        """Whether every byte has landed."""
        return self.arrived == self.total

    @property
    def limit(self) -> int:
        """How many bytes may be in flight now."""
        return self._limit

    @property
    def expected_seconds(self) -> float:
        """How long all that is in flight takes at the rate of the last window; 0 before the first."""
        return self._in_flight_bytes / self._rates[-1] if self._rates else 0.0

    def ask(self, now: float) -> tuple[int, int] | None:
        """Return the next window to ask for, as offset and length; None if enough is in flight."""
        offset, left = self._lost[0] if self._lost else (self._next, self.total - self._next)
        window = max(MIN_WINDOW, min(self._largest, self._limit // WINDOWS_IN_FLIGHT))
        length = min(window, left)
        if not length or (self._in_flight and self._in_flight_bytes + length > self._limit):
            return None
        if not self._lost:
            self._next += length
        elif length == left:
            self._lost.popleft()
        else:
            self._lost[0] = (offset + length, left - length)
        self._in_flight[offset] = _Asked(length, now, self.arrived)
        self._in_flight_bytes += length
        return offset, length

    def land(self, offset: int, length: int, now: float) -> bool:
        """Note that the bytes of a part are in their places.

        Returns
        -------
        bool
            False if the part was not awaited: it came twice.

        Raises
        ------
        WireError
            If it has another length than was asked for.
        """
        asked = self._in_flight.get(offset)
        if asked is None:
            return False
        if asked.length != length:
            raise WireError(f"a part of {asked.length} bytes was asked for at {offset}; {length} came")
        del self._in_flight[offset]
        self._in_flight_bytes -= length
        self.arrived += length
        self.windows += 1
        self._measure(asked, now)
        return True

    def lose(self, offset: int | None = None) -> None:
        """Note that a window will not come; without an offset, that none will: the connection is gone.

        Then nothing is known of the next connection: the windows begin small again.
        """
        for lost in list(self._in_flight) if offset is None else [offset]:
            asked = self._in_flight.pop(lost)
            self._in_flight_bytes -= asked.length
            self._lost.append((lost, asked.length))
            self.retries += 1
        if offset is None:
            self._limit = MIN_IN_FLIGHT
            self._delay = float("inf")
            self._rates.clear()

    def place(self, offset: int, lengths: Sequence[int]) -> list[memoryview] | None:
        """Say where the frames of a part go; None for nowhere, or not in one piece: see `copy`."""
        return None

    def copy(self, offset: int, frames: Sequence[Any]) -> None:
        """Take the frames of a part: there are none where a part was sent.

        Raises
        ------
        WireError
            If they are not what was asked for.
        """
        if frames:
            raise WireError(f"{len(frames)} frames came with the receipt of the part at {offset}")

    def _measure(self, asked: _Asked, now: float) -> None:
        seconds = max(now - asked.at, 1e-6)
        self._delay = min(self._delay, seconds)
        self._rates.append((self.arrived - asked.arrived) / seconds)
        wanted = 2 * max(self._rates) * (self._delay + SLACK_SECONDS)
        self._limit = int(max(MIN_IN_FLIGHT, min(MAX_IN_FLIGHT, wanted)))


class Download(Windows):
    """The client's end of an answer: also says where the bytes of each window go.

    Parameters
    ----------
    destinations
        One writable, flat memoryview of bytes for each buffer of the answer, of its length.
    in_flight
        How many bytes to have in flight at first.
    """

    def __init__(self, destinations: Sequence[memoryview], *, in_flight: int = MIN_IN_FLIGHT) -> None:
        self._range = EndToEnd(destinations)
        super().__init__(self._range.total, in_flight=in_flight)

    def place(self, offset: int, lengths: Sequence[int]) -> list[memoryview] | None:
        """Say where the frames of a part go.

        Parameters
        ----------
        offset
            Of the part.
        lengths
            Of its frames, in bytes.

        Returns
        -------
        list of memoryview or None
            One destination for each frame; None if a frame belongs into several, or if the part is not
            awaited.
        """
        if not self._awaits(offset, sum(lengths)):
            return None
        places = []
        for length in lengths:
            window = self._range.window(offset, length)
            if len(window) != 1:
                return None
            ((buffer, start, stop),) = window
            places.append(buffer[start:stop])
            offset += length
        return places

    def copy(self, offset: int, frames: Sequence[Any]) -> None:
        """Copy the frames of a part that `place` had no simple place for.

        Raises
        ------
        WireError
            If they are not what was asked for.
        """
        length = sum(len(frame) for frame in frames)
        if not self._awaits(offset, length):
            raise WireError(f"{length} bytes came at {offset}, where others or none were asked for")
        self._range.write(offset, frames)

    def _awaits(self, offset: int, length: int) -> bool:
        asked = self._in_flight.get(offset)
        return asked is not None and asked.length == length
