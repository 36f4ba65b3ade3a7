"""Both ends of a transfer, as plain state: which window next, and where does it land. No sockets.

An answer larger than the client takes in one message stays on the server, in an `Outbox`, under a token.
Its buffers, end to end, are one range of bytes; the client pulls windows of it, several in flight, and a
`Download` says which window to ask for next and where the bytes of each go. What a client puts goes the other
way: its `Windows` say which to send next, and an `Inbox` on the server takes them. Nothing is ever asked for
or sent twice but what was lost.

How much is in flight. A link needs its bandwidth times its delay in flight to be kept busy; more only
queues. Both are measured on the windows themselves, as congestion control by BBR does (Cardwell et al.,
"BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016): the delay is the shortest time from
asking to landing, the bandwidth the largest number of bytes that landed, per second, while one window
was on its way. Twice their product is in flight, between `MIN_IN_FLIGHT` and `MAX_IN_FLIGHT`.
"""

from __future__ import annotations

import bisect
import secrets
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeAlias

from bridge.errors import WireError, remote_error
from bridge.limits import STANDARD, Limits

__all__ = [
    "MAX_IN_FLIGHT",
    "MIN_WINDOW",
    "Download",
    "EndToEnd",
    "Inbox",
    "Outbox",
    "Room",
    "Window",
    "Windows",
    "cut",
    "fill",
]

# Buffers, and the range of bytes that is wanted of each.
Window: TypeAlias = list[tuple[Any, int, int]]

# The smallest window, but for the last.
MIN_WINDOW: Final = 64 * 1024
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

# A transfer that nobody asks about for so long is over.
IDLE_SECONDS: Final = 60.0
# Parts of what is put that may be smaller than the smallest window: each is remembered.
MAX_SMALL_PARTS: Final = 1000

# What a buffer takes beside its bytes, while it is filled: objects of Python and of numpy.
BUFFER_COST: Final = 1024

# A window in more pieces than this is joined into one: a frame costs more than copying a few bytes.
MAX_PIECES: Final = 16


class EndToEnd:
    """Several buffers as one range of bytes.

    Parameters
    ----------
    buffers
        Bytes-like objects, or ranges of files: anything with a length that slices to bytes.

    Attributes
    ----------
    total
        Bytes of all.
    """

    def __init__(self, buffers: Sequence[Any]) -> None:
        self._buffers = buffers
        self._starts = list(accumulate((len(buffer) for buffer in buffers), initial=0))
        self.total = self._starts[-1]

    def window(self, offset: int, length: int) -> Window:
        """Return where the bytes of a part of the range are; `cut` gives them."""
        window = []
        end = offset + length
        number = bisect.bisect_right(self._starts, offset) - 1
        while offset < end:
            start, stop = self._starts[number], min(self._starts[number + 1], end)
            if stop > offset:
                window.append((self._buffers[number], offset - start, stop - start))
                offset = stop
            number += 1
        return window

    def write(self, offset: int, frames: Sequence[Any]) -> None:
        """Copy frames to where they belong; the buffers are writable memoryviews."""
        for frame in frames:
            source = memoryview(frame)
            for buffer, start, stop in self.window(offset, len(source)):
                buffer[start:stop] = source[: stop - start]
                source = source[stop - start :]
                offset += stop - start


def cut(window: Window) -> list[Any]:
    """Return the bytes of a window: slices of its buffers, not copied unless they are many."""
    pieces = [buffer[start:stop] for buffer, start, stop in window]
    return pieces if len(pieces) <= MAX_PIECES else [b"".join(pieces)]


def fill(part: memoryview, window: Window) -> None:
    """Copy or read the bytes of a window, of buffers and of ranges of files, into memory of its length."""
    for buffer, start, stop in window:
        if isinstance(buffer, memoryview):
            part[: stop - start] = buffer[start:stop]
        else:
            buffer.read_into(part[: stop - start], start)
        part = part[stop - start :]


@dataclass(slots=True)
class _Kept:
    range: EndToEnd
    held: int
    used: float
    client: Hashable
    orphaned: Callable[[], int] | None


