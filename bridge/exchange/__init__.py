"""A client's requests, and what it takes to get their answers.

A request takes a Link (one connection) from a pool, sends, waits, and puts it back; as many links are made
as threads ask at once. A link on which anything went wrong (Ctrl-C, a timeout, a lost reply) is closed, not
put back, so what was in flight on it can never be taken for the answer to a later request.

A large answer comes as a transfer: its destination is allocated once, and its windows are received into
it. When the connection is lost, or the server comes back from a restart, the same question is asked again;
if the version of the data is the same, only the windows that are missing are fetched. If it is another, the
transfer starts over, once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from bridge.errors import EncodeError, IdleTimeout, RemoteError, TransportError
from bridge.exchange.pool import BUSY_SECONDS, CONNECT_SECONDS, PIPELINED, Pool
from bridge.exchange.question import Answer, Question, Receipt
from bridge.exchange.windows import Fetch, Put
from bridge.giving_up import pause
from bridge.limits import MAX_INLINE, STANDARD
from bridge.transfer import MIN_WINDOW
from bridge.transport import Link, Unreachable
from bridge.wire import Reply

__all__ = [
    "BUSY_SECONDS",
    "CONNECT_SECONDS",
    "INLINE_BYTES",
    "WAIT",
    "Answer",
    "Exchange",
    "Question",
    "Receipt",
]

# An answer up to this size comes in one message. Nothing shows of it until all of it is here: on a link of
# 64 kB/s, after four seconds.
INLINE_BYTES: Final = 256 * 1024
# And up to this one on a link that was fast.
MAX_INLINE_BYTES: Final = MAX_INLINE
# What came within this time at the rate of the last answer may come in one message, or be in flight at first.
QUICK_SECONDS: Final = 0.1
# Of a smaller answer, its rate tells more of the server than of the link.
TELLING_BYTES: Final = 64 * 1024
# The part of the idle timeout that the server may let a call wait before it says that there is nothing yet.
WAIT: Final = 0.4


class Exchange:
    """Asks one server, from any number of threads.

    Parameters
    ----------
    url
        The server's address.
    new_link
        Makes a connection to it; by default one without keys.

    Attributes
    ----------
    inline_bytes
        The largest answer that should come in one message, as far as is known of the link.
    rate
        Bytes per second of the last large answer; None before the first.
    """

    def __init__(self, url: str, new_link: Callable[[], Link] | None = None) -> None:
        self._pool = Pool(url, new_link or partial(Link, url))
        self.url = self._pool.url
        self.inline_bytes = INLINE_BYTES
        self.rate: float | None = None

    def heed(self, hello: dict[str, Any]) -> None:
        """Send no larger requests than the server says that it takes."""
        limits = hello.get("limits")
        most = limits.get("request") if type(limits) is dict else None
        if type(most) is int and most >= 0:
            self._pool.most_in_request = min(most, STANDARD.reply)  # what a message may have anyway

    def ask(self, question: Question) -> Reply:
        """Ask for what comes in one message; see `Pool.ask`."""
        return self._pool.ask(question)

    def fetch(
        self, question: Question, first: Reply | None = None, start: float | None = None
    ) -> Answer:
        """Ask for an object, and return it when all of its bytes are here.

        Parameters
        ----------
        question
            An op whose answer is an object.
        first
            The reply to it, if it was asked already.
        start
            From when on the receipt counts, on the clock of `time.perf_counter`; by default now.

        Raises
        ------
        RemoteError, TransportError
            As `ask`.
        Changed
            If the data was replaced on the server, twice, while it was being read.
        """
        moving = time.perf_counter()
        start = moving if start is None else start
        if "max_bytes" not in question.keys:
            question = replace(question, keys={**question.keys, "max_bytes": self.inline_bytes})
        try:
            reply = first if first is not None else self._pool.ask(question)
            if reply.lengths is not None:
                moving = time.perf_counter()
                answer = Fetch(self._pool, question, start, self.inline_bytes).run(reply)
            else:
                seconds = time.perf_counter() - start
                answer = Answer(
                    keys=reply.keys, buffers=reply.buffers, first_seconds=seconds, seconds=seconds
                )
        except IdleTimeout:
            self.inline_bytes = INLINE_BYTES
            raise
        # Windows are asked for when the answer is there. One message may have come late for another reason
        # than the link: with it came other answers, a function ran, or there were no rows yet.
        if reply.lengths is not None or (first is None and "wait" not in question.keys):
            self._learn(answer.nbytes, time.perf_counter() - moving)
        return answer

    def fetch_many(self, questions: Sequence[Question]) -> list[Answer]:
        """Ask for several objects at once, and return them when all of their bytes are here.

        Raises
        ------
        RemoteError, TransportError, Changed
            As `fetch`; the first failure, once the replies to the questions are here.
        """
        answers: list[Answer] = []
        # No more at a time: the server keeps a transfer for each that is large.
        for first in range(0, len(questions), PIPELINED):
            some = questions[first : first + PIPELINED]
            start = time.perf_counter()
            replies = self._pool.ask_many(some)
            try:
                for reply in replies:
                    if reply.error is not None:
                        raise reply.error
                # That was for all of them; now each has windows of its own.
                seconds = time.perf_counter() - start
                answers += [
                    self.fetch(*pair, time.perf_counter() - seconds)
                    for pair in zip(some, replies, strict=True)
                ]
            except BaseException:
                self._pool.tell(
                    [
                        ("done", {"transfer": reply.keys["transfer"]})
                        for reply in replies
                        if reply.lengths is not None
                    ]
                )
                raise
        return answers

    def call(self, question: Question) -> Generator[Answer, None, None]:
        """Call a function, and yield its result, or the values of a stream as they come.

        The server answers within a part of the idle timeout, if only that there is nothing yet; so a slow
        function is waited for, and a dead server is noticed. When the iterator is closed before its end, the
        server is told.

        Raises
        ------
        RemoteError, TransportError
            As `ask`. The function is not called again where a connection is lost: what it did is not known.
        """
        token = secrets.token_urlsafe(16)
        waiting = {"call": token, "wait": WAIT * question.timeout, "max_bytes": self.inline_bytes}
        question = replace(
            question, keys={**question.keys, **waiting}, farewell=[("cancel", {"call": token})]
        )
        again = replace(question, op="wait", keys=waiting | {"start": 0}, buffers=())
        over = False
        start = asked = time.perf_counter()
        try:
            reply = self._ask_once(question, again)
            while True:
                over = "call" not in reply.keys
                if "object" in reply.keys:
                    yield self.fetch(question, first=reply, start=start)
                    again.keys["start"] += 1
                    start = time.perf_counter()
                elif not over and time.perf_counter() - asked < BUSY_SECONDS:
                    pause(
                        BUSY_SECONDS
                    )  # a server that does not wait as it should is not to keep us busy
                if over:
                    return
                asked = time.perf_counter()
                reply = self._ask_once(again, again)
        finally:
            if not over:
                self._pool.tell(question.farewell)

    def put(self, question: Question) -> Reply:
        """Send an object: with the request if it is small, else in windows; return the last reply.

        Raises
        ------
        RemoteError, TransportError
            As `ask`. Either all of it is served, or nothing has changed.
        EncodeError
            If the server takes too little in a request.
        """
        nbytes = sum(len(buffer) for buffer in question.buffers)
        if nbytes <= min(INLINE_BYTES, self._pool.most_in_request):
            return self._pool.ask(question)
        most = self._pool.most_in_request
        if most < MIN_WINDOW:
            raise EncodeError(
                f"{nbytes} bytes are to be put, and this server takes {most} in a request; it must take "
                f"{MIN_WINDOW} for larger objects to be put in parts"
            )
        try:
            return Put(self._pool, question).run()
        except RemoteError as exc:
            if exc.code != "expired":
                raise
            # The server was restarted, or took the whole and its reply was lost: either way, once more.
            return Put(self._pool, question).run()

    def close(self) -> None:
        """Close the connections at once. Those in use in other threads are closed when they are done."""
        self._pool.close()

    def _learn(self, nbytes: int, seconds: float) -> None:
        """Heed how long so many bytes were on their way."""
        if nbytes > INLINE_BYTES:  # else its latency says more than its bytes
            self.rate = nbytes / seconds
        if nbytes >= TELLING_BYTES:
            quick = int(nbytes / seconds * QUICK_SECONDS)
            self.inline_bytes = max(INLINE_BYTES, min(MAX_INLINE_BYTES, quick))

    def _ask_once(self, question: Question, again: Question) -> Reply:
        """Ask what must not be asked twice; where the connection is lost, ask for its outcome.

        If that is gone, the lost connection is what the caller is told of.
        """
        try:
            return self._pool.ask_now(question)
        except IdleTimeout:
            raise
        except TransportError as lost:
            try:
                return self._pool.ask_now(again)
            except Unreachable:
                raise lost from None
            except RemoteError as exc:
                raise lost if exc.code == "expired" else exc from None
            except IdleTimeout:
                raise
            except TransportError as exc:
                raise lost from exc
