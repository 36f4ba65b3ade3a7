"""Connections to one server: one for each question that is being asked."""

from __future__ import annotations

import contextlib
import itertools
import os
import weakref
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Final, TypeVar

from bridge import wire
from bridge.errors import BridgeError, IdleTimeout, TransportError
from bridge.exchange.question import Farewell, IdleClock, Question
from bridge.giving_up import NEVER, Cancelled, check_given_up, given_up_by
from bridge.limits import STANDARD
from bridge.tracebacks import hide_frames
from bridge.transport import Link, Unreachable, with_default_port
from bridge.wire import Frames, Reply, Request

__all__ = [
    "BUSY_SECONDS",
    "CANCEL_SECONDS",
    "CONNECT_SECONDS",
    "REPEATABLE",
    "SLICE_SECONDS",
    "Pool",
    "awaited",
]

# How long a connection may take until the server's handshake is done.
CONNECT_SECONDS: Final = 5.0
# A wait ends so often to see whether it should go on.
SLICE_SECONDS: Final = 0.1
# Between two tries, where the server is busy or not there.
BUSY_SECONDS: Final = 0.05

# How long telling the server to stop may hold up Ctrl-C.
CANCEL_SECONDS: Final = 0.3
# Requests of `ask_many` that are under way at once.
PIPELINED: Final = 64
# Asking for these again does no harm. A second "delete" would fail where the first was heard. "hello" could be
# asked again, but `connect` tries for 5 seconds, not 10.
REPEATABLE = frozenset({"list", "describe", "get", "part", "done", "wait", "cancel", "put"})

T = TypeVar("T")


