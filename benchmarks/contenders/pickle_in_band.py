"""`Socket.send_pyobj` with the newest protocol, and without the copies that can be avoided."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from benchmarks.contenders.rep import connect_to, serve_with


def serve(payloads: dict[str, Any]) -> AbstractContextManager[str]:
    """Answer with the object in one pickle."""
    return serve_with(lambda name: [pickle.dumps(payloads[name.decode()], protocol=5)])


@contextmanager
def connect(address: str, names: Iterable[str]) -> Iterator[Callable[[str], Any]]:
    """Unpickle from the frame that came."""
    with connect_to(address) as socket:

        def fetch(name: str) -> Any:
            socket.send(name.encode())
            return pickle.loads(socket.recv(copy=False).buffer)

        yield fetch
