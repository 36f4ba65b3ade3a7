"""A TCP proxy that does to connections what networks do, and notes what was said over them.

It runs in a thread of its own. A test tells it what to do after how many bytes, so that the same seed
always hits the same place: ``proxy.after(100_000, proxy.cut)``. An action may be any function, such as
one that kills the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

Way: TypeAlias = Literal["up", "down"]  # to the server, to the client
Action: TypeAlias = Callable[[], object]

CHUNK = 64 * 1024
# Chunks on their way on a line with delay. More waits in the sender's socket.
ON_THE_WAY = 1024
GREETING = 64  # bytes with which ZMTP begins, on both sides
NEVER = (math.inf, lambda: None)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing the socket sends RST


@dataclass(frozen=True)
class Message:
    """The header of a request or reply, when the client sent or got it."""

    connection: int
    way: Way
    header: dict[str, Any]


@dataclass
class _Connection:
    number: int
    client: socket.socket
    server: socket.socket
    flowing: asyncio.Event
    ended: int = 0  # ways
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """Hands bytes on between any number of clients and one server.

    Parameters
    ----------
    url
        The server's.
    delay
        Seconds that a byte takes, each way.
    rate
        Bytes per second, each way. May be changed.
    piece
        Send at most so many bytes at a time.

    Attributes
    ----------
    url
        For the clients.
    passed
        Bytes that were handed on, by way.
    messages
        The headers of all requests and replies, in order. A test may add its own notes.
    frames
        The sizes of all frames that were sent to clients, in bytes.
    handshakes
        How many connections were made, to the end of the ZMTP handshake.
    idle
        Seconds for which the way down stood open, and the server sent nothing.
    """

    def __init__(self, url: str, *, delay: float = 0.0, rate: float = math.inf, piece: int = CHUNK):
        self._target = address(url)
        self._delay, self._piece = delay, piece
        self.rate = rate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed: dict[Way, int] = {"up": 0, "down": 0}
        self.messages: list[Any] = []
        self.frames: list[int] = []
        self.handshakes = 0
        self.idle = 0.0
        self._due: dict[Way, tuple[float, Action]] = {"up": NEVER, "down": NEVER}
        self._flip = 0
        self._partitioned = False
        self._connections: list[_Connection] = []
        self._count = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def after(self, nbytes: int, action: Action, *, way: Way = "down") -> None:
        """Do this once, when so many more bytes have gone this way."""
        self._due[way] = (self.passed[way] + nbytes, action)

    def now(self, action: Action) -> None:
        """Do this without waiting for any byte."""
        self._loop.call_soon_threadsafe(action)

    # What can be done, to all connections that there are:

    def cut(self) -> None:
        """Reset them. New ones are let through."""
        for connection in self._connections[:]:
            self._end(connection)

    def half_close(self) -> None:
        """Tell the client that nothing more comes, and go on listening to it."""
        for connection in self._connections:
            connection.tasks[-1].cancel()
            connection.client.shutdown(socket.SHUT_WR)

    def swallow(self) -> None:
        """Keep them, and let nothing through any more. New ones are let through."""
        for connection in self._connections:
            connection.flowing.clear()

    def partition(self, seconds: float = math.inf) -> None:
        """Let nothing through on any connection, also on new ones, for this time."""
        self._partitioned = True
        self.swallow()
        if seconds < math.inf:
            self._loop.call_later(seconds, self._heal)

    def flip(self, bit: int) -> None:
        """Flip a bit of the next byte, on the way down."""
        self._flip = 1 << bit

    def refuse(self) -> None:
        """Reset them, and refuse new ones."""
        self._loop.remove_reader(self._listener)
        address = self._listener.getsockname()
        self._listener.close()
        # Nobody else is to get the port, and answer there.
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self.cut()

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        accepting = self._loop.create_task(self._accept())
        self._loop.run_forever()
        # No more is accepted, and what was just now gets into the list: cancelled first, it would be lost.
        self._loop.remove_reader(self._listener)
        self._loop.run_until_complete(asyncio.sleep(0))
        tasks = [accepting, *(task for connection in self._connections for task in connection.tasks)]
        self.cut()
        accepting.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()
        self._listener.close()

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listener)
            except OSError:  # it refuses from now on
                return
            server = socket.socket()
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._count += 1
            connection = _Connection(self._count, client, server, asyncio.Event())
            if not self._partitioned:
                connection.flowing.set()
            self._connections.append(connection)
            try:
                await self._loop.sock_connect(server, self._target)
            except OSError:
                self._end(connection)
                continue
            connection.tasks = [
                self._loop.create_task(self._guarded(connection, job)) for job in self._jobs(connection)
            ]

    def _jobs(self, connection: _Connection) -> Iterator[Any]:
        """Two for each way; the last sends to the client."""
        ways: tuple[tuple[Way, socket.socket, socket.socket], ...] = (
            ("up", connection.client, connection.server),
            ("down", connection.server, connection.client),
        )
        for way, source, sink in ways:
            line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(ON_THE_WAY if self._delay else 1)
            watch = self._watcher(connection.number, way)
            yield partial(self._take, way, source, line, watch if way == "up" else None)
            yield partial(self._give, connection, way, sink, line, watch if way == "down" else None)

    async def _guarded(self, connection: _Connection, job: Any) -> None:
        try:
            await job()
        except OSError:
            self._end(connection)

    async def _take(self, way: Way, source: socket.socket, line: Any, watch: Any) -> None:
        free = 0.0  # when the last byte that was taken is on the line
        data = b"first"
        while data:
            before = time.perf_counter()
            # A slow line hands on what it has each 10 ms.
            data = await self._loop.sock_recv(source, int(max(1000, min(CHUNK, self.rate / 100))))
            now = time.perf_counter()
            if now - before > 0.001 and now > free:  # it had to wait
                if way == "down" and free:
                    self.idle += now - max(before, free)
                free = now
            if watch is not None and data:
                watch.send(data)
            if self.rate < math.inf:
                free = (free or now) + len(data) / self.rate
                await asyncio.sleep(free - now)
            await line.put((now + self._delay, data))

    async def _give(
        self, connection: _Connection, way: Way, sink: socket.socket, line: Any, watch: Any
    ) -> None:
        while True:
            due, data = await line.get()
            if self._delay:
                await asyncio.sleep(due - time.perf_counter())
            if not data:
                sink.shutdown(socket.SHUT_WR)
                connection.ended += 1
                if connection.ended == 2:
                    self._end(connection)
                return
            if watch is not None:
                watch.send(data)
            while data:
                await connection.flowing.wait()
                at, action = self._due[way]
                part = data[: int(min(self._piece, at - self.passed[way]))]
                data = data[len(part) :]
                self.passed[way] += len(part)
                if self.passed[way] < at:
                    action = NEVER[1]
                else:
                    self._due[way] = NEVER
                await self._loop.sock_sendall(sink, self._flipped(part) if way == "down" else part)
                action()

    def _flipped(self, data: bytes) -> bytes:
        if self._flip and data:
            data = bytes([data[0] ^ self._flip]) + data[1:]
            self._flip = 0
        return data

    def _watcher(self, number: int, way: Way) -> Generator[None, bytes, None]:
        def seen(frame: bytes) -> None:
            if way == "down":
                self.frames.append(len(frame))
                self.handshakes += frame.startswith(b"\x05READY")
            if frame.startswith(b'{"bridge"'):
                self.messages.append(Message(number, way, json.loads(frame)))

        watcher = _frames(seen)
        next(watcher)
        return watcher

    def _heal(self) -> None:
        self._partitioned = False
        for connection in self._connections:
            connection.flowing.set()

    def _end(self, connection: _Connection) -> None:
        for task in connection.tasks:
            task.cancel()
        if connection in self._connections:
            self._connections.remove(connection)
        for end in (connection.client, connection.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self._loop.remove_reader(end)
                self._loop.remove_writer(end)
                end.close()


def _frames(seen: Callable[[bytes], None]) -> Generator[None, bytes, None]:
    """Is sent the bytes of one way of a ZMTP connection, and calls `seen` with each frame."""
    buffer = bytearray()

    def take(nbytes: int) -> Generator[None, bytes, bytes]:
        while len(buffer) < nbytes:
            buffer.extend((yield))
        taken = bytes(buffer[:nbytes])
        del buffer[:nbytes]
        return taken

    yield from take(GREETING)
    while True:
        flags = (yield from take(1))[0]
        size = yield from take(8 if flags & 2 else 1)
        seen((yield from take(int.from_bytes(size, "big"))))


def address(url: str) -> tuple[str, int]:
    """The host and port of a URL."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return host, int(port)
