"""Sockets, their options and their deadlines. The only file that knows ZeroMQ.

A `Listener` is the server's end: a ROUTER that speaks REP's side. A `Link` is the client's: a DEALER
that speaks REQ's side, so it may have several requests in flight and stays usable when a reply is
lost. Both move lists of frames and look into none of them. Errors of ZeroMQ leave this file as
`TransportError` and its subclass.

With keys, CURVE encrypts, and libzmq asks the Listener about each peer's key before it lets it in. Such a
Listener has a context of its own, because a context has one place to ask; it answers in the thread that
receives, so there are no requests without somebody who says who may send them.

How a Link notices trouble: ZeroMQ connects and reconnects by itself and reports nothing, so each Link
watches its socket's monitor. That is how `open` can say at which stage a connection failed, and how a
reply that was lost with its connection is known at once and not after the timeout.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import socket
import struct
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
import zmq
from zmq.utils import z85

from bridge import zap
from bridge.errors import IdleTimeout, TransportError, WireError
from bridge.limits import STANDARD, Limits

__all__ = ["DEFAULT_URL", "Curve", "Envelope", "Gate", "KeyPair", "Link", "Listener", "Unreachable"]

Frames: TypeAlias = Sequence[bytes | memoryview]
Check: TypeAlias = Callable[[], None]
Place: TypeAlias = Callable[[bytes], Sequence[memoryview] | None]

DEFAULT_PORT: Final = 5555
DEFAULT_URL: Final = f"tcp://127.0.0.1:{DEFAULT_PORT}"

# What a message may have beside its buffers. libzmq reserves the memory for a frame when its length
# arrives, before its bytes do: none may be larger than all of the buffers in one, and a header.
HEADER_ROOM: Final = 1024 * 1024
# The routing labels of proxies on the way, one each, and REQ's correlation id.
MAX_LABELS: Final = 8
# Peers of whom it is known when they were heard last.
MAX_HEARD: Final = 10_000
# Messages, not bytes, that libzmq queues for a peer.
HIGH_WATER_MARK: Final = 64
# Of a reply, libzmq tells when it is sent; for one up to this size that costs more than the reply itself.
UNFOLLOWED: Final = 2048
# So of those, libzmq queues so many for a peer that does not read: 64 MiB at most.
UNREAD_REPLIES: Final = 32_768
# Ctrl-C is seen between two waits at the latest, also where a signal does not end a wait.
WAIT_SLICE: Final = 0.1
# Unsent replies get this long when the server closes in peace.
LINGER: Final = 1.0
# Freeing the address takes far less; nothing more can be done about it.
UNBIND: Final = 1.0
# A client's request to forget a transfer gets this long when its connection closes.
LAST_WORDS: Final = 0.2
HANDSHAKE: Final = 5.0
# A server that has another key breaks off without a word. So does one that is just being restarted, but not
# so often.
TRIES: Final = 3


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)


_COMMON_OPTIONS: dict[int, int] = {
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 60,
    zmq.TCP_KEEPALIVE_INTVL: 15,
    zmq.TCP_KEEPALIVE_CNT: 4,
    zmq.TCP_MAXRT: 60_000,
    zmq.HANDSHAKE_IVL: _milliseconds(HANDSHAKE),
    # ZMTP's own heartbeats count whole frames only: they cut slow links off in mid-frame.
    zmq.HEARTBEAT_IVL: 0,
}
_LISTENER_OPTIONS: dict[int, int] = {
    zmq.RCVHWM: HIGH_WATER_MARK,
    zmq.SNDHWM: UNREAD_REPLIES,  # larger ones are bounded by their bytes: see `Listener.unsent`
    zmq.ROUTER_MANDATORY: 1,
    zmq.ROUTER_HANDOVER: 0,  # nobody takes the replies of another by claiming his routing id
    zmq.LINGER: _milliseconds(LINGER),
    zmq.BACKLOG: 512,
}
_LINK_OPTIONS: dict[int, int] = {
    zmq.MAXMSGSIZE: STANDARD.reply + HEADER_ROOM,
    zmq.RCVHWM: HIGH_WATER_MARK,
    zmq.SNDHWM: HIGH_WATER_MARK,
    zmq.LINGER: 0,
    zmq.IPV6: 1,
    # On, replies that have come would be thrown away when their connection breaks. A Link that is not
    # connected does not send, so nothing queues.
    zmq.IMMEDIATE: 0,
    zmq.CONNECT_TIMEOUT: 5000,
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 5000,
}

# What libzmq does for want of one of these is to let everybody in.
_GATE_OPTIONS: dict[int, int | bytes] = {
    zmq.CURVE_SERVER: 1,
    zmq.ZAP_DOMAIN: zap.DOMAIN,
    zmq.ZAP_ENFORCE_DOMAIN: 1,
}
# Within the context of the socket.
_ZAP: Final = "inproc://zeromq.zap.01"
_FAILURES: Final = "inproc://failures"

# As integers: with pyzmq's own flags, each use makes a new enum member, or an exception.
_DONTWAIT = int(zmq.DONTWAIT)
_MORE_FOLLOWS = int(zmq.DONTWAIT | zmq.SNDMORE)
_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)
_RCVMORE = int(zmq.RCVMORE)
_SRCFD = int(zmq.SRCFD)

# The first frame of a monitor's message: the event and its value (zmq_socket_monitor(3)). pyzmq's own
# parser brings asyncio with it.
_MONITOR_EVENT = struct.Struct("=HI")
_CONNECTED = int(zmq.EVENT_CONNECTED)
_READY = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_LOST = int(zmq.EVENT_DISCONNECTED)
_BROKEN_OFF = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_OTHER_PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_WATCHED = _CONNECTED | _READY | _LOST | _BROKEN_OFF | _OTHER_PROTOCOL | _REFUSED
# One end has keys, and the other has none.
_MISMATCH = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
# The key of one end is not what the other takes it for.
_WRONG_KEY = int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)

_NO_ZEROMQ = "something listens there, but it does not speak ZeroMQ as a server does"
_NOT_ALLOWED = (
    "does not know the key of this client; ask whoever runs it to run: zbridge keys allow {key}"
)
_ASKS_FOR_KEYS = (
    "lets in only those whose keys it knows; connect with the address bridge://KEY@... that it printed when "
    "it started, or run: zbridge trust URL KEY"
)
_HAS_NO_KEYS = (
    "has no key, but one was expected: either it runs without keys now, or this is another computer that "
    "answers in its place. Nothing was sent to it"
)
_OTHER_KEY = (
    "does not prove that it has the key {key} that it is known by. Its key was changed, or another computer "
    "answers in its place and would read along; nothing was sent to it. Ask whoever runs it, and connect with "
    "the address that it prints now, or run: zbridge trust {url} KEY --replace"
)

_WHY_REFUSED: Final = {
    (_OTHER_PROTOCOL, _MISMATCH): "it has no key",
    (_OTHER_PROTOCOL, _WRONG_KEY): "it expects another server's key",
}

# Contexts do not survive a fork: a child makes its own, and leaves its parent's alone.
_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}


def _go_on() -> None:
    """Let a wait go on."""


class Unreachable(TransportError):
    """No connection could be made."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key: two times 32 bytes. Its secret half is not shown."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How a Link proves who it is, and knows whom it talks to.

    Attributes
    ----------
    server
        The public key of the one server that it accepts, 32 bytes.
    own
        Its own key.
    """

    server: bytes
    own: KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whom a Listener lets in.

    Attributes
    ----------
    own
        Its own key.
    admits
        Is asked about each key. What it returns is the `user` in the envelopes of that peer's requests.
    refused
        Is told in words why a handshake failed before there was a key to ask about.
    """

    own: KeyPair
    admits: zap.Admits
    refused: Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """What it takes to answer a request.

    Attributes
    ----------
    labels
        The frames up to the empty one. The first belongs to the connection.
    address
        The network address that it came from; empty where there is none.
    user
        Of a Listener with a gate: who it is, as `Gate.admits` said. Else empty.
    """

    labels: list[bytes]
    address: str = ""
    user: str = ""

    @property
    def connection(self) -> bytes:
        """Tells the connections of a Listener apart."""
        return self.labels[0]


