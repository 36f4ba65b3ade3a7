"""Servers that several tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

import bridge


@pytest.fixture
def server() -> Iterator[bridge.Server]:
    """A server in this process, on a free port, that serves nothing yet."""
    with bridge.Server("tcp://127.0.0.1:0") as server:
        yield server


@pytest.fixture
def client(server: bridge.Server) -> Iterator[bridge.Client]:
    with bridge.connect(server.url) as client:
        yield client


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that happens in another thread or process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
