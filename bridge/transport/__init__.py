"""Sockets, their options and their deadlines. Nothing else knows ZeroMQ, but for the benchmark.

A `Listener` is the server's end: a ROUTER that speaks REP's side. A `Link` is the client's: a DEALER
that speaks REQ's side, so it may have several requests in flight and stays usable when a reply is
lost. Both move lists of frames and look into none of them. Errors of ZeroMQ leave it as
`TransportError` (`Unreachable` where there was no connection), frames that no server sends as `WireError`.
"""

from __future__ import annotations

from bridge.transport.address import DEFAULT_PORT, DEFAULT_URL, one_form, with_default_port
from bridge.transport.curve import Curve, Gate, KeyPair, new_key_pair
from bridge.transport.link import Link, Unreachable
from bridge.transport.listener import Envelope, Listener

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_URL",
    "Curve",
    "Envelope",
    "Gate",
    "KeyPair",
    "Link",
    "Listener",
    "Unreachable",
    "new_key_pair",
    "one_form",
    "with_default_port",
]
