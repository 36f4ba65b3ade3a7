"""Query functions and streams that are running, and what they made that nobody has fetched yet. No sockets.

A `Call` pulls values out of a function, or one by one out of a generator, in an executor, and gives each to
whoever waits for it. It pulls ahead, but never more than `PREFETCH` values. `Calls` keeps the calls under
their tokens. Who waited for longer than he wished is told so and asks again, which is how a slow function is
told from a dead server.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from bridge.errors import WireError, remote_error
from bridge.limits import STANDARD, Limits
from bridge.threads import DaemonThreads, Inline, Share

__all__ = ["END", "PENDING", "Call", "Calls", "Item", "Signal", "cancelled"]

# Values of a stream that are made before they are asked for: one that is being fetched, and the next.
PREFETCH: Final = 2
# A call that nobody asks about for so long is given up: its client is gone.
IDLE_SECONDS: Final = 60.0


class Signal:
    """What a waiter gets instead of a value."""


# Nothing yet; nothing more.
PENDING: Final = Signal()
END: Final = Signal()


@dataclass(frozen=True, slots=True)
class Item:
    """A value that was made, as it travels, or the exception instead.

    Attributes
    ----------
    nbytes
        Of the value.
    raised
        Whether the exception comes from the function, not from encoding its value.
    last
        Whether nothing can follow.
    """

    value: Any
    error: BaseException | None
    raised: bool
    last: bool
    nbytes: int = 0


Deliver: TypeAlias = Callable[[Item | Signal], None]

_cancelled: ContextVar[threading.Event | None] = ContextVar("bridge_cancelled", default=None)


def cancelled() -> bool:
    """Whether the caller of the query that is running here has given it up.

    A query function that takes long looks now and then, and returns. Works in the server's own threads and in a
    `ThreadPoolExecutor`; elsewhere, and outside a query, it is False.
    """
    event = _cancelled.get()
    return event is not None and event.is_set()


class Tally:
    """A sum of what several threads add to it."""

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        """Add a number, which may be negative."""
        with self._lock:
            self.total += number


class Call:
    """One call of a function, or one run of a generator.

    Its values are numbered from 0. The one that was handed out last is kept until the next is asked for, so
    that a reply that was lost with its connection can be asked for again.

    Parameters
    ----------
    executor
        Where it runs.
    function, arguments
        Called once as ``function(**arguments)``.
    encode
        Makes of each value what is given to those who wait, where it was made, and says how many bytes that
        takes.
    many
        Whether it returns an iterator of values, not a value.
    nbytes
        What the arguments take.
    name
        What it is called by.
    limit
        Has a function called if a value takes too long, and returns how to take that back.

    Attributes
    ----------
    used : float
        When somebody asked for a value last, on the clock of `time.monotonic`.
    held : int
        Bytes of the arguments, and of the values that are kept.
    client
        Who called.
    """

    def __init__(
        self,
        executor: Executor,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        *,
        encode: Callable[[Any], tuple[Any, int]],
        many: bool,
        nbytes: int = 0,
        name: str = "",
        limit: Callable[[Callable[[], None]], Callable[[], None]] | None = None,
    ) -> None:
        self.name = name
        self._limit = limit
        self._take_back: Callable[[], None] | None = None
        self._executor = executor
        self._encode = encode
        self._many = many
        self._iterator: Iterator[Any] | None = None
        self._items: deque[Item] = deque()
        self._handed: Item | None = None
        self._next = 0
        self._pulls = 0
        self._ended = False
        self._closed = False
        self._pulling = True
        self._running: Future[Any] | None = None
        self._waiter: Deliver | None = None
        self._gave_up = threading.Event()
        self._lock = threading.Lock()
        self.used = time.monotonic()
        self.held = nbytes
        self.client: Hashable = None
        self._tally: Tally | None = None
        self._submit(partial(function, **arguments))

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the next value."""
        return self._waiter is not None

    @property
    def has_values(self) -> bool:
        """Whether it keeps values that were made."""
        return bool(self._items) or self._handed is not None

    def wait(self, deliver: Deliver, number: int | None = None) -> None:
        """Give a value to `deliver`: now, or from another thread when it is there.

        Only one waits at a time: who waited before gets `PENDING`.

        Parameters
        ----------
        number
            Of the next value, or of the one before, which is given again; by default the next.

        Raises
        ------
        WireError
            If it is the number of another.
        """
        with self._lock:
            self.used = time.monotonic()
            again = self._handed if number == self._next - 1 else None
            if again is None:
                if number not in (None, self._next):
                    raise WireError(f"'start' is {number}; the next value of this call is {self._next}")
                previous, self._waiter = self._waiter, deliver
        if again is not None:
            deliver(again)
            return
        if previous is not None:
            previous(PENDING)
        self._go_on()

    def give_up_waiting(self, deliver: Deliver) -> None:
        """Give `PENDING` to `deliver`, if it still waits."""
        with self._lock:
            if self._waiter is not deliver:
                return
            self._waiter = None
            self.used = time.monotonic()
        deliver(PENDING)

    def count(self, client: Hashable, tally: Tally) -> None:
        """Count what it holds for a client, and with that of others, until it is closed or over."""
        with self._lock:
            self.client, self._tally = client, tally
            tally.add(self.held)

    def let_go(self) -> None:
        """Count what it holds no longer."""
        with self._lock:
            self._hold(-self.held)
            self._tally = None

    def close(self) -> None:
        """Stop: what has not begun never does, a generator is closed, a function may look at `cancelled`.

        Who waits gets a failure: an end would make a stream that was stopped look complete.
        """
        with self._lock:
            self._closed = self._ended = True
            self._items.clear()
            self._handed = None
            self._is_made()
            waiter, self._waiter = self._waiter, None
            pulling, running = self._pulling, self._running
        self.let_go()
        self._gave_up.set()
        if waiter is not None:
            waiter(_stopped())
        if not pulling:
            self._close_iterator()
        elif running is not None:
            running.cancel()

    def _go_on(self) -> None:
        """Hand out what is there, and make more where there is room."""
        item: Item | Signal | None = None
        with self._lock:
            waiter = self._waiter
            if waiter is not None and self._items:
                item = self._items.popleft()
            elif waiter is not None and self._ended:
                item = _stopped() if self._closed else END
            if item is not None:
                self._waiter = None
                self.used = time.monotonic()
            if isinstance(item, Item):
                self._hold(-self._handed.nbytes if self._handed is not None else 0)
                self._handed = item
                self._next += 1
            pull = (
                self._iterator is not None
                and not self._pulling
                and not self._ended
                and len(self._items) < PREFETCH
            )
            self._pulling = self._pulling or pull
        if pull:
            self._submit(partial(next, self._iterator, END))
        if item is not None and waiter is not None:
            waiter(item)

    def _hold(self, nbytes: int) -> None:
        self.held += nbytes
        if self._tally is not None:
            self._tally.add(nbytes)

    def _is_made(self) -> None:
        """Let the value that is being made take its time no longer, for there it is."""
        if self._take_back is not None:
            self._take_back()
            self._take_back = None

    def _is_late(self, pull: int) -> None:
        with self._lock:
            is_late = self._pulling and self._pulls == pull
        if is_late:
            self.close()

    def _submit(self, function: Callable[[], Any]) -> None:
        self._pulls += 1
        if self._limit is not None:
            self._take_back = self._limit(partial(self._is_late, self._pulls))
        if isinstance(self._executor, DaemonThreads | Share | ThreadPoolExecutor | Inline):
            function = partial(_run, self._gave_up, function)
        try:
            future = self._executor.submit(function)
        except Exception as exc:  # it was shut down, its processes died, its cluster is gone
            self._arrived(Item(None, exc, raised=True, last=True))
            return
        self._running = future
        future.add_done_callback(self._done)

    def _done(self, future: Future[Any]) -> None:
        error = CancelledError("the server closed first") if future.cancelled() else future.exception()
        if error is not None:
            self._arrived(Item(None, error, raised=True, last=True))
        elif self._many and self._iterator is None:
            self._begin(future.result())
        elif future.result() is END:
            self._arrived(None)
        else:
            self._arrived(self._made(future.result()))

    def _begin(self, values: Any) -> None:
        try:
            iterator = iter(values)
        except Exception as exc:  # a function that yields nothing and returns no iterable
            self._arrived(Item(None, exc, raised=True, last=True))
            return
        with self._lock:
            self._is_made()
            self._iterator = iterator
            self._pulling, self._running = False, None
        if self._ended:
            self._close_iterator()
        self._go_on()

    def _made(self, value: Any) -> Item:
        try:
            encoded, nbytes = self._encode(value)
            return Item(encoded, None, raised=False, last=not self._many, nbytes=nbytes)
        except Exception as exc:
            return Item(None, exc, raised=False, last=True)

    def _arrived(self, item: Item | None) -> None:
        with self._lock:
            self._is_made()
            # Not before: the next value would overtake one that is being encoded.
            self._pulling, self._running = False, None
            if not self._closed and item is not None:
                self._items.append(item)
                self._hold(item.nbytes)
            self._ended = self._ended or item is None or item.last
            closed = self._closed
        if self._ended:
            self._close_iterator()
        if not closed:
            self._go_on()

    def _close_iterator(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            # In a thread: what a generator does when it is closed is its own business. After a shutdown of
            # the executor, Python closes it when the last reference goes.
            with contextlib.suppress(RuntimeError):
                self._executor.submit(close)


class Calls:
    """The calls of a server, by their tokens. Thread-safe."""

    def __init__(self, limits: Limits = STANDARD) -> None:
        self._limits = limits
        self._calls: dict[Hashable, Call] = {}
        self._tally = Tally()  # of the bytes that they hold
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def held(self) -> int:
        """Bytes that arguments and results take."""
        return self._tally.total

    def add(self, token: Hashable, call: Callable[[], Call], client: Hashable = None) -> Call:
        """Begin a call, and keep it under a token that its client chose.

        Raises
        ------
        RemoteError
            If the token is taken, or there are too many calls.
        """
        with self._lock:
            if token in self._calls:
                raise remote_error(
                    "bad_request", "there is a call of this token; choose another at random"
                )
            most = self._limits.calls
            if len(self._calls) >= most:
                raise remote_error("busy", f"{most} calls are under way; try again later")
            if sum(call.client == client for call in self._calls.values()) >= max(1, most // 4):
                raise remote_error(
                    "busy", f"{most // 4} calls of yours are under way; take their values first"
                )
            begun = self._calls[token] = call()
            begun.count(client, self._tally)
            return begun

    def find(self, token: Hashable) -> Call:
        """Return a call.

        Raises
        ------
        RemoteError
            ``expired`` if there is none, or no longer.
        """
        call = self._calls.get(token)
        if call is None:
            raise remote_error("expired", "there is no such call, or no longer; call again")
        return call

    def make_room(self, nbytes: int, most: int) -> None:
        """Have so many bytes more fit into what all calls may hold.

        Calls whose values nobody has asked for are stopped: those of the client that has most first, and of
        these the least recently used.

        Raises
        ------
        RemoteError
            ``busy`` if that is not enough.
        """
        if nbytes + self._tally.total <= most:  # nearly always
            return
        with self._lock:
            held: Counter[Hashable] = Counter()
            for call in self._calls.values():
                held[call.client] += call.held
            left = most - nbytes - held.total()
            for token, call in sorted(
                self._calls.items(), key=lambda item: (-held[item[1].client], item[1].used)
            ):
                if left >= 0:
                    return
                if call.has_values and not call.is_awaited:
                    left += call.held
                    self.cancel(token)
        if left < 0:
            raise remote_error(
                "busy", f"other calls hold the memory that {nbytes} bytes would take; try again later"
            )

    def remove(self, token: Hashable) -> None:
        """Forget a call that is over."""
        call = self._calls.pop(token, None)
        if call is not None:
            call.let_go()

    def cancel(self, token: Hashable) -> None:
        """Stop a call and forget it. One that is not there is over already."""
        call = self._calls.pop(token, None)
        if call is not None:
            call.close()

    def expire(self, now: float) -> None:
        """Cancel the calls that nobody has asked about for `IDLE_SECONDS`."""
        for token, call in self._calls.copy().items():
            if not call.is_awaited and now - call.used > IDLE_SECONDS:
                self.cancel(token)

    def close(self) -> None:
        """Cancel all calls."""
        for token in self._calls.copy():
            self.cancel(token)


def _stopped() -> Item:
    return Item(None, remote_error("expired", "the call was stopped"), raised=False, last=True)


def _run(gave_up: threading.Event, function: Callable[[], Any]) -> Any:
    token = _cancelled.set(gave_up)
    try:
        return function()
    finally:
        _cancelled.reset(token)
