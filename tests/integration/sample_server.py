"""Serve every sample: ``python -m tests.integration.sample_server router|rep URL``."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

import zmq

import bridge
import tests.samples

SAMPLES: dict[str, Callable[[], Any]] = {
    f"{module.name}/{name}": make
    for module in pkgutil.iter_modules(tests.samples.__path__)
    for name, make in importlib.import_module(f"tests.samples.{module.name}").SAMPLES.items()
}


def serve_with_router(url: str) -> None:
    server = bridge.Server(url)
    server.update({name: make() for name, make in SAMPLES.items()})
    _say(server.url)
    server.run()


def serve_with_rep(url: str) -> None:
    service = bridge.Service()
    service.update({name: make() for name, make in SAMPLES.items()})
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.bind(url)
        _say(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        while True:
            socket.send_multipart(service.handle(socket.recv_multipart()), copy=False)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"router": serve_with_router, "rep": serve_with_rep}[sys.argv[1]](sys.argv[2])
