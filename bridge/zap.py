"""Who may connect: ZeroMQ's authentication protocol, ZAP 1.0 (https://rfc.zeromq.org/spec/27/). No sockets.

libzmq asks about each CURVE handshake, once the peer has proved that it owns its key: a request of frames
for version, request id, domain, address, routing id, mechanism and key. Whatever else comes, whatever goes
wrong here, is a no.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

__all__ = ["DOMAIN", "Admits", "answer"]

# libzmq asks nobody, and lets everybody in, where a socket has no domain.
DOMAIN: Final = b"bridge"
VERSION: Final = b"1.0"

# Called with a public key of 32 bytes and a network address; returns the user id that the peer's messages
# will carry, or None to refuse it.
Admits: TypeAlias = Callable[[bytes, str], str | None]

_log = logging.getLogger("bridge")


def answer(request: Sequence[bytes], admits: Admits) -> list[bytes]:
    """Return the frames that answer libzmq's question: status 200, or 400 for a no."""
    request_id = request[1] if len(request) > 1 else b""
    user = _user(request, admits)
    if user is None:
        return [VERSION, request_id, b"400", b"this key is not allowed", b"", b""]
    return [VERSION, request_id, b"200", b"OK", user.encode(), b""]


def _user(request: Sequence[bytes], admits: Admits) -> str | None:
    try:
        version, _, domain, address, _, mechanism, key = request
        if (version, domain, mechanism, len(key)) != (VERSION, DOMAIN, b"CURVE", 32):
            return None
        # A user id that is empty would look like none.
        return admits(key, address.decode("utf-8", "replace")) or None
    except Exception:
        _log.exception("a key could not be checked, and is refused")
        return None