class Room:
    """Memory that is set aside for an answer that is being made: until it is kept, or the block is left."""

    def __init__(self, nbytes: int, give_back: Callable[[int], None]) -> None:
        self._nbytes = nbytes
        self._give_back = give_back

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Set it aside no longer."""
        nbytes, self._nbytes = self._nbytes, 0
        self._give_back(nbytes)


class Outbox:
    """The server's end: answers that wait to be fetched in windows.

    Times are seconds on any clock that does not go back. Thread-safe.
    """

    def __init__(self, limits: Limits = STANDARD) -> None:
        self._limits = limits
        self._held = 0
        self._reserved = 0  # of these
        self._lock = threading.RLock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()  # the least recently used first
        self._counts: Counter[Hashable] = Counter()  # of the transfers of each client

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held(self) -> int:
        """Bytes that are kept for transfers alone, or set aside for them."""
        return self._held

    def keep(
        self,
        buffers: Sequence[Any],
        *,
        held: int,
        now: float,
        known_as: Callable[[str], Hashable] = str,
        client: Hashable = None,
        orphaned: Callable[[], int] | None = None,
        room: Room | None = None,
    ) -> str:
        """Keep an answer, and return its token.

        Parameters
        ----------
        buffers
            Bytes-like objects, or ranges of files: anything with a length that slices to bytes.
        held
            How many of their bytes exist for this answer alone.
        known_as
            Makes of the token what the answer is asked for by; by default the token.
        client
            For whom it is counted.
        orphaned
            Of views: how many bytes they alone keep in memory; 0 as long as they are of what is served.
        room
            What was reserved for it.

        Raises
        ------
        RemoteError
            ``too_large`` if the answer alone is beyond the budget, ``busy`` if others are being made that take
            it. If it fits when others go that are kept, the least recently used ones go of the client that has
            most.
        """
        self.check(held)
        token = secrets.token_urlsafe(16)
        limits = self._limits
        with self._lock:
            self._release_idle(now)
            if room is not None:
                room.give_back()
            if self._counts[client] >= max(1, limits.transfers // 4):
                self._release_oldest(client)
            if held:
                self._make_room(held)
            while len(self._kept) >= limits.transfers:
                self._release_oldest(self._greatest(lambda _: 1))
            self._kept[known_as(token)] = _Kept(EndToEnd(buffers), held, now, client, orphaned)
            self._counts[client] += 1
            self._held += held
        return token

    def reserve(self, held: int) -> Room:
        """Set memory aside for an answer before it is made; as a context manager, until its block is left.

        Raises
        ------
        RemoteError
            As `keep` does.
        """
        self.check(held)
        with self._lock:
            self._make_room(held)
            self._held += held
            self._reserved += held
        return Room(held, self._give_back)

    def _give_back(self, reserved: int) -> None:
        with self._lock:
            self._held -= reserved
            self._reserved -= reserved

    def _make_room(self, held: int) -> None:
        most = self._limits.held
        while self._held + held > most and self._held > self._reserved:
            self._release_oldest(self._greatest(lambda kept: kept.held))
        if self._held + held > most:
            raise remote_error(
                "busy",
                f"the answer takes {held} bytes of the server's memory, and others that are being made take "
                f"{self._held} of {most}: try again later",
            )

    def check(self, held: int) -> None:
        """Raise `RemoteError` with ``too_large`` if an answer could never be kept, as in `keep`."""
        if held > self._limits.held:
            raise remote_error(
                "too_large",
                f"the answer takes {held} bytes of the server's memory; it keeps at most "
                f"{self._limits.held} for transfers: ask for a part",
            )

    def window(self, token: Hashable, offset: int, length: int, now: float) -> Window:
        """Return where the bytes of one window are; `cut` gives them.

        Raises
        ------
        RemoteError
            ``expired`` if there is no such transfer, or no longer.
        WireError
            If the window is not inside the answer, or is too large.
        """
        with self._lock:
            kept = self._kept.get(token)
            if kept is None:
                raise remote_error("expired", "there is no such transfer, or no longer; ask again")
            kept.used = now
            self._kept.move_to_end(token)
        total = kept.range.total
        if not (0 < length <= STANDARD.window and offset + length <= total):
            raise WireError(
                f"a part of {length} bytes at {offset} was asked for; a part has 1 to {STANDARD.window} "
                f"bytes, and this answer has {total}"
            )
        return kept.range.window(offset, length)

    def release(self, token: Hashable) -> None:
        """Forget an answer. One that is not there is forgotten already."""
        with self._lock:
            kept = self._kept.pop(token, None)
            if kept is not None:
                self._held -= kept.held
                self._counts[kept.client] -= 1
                if not self._counts[kept.client]:
                    del self._counts[kept.client]

    def expire(self, now: float) -> None:
        """Forget the answers that nobody asked about for `IDLE_SECONDS`, and count what is orphaned by now.

        Views of what was replaced hold all of it. Beyond the budget they go like other answers, but for the
        last: a transfer of what is larger than the budget may end.
        """
        with self._lock:
            self._release_idle(now)
            for kept in self._kept.values():
                if kept.orphaned is not None and (held := kept.orphaned()):
                    kept.orphaned = None
                    kept.held += held
                    self._held += held
            while (
                self._held > self._limits.held and sum(kept.held > 0 for kept in self._kept.values()) > 1
            ):
                self._release_oldest(self._greatest(lambda kept: kept.held))

    def _release_idle(self, now: float) -> None:
        while self._kept:
            token, kept = next(iter(self._kept.items()))
            if now - kept.used < IDLE_SECONDS:
                return
            self.release(token)

    def _greatest(self, size: Callable[[_Kept], int]) -> Hashable:
        """Return the client whose answers take most, so that it makes the room, and nobody else."""
        sizes: Counter[Hashable] = Counter()
        for kept in self._kept.values():
            sizes[kept.client] += size(kept)
        return max(sizes, key=sizes.__getitem__)

    def _release_oldest(self, client: Hashable) -> None:
        self.release(next(token for token, kept in self._kept.items() if kept.client == client))


class Inbox:
    """The server's end of what clients put: buffers that are being filled. Thread-safe.

    What was announced counts as held from then on, whether or not its bytes have come.
    """

    def __init__(self, limits: Limits = STANDARD) -> None:
        self._limits = limits
        self._lock = threading.RLock()
        self._open: dict[Hashable, _Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, token: Hashable) -> bool:
        return token in self._open

    def open(
        self,
        token: Hashable,
        nbytes: int,
        allocate: Callable[[], Sequence[memoryview]],
        what: Any,
        now: float,
        client: Hashable = None,
        *,
        count: int = 0,
        cost: int = 0,
    ) -> None:
        """Take parts under a token from now on. The same may be said twice: its reply may have been lost.

        Parameters
        ----------
        nbytes
            What is to be put.
        allocate
            Makes the writable destinations, if there is room.
        what
            Whatever `finish` shall return with them.
        count
            Of how many buffers. Empty ones take memory, too.
        cost
            Bytes of memory that `what` takes.

        Raises
        ------
        RemoteError
            If the token is taken for something else, or there is no room for so many bytes more: if it would
            be there without uploads of a client that has announced more than this one would have with it, the
            client with most loses those that had no new bytes for longest.
        """
        with self._lock:
            self.expire(now)
            upload = self._open.get(token)
            if upload is not None and (upload.what, upload.range.total) == (what, nbytes):
                return
            if upload is not None:
                raise remote_error(
                    "bad_request", "there is a transfer of this token; choose another at random"
                )
            limits = self._limits
            most = min(limits.upload, limits.held)
            held = max(nbytes, count * BUFFER_COST)
            if held > most:
                raise remote_error(
                    "too_large", f"{held} bytes are to be put; the server takes {most} at a time"
                )
            held = min(
                held + cost, limits.held
            )  # one of the whole budget may come when there is no other
            own = sum(upload.client == client for upload in self._open.values())
            if own >= max(1, limits.transfers // 4):
                raise remote_error("busy", f"{own} uploads of yours are on their way; finish them first")
            if len(self._open) >= limits.transfers:
                raise remote_error(
                    "busy", f"{len(self._open)} uploads are on their way; try again later"
                )
            pushed_out = self._pushed_out_by(held, client)
            if pushed_out is None:
                others = sum(upload.held for upload in self._open.values())
                raise remote_error(
                    "busy",
                    f"{held} bytes are to be put, and {others} are on their way in {len(self._open)} "
                    f"transfers; the server takes {limits.held}: try again later",
                )
            for other in pushed_out:
                del self._open[other]
            buffers = allocate()
            self._open[token] = _Open(EndToEnd(buffers), buffers, what, held, {}, now, client)

    def _pushed_out_by(self, nbytes: int, client: Hashable) -> list[Hashable] | None:
        """Return the uploads that go so that so many bytes more fit, or None if they do not."""
        uploads: defaultdict[Hashable, deque[Hashable]] = defaultdict(deque)
        sizes: Counter[Hashable] = Counter()
        for token, upload in sorted(self._open.items(), key=lambda item: item[1].used):
            uploads[upload.client].append(token)
            sizes[upload.client] += upload.held
        excess = sizes.total() + nbytes - self._limits.held
        most = sizes.pop(client, 0) + nbytes
        pushed_out: list[Hashable] = []
        while excess > 0:
            greatest = max(sizes, key=sizes.__getitem__, default=None)
            if sizes[greatest] <= most:
                return None
            token = uploads[greatest].popleft()
            pushed_out.append(token)
            sizes[greatest] -= self._open[token].held
            excess -= self._open[token].held
        return pushed_out

    def write(self, token: Hashable, offset: int, frames: Sequence[Any], now: float) -> int:
        """Copy a part to its place, and return its length. One that came before is copied again.

        Raises
        ------
        RemoteError
            ``expired`` if there is no such transfer.
        WireError
            If the part is not inside, or is too large.
        """
        upload = self._find(token)
        length = sum(len(frame) for frame in frames)
        if not (0 < length <= STANDARD.window and offset + length <= upload.range.total):
            raise WireError(
                f"a part of {length} bytes at {offset} was sent; a part has 1 to {STANDARD.window} bytes, and "
                f"this transfer has {upload.range.total}"
            )
        if len(upload.arrived) > upload.range.total // MIN_WINDOW + MAX_SMALL_PARTS:
            raise WireError(f"the parts are too small; send them in {MIN_WINDOW} bytes or more")
        upload.range.write(offset, frames)
        if length > upload.arrived.get(offset, 0):  # else nothing came that was not there
            upload.arrived[offset] = length
            upload.used = now
        return length

    def announced(self, token: Hashable) -> tuple[Any, int] | None:
        """Return what is being put under a token, as `open` was told, and its bytes; None if nothing is."""
        upload = self._open.get(token)
        return None if upload is None else (upload.what, upload.range.total)

    def finish(self, token: Hashable) -> tuple[Sequence[memoryview], Any]:
        """Return the buffers, all of whose bytes are there, and what was given with them.

        Raises
        ------
        RemoteError
            ``expired`` if there is no such transfer.
        WireError
            If parts are missing.
        """
        upload = self._find(token)
        end = 0
        for offset, length in sorted(upload.arrived.items()):
            if offset > end:
                break
            end = max(end, offset + length)
        if end < upload.range.total:
            raise WireError(f"the bytes from {end} on are missing; send them before 'done'")
        self.release(token)
        return upload.buffers, upload.what

    def release(self, token: Hashable) -> None:
        """Forget what was put, if it is not finished."""
        with self._lock:
            self._open.pop(token, None)

    def expire(self, now: float) -> None:
        """Forget what nobody has sent a new part of for `IDLE_SECONDS`."""
        with self._lock:
            for token in [t for t, upload in self._open.items() if now - upload.used > IDLE_SECONDS]:
                del self._open[token]

    def _find(self, token: Hashable) -> _Open:
        upload = self._open.get(token)
        if upload is None:
            raise remote_error("expired", "there is no such transfer, or no longer; put it again")
        return upload


@dataclass(slots=True)
class _Open:
    range: EndToEnd
    buffers: Sequence[memoryview]
    what: Any
    held: int
    arrived: dict[int, int]
    used: float
    client: Hashable


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
