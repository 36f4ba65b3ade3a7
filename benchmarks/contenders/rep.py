"""What the contenders over plain pyzmq share: a REP socket that answers names, and a REQ socket that asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import zmq


@contextmanager
def serve_with(answer: Callable[[bytes], Sequence[Any]]) -> Iterator[str]:
    """Answer each request with the frames that `answer` makes; they are not copied."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    socket = context.socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def loop() -> None:
        while True:
            socket.send_multipart(answer(socket.recv()), copy=False)

    threading.Thread(target=loop, daemon=True).start()
    yield f"tcp://127.0.0.1:{port}"


@contextmanager
def connect_to(address: str) -> Iterator[zmq.Socket[bytes]]:
    """Open a REQ socket."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        yield socket
