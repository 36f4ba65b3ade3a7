"""The TCP connections of a server, as the system sees them: who sends what never becomes a request.

libzmq hands a message over when all of it is there, and holds what it has of it until then: a peer whose
message never ends fills the memory, and nobody above libzmq hears of him. But Linux counts the bytes that
each connection has received (tcp(7), ``TCP_INFO``), and the server counts the messages. What came since the
last message, libzmq holds. It takes more than that, 64 bytes for a frame of none, so each connection also
answers for its share of what the memory of this process grew while its bytes came, as long as that is not given
back, and but for what the server knows that it took itself. One that has too much is shut down: libzmq takes it
for one that its peer has closed, and frees all; what is free is then given back to the system.

Elsewhere than on Linux, and for other sockets than TCP, nothing is known here, and nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from bridge.limits import Limits

__all__ = ["Connections"]

_DESCRIPTORS: Final = Path("/proc/self/fd")
_MEMORY: Final = Path("/proc/self/statm")
# Where in Linux's `struct tcp_info` (linux/tcp.h) the count of received bytes is.
_RECEIVED: Final = struct.Struct("=128xQ")
# What a whole request may have beside its buffers: a header, an envelope, the lengths of its frames, and
# what encryption adds. What is a little too large still arrives, and is answered.
OVERHEAD: Final = 8 * 1024 * 1024
# The memory that a byte on the wire can cost libzmq: a frame of none has two of them, and takes 64.
MOST_PER_BYTE: Final = 64
# To look at a thousand connections takes 40 ms: so often, or when so much more memory was taken.
SECONDS: Final = 1.0
STEP: Final = 8 * 1024 * 1024


# A file descriptor, which may soon belong to another, and the address of the peer.
_Key: TypeAlias = tuple[int, str]


@dataclass(slots=True)
class _Connection:
    peer: str
    messages: int = 0
    received: int = 0  # bytes, ever
    unfinished: int = 0  # bytes since the last message
    memory: float = (
        0.0  # bytes that this process grew while they came, as far as they can have cost them
    )
    is_shed: bool = False


class Connections:
    """The connections to an address that this process is bound to. To be closed in the end.

    Parameters
    ----------
    url
        The address, with its port.

    Raises
    ------
    OSError
        If there is no file descriptor left to look at the memory with.
    """

    def __init__(self, url: str, limits: Limits) -> None:
        self._port = int(url.rpartition(":")[2]) if url.startswith("tcp://") else None
        self._limits = limits
        self._known: dict[_Key, _Connection] = {}
        # It stays open: those who are to be shut down may have taken all descriptors.
        self._memory_file = _MEMORY.open("rb", buffering=0) if self.are_known else None
        self._memory = self._memory_now()
        # Together, the connections answer for no more than what the memory is beyond this.
        self._base = self._highest = self._memory
        self._base_seen = self._seen = 0.0
        self._is_freeing = False  # what those held that were shut down

    @property
    def are_known(self) -> bool:
        """Whether this system tells of them."""
        return self._port is not None and hasattr(socket, "TCP_INFO") and _DESCRIPTORS.is_dir()

    def close(self) -> None:
        """Look no more."""
        if self._memory_file is not None:
            self._memory_file.close()

    def shed(self, messages: Mapping[int, int], held: int = 0) -> list[str]:
        """Shut those down that are beyond the limits. Costs next to nothing when it is called too often.

        Parameters
        ----------
        messages
            How many messages have come from each file descriptor, ever.
        held
            Bytes of memory that the server took for answers: no connection answers for these.

        Returns
        -------
        list of str
            A sentence for each.
        """
        if self._is_freeing:
            _give_freed_memory_back()
            self._is_freeing = any(connection.is_shed for connection in self._known.values())
        shed = []
        memory, now = self._memory_now() - held, time.monotonic()
        self._highest = max(self._highest, memory)
        if now >= self._base_seen + SECONDS:
            # What was less all the time is less for good, and not only because an answer is to be made.
            self._base, self._highest, self._base_seen = min(self._base, self._highest), memory, now
        if memory < self._memory:
            self._memory = memory
            self._take_back()
        is_quiet = memory < self._memory + STEP and not self._is_freeing
        if is_quiet and now < self._seen + SECONDS:
            return []
        growth, self._memory = memory - self._memory, memory
        self._seen = now
        with contextlib.ExitStack() as stack:
            sockets, news = {}, {}
            for number, sock in self._sockets():
                stack.enter_context(sock)
                with contextlib.suppress(OSError):  # it is being closed
                    key, nbytes = self._look(number, sock, messages)
                    sockets[key], news[key] = sock, nbytes
            self._known = {key: self._known[key] for key in sockets}
            self._share(growth, news)
            for key, why in self._offenders():
                connection = self._known[key]
                connection.is_shed = self._is_freeing = True
                with contextlib.suppress(OSError):
                    sockets[key].shutdown(socket.SHUT_RDWR)
                shed.append(f"the connection from {connection.peer} was closed: {why}")
        return shed

    def _sockets(self) -> Iterator[tuple[int, socket.socket]]:
        """Yield the file descriptors of the connections, and for each a socket to be closed."""
        with contextlib.suppress(OSError):  # without a descriptor to spare, nothing can be seen
            # All before the first is duplicated: it takes the number of the directory that is read here.
            numbers = [int(path.name) for path in _DESCRIPTORS.iterdir() if _is_socket(path)]
            for number in numbers:
                sock = _socket_of(number)
                if sock is not None and self._is_ours(sock):
                    yield number, sock
                elif sock is not None:
                    sock.close()

    def _is_ours(self, sock: socket.socket) -> bool:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            return False
        try:
            sock.getpeername()  # of the socket that listens, an error
            return bool(sock.getsockname()[1] == self._port)
        except OSError:
            return False

    def _look(self, number: int, sock: socket.socket, messages: Mapping[int, int]) -> tuple[_Key, int]:
        """Note how far a connection is; return its key, and how many bytes of an unfinished message are new."""
        address, port = sock.getpeername()[:2]
        (received,) = _RECEIVED.unpack(
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
        )
        key = number, f"{address}:{port}"
        known = self._known.setdefault(key, _Connection(key[1]))
        new, known.received = received - known.received, received
        count = messages.get(number, 0)
        if known.messages != count:
            known.messages, known.unfinished, known.memory = count, 0, 0.0
            return key, 0
        known.unfinished += new
        return key, new

    def _share(self, growth: int, news: Mapping[_Key, int]) -> None:
        """Have each connection answer for memory by its bytes: what else takes memory here is not theirs."""
        total = sum(news.values())
        shared = min(growth, self._memory - self._base - self._answered_for())
        for key, nbytes in news.items():
            if nbytes and shared > 0:
                self._known[key].memory += min(shared * nbytes / total, MOST_PER_BYTE * nbytes)

    def _take_back(self) -> None:
        """Have them answer for less where memory was given back: that was not of messages that never end."""
        answered_for, most = self._answered_for(), max(0, self._memory - self._base)
        if answered_for > most:
            for connection in self._known.values():
                connection.memory *= most / answered_for

    def _answered_for(self) -> float:
        return sum(connection.memory for connection in self._known.values())

    def _memory_now(self) -> int:
        """Return the bytes of memory that this process has."""
        if self._memory_file is None:
            return 0
        pages = int(os.pread(self._memory_file.fileno(), 200, 0).split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _offenders(self) -> Iterator[tuple[_Key, str]]:
        """Yield those that are to go, the worst first, and why."""
        limits = self._limits
        staying = [item for item in self._known.items() if not item[1].is_shed]
        staying.sort(key=lambda item: max(item[1].unfinished, item[1].memory))
        total = sum(connection.unfinished for _, connection in staying)
        memory = sum(connection.memory for _, connection in staying)
        while staying:
            key, connection = staying[-1]
            is_whole = connection.unfinished <= limits.request + OVERHEAD
            if is_whole and max(total, memory) <= limits.unfinished:
                break
            total -= connection.unfinished
            memory -= connection.memory
            staying.pop()
            yield key, f"{connection.unfinished} bytes came from it that are no whole request"
        silent = [key for key, connection in staying if not connection.messages]
        for key in silent[: max(0, len(staying) - limits.connections)]:
            yield key, f"there are more than {limits.connections}, and it never asked for anything"


def _give_freed_memory_back() -> None:
    """Have glibc return what is free to the system (malloc_trim(3)).

    It would keep most of it, and what fills that again is no growth that anybody could be blamed for.
    """
    with contextlib.suppress(AttributeError):  # another libc
        ctypes.CDLL(None).malloc_trim(0)


def _is_socket(path: Path) -> bool:
    try:
        return str(path.readlink()).startswith("socket:")
    except OSError:
        return False


def _socket_of(number: int) -> socket.socket | None:
    """Return another descriptor of a socket; None of what is none, or is no more."""
    try:
        number = os.dup(number)
    except OSError:
        return None
    try:
        return socket.socket(fileno=number)
    except OSError:
        os.close(number)
        return None
