"""The server's end of what clients put in windows."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import WireError, remote_error
from bridge.limits import STANDARD, Limits
from bridge.transfer.ranges import IDLE_SECONDS, MIN_WINDOW, EndToEnd

__all__ = ["Inbox"]

# Parts of what is put that may be smaller than the smallest window: each is remembered.
MAX_SMALL_PARTS: Final = 1000

# What a buffer takes beside its bytes, while it is filled: objects of Python and of numpy.
BUFFER_COST: Final = 1024


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
