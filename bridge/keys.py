"""Which addresses a server may listen on without keys."""

from __future__ import annotations

import ipaddress

from bridge.errors import TransportError

__all__ = ["check_bind", "is_local"]


def check_bind(url: str, *, insecure: bool) -> None:
    """Refuse an address that others can reach, unless the user insists.

    Anyone who reaches the server may read everything that it serves, and the traffic is not encrypted.

    Raises
    ------
    TransportError
        If `url` is neither loopback nor local to this machine and `insecure` is False.
    """
    if not insecure and not is_local(url):
        raise TransportError(
            f"{url} can be reached from other computers, and nothing would say who may read; "
            "bind 127.0.0.1 (and reach it through ssh -L), or pass insecure=True to accept that "
            "everybody on the network can read what is served"
        )


def is_local(url: str) -> bool:
    """Whether only this machine reaches the address: ipc, inproc, or tcp on a loopback address.

    Examples
    --------
    >>> is_local("tcp://127.0.0.1:5555"), is_local("tcp://[::1]:5555"), is_local("ipc:///tmp/s")
    (True, True, True)
    >>> is_local("tcp://*:5555"), is_local("tcp://0.0.0.0:5555"), is_local("tcp://eth0:5555")
    (False, False, False)
    """
    scheme, _, address = url.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        # A name or an interface: it may mean any address, now or later.
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
