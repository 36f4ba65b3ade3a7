"""Answers to requests, as frames: planned, made now or in a thread, and kept where one message is too small.

No sockets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np

from bridge import codecs, wire
from bridge.codecs import BufferReader, Encoded
from bridge.errors import BridgeError, WireError, remote_error
from bridge.failures import failure_of, misfit_of
from bridge.limits import STANDARD
from bridge.selection import MAX_SELECTION
from bridge.sources import Plan, Source
from bridge.sources.choose import source_of
from bridge.threads import Shares
from bridge.transfer import Outbox, Room, cut, fill
from bridge.wire import Frame, Reply, Request

__all__ = [
    "QUICK_BYTES",
    "Answers",
    "InThread",
    "Later",
    "ReplyWith",
    "encoded_as",
    "form_of",
    "own",
    "reply_to",
]

ReplyWith: TypeAlias = Callable[[list[Frame]], None]
# An answer that is not there yet: called with the function to reply with when it is.
Later: TypeAlias = Callable[[ReplyWith], None]

# Buffers of a request beyond this size are decoded in a thread. As arguments they then count as held, like
# results.
QUICK_BYTES: Final = 64 * 1024

_log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True)
class InThread:
    """An answer that is made in a thread.

    Attributes
    ----------
    begin
        Has it made: called with the function to reply with.
    nbytes
        How many bytes its message will have, where that is known before it is made; else 0.
    """

    begin: Later
    nbytes: int = 0

    def __call__(self, reply: ReplyWith) -> None:
        """Have it made, and reply with it."""
        self.begin(reply)


class Answers:
    """Makes the answers of a service.

    Parameters
    ----------
    threads
        Where those are made that take time.
    outbox
        Where those are kept that do not fit in one message.
    """

    def __init__(self, threads: Shares, outbox: Outbox) -> None:
        self._threads = threads
        self._outbox = outbox

    def of_source(
        self, request: Request, source: Source, orphaned: Callable[[], int] | None
    ) -> list[Frame] | Later:
        """Answer with what a request selects from a source. See `Outbox.keep` for `orphaned`."""

        def planned(plan: Plan) -> list[Frame]:
            keys = {"version": plan.version}
            if plan.held <= QUICK_BYTES:
                answer = plan.encode()
                return self.of_object(request, keys, answer, views=plan.views, orphaned=orphaned)
            with self._outbox.reserve(plan.held) as room:  # before it is built
                answer = plan.encode()
                return self.of_object(
                    request, keys, answer, views=plan.views, orphaned=orphaned, room=room
                )

        is_large = sum(map(len, request.buffers)) > QUICK_BYTES
        if is_large or not source.plans_quickly(request.keys.get("select")):
            return self.in_thread(request, lambda: planned(_plan(source, request)))
        plan = _plan(source, request)
        if plan.quick:
            return planned(plan)
        # What does not fit in one message is held for parts, and counts there.
        nbytes = plan.nbytes if plan.nbytes <= request.keys.get("max_bytes", STANDARD.reply) else 0
        return self.in_thread(request, lambda: planned(plan), nbytes)

    def of_object(
        self,
        request: Request,
        keys: dict[str, Any],
        answer: Encoded,
        *,
        views: int = 0,
        orphaned: Callable[[], int] | None = None,
        room: Room | None = None,
    ) -> list[Frame]:
        """Answer with an object: in one message, or as a transfer.

        Parameters
        ----------
        keys
            Of the reply, beside the object.
        views
            How many of its bytes take no memory of their own.
        orphaned
            Of these: see `Outbox.keep`.
        room
            What was reserved for it.
        """
        buffers = answer.buffers
        nbytes = sum(len(buffer) for buffer in buffers)
        keys = {**keys, "object": answer.descriptor}
        _check_size(nbytes, request)
        if nbytes <= _most_in_one_message(request, buffers):
            frames = wire.pack_reply(Reply(id=request.id, keys=keys, buffers=[b[:] for b in buffers]))
        else:
            keys["transfer"] = self._outbox.keep(
                buffers,
                held=max(0, nbytes - views),
                now=time.monotonic(),
                known_as=partial(own, request),
                client=request.peer.client,
                orphaned=orphaned if views else None,
                room=room,
            )
            lengths = [len(buffer) for buffer in buffers]
            frames = wire.pack_reply(Reply(id=request.id, keys=keys, lengths=lengths))
        if len(buffers) > STANDARD.buffers or len(frames[0]) > STANDARD.reply_header:
            self._outbox.release(own(request, keys.get("transfer", "")))  # nobody will learn of it
            raise remote_error(
                "too_large",
                f"the answer needs {len(buffers)} buffers and a header of {len(frames[0])} bytes; at most "
                f"{STANDARD.buffers} and {STANDARD.reply_header}: select less",
            )
        return frames

    def of_part(self, request: Request) -> list[Frame] | Later:
        """Answer with a part of a transfer."""
        keys = request.keys
        offset, length = keys["offset"], keys.get("length", 0)
        token = own(request, keys["transfer"])
        window = self._outbox.window(token, offset, length, time.monotonic())

        def frames_of(buffers: list[Any]) -> list[Frame]:
            return wire.pack_reply(
                Reply(id=request.id, keys={"part": [offset, length]}, buffers=buffers)
            )

        if all(isinstance(buffer, memoryview) for buffer, _, _ in window):
            return frames_of(cut(window))
        # Files are read where it holds nobody up, but into memory that is taken here: what was freed, glibc
        # keeps apart for each thread that took it.
        part = np.empty(length, np.uint8).data

        def make() -> list[Frame]:
            fill(part, window)
            return frames_of([part])

        return self.in_thread(request, make, length)

    def in_thread(self, request: Request, make: Callable[[], list[Frame]], nbytes: int = 0) -> InThread:
        """Answer with what is made in a thread, of so many bytes as far as that is known."""

        def later(reply: ReplyWith) -> None:
            try:
                self._threads.of(request.peer.client).submit(lambda: reply(self.tried(request, make)))
            except RuntimeError as exc:  # the server is closing, or has no thread
                reply(self.failed(request, remote_error("busy", str(exc))))

        return InThread(later, nbytes)

    def tried(self, request: Request, make: Callable[[], list[Frame]]) -> list[Frame]:
        """Answer with what is made, or with the failure to make it."""
        try:
            return make()
        except Exception as exc:
            return self.failed(request, exc)

    def failed(self, request: Request, error: BaseException) -> list[Frame]:
        """Answer with a failure. What is nobody's fault but ours is logged."""
        failure = failure_of(error)
        if failure.code == "internal":
            _log.error("the op %r failed; this is a bug in zbridge", request.op, exc_info=error)
        return wire.pack_failure(request.id, failure)


