"""Pickle protocol 5 with out-of-band buffers: the same frames without copies, in one message."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from benchmarks.contenders.rep import connect_to, serve_with


def serve(payloads: dict[str, Any]) -> AbstractContextManager[str]:
    """Answer with a small pickle, and a frame for each buffer."""

    def answer(name: bytes) -> list[Any]:
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(payloads[name.decode()], protocol=5, buffer_callback=buffers.append)
        return [head, *(buffer.raw() for buffer in buffers)]

    return serve_with(answer)


@contextmanager
def connect(address: str, names: Iterable[str]) -> Iterator[Callable[[str], Any]]:
    """Unpickle around the frames that came."""
    with connect_to(address) as socket:

        def fetch(name: str) -> Any:
            socket.send(name.encode())
            head, *frames = socket.recv_multipart(copy=False)
            return pickle.loads(head.buffer, buffers=[frame.buffer for frame in frames])

        yield fetch
