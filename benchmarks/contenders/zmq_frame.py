"""What most people write first with pyzmq: a JSON header, and the array as one zero-copy frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from benchmarks.contenders.rep import connect_to, serve_with


def serve(payloads: dict[str, Any]) -> AbstractContextManager[str]:
    """Answer with a header and the array."""

    def answer(request: bytes) -> list[Any]:
        array = payloads[json.loads(request)["name"]]
        header = {"dtype": array.dtype.str, "shape": array.shape}
        return [json.dumps(header).encode(), array]

    return serve_with(answer)


@contextmanager
def connect(address: str, names: Iterable[str]) -> Iterator[Callable[[str], Any]]:
    """Return the array as a view of the frame that came."""
    with connect_to(address) as socket:

        def fetch(name: str) -> np.ndarray[Any, Any]:
            socket.send(json.dumps({"name": name}).encode())
            header, frame = socket.recv_multipart(copy=False)
            keys = json.loads(header.bytes)
            return np.frombuffer(frame.buffer, keys["dtype"]).reshape(keys["shape"])

        yield fetch
