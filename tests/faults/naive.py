"""What one writes without this library: a REP socket that sends an array as one large message.

The fault tests are run against it too, and there they must fail: a test that it passes shows nothing.
It is no straw man: no pickle, no copies, and its client at least has a timeout.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from tests.faults.served import made, say


def read(url: str, name: str, *, timeout: float) -> np.ndarray:
    """Fetch an array; `zmq.Again` after `timeout` seconds, where others would wait for ever."""
    with connected(url, timeout=timeout) as socket:
        return ask(socket, name)


@contextlib.contextmanager
def connected(url: str, *, timeout: float) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = math.ceil(timeout * 1000)
        socket.connect(url)
        yield socket


def ask(socket: zmq.Socket[bytes], name: str) -> np.ndarray:
    socket.send_string(name)
    header, values = socket.recv_multipart(copy=False)
    described = json.loads(header.bytes)
    return np.frombuffer(values.buffer, described["dtype"]).reshape(described["shape"])


def main(url: str, sources: str) -> None:
    served = made(sources)
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.bind(url)
        say(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        while True:
            name, _, replacement = socket.recv_string().partition(" by ")
            if replacement:
                served[name] = served[replacement]
            values = _opened(served[name])
            header = json.dumps({"dtype": values.dtype.str, "shape": values.shape}).encode()
            socket.send_multipart([header, values.data], copy=False)


def _opened(source: Any) -> np.ndarray:
    values: np.ndarray = np.load(source, mmap_mode="r") if isinstance(source, Path) else source
    return values


if __name__ == "__main__":
    main(*sys.argv[1:])
