"""The server's end of answers that are fetched in windows."""

from __future__ import annotations

import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.errors import WireError, remote_error
from bridge.limits import STANDARD, Limits
from bridge.transfer.ranges import IDLE_SECONDS, EndToEnd, Window

__all__ = ["Outbox", "Room"]


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
