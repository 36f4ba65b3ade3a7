"""The library itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import bridge


@contextmanager
def serve(payloads: dict[str, Any]) -> Iterator[str]:
    """Serve the payloads under their names."""
    with bridge.Server("tcp://127.0.0.1:0") as server:
        server.update(payloads)
        yield server.url


@contextmanager
def connect(address: str, names: Iterable[str]) -> Iterator[Callable[[str], Any]]:
    """Read from the server."""
    with bridge.connect(address) as client:
        yield client.read
