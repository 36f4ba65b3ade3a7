"""The keys of both ends, as CURVE wants them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

from bridge import zap

__all__ = ["Curve", "Gate", "KeyPair", "new_key_pair", "own_key_options"]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key: two times 32 bytes. Its secret half is not shown."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How a Link proves who it is, and knows whom it talks to.

    Attributes
    ----------
    server
        The public key of the one server that it accepts, 32 bytes.
    own
        Its own key.
    """

    server: bytes
    own: KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whom a Listener lets in.

    Attributes
    ----------
    own
        Its own key.
    admits
        Is asked about each key. What it returns is the `user` in the envelopes of that peer's requests.
    refused
        Is told in words why a handshake failed before there was a key to ask about.
    """

    own: KeyPair
    admits: zap.Admits
    refused: Callable[[str], None]


def new_key_pair() -> KeyPair:
    """Make a key."""
    public, secret = zmq.curve_keypair()
    return KeyPair(z85.decode(public), z85.decode(secret))


def own_key_options(own: KeyPair) -> dict[int, int | bytes]:
    """Return the options of a socket that has this key."""
    return {zmq.CURVE_PUBLICKEY: own.public, zmq.CURVE_SECRETKEY: own.secret}
