"""What a proxy's notes prove about a transfer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import bridge
from bridge.exchange import Receipt
from tests.faults.proxy import Message, Proxy


def until(holds: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def arrived_of(error: Any) -> tuple[int, int]:
    """How much of how many bytes had arrived, as an error tells."""
    return error.arrived, error.total


def asked(proxy: Proxy) -> list[Message]:
    """The windows that the client asked for."""
    return [m for m in messages(proxy, "up") if m.header["op"] == "part"]


def messages(proxy: Proxy, way: str) -> list[Message]:
    return [m for m in proxy.messages if isinstance(m, Message) and m.way == way]


def read_noting_progress(client: bridge.Client, name: str, proxy: Proxy) -> Any:
    """Read, and write down among the proxy's notes how many bytes have landed, whenever some have."""
    proxy.messages.clear()
    return client.read(name, progress=lambda done, total: proxy.messages.append(done))


def check_only_what_was_missing_was_asked_again(proxy: Proxy, receipt: Receipt) -> None:
    """Whatever became of its connections, a client asks on a new one exactly for what has not landed.

    On the last connection it asked for all that was missing when it was made, once.
    """
    parts = asked(proxy)
    last = parts[-1].connection
    first = next(m for m in parts if m.connection == last)
    landed = [m for m in proxy.messages[: proxy.messages.index(first)] if isinstance(m, int)]
    missing = receipt.nbytes - max(landed, default=0)
    on_the_last = [m for m in parts if m.connection == last]
    assert sum(m.header["length"] for m in on_the_last) == missing
    assert len({m.header["offset"] for m in on_the_last}) == len(on_the_last)
    # Over all: each window once, and each that was lost once more. Requests can be lost on the way, too.
    assert len(parts) <= receipt.windows + receipt.retries
