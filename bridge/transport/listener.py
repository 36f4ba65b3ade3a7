"""The server's end."""

from __future__ import annotations

import contextlib
import socket
import time
import weakref
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final

import zmq

from bridge.errors import TransportError
from bridge.limits import STANDARD, Limits
from bridge.transport.address import with_wildcard_port
from bridge.transport.curve import Gate
from bridge.transport.guard import Guard
from bridge.transport.sockets import (
    HEADER_ROOM,
    HIGH_WATER_MARK,
    Frames,
    exhaustion_named,
    has_more,
    is_readable,
    milliseconds,
    new_context,
    new_socket,
    property_of,
    send,
    shared_context,
)

__all__ = ["Envelope", "Listener"]

# The routing labels of proxies on the way, one each, and REQ's correlation id.
MAX_LABELS: Final = 8
# Bytes of each: as many as a routing id may have. They are kept as long as a request waits.
MAX_LABEL: Final = 255
# Peers of whom it is known when they were heard last, and what small replies they got.
MAX_KNOWN: Final = 10_000
# Of a reply, libzmq tells when it is sent; for a small one that costs more than the reply itself. Of those to
# one peer, it is asked about one in so many bytes, which stands for those before it.
UNFOLLOWED: Final = 16 * 1024
# What a frame takes in libzmq beside its bytes.
FRAME_COST: Final = 100
# Unsent replies get this long when the server closes in peace.
LINGER: Final = 1.0
# Freeing the address takes far less; nothing more can be done about it.
UNBIND: Final = 1.0

_LISTENER_OPTIONS: dict[int, int] = {
    zmq.RCVHWM: HIGH_WATER_MARK,
    zmq.SNDHWM: 0,  # what a peer does not read is bounded by its bytes: see `Listener.unsent`
    zmq.ROUTER_MANDATORY: 1,
    zmq.ROUTER_HANDOVER: 0,  # nobody takes the replies of another by claiming his routing id
    zmq.LINGER: milliseconds(LINGER),
    zmq.BACKLOG: 512,
}
_SRCFD = int(zmq.SRCFD)


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
        What the replies took that ZeroMQ held for all peers together when `unsent` was asked last, in bytes.
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
        with contextlib.ExitStack() as undo, exhaustion_named():
            self._alarm, self._alarm_end = socket.socketpair()
            undo.callback(self._alarm.close)
            undo.callback(self._alarm_end.close)
            self._context = shared_context() if gate is None else new_context()
            if gate is not None:
                undo.callback(self._context.term)
            # With IPv6 on, an IPv4 address would be reported in its mapped form.
            self._socket = new_socket(zmq.ROUTER, options, self._context)
            undo.callback(self._socket.close, 0)
            self._guard = None if gate is None else Guard(self._socket, gate)
            if self._guard is not None:
                undo.callback(self._guard.close)
            try:
                self._socket.bind(with_wildcard_port(url))
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
        self._unfollowed: dict[bytes, int] = {}
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
        ready = dict(self._poller.poll(milliseconds(seconds)))
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

        Raises
        ------
        MemoryError
            If there is none for the message, which is lost then.
        """
        while True:
            if not is_readable(self._socket):
                return None
            try:
                received = self._receive()
            except MemoryError:
                self._skip_rest()  # what comes next is to begin with its envelope
                raise
            if received is not None:
                return received
            self._skip_rest()
            self.dropped += 1

    def send(self, envelope: Envelope, frames: Frames) -> bool:
        """Send a reply, without waiting. Large frames are not copied: they must not change.

        Returns
        -------
        bool
            False if the peer is gone or does not read; the reply is dropped.
        """
        parts: list[Any] = [*envelope.labels, *frames]
        nbytes = sum(map(len, frames))
        cost = (
            sum(map(len, parts)) + FRAME_COST * len(parts) + self._unfollowed.pop(envelope.connection, 0)
        )
        if cost > UNFOLLOWED:
            parts[-1] = self._lend(envelope, parts[-1], cost)
        else:
            self._unfollowed[envelope.connection] = cost
            _forget_oldest(self._unfollowed)
        try:
            send(self._socket, parts)
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
        """Return what the replies take that ZeroMQ still holds, because they were not read yet, in bytes.

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
        self._socket.close(milliseconds(linger))
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
                monitor.poll(milliseconds(UNBIND))
        self._socket.disable_monitor()
        monitor.close(0)

    def _note(self, peer: bytes) -> None:
        self._heard.pop(peer, None)
        self._heard[peer] = time.monotonic()
        _forget_oldest(self._heard)

    def _receive(self) -> tuple[Envelope, list[bytes | memoryview]] | None:
        """Receive a message, or the beginning of one that has no proper envelope or comes past the gate."""
        routing = self._socket.recv(copy=False)
        user = "" if self._guard is None else self._guard.user_of(routing)
        labels = [routing.bytes]
        self._note(labels[0])
        if not self._receive_labels(labels) or not self._more() or user is None:
            return None
        frames: list[bytes | memoryview] = [self._socket.recv()]
        room = self._room
        while self._more():
            frame = self._socket.recv(copy=False)
            room -= len(frame)
            if room < 0 or len(frames) > self._most_frames:
                self._skip_rest()
                break
            frames.append(frame.buffer)
        return Envelope(labels, property_of(routing, "Peer-Address"), user), frames

    def _receive_labels(self, labels: list[bytes]) -> bool:
        while self._more() and len(labels) <= MAX_LABELS:
            label = self._socket.recv(copy=False)
            if len(labels) == 1 and self._is_tcp:
                with contextlib.suppress(zmq.ZMQError):  # a peer of ZMTP 1.0 has none
                    self.messages[label.get(_SRCFD)] += 1
            if len(label) > MAX_LABEL:
                return False
            labels.append(label.bytes)
            if not labels[-1]:
                return True
        return False

    def _more(self) -> bool:
        return has_more(self._socket)

    def _skip_rest(self) -> None:
        more = self._more()
        while more:  # as fast as it goes: a peer can make this many
            more = self._socket.recv(copy=False).more


def _forget_oldest(known: dict[bytes, Any]) -> None:
    if len(known) > MAX_KNOWN:
        del known[next(iter(known))]


def _bind_message(url: str, exc: zmq.ZMQError) -> str:
    if exc.errno == zmq.EADDRINUSE:
        return f"{url} is in use by another server; stop that one, or pass port 0 to get a free port"
    return (
        f"cannot listen at {url}: {exc.strerror}; expected tcp://host:port, ipc://path or inproc://name"
    )
