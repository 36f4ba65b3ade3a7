"""A plain blocking socket: what the operating system gives a simple program.

The request is a line with the name; the reply is the length, eight bytes, then the bytes of the array.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def serve(payloads: dict[str, Any]) -> Iterator[str]:
    """Serve each connection in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, payloads), daemon=True).start()
        yield "{}:{}".format(*listener.getsockname())


@contextmanager
def connect(address: str, names: Iterable[str]) -> Iterator[Callable[[str], Any]]:
    """Receive each array into fresh memory."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def fetch(name: str) -> np.ndarray[Any, Any]:
            sock.sendall(name.encode() + b"\n")
            length = bytearray(8)
            _receive(sock, memoryview(length))
            array = np.empty(int.from_bytes(length) // 8)
            _receive(sock, array.data.cast("B"))
            return array

        yield fetch


def _accept(listener: socket.socket, payloads: dict[str, Any]) -> None:
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer, args=(sock, payloads), daemon=True).start()


def _answer(sock: socket.socket, payloads: dict[str, Any]) -> None:
    with sock, sock.makefile("rb") as requests:
        for line in requests:
            data = memoryview(payloads[line.decode().strip()]).cast("B")
            if (
                len(data) < 65_536
            ):  # as one packet: two small writes would be two round trips' worth of work
                sock.sendall(len(data).to_bytes(8) + data)
            else:
                sock.sendall(len(data).to_bytes(8))
                sock.sendall(data)


def _receive(sock: socket.socket, view: memoryview) -> None:
    while view:
        count = sock.recv_into(view)
        if not count:
            raise ConnectionError("the server closed the connection")
        view = view[count:]
