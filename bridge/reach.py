"""How a client reaches a server: the forms of its address, and what is needed to make a connection.

==========================  ==========================================================================
``tcp://host:port``         with the key that is known for it, if one is; ``host`` alone means the same
``bridge://KEY@host:port``  the server that has this public key, and no other; KEY is 64 hex digits
``ssh://user@host``         a server that listens on that computer alone, through ssh: see `bridge.tunnel`
``ipc://path``              a socket of this computer
``inproc://name``           within this process
==========================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bridge import keys
from bridge.errors import TransportError
from bridge.transport import Curve, Link, one_form, with_default_port
from bridge.tunnel import Tunnel

__all__ = ["Reach", "parsed", "reach"]

_SCHEMES = {
    "tcp": "tcp://host:port",
    "bridge": "bridge://KEY@host:port",
    "ssh": "ssh://user@host",
    "ipc": "ipc://path",
    "inproc": "inproc://name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A way to a server.

    Attributes
    ----------
    address
        All that another process of this user needs to find the way too; no secret.
    url
        What to call the server.
    link
        Makes a connection.
    security
        Who can listen on the way, in words.
    open, close
        Get ready what the way needs beyond its connections, and give it up; a later `link` gets it again.
    """

    address: str
    url: str
    link: Callable[[], Link]
    security: str
    open: Callable[[], None] = lambda: None
    close: Callable[[], None] = lambda: None


def reach(address: str, server_key: str | None = None) -> Reach:
    """Find the way to a server.

    Parameters
    ----------
    address
        In one of the forms above.
    server_key
        The server's public key, in hex; for a ``tcp://`` address.

    Raises
    ------
    TransportError
        If the address has no such form, the server is known by another key, or this user has no key.
    """
    address = with_default_port(address)
    scheme, _, _ = address.partition("://")
    if scheme not in _SCHEMES:
        raise TransportError(
            f"{address!r} is no address of a server; expected {', '.join(_SCHEMES.values())}"
        )
    if scheme == "ssh":
        if server_key is not None:
            raise TransportError(f"{address} takes no key: ssh has its own")
        tunnel = Tunnel(address)
        return Reach(
            address=address,
            url=address,
            link=tunnel.link,
            security="encrypted, through ssh",
            open=tunnel.open,
            close=tunnel.close,
        )
    url, given = parsed(address, server_key)
    key = _checked(url, given)
    if key is None:
        security = "this computer only" if keys.is_local(url) else "not encrypted"
        return Reach(address=url, url=url, link=partial(Link, url), security=security)
    if not url.startswith("tcp://"):
        raise TransportError(f"{url} cannot have a key; keys are for tcp://host:port")
    own = keys.own_key(keys.home(), keys.CLIENT)
    if own is None:
        raise TransportError(
            f"{url} lets in only those whose keys it knows, and you have no key yet; run: zbridge keys new"
        )
    curve = Curve(server=bytes.fromhex(key), own=own)
    _, _, place = url.partition("://")
    return Reach(
        address=f"bridge://{key}@{place}",
        url=url,
        link=partial(Link, url, curve),
        security="encrypted, by keys",
    )


def parsed(address: str, server_key: str | None = None) -> tuple[str, str | None]:
    """Return the URL of an address without its key, and the key that is given with it or beside it.

    The URL is in its one form: see `bridge.transport.one_form`.

    Raises
    ------
    TransportError
        If there are two keys that differ, or one that is none; or if that is no address.
    """
    url = with_default_port(address)
    server_key = None if server_key is None else _key_of(server_key)
    if url.startswith("bridge://"):
        text, _, place = url.removeprefix("bridge://").rpartition("@")
        if not (text and place):
            raise TransportError(f"{address} has no key or no host; expected bridge://KEY@host:port")
        key = _key_of(text)
        if server_key not in (None, key):
            raise TransportError(f"{address} has another key than the one given, {server_key}")
        url, server_key = f"tcp://{place}", key
    return one_form(url), server_key


def _key_of(text: str) -> str:
    try:
        return keys.key_of(text)
    except ValueError as exc:
        raise TransportError(
            f"{exc}; expected bridge://KEY@host:port, or tcp://host:port and a key"
        ) from exc


def _checked(url: str, given: str | None) -> str | None:
    """Return the key that a server must have: the one that was given, if it is not known by another."""
    if not url.startswith("tcp://"):
        return given
    known = keys.known_server(keys.home(), url)
    if given is not None and known is not None and given != known:
        raise TransportError(keys.changed_key_message(keys.home(), url, known, given))
    return given or known
