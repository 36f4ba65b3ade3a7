"""A long fat link, in a process of its own: ``python -m tests.faults.link URL BYTES_PER_SECOND SECONDS``.

Unlike the proxy it looks at nothing that passes, and so it can pace a gigabit per second. It carries one
connection. It prints its address, and when that connection has ended, what the way to the client did.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import sys
import threading
import time

from tests.faults.proxy import address
from tests.faults.served import say

CHUNK = 128 * 1024
# Chunks on their way. More waits in the sender's socket.
ON_THE_WAY = 1024
# A line that was late by so many seconds makes up for it: the system's clock wakes nobody to the microsecond.
BURST = 0.01


def main(url: str, rate: str, delay: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        say(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        client, _ = listener.accept()
    with client, socket.create_connection(address(url)) as server:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = threading.Thread(target=carry, args=[client, server, float(rate), float(delay)])
        up.start()
        nbytes, idle = carry(server, client, float(rate), float(delay))
        up.join()
    say(json.dumps({"nbytes": nbytes, "idle": idle}))


def carry(source: socket.socket, sink: socket.socket, rate: float, delay: float) -> tuple[int, float]:
    """Hand on what comes, at most `rate` bytes per second, each byte after `delay` seconds.

    Returns
    -------
    int
        The bytes that passed.
    float
        The seconds, from the first byte to the last, for which the line was free and nothing came.
    """
    line: queue.Queue[tuple[float, bytes]] = queue.Queue(ON_THE_WAY)
    giving = threading.Thread(target=_give, args=[line, sink])
    giving.start()
    nbytes, idle, free = 0, 0.0, 0.0
    data = b"first"
    while data:
        before = time.perf_counter()
        data = _received(source)
        now = time.perf_counter()
        if nbytes and data:
            idle += max(0.0, now - max(before, free))
        nbytes += len(data)
        free = max(free, now - BURST) + len(data) / rate
        time.sleep(max(0.0, free - now))
        line.put((free + delay, data))
    giving.join()
    return nbytes, idle


def _give(line: queue.Queue[tuple[float, bytes]], sink: socket.socket) -> None:
    data = b"first"
    while data:
        due, data = line.get()
        time.sleep(max(0.0, due - time.perf_counter()))
        with contextlib.suppress(OSError):  # the other end may have gone: what still comes is for nobody
            sink.sendall(data) if data else sink.shutdown(socket.SHUT_WR)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(CHUNK)
    except OSError:
        return b""


if __name__ == "__main__":
    main(*sys.argv[1:])
