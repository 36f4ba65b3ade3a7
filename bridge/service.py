"""Requests to replies, over a catalogue of sources. No sockets.

`Service.handle` takes the frames of a request and returns the frames of its reply, whatever comes; a
literal ``zmq.REP`` socket around it is a server. `Service.begin` is for servers that must not stop while one
answer is being made: it takes a function to reply with, now or later, from this thread or another.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from functools import cache, partial
from importlib.metadata import version as package_version
from typing import Any
from uuid import uuid4

from bridge import codecs, wire
from bridge.answers import (
    QUICK_BYTES,
    Answers,
    InThread,
    Later,
    ReplyWith,
    encoded_as,
    form_of,
    own,
    reply_to,
)
from bridge.audit import audit, is_audited
from bridge.calls import END, Call, Calls, Item, Signal
from bridge.catalogue import Catalogue, check_name, entry_of
from bridge.codecs import Encoded, strict_json, tree
from bridge.errors import EncodeError, RemoteError, WireError, an, remote_error
from bridge.failures import failure_of, raised_failure_of
from bridge.limits import STANDARD, Limits
from bridge.rights import ANYBODY, NOTHING, Peer, Rights
from bridge.sources import Source
from bridge.sources.channel import Batch, Channel
from bridge.sources.query import Query
from bridge.threads import Inline, Shares
from bridge.timers import Timers
from bridge.transfer import Inbox, Outbox
from bridge.wire import Frame, Frames, Request

__all__ = ["Service"]

# What both ends must name before it is used. Version 1 has nothing optional yet.
FEATURES: tuple[str, ...] = ()

# The longest that a request may wait on the server; its client can ask again.
MAX_WAIT = 60.0
# The longest that `tick` lets a server sleep.
TICK_SECONDS = 1.0

_log = logging.getLogger("bridge")

# What these did is done; their replies tell of nothing else.
_CHANGING = frozenset({"put", "append", "delete", "done"})
# A line is written about each of these, for whoever wants it; about "done", where it ends an upload.
_AUDITED = frozenset({"list", "get", "call", "put", "append", "delete", "done"})
# What looks a name up at once, and may find that only files know it.
_NAMING = frozenset({"describe", "get", "call", "delete"})


class Service(Catalogue):
    """A catalogue of named sources that answers requests.

    Assign an array, a table or any other object that can be sent to serve it under a name; decorate a
    function with `query` or `stream` to have it answer calls.

    Parameters
    ----------
    executor
        Where query functions run; by default where `threads` says.
    threads
        Where answers are made that take time; by default in the thread that handles the request.
    streams
        Where generators run, one thread for each value that is being made; by default where `threads` says.
        Here and there, one client takes a quarter of the threads of a `DaemonThreads`; more of its tasks wait.
    tracebacks
        Whether a failure reply shows the traceback of a query that raised. They tell strangers about
        paths and code.
    writable
        Whether clients may put, append and delete; or the beginnings of the names where they may.
    limits
        How much of everything clients may have.
    """

    def __init__(
        self,
        *,
        executor: Executor | None = None,
        threads: Executor | None = None,
        streams: Executor | None = None,
        tracebacks: bool = False,
        writable: bool | str | Sequence[str] = False,
        limits: Limits = STANDARD,
    ) -> None:
        super().__init__()
        self.instance = uuid4().hex
        self._threads = threads if threads is not None else Inline()
        self._executor = executor if executor is not None else self._threads
        self._streams = Shares(streams if streams is not None else self._threads)
        self._tracebacks = tracebacks
        self._writable = _prefixes(writable)
        self._expired = 0.0
        self._limits = limits
        self._outbox = Outbox(limits)
        self._inbox = Inbox(limits)
        self._shares = Shares(self._threads)
        self._answers = Answers(self._shares, self._outbox)
        self._calls = Calls(limits)
        self._numbers = itertools.count()
        self.timers = Timers()

    def query(
        self, function: Callable[..., Any] | None = None, /, *, cache: float = 0.0
    ) -> Callable[..., Any]:
        """Let a function answer queries, under its own name. A decorator, with options or without.

        Its parameters are given by name; its signature and docstring are in the catalogue. It may be
        called from several threads at once. What it returns is sent from where it lies, and must not change
        any more: return a new array, or a copy, not a buffer that the next call fills again.

        Parameters
        ----------
        cache
            For how many seconds a result answers later calls with the same arguments: numbers, texts, and
            lists and dicts of them. Calls with arrays or tables among their arguments are not kept, nor are
            results beyond 16 MiB.
        """
        if function is None:
            return partial(self.query, cache=cache)
        self[function.__name__] = Query(function, keep_seconds=cache)
        return function

    def stream(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Let a generator function serve its values one by one, under its own name. A decorator.

        Each call runs a generator of its own. It is pulled a little ahead of its client, by one thread at a
        time, and closed when the client stops. What it yields is sent from where it lies, and must not change
        any more: yield a new array, or a copy, not a buffer that is filled again.
        """
        self[function.__name__] = Query(function, is_stream=True)
        return function

    def channel(self, name: str, *, keep_rows: int = 1_000_000) -> Channel:
        """Open a live channel under a name, and return it: ``channel.append(rows)``.

        Parameters
        ----------
        keep_rows
            How many of the last rows are kept at least, for followers that come late or are slow.
        """
        channel = Channel(keep_rows=keep_rows, schedule=self._schedule)
        self[name] = channel
        return channel

    def handle(self, frames: Frames, peer: Peer = ANYBODY) -> list[Frame]:
        """Answer one request.

        Parameters
        ----------
        frames
            The header and the buffers, without an envelope.
        peer
            Who asks, and what that peer may do.

        Returns
        -------
        list
            The frames of the one reply: the answer or a failure. Large buffers are views of what is
            served. No request, however broken, makes this raise.
        """
        replies: list[list[Frame]] = []
        there = threading.Event()

        def reply(answer: list[Frame]) -> None:
            replies.append(answer)
            there.set()

        self.begin(frames, reply, peer)
        while not replies:
            there.wait(min(self.tick(), 0.05))  # a channel may be appended to in another thread
        return replies[0]

    def begin(self, frames: Frames, reply: ReplyWith, peer: Peer = ANYBODY) -> int:
        """Answer one request: call `reply` once with the frames, now, or later from any thread.

        Returns
        -------
        int
            How many bytes the message will have that another thread is making, where that is known; else 0.
        """
        try:
            request = wire.unpack_request(frames, peer, limits=self._limits)
        except (WireError, MemoryError) as exc:
            reply(wire.pack_failure(wire.request_id_of(frames), failure_of(exc)))
            return 0
        if request.op in _AUDITED and is_audited():
            reply = self._audited(request, reply)
        if peer.now is not None and request.op not in _CHANGING:
            reply = self._if_allowed(request, peer.now, reply)
        if peer.rights is NOTHING:
            reply(self._answers.failed(request, _taken_back()))
            return 0
        if self._takes_time(request):
            try:
                self._shares.of(peer.client).submit(self._dispatch, request, reply)
            except RuntimeError as exc:  # the server is closing, or has no thread
                reply(self._answers.failed(request, remote_error("busy", str(exc))))
            return 0
        return self._dispatch(request, reply)

    def _audited(self, request: Request, reply: ReplyWith) -> ReplyWith:
        """Return a way to reply that also writes who asked what, and what came of it."""
        start = time.monotonic()
        name = request.keys.get("name", "")
        nbytes = sum(map(len, request.buffers))
        if request.op == "done":
            upload = self._inbox.announced(own(request, request.keys.get("transfer", "")))
            if upload is None:
                return reply  # what was fetched is written about already
            name, nbytes = upload[0]["name"], upload[1]
        # An upload that is announced has changed nothing, and none of its bytes is there.
        success = "ok" if request.lengths is None else "begun"

        def reply_and_audit(frames: list[Frame]) -> None:
            header = strict_json.loads(frames[0])
            audit(
                peer=request.peer.address,
                key=request.peer.key,
                op=request.op,
                name=name,
                nbytes=sum(header.get("buffers", ())) + nbytes,
                ms=(time.monotonic() - start) * 1000,
                outcome=header["error"]["code"] if "error" in header else success,
            )
            reply(frames)

        return reply_and_audit

    def _takes_time(self, request: Request) -> bool:
        """Whether it takes files, or the decoding of much or of objects, to begin with an answer."""
        op = request.op
        if op == "call" and sum(map(len, request.buffers)) > QUICK_BYTES:
            return True
        # A few bytes can be a frame of very many columns.
        if op == "call" and "args" in request.keys and not tree.is_plain(request.keys["args"]):
            return True
        if op == "list":
            return not self.is_in_memory
        name = request.keys.get("name", "")
        source = self._sources.get(name) if request.rights.sees(name) else None
        if source is None:
            return bool(self._mounts) and op in _NAMING
        return op == "describe" and not source.in_memory

    def _dispatch(self, request: Request, reply: ReplyWith) -> int:
        """Answer a request, and return how many bytes a thread is making for it."""
        try:
            answer = _OPS[request.op](self, request)
        except Exception as exc:
            answer = self._answers.failed(request, exc)
        if isinstance(answer, list):
            reply(answer)
            return 0
        try:
            answer(reply)
        except Exception as exc:
            reply(self._answers.failed(request, exc))
        return answer.nbytes if isinstance(answer, InThread) else 0

    def _if_allowed(self, request: Request, now: Callable[[], Rights], reply: ReplyWith) -> ReplyWith:
        """Return a way to reply that tells nothing to a peer who may not know it any more."""

        def reply_if_allowed(frames: list[Frame]) -> None:
            rights = now()
            if rights is NOTHING:
                frames = self._answers.failed(request, _taken_back())
            elif rights.only != request.rights.only and not rights.sees(request.keys.get("name", "")):
                frames = self._answers.failed(request, _narrowed())
            reply(frames)

        return reply_if_allowed

    def refuse(self, frames: Frames, message: str) -> list[Frame]:
        """Answer a request with the failure ``busy``, without looking at it."""
        return wire.pack_failure(wire.request_id_of(frames), remote_error("busy", message))

    def tick(self) -> float:
        """Do what is due, and return the seconds until this should be called again."""
        now = time.monotonic()
        if now - self._expired >= TICK_SECONDS:  # it looks at every call
            self._expired = now
            self._outbox.expire(now)
            self._inbox.expire(now)
            self._calls.expire(now)
        return self.timers.run(now, TICK_SECONDS)

    @property
    def held(self) -> int:
        """Bytes of memory that are kept, or set aside, for answers and for calls alone."""
        return self._outbox.held + self._calls.held

    def close(self) -> None:
        """Stop the calls that are under way."""
        self._calls.close()

    def _hello(self, request: Request) -> list[Frame]:
        limits = self._limits
        hello = {
            "version": _version(),
            "instance": self.instance,
            "features": list(FEATURES),
            "limits": {
                "request_header": limits.request_header,
                "request": limits.request,
                "reply": limits.reply,
                "part": limits.window,
            },
        }
        return reply_to(request, {"hello": hello})

    def _list(self, request: Request) -> list[Frame]:
        keys = request.keys
        entries, more = self.page(keys.get("after", ""), keys.get("limit"), request.rights)
        return reply_to(request, {"entries": entries, "more": more})

    def _describe(self, request: Request) -> list[Frame]:
        name = request.keys["name"]
        source = self.find(name, request.rights)
        entry = entry_of(name, source)
        skeleton = None
        if not isinstance(source, Query | Channel) and entry["kind"] != "broken":
            skeleton = source.skeleton()
        if skeleton is None:
            return reply_to(request, {"entry": entry})
        return self._answers.of_object(request, {"entry": entry}, skeleton)

    def _get(self, request: Request) -> list[Frame] | Later:
        name = request.keys["name"]
        source = self.find(name, request.rights)
        if isinstance(source, Query):
            raise WireError(f"{name!r} is a query function; call it", code="unsupported")
        if isinstance(source, Channel):
            return self._follow(request, source)
        if "start" in request.keys:
            raise WireError(f"{name!r} is no channel to follow; read it", code="unsupported")
        is_memory = source.in_memory and self.holds(name, source)
        orphaned = partial(self._orphaned, name, source) if is_memory else None
        return self._answers.of_source(request, source, orphaned)

    def _orphaned(self, name: str, source: Source) -> int:
        """Return how many bytes a source takes that is not served any more; 0 if it is."""
        return 0 if self.holds(name, source) else source.entry().get("nbytes", 0)

    def _follow(self, request: Request, channel: Channel) -> Later:
        keys = request.keys
        if "start" not in keys:  # one run would pass for all the rows
            raise WireError(f"{keys['name']!r} is a channel; follow it", code="unsupported")
        start = keys["start"]
        if isinstance(start, str) and start not in ("begin", "end"):
            raise WireError(f"'start' is {start[:40]!r}; expected 'begin', 'end' or a row's number")
        if keys.get("version", channel.version) != channel.version:
            raise remote_error(
                "changed", f"{keys['name']!r} is another channel than before; follow it again"
            )

        position = channel.position(start)

        def make() -> list[Frame]:
            return self._batch(request, channel.version, channel.read(position))

        def later(reply: ReplyWith) -> None:
            if channel.has(position):
                self._answers.in_thread(request, make)(reply)
                return
            self.timers.limit(
                min(keys.get("wait", 0.0), MAX_WAIT),
                partial(channel.wait, position, client=request.peer.client),
                partial(self._in_background, channel.give_up_waiting),
                lambda: reply(self._answers.tried(request, make)),
            )

        return later

    def _batch(self, request: Request, version: str, batch: Batch) -> list[Frame]:
        keys: dict[str, Any] = {"version": version, "next": batch.following}
        if batch.lost:
            keys["lost"] = batch.lost
        if batch.rows is None:
            return reply_to(request, keys)
        return self._answers.of_object(request, keys, batch.rows)

    def _schedule(self, when: float, function: Callable[[], None]) -> None:
        """Call a function at a time, in a thread."""
        self.timers.add(when, partial(self._in_background, function))

    def _in_background(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._threads.submit(function, *arguments)
        except RuntimeError:  # there is no thread: those who wait must not wait for ever
            function(*arguments)

    def _put(self, request: Request) -> list[Frame] | Later:
        keys = request.keys
        self._check_writable(keys["name"], request.rights)
        if request.lengths is None:
            return self._answers.in_thread(request, lambda: self._store(request, keys, request.buffers))
        self._inbox.open(
            own(request, keys["transfer"]),
            sum(request.lengths),
            partial(codecs.allocate, keys["object"], request.lengths),
            keys,
            time.monotonic(),
            request.peer.client,
            count=len(request.lengths),
            cost=request.keys_nbytes,
        )
        return reply_to(request, {})

    def _store(self, request: Request, what: dict[str, Any], buffers: Sequence[Any]) -> list[Frame]:
        obj = codecs.decode(what["object"], buffers)
        version = self.put(what["name"], obj, self._rights_to_write(request, what["name"]))
        return reply_to(request, {"version": version})

    def _append(self, request: Request) -> Later:
        name = request.keys["name"]
        self._check_writable(name, request.rights)

        def make() -> list[Frame]:
            rows = codecs.decode(request.keys["object"], request.buffers)
            count = self.append(name, rows, self._rights_to_write(request, name))
            return reply_to(request, {"rows": count})

        return self._answers.in_thread(request, make)

    def _delete(self, request: Request) -> list[Frame]:
        name = request.keys["name"]
        self.remove(name, self._rights_to_write(request, name))
        return reply_to(request, {})

    def _rights_to_write(self, request: Request, name: str) -> Rights:
        """Return what a peer may do by now, for it may have waited; raise if that is not to write a name."""
        rights = request.peer.now() if request.peer.now is not None else request.rights
        if rights is NOTHING:
            raise _taken_back()
        self._check_writable(name, rights)
        return rights

    def _check_writable(self, name: str, rights: Rights) -> None:
        """Raise if a peer may not write a name, whether or not it is there."""
        if not (rights.may_write and rights.sees(name) and name.startswith(self._writable)):
            why = self._why_not_writable(rights)
            raise remote_error("forbidden", f"{name!r} is not writable; {why}", "PermissionError")
        try:
            check_name(name)
        except ValueError as exc:
            raise remote_error("bad_request", str(exc), "ValueError") from exc

    def _why_not_writable(self, rights: Rights) -> str:
        if not rights.may_write:
            return "your key may only read (zbridge keys allow --may write)"
        if not self._writable:
            return "this server is read-only (Server(writable=…) says which names are not)"
        if rights.only:
            return f"your key may use {', '.join(rights.only)}, where the server lets anybody write"
        allowed = " or ".join(map(repr, self._writable))
        return f"names that may be written begin with {allowed}, as Server(writable=…) says"

    def _call(self, request: Request) -> list[Frame] | Later:
        name = request.keys["name"]
        query = self.find(name, request.rights)
        if not isinstance(query, Query):
            raise WireError(f"{name!r} is no query function; read it", code="unsupported")
        form = form_of(request)
        arguments = _arguments(request)
        try:
            query.check(arguments)
        except TypeError as exc:
            raise remote_error("bad_request", f"{name}: {exc}", "TypeError") from exc
        key = b"" if request.buffers else strict_json.dumps([request.keys.get("args"), form])
        kept = query.kept(key)
        if kept is not None:
            # A second client's may outlive it where it is kept.
            return self._answers.of_object(request, {}, kept)

        def encode(value: Any) -> tuple[Encoded, int]:
            try:
                result = encoded_as(form, value)
            except EncodeError as exc:
                message = f"{name!r} returned what cannot be sent: {exc}"
                _log.error("%s", message)  # its owner is to know, not only who called
                raise remote_error("failed", message, "TypeError") from exc
            if key:
                query.keep(key, result)
            nbytes = sum(map(len, result.buffers))
            self._make_room(nbytes)
            return result, nbytes

        nbytes = sum(map(len, request.buffers)) + request.keys_nbytes

        def begin() -> Call:
            # A generator stays in this process; a query function may go to any.
            executor = self._streams.of(request.peer.client) if query.is_stream else self._executor
            return Call(
                executor,
                query.function,
                arguments,
                encode=encode,
                many=query.is_stream,
                nbytes=nbytes,
                name=name,
                limit=None if self._limits.query_seconds is None else self._limit,
            )

        token = request.keys.get("call")
        if token is None and query.is_stream:
            raise WireError(f"{name!r} is a stream: give it a 'call' to ask for what follows by")
        # One that nobody can ask about counts like the others. Its key is no client's: those are tuples.
        key_of_call = own(request, token) if token is not None else next(self._numbers)
        self._make_room(nbytes)
        call = self._calls.add(key_of_call, begin, request.peer.client)
        return self._awaiting(request, call, token, key_of_call)

    def _limit(self, late: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when a query takes too long, and return how to take that back."""
        return self.timers.add(time.monotonic() + (self._limits.query_seconds or 0.0), late)

    def _make_room(self, nbytes: int) -> None:
        """Have results and arguments of calls take no more memory than transfers may.

        Large ones take no more together with transfers; small ones are not refused because of these.
        """
        self._outbox.check(nbytes)
        kept = self._outbox.held if nbytes > QUICK_BYTES else 0
        self._calls.make_room(nbytes, self._limits.held - kept)

    def _wait(self, request: Request) -> Later:
        token, number = request.keys["call"], request.keys.get("start")
        if type(number) is str:
            raise WireError(f"'start' is {number[:40]!r}; expected the number of a value")
        key = own(request, token)
        return self._awaiting(request, self._calls.find(key), token, key, number)

    def _cancel(self, request: Request) -> list[Frame]:
        self._calls.cancel(own(request, request.keys.get("call", "")))
        for box in (self._inbox, self._outbox):
            box.release(own(request, request.keys.get("transfer", "")))
        return reply_to(request, {})

    def _awaiting(
        self, request: Request, call: Call, token: str | None, key: Hashable, number: int | None = None
    ) -> Later:
        """Reply with the next value of a call, or with its token when that takes too long.

        Parameters
        ----------
        token
            Of the client's; None: it waits until the value is there.
        key
            By which the call is kept.
        """

        def later(reply: ReplyWith) -> None:
            def deliver(item: Item | Signal) -> None:
                over = item is END or (isinstance(item, Item) and item.last)
                keys = {} if over or token is None else {"call": token}
                if over:
                    self._calls.remove(key)
                if isinstance(item, Item):
                    reply(self._answers.tried(request, lambda: self._outcome(request, call, item, keys)))
                else:
                    reply(reply_to(request, keys))

            if token is None:
                call.wait(deliver)
                return
            seconds = min(request.keys.get("wait", MAX_WAIT), MAX_WAIT)
            self.timers.limit(seconds, partial(call.wait, number=number), call.give_up_waiting, deliver)

        return later

    def _outcome(self, request: Request, call: Call, item: Item, keys: dict[str, Any]) -> list[Frame]:
        if item.error is None:
            return self._answers.of_object(request, keys, item.value)
        if not item.raised:
            return self._answers.failed(request, item.error)
        _log.error("the query %r raised", call.name, exc_info=item.error)
        failure = raised_failure_of(item.error, with_traceback=self._tracebacks)
        return wire.pack_failure(request.id, failure)

    def _part(self, request: Request) -> list[Frame] | Later:
        if not request.buffers:
            return self._answers.of_part(request)
        token, offset = own(request, request.keys["transfer"]), request.keys["offset"]
        length = self._inbox.write(token, offset, request.buffers, time.monotonic())
        return reply_to(request, {"part": [offset, length]})

    def _done(self, request: Request) -> list[Frame] | Later:
        token = own(request, request.keys["transfer"])
        if token not in self._inbox:
            self._outbox.release(token)
            return reply_to(request, {})
        buffers, what = self._inbox.finish(token)
        self._check_writable(what["name"], request.rights)  # they may have changed meanwhile
        return self._answers.in_thread(request, lambda: self._store(request, what, buffers))


_OPS: dict[str, Callable[[Service, Request], list[Frame] | Later]] = {
    "hello": Service._hello,
    "list": Service._list,
    "describe": Service._describe,
    "get": Service._get,
    "call": Service._call,
    "wait": Service._wait,
    "cancel": Service._cancel,
    "part": Service._part,
    "done": Service._done,
    "put": Service._put,
    "append": Service._append,
    "delete": Service._delete,
}


def _taken_back() -> RemoteError:
    message = "your key is not allowed any more; ask whoever runs the server"
    return remote_error("forbidden", message, "PermissionError")


def _narrowed() -> RemoteError:
    message = "your key may use other names than when this was asked for"
    return remote_error("forbidden", message, "PermissionError")


def _prefixes(writable: bool | str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(writable, bool):
        return ("",) if writable else ()
    return (writable,) if isinstance(writable, str) else tuple(writable)


@cache
def _version() -> str:
    return package_version("zbridge")


def _arguments(request: Request) -> dict[str, Any]:
    if "args" not in request.keys:
        if request.buffers:
            raise WireError("buffers came without 'args' to use them")
        return {}
    arguments = codecs.decode(request.keys["args"], request.buffers)
    if type(arguments) is not dict:
        raise WireError(
            f"'args' is {an(type(arguments).__name__)}; expected a dict of arguments by name"
        )
    return arguments
