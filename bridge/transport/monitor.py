"""What ZeroMQ tells of connections: the events of a socket's monitor (zmq_socket_monitor(3))."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import zmq

from bridge.transport.sockets import is_readable

__all__ = [
    "BROKEN_OFF",
    "CONNECTED",
    "LOST",
    "MISMATCH",
    "OTHER_PROTOCOL",
    "READY",
    "REFUSED",
    "WRONG_KEY",
    "events",
]

# The first frame of a monitor's message: the event and its value (zmq_socket_monitor(3)). pyzmq's own
# parser brings asyncio with it.
_MONITOR_EVENT = struct.Struct("=HI")
CONNECTED = int(zmq.EVENT_CONNECTED)
READY = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
LOST = int(zmq.EVENT_DISCONNECTED)
BROKEN_OFF = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
OTHER_PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
# One end has keys, and the other has none.
MISMATCH = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
# The key of one end is not what the other takes it for.
WRONG_KEY = int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)


def events(monitor: Any) -> Iterator[tuple[int, int]]:
    """Yield the events that a monitor has to tell of, and their values."""
    while is_readable(monitor):
        yield _MONITOR_EVENT.unpack(monitor.recv_multipart()[0])
