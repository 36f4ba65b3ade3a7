"""What both ends know of the ways between them: addresses, small messages, and bytes on a plain socket."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

import numpy as np

from bridge.errors import TransportError, WireError

__all__ = [
    "ACK",
    "DEFAULT_URL",
    "EXPANSION",
    "LANES",
    "MESSAGE_ROOM",
    "Steady",
    "full_url",
    "receive_into",
    "send_all",
    "split",
    "tcp_address",
]

DEFAULT_PORT: Final = 5556
DEFAULT_URL: Final = f"tcp://127.0.0.1:{DEFAULT_PORT}"
# The sockets of a worker of the server, in the order of their ports.
LANES: Final = ("rep", "tcp", "bridge")
# The answer to what was pushed: seconds of checking, which do not count, of decoding, and of touching.
ACK: Final = struct.Struct("<ddd")
# Before the bytes on a plain socket: how many follow. 0 asks for what was agreed on.
LENGTH: Final = struct.Struct("<Q")
# For one of the payload's, a message has up to so many bytes.
EXPANSION: Final = 3
# What a message may have beyond the bytes of its payload, in headers and names.
MESSAGE_ROOM: Final = 1024 * 1024
# Up to here bytes are sent together with their length: two packets would be two round trips' worth of work.
TOGETHER: Final = 64 * 1024


class Steady:
    """Receives from a plain socket into memory that stays, as long as the length does.

    Parameters
    ----------
    max_bytes
        More than so many are refused.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.array: np.ndarray[Any, Any] = np.empty(0, np.uint8)

    def receive(self, sock: socket.socket) -> np.ndarray[Any, Any]:
        """Return what comes next, a view that the next call writes over.

        Raises
        ------
        ConnectionError
            If the other end closes before all is here.
        WireError
            If it is too much.
        """
        length = bytearray(LENGTH.size)
        receive_into(sock, memoryview(length))
        (nbytes,) = LENGTH.unpack(length)
        if nbytes > self._max_bytes:
            raise WireError(f"{nbytes} bytes are announced; at most {self._max_bytes} are taken")
        if nbytes != len(self.array):
            self.array = np.empty(nbytes, np.uint8)
        receive_into(sock, self.array.data)
        return self.array


def send_all(sock: socket.socket, data: Any) -> None:
    """Send bytes and before them their length."""
    view = memoryview(data)
    length = LENGTH.pack(len(view))
    if len(view) <= TOGETHER:
        sock.sendall(length + view)
    else:
        sock.sendall(length)
        sock.sendall(view)


def receive_into(sock: socket.socket, view: memoryview) -> None:
    """Fill memory with what comes; see `Steady.receive`."""
    while view:
        count = sock.recv_into(view)
        if not count:
            raise ConnectionError("the other end closed the connection")
        view = view[count:]


def full_url(url: str) -> str:
    """Return the URL with what it leaves out.

    Raises
    ------
    TransportError
        If it is not one of tcp: the plain socket and the others have ports beside each other.

    Examples
    --------
    >>> full_url("lab"), full_url("tcp://[::1]"), full_url("lab:6000")
    ('tcp://lab:5556', 'tcp://[::1]:5556', 'tcp://lab:6000')
    """
    address = url.removeprefix("tcp://")
    if "//" in address:
        raise TransportError(f"{url} is no address for a benchmark; write tcp://host:port")
    has_port = ":" in address.rpartition("]")[2]
    return f"tcp://{address}" if has_port else f"tcp://{address}:{DEFAULT_PORT}"


def split(url: str) -> tuple[str, int]:
    """Return the host and the port of a tcp URL; 0 where it leaves the port open.

    Examples
    --------
    >>> split("tcp://lab:5556"), split("tcp://[::1]:*")
    (('lab', 5556), ('[::1]', 0))
    """
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return host, 0 if port == "*" else int(port)


def tcp_address(host: str, port: int) -> tuple[str, int]:
    """Return the address of a plain socket: * is every one."""
    return "" if host == "*" else host.strip("[]"), port
