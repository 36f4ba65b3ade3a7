"""Servers that several tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

import bridge


@pytest.fixture
def server() -> Iterator[bridge.Server]:
    """A server in this process, on a free port, that serves nothing yet."""
    # Peers are in this process too: for the memory that they take, they must not be blamed as strangers.
    limits = bridge.Limits(unfinished=2**30)
    with bridge.Server("tcp://127.0.0.1:0", limits=limits) as server:
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
