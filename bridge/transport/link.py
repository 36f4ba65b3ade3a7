"""The client's end.

How a Link notices trouble: ZeroMQ connects and reconnects by itself and reports nothing, so each Link
watches its socket's monitor. That is how `open` can say at which stage a connection failed, and how a
reply that was lost with its connection is known at once and not after the timeout.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import zmq

from bridge.errors import TransportError, WireError
from bridge.limits import MAX_INLINE, STANDARD
from bridge.transport.address import with_default_port
from bridge.transport.curve import Curve, own_key_options
from bridge.transport.monitor import (
    BROKEN_OFF,
    CONNECTED,
    LOST,
    MISMATCH,
    OTHER_PROTOCOL,
    READY,
    REFUSED,
    events,
)
from bridge.transport.sockets import (
    HEADER_ROOM,
    Frames,
    exhaustion_named,
    has_more,
    is_readable,
    milliseconds,
    new_socket,
    send,
    shared_context,
)

__all__ = ["Link", "Unreachable"]

Check: TypeAlias = Callable[[], None]
Place: TypeAlias = Callable[[bytes], Sequence[memoryview] | None]

# Ctrl-C is seen between two waits at the latest, also where a signal does not end a wait.
WAIT_SLICE: Final = 0.1
# A client's request to forget a transfer gets this long when its connection closes.
LAST_WORDS: Final = 0.2
# Messages that are here and not read yet.
UNREAD: Final = 16
# A server that has another key breaks off without a word. So does one that is just being restarted, but not
# so often.
TRIES: Final = 3

_LINK_OPTIONS: dict[int, int] = {
    # What comes unasked takes memory, too, until somebody looks: so many messages of so many bytes.
    zmq.MAXMSGSIZE: max(MAX_INLINE, STANDARD.window) + HEADER_ROOM,
    zmq.RCVHWM: UNREAD,
    # While so many are unread, ZeroMQ does not notice that the connection is lost, and sends nothing either:
    # who waits to send would never come to read them. So sending never waits; those who ask bound what they
    # ask at once.
    zmq.SNDHWM: 0,
    zmq.LINGER: 0,
    zmq.IPV6: 1,
    # On, replies that have come would be thrown away when their connection breaks. A Link that is not
    # connected does not send, so nothing queues.
    zmq.IMMEDIATE: 0,
    zmq.CONNECT_TIMEOUT: 5000,
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 5000,
}
_WATCHED = CONNECTED | READY | LOST | BROKEN_OFF | OTHER_PROTOCOL | REFUSED

_NO_ZEROMQ = (
    "something listens there, but it does not speak ZeroMQ as a server does; "
    "if it is a server, it may be stopped or overloaded"
)
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


def _go_on() -> None:
    """Let a wait go on."""


class Unreachable(TransportError):
    """No connection could be made."""


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
        with contextlib.ExitStack() as undo, exhaustion_named():
            self._socket = new_socket(zmq.DEALER, _LINK_OPTIONS, shared_context())
            undo.callback(self._socket.close, 0)
            if curve is not None:
                for option, value in own_key_options(curve.own).items():
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
            self._poller.poll(milliseconds(min(left, WAIT_SLICE)))
            check()
            self._hear_monitor()
        self._lost = False

    def send(self, frames: Frames) -> None:
        """Send a request, without waiting. Large frames are not copied: they must not change meanwhile.

        Raises
        ------
        TransportError
            If the connection is lost, as far as ZeroMQ knows.
        """
        try:
            send(self._socket, [b"", *frames])
        except BaseException as exc:
            self._lost = True  # what is sent after half a message would be taken for its other half
            if isinstance(exc, zmq.Again):
                raise TransportError(f"the connection to {self.url} was lost") from exc
            raise

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
            self._poller.poll(milliseconds(seconds))
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
        self._socket.close(milliseconds(linger))

    def _receive_now(self, place: Place | None) -> list[bytes | memoryview] | None:
        sock = self._socket
        if not is_readable(sock):
            return None
        delimiter = sock.recv()
        if delimiter or not has_more(sock):
            raise WireError(f"{self.url} answers without the delimiter of a REP socket")
        header = sock.recv()
        places = None if place is None else place(header)
        if places is None:
            frames: list[bytes | memoryview] = [header]
            while has_more(sock):
                frames.append(sock.recv(copy=False).buffer)
            return frames
        for view in places:
            # recv_into cuts what is too long, and says how long it was.
            if not has_more(sock) or sock.recv_into(view) != len(view):
                raise WireError(f"{self.url} sent other frames than its header announced")
        if has_more(sock):
            raise WireError(f"{self.url} sent more frames than its header announced")
        return [header, *places]

    def _hear_monitor(self) -> None:
        for event, value in events(self._monitor):
            if event == READY:
                self._ready = True
                self._broken_off = 0
            elif event == CONNECTED:
                self._stage = _NO_ZEROMQ
            elif event == LOST:
                self._ready = False
                self._lost = True
            elif event == REFUSED and self._curve is not None:
                self._refusal = _NOT_ALLOWED.format(key=self._curve.own.public.hex())
            elif (event, value) == (OTHER_PROTOCOL, MISMATCH):
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


@cache
def _keep_freed_memory() -> None:
    """Let glibc keep the memory of one window for the next.

    libzmq takes memory for each frame, and glibc would give it back to the system at once and get it again
    page by page. After a block of just below 32 MiB was freed, it keeps up to 64 MiB: its "dynamic mmap
    threshold" (mallopt(3)). Programs that use large arrays are in that state anyway; the block is not touched.
    """
    np.empty(32 * 1024 * 1024 - 8192, np.uint8)