def new_key_pair() -> KeyPair:
    """Make a key."""
    public, secret = zmq.curve_keypair()
    return KeyPair(z85.decode(public), z85.decode(secret))


class Listener:
    """The server's end: receives requests from any number of peers and sends them their replies.

    All methods but `wake` belong to one thread at a time.

    Parameters
    ----------
    url
        Where to listen: ``tcp://host:port`` (port 0 or * picks a free one), ``ipc://path`` or
        ``inproc://name``.
    gate
        Whom to let in; None: everybody, and nothing is encrypted.
    limits
        Of requests.

    Attributes
    ----------
    url
        The address that was bound, with its port.
    messages
        How many messages came from the file descriptor of each TCP connection.
    dropped
        How many messages came without an envelope to answer to, or past the gate.
    sent
        How many bytes of replies were handed to ZeroMQ.
    undelivered
        How many replies found their peer gone, or not reading.
    unsent_to_all
        Bytes of replies that ZeroMQ held for all peers together when `unsent` was asked last.
    wakes_when_sent
        Set it to have `wait` end also when less is `unsent`.

    Raises
    ------
    TransportError
        If the address cannot be bound.
    """

    def __init__(self, url: str, gate: Gate | None = None, limits: Limits = STANDARD) -> None:
        self._room = limits.request + HEADER_ROOM
        self._most_frames = limits.buffers + 1
        self._is_tcp = url.startswith("tcp://")
        self.messages: Counter[int] = Counter()
        options = _LISTENER_OPTIONS | {zmq.MAXMSGSIZE: self._room, zmq.IPV6: int("[" in url)}
        with contextlib.ExitStack() as undo, _exhaustion_named():
            self._alarm, self._alarm_end = socket.socketpair()
            undo.callback(self._alarm.close)
            undo.callback(self._alarm_end.close)
            self._context = _context() if gate is None else _new_context()
            if gate is not None:
                undo.callback(self._context.term)
            # With IPv6 on, an IPv4 address would be reported in its mapped form.
            self._socket = _socket(zmq.ROUTER, options, self._context)
            undo.callback(self._socket.close, 0)
            self._guard = None if gate is None else _Guard(self._socket, gate)
            if self._guard is not None:
                undo.callback(self._guard.close)
            try:
                self._socket.bind(_with_wildcard_port(url))
            except zmq.ZMQError as exc:
                raise TransportError(_bind_message(url, exc)) from exc
            undo.pop_all()
        self.url: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.dropped = 0
        self.undelivered = 0
        self.sent = 0
        self._heard: dict[bytes, float] = {}
        self.wakes_when_sent = False
        self.unsent_to_all = 0
        self._lent: dict[bytes | str, int] = {}
        self._loans: dict[int, weakref.ref[Any]] = {}
        self._returned: deque[tuple[Envelope, int]] = deque()
        self._alarm.setblocking(False)
        self._alarm_end.setblocking(False)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._alarm_end.fileno(), zmq.POLLIN)
        if self._guard is not None:
            for sock in self._guard.sockets:
                self._poller.register(sock, zmq.POLLIN)

    def wait(self, seconds: float) -> None:
        """Return when a message may be there, `wake` was called, or the time is over."""
        ready = dict(self._poller.poll(_milliseconds(seconds)))
        if self._guard is not None:
            self._guard.work()
        if self._alarm_end.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                self._alarm_end.recv(4096)

    def wake(self) -> None:
        """End the present or next `wait`. May be called from any thread."""
        # A full pipe is an alarm that was not heard yet; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._alarm.send(b"!")

    def receive(self) -> tuple[Envelope, list[bytes | memoryview]] | None:
        """Return the next request and the envelope to answer it with, or None if none is there.

        The header is bytes; the buffers are writable views of the received frames. What has more
        parts or bytes than a request may have is cut off: the header then tells of more than came.
        """
        while True:
            if not _is_readable(self._socket):
                return None
            routing = self._socket.recv(copy=False)
            user = "" if self._guard is None else self._guard.user_of(routing)
            labels = [routing.bytes]
            self._note(labels[0])
            complete = self._receive_labels(labels)
            if not complete or not self._more() or user is None:
                self._skip_rest()
                self.dropped += 1
                continue
            frames: list[bytes | memoryview] = [self._socket.recv()]
            room = self._room
            while self._more():
                frame = self._socket.recv(copy=False)
                room -= len(frame)
                if room < 0 or len(frames) > self._most_frames:
                    self._skip_rest()
                    break
                frames.append(frame.buffer)
            return Envelope(labels, _property(routing, "Peer-Address"), user), frames

    def send(self, envelope: Envelope, frames: Frames) -> bool:
        """Send a reply, without waiting. Large frames are not copied: they must not change.

        Returns
        -------
        bool
            False if the peer is gone or does not read; the reply is dropped.
        """
        parts: list[Any] = [*envelope.labels, *frames]
        nbytes = sum(map(len, frames))
        if nbytes > UNFOLLOWED:
            parts[-1] = self._lend(envelope, parts[-1], nbytes)
        try:
            _send(self._socket, parts)
        except zmq.ZMQError as exc:
            if exc.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise TransportError(f"the reply could not be sent: {exc.strerror}") from exc
            self.undelivered += 1
            return False
        self.sent += nbytes
        return True

    def heard(self, seconds: float) -> int:
        """Return from how many peers something came within the last seconds. From any thread."""
        since = time.monotonic() - seconds
        return sum(when >= since for when in self._heard.copy().values())

    def unsent(self, to: bytes | str) -> int:
        """Return how many bytes of replies ZeroMQ still holds, because they were not read yet.

        Parameters
        ----------
        to
            The `Envelope.connection`, or the `Envelope.user` for all connections of that user.
        """
        with contextlib.suppress(IndexError):
            while True:
                envelope, nbytes = self._returned.popleft()
                self._count(envelope, -nbytes)
        return self._lent.get(to, 0)

    def close(self, *, linger: float = LINGER) -> None:
        """Stop listening, and free the address. Replies that are not sent yet have `linger` seconds.

        May be called again.
        """
        if self._socket.closed:
            return
        if self._guard is not None:
            self._guard.close()
        self._unbind()
        self._socket.close(_milliseconds(linger))
        if self._guard is not None:
            self._context.term()  # takes `linger` at most
        self._alarm.close()
        self._alarm_end.close()

    def _count(self, envelope: Envelope, nbytes: int) -> None:
        self.unsent_to_all += nbytes
        for to in (envelope.connection, envelope.user) if envelope.user else (envelope.connection,):
            self._lent[to] = self._lent.get(to, 0) + nbytes
            if not self._lent[to]:
                del self._lent[to]

    def _lend(self, envelope: Envelope, frame: bytes | memoryview, nbytes: int) -> zmq.Frame:
        """Have ZeroMQ hold a reply's last frame, however small, so that its release tells of the reply's."""
        loan = memoryview(frame)
        note = (envelope, nbytes)
        key = id(loan)
        self._count(envelope, nbytes)

        def returned(_: object) -> None:  # in pyzmq's own thread
            self._loans.pop(key, None)
            self._returned.append(note)
            if self.wakes_when_sent:
                self.wake()

        self._loans[key] = weakref.ref(loan, returned)
        return zmq.Frame(loan, copy=False, copy_threshold=0)

    def _unbind(self) -> None:
        # ZeroMQ frees the address later, in a thread of its own; whoever binds it next must find it free.
        monitor = self._socket.get_monitor_socket(zmq.EVENT_CLOSED)
        with contextlib.suppress(zmq.ZMQError):
            self._socket.unbind(self.url)
            if not self.url.startswith("inproc://"):  # these are free at once, and no event tells
                monitor.poll(_milliseconds(UNBIND))
        self._socket.disable_monitor()
        monitor.close(0)

    def _note(self, peer: bytes) -> None:
        self._heard.pop(peer, None)
        self._heard[peer] = time.monotonic()
        if len(self._heard) > MAX_HEARD:
            del self._heard[next(iter(self._heard))]

    def _receive_labels(self, labels: list[bytes]) -> bool:
        while self._more() and len(labels) <= MAX_LABELS:
            label = self._socket.recv(copy=False)
            if len(labels) == 1 and self._is_tcp:
                with contextlib.suppress(zmq.ZMQError):  # a peer of ZMTP 1.0 has none
                    self.messages[label.get(_SRCFD)] += 1
            labels.append(label.bytes)
            if not labels[-1]:
                return True
        return False

    def _more(self) -> bool:
        return _more(self._socket)

    def _skip_rest(self) -> None:
        more = self._more()
        while more:  # as fast as it goes: a peer can make this many
            more = self._socket.recv(copy=False).more


