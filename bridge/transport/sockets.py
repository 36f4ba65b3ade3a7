"""ZeroMQ's sockets: how both ends make them, read them and write to them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import zmq

from bridge.errors import TransportError

__all__ = [
    "HEADER_ROOM",
    "HIGH_WATER_MARK",
    "Frames",
    "exhaustion_named",
    "has_more",
    "is_readable",
    "milliseconds",
    "new_context",
    "new_socket",
    "property_of",
    "send",
    "shared_context",
]

Frames: TypeAlias = Sequence[bytes | memoryview]

# Messages, not bytes, that libzmq queues for a peer.
HIGH_WATER_MARK: Final = 64
HANDSHAKE: Final = 5.0

# What a message may have beside its buffers. libzmq reserves the memory for a frame when its length
# arrives, before its bytes do: none may be larger than all of the buffers in one, and a header.
HEADER_ROOM: Final = 1024 * 1024


def milliseconds(seconds: float) -> int:
    """Return seconds as ZeroMQ counts them."""
    return math.ceil(seconds * 1000)


_COMMON_OPTIONS: dict[int, int] = {
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 60,
    zmq.TCP_KEEPALIVE_INTVL: 15,
    zmq.TCP_KEEPALIVE_CNT: 4,
    zmq.TCP_MAXRT: 60_000,
    zmq.HANDSHAKE_IVL: milliseconds(HANDSHAKE),
    # ZMTP's own heartbeats count whole frames only: they cut slow links off in mid-frame.
    zmq.HEARTBEAT_IVL: 0,
}

# As integers: with pyzmq's own flags, each use makes a new enum member, or an exception.
_DONTWAIT = int(zmq.DONTWAIT)
_MORE_FOLLOWS = int(zmq.DONTWAIT | zmq.SNDMORE)
_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)
_RCVMORE = int(zmq.RCVMORE)

# Contexts do not survive a fork: a child makes its own, and leaves its parent's alone.
_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}


def shared_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context of this process."""
    pid = os.getpid()
    if pid not in _contexts:
        _contexts[pid] = new_context()
    return _contexts[pid]


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context for as many sockets as the system has room for."""
    context = zmq.Context()
    context.set(zmq.BLOCKY, 0)
    context.set(zmq.MAX_SOCKETS, 65_536 if hasattr(os, "sysconf") else 1024)
    return context


def new_socket(
    kind: int, options: dict[int, int], context: zmq.Context[zmq.Socket[bytes]]
) -> zmq.Socket[bytes]:
    """Make a socket with these options and those that all have."""
    sock = context.socket(kind)
    _set_options(sock, options)
    return sock


def _set_options(sock: Any, options: dict[int, int]) -> None:
    for option, value in (_COMMON_OPTIONS | options).items():
        # An option that this system or build of libzmq lacks (TCP_MAXRT) is a refinement only.
        with contextlib.suppress(zmq.ZMQError):
            sock.setsockopt(option, value)


@contextlib.contextmanager
def exhaustion_named() -> Iterator[None]:
    """Say what it means that no socket can be made."""
    try:
        yield
    except TransportError:
        raise
    except (zmq.ZMQError, OSError) as exc:
        raise TransportError(
            f"no socket could be made: {exc.strerror}; are too many files or connections open?"
        ) from exc


def is_readable(sock: Any) -> bool:
    """Whether a message is there."""
    return bool(sock.get(_EVENTS) & _POLLIN)


def has_more(sock: Any) -> bool:
    """Whether the frame that was received last is followed by another of its message."""
    return bool(sock.get(_RCVMORE))


def send(sock: Any, frames: Sequence[Any]) -> None:
    """Send a message without waiting and without copying, or raise `zmq.Again`."""
    *first, last = frames
    for frame in first:
        sock.send(frame, _MORE_FOLLOWS, copy=False)
    sock.send(last, _DONTWAIT, copy=False)


def property_of(frame: Any, name: str) -> str:
    """Return what libzmq knows of the connection that a frame came over, or an empty string."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""
