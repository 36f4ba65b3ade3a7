"""Arrays, DataFrames and Arrow tables over ZeroMQ: the same objects come out, or are refused.

Serve them::

    with bridge.Server("tcp://127.0.0.1:5555") as server:
        server["trades"] = frame

and fetch them somewhere else::

    b = bridge.connect("tcp://127.0.0.1:5555")
    frame = b.read("trades")

The names below are imported when they are first used: ``import bridge`` loads neither pandas nor
pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import (
    BenchError,
    BridgeError,
    Changed,
    EncodeError,
    IdleTimeout,
    Lagged,
    RemoteError,
    TransportError,
    WireError,
)

__all__ = [
    "BenchError",
    "BridgeError",
    "Changed",
    "Client",
    "EncodeError",
    "IdleTimeout",
    "Lagged",
    "Limits",
    "RemoteArray",
    "RemoteChannel",
    "RemoteError",
    "RemoteObject",
    "RemoteQuery",
    "RemoteStream",
    "RemoteTable",
    "Server",
    "Service",
    "TransportError",
    "WireError",
    "__version__",
    "aio",
    "bench",
    "cancelled",
    "connect",
    "options",
    "scan_polars",
    "serve",
]

if TYPE_CHECKING:
    from bridge import aio as aio
    from bridge.bench import bench
    from bridge.calls import cancelled
    from bridge.client import Client, connect
    from bridge.integrations.polars import scan_polars
    from bridge.limits import Limits
    from bridge.remote import (
        RemoteArray,
        RemoteChannel,
        RemoteObject,
        RemoteQuery,
        RemoteStream,
        RemoteTable,
        options,
    )
    from bridge.server import Server, serve
    from bridge.service import Service

    __version__: str

else:  # hidden from type checkers, which would take any misspelt name for a lazy one
    _MODULES = {
        "Client": "client",
        "Limits": "limits",
        "RemoteArray": "remote",
        "RemoteChannel": "remote",
        "RemoteObject": "remote",
        "RemoteQuery": "remote",
        "RemoteStream": "remote",
        "RemoteTable": "remote",
        "Server": "server",
        "Service": "service",
        "aio": "aio",
        "cancelled": "calls",
        "connect": "client",
        "load_ipython_extension": "integrations.ipython",
        "options": "remote",
        "scan_polars": "integrations.polars",
        "serve": "server",
    }

    def __getattr__(name):
        if name == "__version__":
            from importlib.metadata import version

            value = version("zbridge")
        elif name == "bench":  # a module that can be called
            from importlib import import_module

            value = import_module("bridge.bench")
        elif name in _MODULES:
            from importlib import import_module

            value = import_module(f"bridge.{_MODULES[name]}")
            value = getattr(value, name) if name != _MODULES[name] else value
        else:
            raise AttributeError(f"module 'bridge' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