class _Guard:
    """Answers libzmq when it asks who may connect to a socket, and hears of those who failed before that."""

    def __init__(self, sock: zmq.Socket[bytes], gate: Gate) -> None:
        self._gate = gate
        self._guarded = sock
        # Before each user id: had libzmq not asked, a peer could make one up.
        self._mark = secrets.token_hex(16)
        # Before the socket is bound, and for as long: there is no moment without it.
        self._questions = sock.context.socket(zmq.REP)
        self._failures = sock.context.socket(zmq.PAIR)
        # Without a limit: libzmq would have all connections wait for whoever listens here.
        self._failures.setsockopt(zmq.RCVHWM, 0)
        self.sockets = (self._questions, self._failures)
        try:
            self._questions.bind(_ZAP)
            for option, value in (_GATE_OPTIONS | _own_key_options(gate.own)).items():
                sock.setsockopt(option, value)
            sock.monitor(_FAILURES, _BROKEN_OFF | _OTHER_PROTOCOL)
            self._failures.connect(_FAILURES)
        except BaseException:
            self.close()
            raise

    def work(self) -> None:
        """Answer the questions that are there."""
        while _is_readable(self._questions):
            question = self._questions.recv_multipart()
            self._questions.send_multipart(zap.answer(question, self._admits))
        for event in _events(self._failures):
            self._gate.refused(_WHY_REFUSED.get(event, "it broke off"))

    def user_of(self, frame: Any) -> str | None:
        """Return what the gate called the peer that a frame came from; None if it never passed the gate."""
        mark, _, user = _property(frame, "User-Id").partition(" ")
        return user if mark == self._mark else None

    def _admits(self, key: bytes, address: str) -> str | None:
        user = self._gate.admits(key, address)
        return f"{self._mark} {user}" if user else None

    def close(self) -> None:
        """Let nobody in any more."""
        self._guarded.disable_monitor()
        for sock in self.sockets:
            sock.close(0)