class Pool:
    """Links to one server. Thread-safe; notices a fork.

    Parameters
    ----------
    url
        The server's address.
    new_link
        Makes a link to it.

    Attributes
    ----------
    most_in_request
        Bytes of all buffers of a request that the server takes, as far as is known.
    """

    def __init__(self, url: str, new_link: Callable[[], Link]) -> None:
        self.url = with_default_port(url)
        self._new_link = new_link
        self.ids = itertools.count(1)
        self.most_in_request = STANDARD.request
        # A connection within a process does not tell when its server goes: it is used once.
        self._keeps = not self.url.startswith("inproc://")
        self._closed = 0  # how often
        self._links: list[Link] = []
        self._pid = os.getpid()
        weakref.finalize(self, _close_all, self._links, self._pid)

    def ask(self, question: Question) -> Reply:
        """Ask for what comes in one message, and return the reply.

        Raises
        ------
        RemoteError
            If the server answers with a failure.
        TransportError
            If it cannot be reached; `IdleTimeout` if it does not answer.
        """
        return self._again_if_lost(question, lambda clock: self._ask(question, clock))

    def ask_now(self, question: Question) -> Reply:
        """Like `ask`, but not again where the connection is lost."""
        return self._ask(question, IdleClock(question))

    def ask_many(self, questions: Sequence[Question]) -> list[Reply]:
        """Ask for several things at once, on one connection; the replies come in the same order.

        Failures are returned, not raised.
        """
        if not questions:
            return []
        replies: dict[int, Reply] = {}
        self._again_if_lost(questions[0], lambda clock: self._ask_missing(questions, replies, clock))
        return [replies[position] for position in range(len(questions))]

    def tell(self, farewell: list[Farewell]) -> None:
        """Tell the server what it need not do any more, if that was not said yet; its replies are not awaited.

        On a connection that is idle, else on a new one, which may take `CANCEL_SECONDS`.
        """
        if farewell:
            with contextlib.suppress(BridgeError):
                given_up_by(NEVER, self._tell, farewell)

    def send(self, link: Link, question: Question) -> int:
        """Send a question on a link, and return the id that its reply will have."""
        request_id = next(self.ids)
        request = Request(
            id=request_id,
            op=question.op,
            keys=question.keys,
            buffers=question.buffers,
            lengths=question.lengths,
        )
        frames = wire.pack_request(request, most=self.most_in_request)
        link.send(frames)
        return request_id

    @contextlib.contextmanager
    def link(self, question: Question, clock: IdleClock) -> Iterator[Link]:
        """Lend a link that is connected. It is closed, not put back, where anything goes wrong on it."""
        closed = self._closed
        link = self._idle_link() or self._new_link()
        try:
            if not link.is_usable():
                link.open(min(clock.left, CONNECT_SECONDS), check_given_up)
            yield link
        except BaseException as exc:
            hide_frames(exc)
            if not isinstance(exc, TransportError):
                with contextlib.suppress(TransportError, Cancelled):
                    self._say(link, question.farewell)
            link.close()
            raise
        self._put_back(link, closed)

    def close(self) -> None:
        """Close the connections at once. Those in use in other threads are closed when they are done."""
        self._closed += 1
        _close_all(self._links, self._pid)

    def _again_if_lost(self, question: Question, ask: Callable[[IdleClock], T]) -> T:
        clock = IdleClock(question)
        try:
            return ask(clock)
        except (IdleTimeout, Unreachable):
            raise
        except TransportError:
            # The server may just have been restarted, or the connection reset.
            if question.op not in REPEATABLE:
                raise
            return ask(clock)

    def _tell(self, farewell: list[Farewell]) -> None:
        question = Question(op="", keys={}, timeout=CANCEL_SECONDS)
        with self.link(question, IdleClock(question)) as link:
            self._say(link, farewell)
        if self._closed:  # a client that was closed keeps no connection for this
            _close_all(self._links, self._pid)

    def _say(self, link: Link, farewell: list[Farewell]) -> None:
        while farewell and link.is_usable():
            op, keys = farewell[-1]
            self.send(link, Question(op=op, keys=keys, timeout=0.0))
            farewell.pop()

    def _ask(self, question: Question, clock: IdleClock) -> Reply:
        with self.link(question, clock) as link:
            reply = self._receive(link, clock, (self.send(link, question),))
        if reply.error is not None:
            raise reply.error
        return reply

    def _ask_missing(
        self, questions: Sequence[Question], replies: dict[int, Reply], clock: IdleClock
    ) -> None:
        waiting: dict[int | None, int] = {}
        missing = iter([place for place in range(len(questions)) if place not in replies])
        with self.link(questions[0], clock) as link:
            while len(replies) < len(questions):
                while len(waiting) < PIPELINED and (following := next(missing, None)) is not None:
                    waiting[self.send(link, questions[following])] = following
                reply = self._receive(link, clock, waiting)
                replies[waiting.pop(reply.id)] = reply
                clock.reset()

    def _receive(self, link: Link, clock: IdleClock, waiting: Container[int | None]) -> Reply:
        """Return the next reply to one of these requests."""
        while True:
            frames = link.receive(SLICE_SECONDS)
            if frames is not None and (reply := awaited(frames, waiting)) is not None:
                return reply
            clock.check(self.url)

    def _put_back(self, link: Link, closed: int) -> None:
        if not self._keeps:
            link.close()
            return
        self._links.append(link)
        if closed != self._closed:  # while the link was in use
            _close_all(self._links, self._pid)

    def _idle_link(self) -> Link | None:
        if self._pid != os.getpid():
            # After a fork: the parent's sockets must not be touched here, not even to close them.
            self._links, self._pid = [], os.getpid()
            weakref.finalize(self, _close_all, self._links, self._pid)
        while self._links:
            with contextlib.suppress(IndexError):  # another thread took the last
                link = self._links.pop()
                if link.is_usable():
                    return link
                # It was lost while nobody used it. A new one does not wait for ZeroMQ to try again.
                link.close()
        return None


def awaited(frames: Frames, waiting: Container[int | None]) -> Reply | None:
    """Return a reply to one of these requests; None where it is another's, such as a late one.

    A failure without an id is raised: the server could not read one of our requests.
    """
    reply = wire.unpack_reply(frames)
    if reply.id is None and reply.error is not None:
        raise reply.error
    return reply if reply.id in waiting else None


def _close_all(links: list[Link], pid: int) -> None:
    while links and pid == os.getpid():
        with contextlib.suppress(IndexError):
            links.pop().close()