def reply_to(request: Request, keys: dict[str, Any]) -> list[Frame]:
    """Answer with keys alone."""
    return wire.pack_reply(Reply(id=request.id, keys=keys))


def own(request: Request, token: str) -> Hashable:
    """Return by what a transfer or a call is known here: its token, and whose it is.

    To others, and to the same key when it may see other names than before, it is not there.
    """
    # Not one text: whatever a token contains, it never reads as another's.
    return token, request.peer.key, request.peer.rights.only


def form_of(request: Request) -> str | None:
    """Return the form in which a request wants its answer: None, or "arrow"."""
    form = request.keys.get("as")
    if form not in (None, "arrow"):
        raise WireError(f"'as' is {form[:40]!r}; expected 'arrow'", code="unsupported")
    return form


def encoded_as(form: str | None, obj: Any) -> Encoded:
    """Return an object as it travels, in the form that was asked for."""
    if form is None:
        return codecs.encode(obj)
    return source_of(obj).plan(None, BufferReader(()), form).encode()


def _plan(source: Source, request: Request) -> Plan:
    select = request.keys.get("select")
    nbytes = sum(map(len, request.buffers))
    # Of an array, positions and masks are as many as it has rows.
    if nbytes > MAX_SELECTION and not isinstance(select, list):
        raise WireError(
            f"the buffers of the selection have {nbytes} bytes; at most {MAX_SELECTION}: use several reads",
            code="too_large",
        )
    reader = BufferReader(request.buffers)
    try:
        plan = source.plan(select, reader, form_of(request))
    except (BridgeError, MemoryError):
        raise
    except (LookupError, TypeError, ValueError) as exc:
        raise misfit_of(exc) from exc
    reader.finish()
    _check_size(plan.nbytes, request)
    return plan


def _most_in_one_message(request: Request, buffers: Sequence[Any]) -> int:
    """Return up to how many bytes an answer comes in one message.

    What is read from files takes memory here for as long as it is on its way: a window at a time, where the
    client can take windows.
    """
    asked: int = request.keys.get("max_bytes", STANDARD.reply)
    in_memory = all(isinstance(buffer, memoryview) for buffer in buffers)
    return min(
        asked, STANDARD.reply if in_memory or "max_bytes" not in request.keys else STANDARD.window
    )


def _check_size(nbytes: int, request: Request) -> None:
    if nbytes > STANDARD.reply and "max_bytes" not in request.keys:
        raise remote_error(
            "too_large",
            f"the answer would have {nbytes} bytes; at most {STANDARD.reply} fit in one message: ask with "
            "'max_bytes' and fetch it in parts, or select less",
        )