class Link:
    """The client's end: one connection to one server. Belongs to one thread at a time.

    Parameters
    ----------
    url
        ``tcp://host:port``, ``ipc://path`` or ``inproc://name``; the port may be left out.
    curve
        The keys of both ends; None: the server has none, and nothing is encrypted.
    """

    def __init__(self, url: str, curve: Curve | None = None) -> None:
        self.url = with_default_port(url)
        self._curve = curve
        self._ready = self.url.startswith("inproc://")  # these have no handshake to wait for
        # Since the last `open`: ZeroMQ may have made a new connection before the loss of the old is heard.
        self._lost = False
        self._stage = ""
        self._refusal = ""
        self._broken_off = 0
        self._causes: list[str] = []
        _keep_freed_memory()
        with contextlib.ExitStack() as undo, _exhaustion_named():
            self._socket = _socket(zmq.DEALER, _LINK_OPTIONS, _context())
            undo.callback(self._socket.close, 0)
            if curve is not None:
                for option, value in _own_key_options(curve.own).items():
                    self._socket.setsockopt(option, value)
                self._socket.setsockopt(zmq.CURVE_SERVERKEY, curve.server)
            self._monitor = self._socket.get_monitor_socket(_WATCHED)
            undo.pop_all()
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._socket.connect(self.url)
        except zmq.ZMQError as exc:
            self.close()
            raise TransportError(
                f"{url!r} is not an address ({exc.strerror}); expected tcp://host:port, ipc://path or "
                "inproc://name"
            ) from exc

    def open(self, seconds: float, check: Check = _go_on) -> None:
        """Wait until the connection is made and the ZeroMQ handshake is done.

        Parameters
        ----------
        seconds
            How long to wait.
        check
            Is called now and then, and ends the wait by what it raises.

        Raises
        ------
        TransportError
            If that takes more than `seconds`, with the stage that was not passed.
        """
        start = time.monotonic()
        asked = False
        while not self._ready:
            left = seconds - (time.monotonic() - start)
            if left <= 0:
                raise Unreachable(f"cannot reach {self.url}: {self._reason()}")
            if self._refusal:  # it will not change its mind
                raise Unreachable(f"{self.url} {self._refusal}")
            if left < seconds / 2 and not asked:
                asked = True
                self._ask_for_cause(left)
            self._poller.poll(_milliseconds(min(left, WAIT_SLICE)))
            check()
            self._hear_monitor()
        self._lost = False

    def send(self, frames: Frames, seconds: float, check: Check = _go_on) -> None:
        """Send a request. Large frames are not copied: they must not change until it is answered.

        Parameters
        ----------
        frames
            The header and the buffers.
        seconds
            How long to wait while the connection takes nothing.
        check
            As for `open`.

        Raises
        ------
        IdleTimeout
            If the connection takes nothing for `seconds`.
        TransportError
            If the connection is lost.
        """
        try:
            _send(self._socket, [b"", *frames])
            return
        except zmq.Again:
            pass
        deadline = time.monotonic() + seconds
        while not self._socket.poll(_milliseconds(WAIT_SLICE), zmq.POLLOUT):
            check()
            if not self.is_usable():
                raise TransportError(f"the connection to {self.url} was lost")
            if time.monotonic() >= deadline:
                raise IdleTimeout(f"{self.url} takes no requests; is its server stopped or overloaded?")
        self._socket.send_multipart([b"", *frames], copy=False)

    def receive(self, seconds: float, place: Place | None = None) -> list[bytes | memoryview] | None:
        """Return the frames of the next reply, or None if none comes in time.

        Parameters
        ----------
        seconds
            How long to wait.
        place
            Is shown the header as soon as it is here, and returns where the frames after it belong: a
            memoryview for each, into which it is copied out of ZeroMQ's memory. None: anywhere.

        Returns
        -------
        list
            Bytes for the header, and for each buffer a writable view: of the received frame, or its place.

        Raises
        ------
        TransportError
            If the connection is lost, and with it the replies.
        WireError
            If the frames do not fit into their places.
        """
        frames = self._receive_now(place)
        if frames is None and seconds > 0:
            self._poller.poll(_milliseconds(seconds))
            frames = self._receive_now(place)
        if frames is None and not self.is_usable():
            # The last replies may have come together with the news that the connection is lost.
            frames = self._receive_now(place)
            if frames is None:
                raise TransportError(f"the connection to {self.url} was lost before the reply came")
        return frames

    def is_usable(self) -> bool:
        """Whether the connection stands, as far as ZeroMQ knows."""
        self._hear_monitor()
        return self._ready and not self._lost

    def close(self) -> None:
        """Close the connection at once. What comes is lost; a request just sent has a moment to leave.

        Not where the connection is lost: ZeroMQ would make another for requests that nobody waits for.
        """
        linger = LAST_WORDS if self.is_usable() else 0.0
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(_milliseconds(linger))

    def _receive_now(self, place: Place | None) -> list[bytes | memoryview] | None:
        sock = self._socket
        if not _is_readable(sock):
            return None
        delimiter = sock.recv()
        if delimiter or not _more(sock):
            raise WireError(f"{self.url} answers without the delimiter of a REP socket")
        header = sock.recv()
        places = None if place is None else place(header)
        if places is None:
            frames: list[bytes | memoryview] = [header]
            while _more(sock):
                frames.append(sock.recv(copy=False).buffer)
            return frames
        for view in places:
            # recv_into cuts what is too long, and says how long it was.
            if not _more(sock) or sock.recv_into(view) != len(view):
                raise WireError(f"{self.url} sent other frames than its header announced")
        if _more(sock):
            raise WireError(f"{self.url} sent more frames than its header announced")
        return [header, *places]

    def _hear_monitor(self) -> None:
        for event, value in _events(self._monitor):
            if event == _READY:
                self._ready = True
            elif event == _CONNECTED:
                self._stage = _NO_ZEROMQ
            elif event == _LOST:
                self._ready = False
                self._lost = True
            elif event == _REFUSED and self._curve is not None:
                self._refusal = _NOT_ALLOWED.format(key=self._curve.own.public.hex())
            elif (event, value) == (_OTHER_PROTOCOL, _MISMATCH):
                self._refusal = _ASKS_FOR_KEYS if self._curve is None else _HAS_NO_KEYS
            elif self._curve is not None:
                self._broken_off += 1
                if self._broken_off == TRIES:
                    self._refusal = _OTHER_KEY.format(key=self._curve.server.hex(), url=self.url)
            else:
                self._stage = "it refused the ZeroMQ handshake"

    def _ask_for_cause(self, seconds: float) -> None:
        """Ask the system why no connection is made: ZeroMQ does not say.

        In a thread that nobody waits for: to look up a name may take longer than there is time.
        """
        if self._stage or not self.url.startswith("tcp://"):
            return
        host, _, port = self.url.removeprefix("tcp://").rpartition(":")
        causes = self._causes

        def ask() -> None:
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
            except socket.gaierror as exc:
                causes.append(f"the name {host!r} cannot be resolved ({exc.strerror})")
            except TimeoutError:
                pass
            except (OSError, ValueError, OverflowError) as exc:
                causes.append(f"{getattr(exc, 'strerror', None) or exc}; is its server running?")

        with contextlib.suppress(RuntimeError):  # no thread can be started
            threading.Thread(target=ask, name="zbridge cause", daemon=True).start()

    def _reason(self) -> str:
        if self._stage or not self.url.startswith("tcp://"):
            return self._stage or "no connection could be made"
        return next(iter(self._causes), "no connection could be made in time; is a firewall between?")


