"""A plain socket, timed by hand, to hold the benchmark's own roofline against. Nothing of zbridge is in it.

``python -m benchmarks.by_hand give HOST`` prints its port; ``python -m benchmarks.by_hand take HOST PORT NBYTES
COUNT`` asks for so many bytes so many times, and prints the seconds of each as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time


def give(host: str) -> None:
    """Send what one client asks for, until it goes."""
    with socket.create_server((host, 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        while request := sock.recv(8):
            nbytes = int.from_bytes(request)
            if len(data) != nbytes:
                data = os.urandom(nbytes)  # zeros would be one page, again and again
            sock.sendall(data)


def take(host: str, port: str, nbytes: str, count: str) -> None:
    """Receive into memory that is there, and print the seconds; the first two times do not count."""
    view = memoryview(bytearray(int(nbytes)))
    with socket.create_connection((host, int(port))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seconds = []
        for _ in range(2 + int(count)):
            start = time.perf_counter()
            sock.sendall(len(view).to_bytes(8))
            there = 0
            while there < len(view):
                received = sock.recv_into(view[there:])
                if not received:
                    raise ConnectionError("the other end closed the connection")
                there += received
            seconds.append(time.perf_counter() - start)
    sys.stdout.write(json.dumps(seconds[2:]) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "give":
        give(*sys.argv[2:])
    else:
        take(*sys.argv[2:])
