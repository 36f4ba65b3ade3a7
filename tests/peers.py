"""Peers that do not behave, on real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import zmq


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The address of a host that swallows everything: a listener that has no room for a connection."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def router(answer: Callable[[zmq.Socket[bytes], list[bytes]], Any]) -> Iterator[str]:
    """The address of a ROUTER in a thread, which hands its socket and each message to `answer`.

    A message is a routing id, an empty frame, and the frames of a request.
    """
    stopped = threading.Event()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        port = router.bind_to_random_port("tcp://127.0.0.1")

        def serve() -> None:
            while not stopped.is_set():
                if router.poll(20):
                    answer(router, router.recv_multipart())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{port}"
        finally:
            stopped.set()
            thread.join()