def _own_key_options(own: KeyPair) -> dict[int, int | bytes]:
    return {zmq.CURVE_PUBLICKEY: own.public, zmq.CURVE_SECRETKEY: own.secret}


def _property(frame: Any, name: str) -> str:
    """Return what libzmq knows of the connection that a frame came over, or an empty string."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""


def _events(monitor: Any) -> Iterator[tuple[int, int]]:
    """Yield the events that a monitor has to tell of, and their values."""
    while _is_readable(monitor):
        yield _MONITOR_EVENT.unpack(monitor.recv_multipart()[0])


def _is_readable(sock: Any) -> bool:
    return bool(sock.get(_EVENTS) & _POLLIN)


def _more(sock: Any) -> bool:
    return bool(sock.get(_RCVMORE))


def _send(sock: Any, frames: Sequence[Any]) -> None:
    *first, last = frames
    for frame in first:
        sock.send(frame, _MORE_FOLLOWS, copy=False)
    sock.send(last, _DONTWAIT, copy=False)


@cache
def _keep_freed_memory() -> None:
    """Let glibc keep the memory of one window for the next.

    libzmq takes memory for each frame, and glibc would give it back to the system at once and get it again
    page by page. After a block of just below 32 MiB was freed, it keeps up to 64 MiB: its "dynamic mmap
    threshold" (mallopt(3)). Programs that use large arrays are in that state anyway; the block is not touched.
    """
    np.empty(32 * 1024 * 1024 - 8192, np.uint8)


def with_default_port(url: str) -> str:
    """Return the URL with port 5555 where a tcp address names none, and with tcp:// where no scheme is.

    Examples
    --------
    >>> with_default_port("tcp://lab"), with_default_port("lab:6000"), with_default_port("ipc:///tmp/s")
    ('tcp://lab:5555', 'tcp://lab:6000', 'ipc:///tmp/s')
    """
    if not isinstance(url, str):
        raise TypeError(f"the address is {url!r}; expected text, such as 'tcp://host:5555'")
    if "://" not in url:
        url = f"tcp://{url}"
    scheme, _, address = url.partition("://")
    if scheme == "tcp" and ":" not in address.rpartition("]")[2]:
        return f"{url}:{DEFAULT_PORT}"
    return url


def _context() -> zmq.Context[zmq.Socket[bytes]]:
    pid = os.getpid()
    if pid not in _contexts:
        _contexts[pid] = _new_context()
    return _contexts[pid]


def _new_context() -> zmq.Context[zmq.Socket[bytes]]:
    context = zmq.Context()
    context.set(zmq.BLOCKY, 0)
    context.set(zmq.MAX_SOCKETS, 65_536 if hasattr(os, "sysconf") else 1024)
    return context


def _socket(
    kind: int, options: dict[int, int], context: zmq.Context[zmq.Socket[bytes]]
) -> zmq.Socket[bytes]:
    sock = context.socket(kind)
    _set_options(sock, options)
    return sock


@contextlib.contextmanager
def _exhaustion_named() -> Iterator[None]:
    """Say what it means that no socket can be made."""
    try:
        yield
    except TransportError:
        raise
    except (zmq.ZMQError, OSError) as exc:
        raise TransportError(
            f"no socket could be made: {exc.strerror}; are too many files or connections open?"
        ) from exc


def _set_options(sock: Any, options: dict[int, int]) -> None:
    for option, value in (_COMMON_OPTIONS | options).items():
        # An option that this system or build of libzmq lacks (TCP_MAXRT) is a refinement only.
        with contextlib.suppress(zmq.ZMQError):
            sock.setsockopt(option, value)


def _with_wildcard_port(url: str) -> str:
    url = with_default_port(url)
    return f"{url[:-2]}:*" if url.startswith("tcp://") and url.endswith(":0") else url


def _bind_message(url: str, exc: zmq.ZMQError) -> str:
    if exc.errno == zmq.EADDRINUSE:
        return f"{url} is in use by another server; stop that one, or pass port 0 to get a free port"
    return (
        f"cannot listen at {url}: {exc.strerror}; expected tcp://host:port, ipc://path or inproc://name"
    )
