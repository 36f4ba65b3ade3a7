"""Large objects, in windows, to here and to the server."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from bridge import wire
from bridge.errors import (
    Changed,
    IdleTimeout,
    RemoteError,
    TransportError,
    WireError,
    remote_error,
)
from bridge.exchange.pool import (
    BUSY_SECONDS,
    REPEATABLE,
    SLICE_SECONDS,
    Pool,
    awaited,
)
from bridge.exchange.question import Answer, IdleClock, Question
from bridge.giving_up import pause
from bridge.transfer import Download, EndToEnd, Windows, cut
from bridge.transport import Link
from bridge.wire import Reply

__all__ = ["Fetch", "Put"]

# Nothing arrives for this part of the idle timeout: the connection is given up, and the rest is asked for
# on another. Unless more was to be expected on a link as slow as this one was.
STALL: Final = 0.4
# How much slower than before a link may become.
SLOWER: Final = 2.0
# What a server that was restarted, or whose data was replaced, answers to a part.
_START_AGAIN = frozenset({"expired", "changed"})


def move(
    windows: Windows,
    link: Link,
    clock: IdleClock,
    *,
    send: Callable[[int, int], int],
    report: Callable[[], None],
) -> None:
    """Ask for windows, or send them, until all have landed or something is wrong.

    Parameters
    ----------
    send
        Sends the request for a window, which has an offset and a length, and returns its id.
    report
        Called when a window has landed.
    """
    waiting: dict[int | None, tuple[int, int]] = {}
    is_placed = False
    heard = time.monotonic()

    def place(header: bytes) -> list[memoryview] | None:
        nonlocal is_placed
        part = wire.part_of(header)
        if part is None or waiting.get(part[0]) != (part[1], sum(part[2])):
            return None
        places = windows.place(part[1], part[2])
        is_placed = places is not None
        return places

    while not windows.finished:
        clock.check(link.url)
        while (window := windows.ask(time.perf_counter())) is not None:
            waiting[send(*window)] = window
        is_placed = False
        frames = link.receive(SLICE_SECONDS, place)
        if frames is None:
            patience = max(STALL * clock.timeout, SLOWER * windows.expected_seconds)
            if time.monotonic() - heard > patience:
                raise TransportError(f"nothing comes from {link.url} any more")
            continue
        reply = awaited(frames, waiting)
        if reply is None:
            continue
        heard = time.monotonic()
        offset, length = waiting.pop(reply.id)
        if reply.error is not None and reply.error.code == "busy":
            windows.lose(offset)
            pause(BUSY_SECONDS)
            continue
        if reply.error is not None:
            raise reply.error
        if reply.keys.get("part") != [offset, length]:
            raise WireError(f"another part came than the {length} bytes at {offset}")
        if not is_placed:
            windows.copy(offset, reply.buffers)
        windows.land(offset, length, time.perf_counter())
        clock.reset()
        report()


class Fetch:
    """One transfer under way.

    Parameters
    ----------
    start
        When the question was asked, on the clock of `time.perf_counter`.
    in_flight
        How many bytes to ask for at first.
    """

    def __init__(self, pool: Pool, question: Question, start: float, in_flight: int) -> None:
        self._pool = pool
        self._question = question
        self._start = start
        self._in_flight = in_flight
        self._first = 0.0
        self._clock = IdleClock(question)
        self._keys: dict[str, Any] = {}
        self._lengths: list[int] = []
        self._token = ""
        self._destinations: list[memoryview] = []
        self._download = Download(())

    def run(self, reply: Reply) -> Answer:
        """Fetch all windows; ask again for what is lost on the way."""
        restarted = False
        self._begin(reply)
        try:
            while not self._download.finished:
                try:
                    self._pull()
                except IdleTimeout:
                    raise
                except TransportError:
                    self._clock.check(self._pool.url)
                except RemoteError as exc:
                    if exc.code not in _START_AGAIN:
                        raise
                    again = self._ask_again(exc)
                    if self._is_same(again):
                        self._token = again.key("transfer", str)
                    elif restarted:
                        raise Changed(
                            f"{self._question.keys.get('name')!r} was replaced on the server twice while it "
                            "was being read; read it when its writer pauses"
                        ) from exc
                    elif again.lengths is None:
                        return self._answer(again.keys, again.buffers)
                    else:
                        restarted = True
                        self._begin(again)
                finally:
                    self._download.lose()
        except BaseException as exc:
            self._tell(exc)
            self._pool.tell(self._question.farewell)
            raise
        return self._answer(self._keys, self._destinations)

    def _begin(self, reply: Reply) -> None:
        lengths = reply.lengths or []
        self._keys = reply.keys
        self._lengths = lengths
        self._token = reply.key("transfer", str)
        self._destinations = self._question.allocate(reply.keys.get("object"), lengths)
        self._download = Download(self._destinations, in_flight=self._in_flight)

    def _is_same(self, reply: Reply) -> bool:
        # "next": a channel's version stays as its rows go on, and its "begin" moves.
        same = ("version", "object", "next")
        return (
            reply.lengths == self._lengths
            and all(reply.keys.get(key) == self._keys.get(key) for key in same)
            and self._keys.get("version") is not None
        )

    def _pull(self) -> None:
        pool, clock, token = self._pool, self._clock, {"transfer": self._token}
        # Also after Ctrl-C: the server need not keep what nobody will fetch.
        done, farewell = ("done", token), self._question.farewell
        if done not in farewell:
            farewell.append(done)
        with pool.link(self._question, clock) as link:

            def send(offset: int, length: int) -> int:
                keys = {**token, "offset": offset, "length": length}
                return pool.send(link, Question(op="part", keys=keys, timeout=clock.left))

            move(self._download, link, clock, send=send, report=self._report)
            with contextlib.suppress(TransportError):
                pool.send(link, Question(op="done", keys=token, timeout=clock.left))
        farewell.remove(done)

    def _ask_again(self, cause: RemoteError) -> Reply:
        """Ask the question once more, for as long as the idle timeout allows."""
        if self._question.op not in REPEATABLE:
            raise cause
        while True:
            try:
                return self._pool.ask(replace(self._question, timeout=self._clock.left))
            except IdleTimeout:
                raise
            except TransportError:
                self._clock.check(self._pool.url)
                pause(BUSY_SECONDS)

    def _report(self) -> None:
        download = self._download
        if not self._first:
            self._first = time.perf_counter() - self._start
        if self._question.progress is not None:
            self._question.progress(download.arrived, download.total)

    def _answer(self, keys: dict[str, Any], buffers: Sequence[Any]) -> Answer:
        return Answer(
            keys=keys,
            buffers=buffers,
            windows=self._download.windows,
            retries=self._download.retries,
            first_seconds=self._first,
            seconds=time.perf_counter() - self._start,
        )

    def _tell(self, exc: BaseException) -> None:
        """Say in the exception how much had arrived, as text and as attributes."""
        download = self._download
        exc.add_note(f"{download.arrived} of {download.total} bytes had arrived")
        exc.arrived, exc.total = download.arrived, download.total  # type: ignore[attr-defined]


class Put:
    """One object on its way to the server."""

    def __init__(self, pool: Pool, question: Question) -> None:
        self._pool = pool
        self._token = {"transfer": secrets.token_urlsafe(16)}
        self._range = EndToEnd(question.buffers)
        self._windows = Windows(self._range.total, largest=pool.most_in_request)
        self._question = replace(
            question,
            keys={**question.keys, **self._token},
            buffers=(),
            lengths=[len(buffer) for buffer in question.buffers],
        )

    def run(self) -> Reply:
        """Send all windows, again where the connection is lost, and have the server take the whole."""
        try:
            return self._run()
        except BaseException as exc:
            if not isinstance(exc, TransportError):
                # On another connection: on this one, the word may be behind megabytes.
                self._pool.tell([("cancel", self._token)])
            raise

    def _run(self) -> Reply:
        pool, question, windows = self._pool, self._question, self._windows
        pool.ask(question)
        clock = IdleClock(question)
        while not windows.finished:
            try:
                self._push(clock)
            except IdleTimeout:
                raise
            except TransportError:
                windows.lose()
                clock.check(pool.url)
        reply = pool.ask(replace(question, op="done", keys=self._token, lengths=None))
        if "version" not in reply.keys:  # to forget what is not there is no failure on the server
            raise remote_error("expired", "the server has no such transfer, or no longer; put it again")
        return reply

    def _push(self, clock: IdleClock) -> None:
        with self._pool.link(self._question, clock) as link:

            def send(offset: int, length: int) -> int:
                part = Question(
                    op="part",
                    keys={**self._token, "offset": offset},
                    buffers=cut(self._range.window(offset, length)),
                    timeout=clock.left,
                )
                return self._pool.send(link, part)

            move(self._windows, link, clock, send=send, report=self._report)

    def _report(self) -> None:
        if self._question.progress is not None:
            self._question.progress(self._windows.arrived, self._windows.total)
