"""Addresses, and what may be left out of them."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final

from bridge.errors import TransportError

__all__ = ["DEFAULT_PORT", "DEFAULT_URL", "one_form", "with_default_port", "with_wildcard_port"]

DEFAULT_PORT: Final = 5555
MAX_PORT: Final = 65535
DEFAULT_URL: Final = f"tcp://127.0.0.1:{DEFAULT_PORT}"
# Of a computer. A dot at the end is another spelling, and libzmq takes more: "tcp://own:port;host:port".
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
# Of the network that an address of IPv6 belongs to.
_ZONE: Final = re.compile(r"[1-9][0-9]*|[A-Za-z][A-Za-z0-9_.-]*")


def with_default_port(url: str) -> str:
    """Return the URL with port 5555 where a tcp address names none, and with tcp:// where no scheme is.

    Raises
    ------
    TransportError
        If the port is beyond 65535: libzmq would take what is left of it modulo 65536.

    Examples
    --------
    >>> with_default_port("tcp://lab"), with_default_port("lab:6000"), with_default_port("ipc:///tmp/s")
    ('tcp://lab:5555', 'tcp://lab:6000', 'ipc:///tmp/s')
    """
    if not isinstance(url, str):
        raise TypeError(f"the address is {url!r}; expected text, such as 'tcp://host:5555'")
    if "://" not in url:
        url = f"tcp://{url}"
    scheme, _, address = url.partition("://")
    if scheme == "tcp" and ":" not in address.rpartition("]")[2]:
        return f"{url}:{DEFAULT_PORT}"
    port = address.rpartition(":")[2].lstrip("0")
    if scheme in ("tcp", "bridge") and port.isdecimal() and (len(port) > 5 or int(port) > MAX_PORT):
        raise TransportError(f"{url} has the port {port}; ports are 1 to {MAX_PORT}")
    return url


def with_wildcard_port(url: str) -> str:
    """Return the URL to bind, in which ZeroMQ is to pick a port where 0 is given."""
    url = with_default_port(url)
    return f"{url[:-2]}:*" if url.startswith("tcp://") and url.endswith(":0") else url


def one_form(url: str) -> str:
    """Return the URL of a server to connect to in its one form: its key is known by that.

    Another spelling of the same address would lead there without the key. libzmq and the system take many:
    ports with zeros in front, and 127.1, 0x7f000001 and [127.0.0.1] for 127.0.0.1.

    Raises
    ------
    TransportError
        If it is of tcp, and not a name or an address of IPv4 or IPv6 in the usual form, and a port.

    Examples
    --------
    >>> one_form("LAB"), one_form("tcp://127.0.0.1:06000"), one_form("tcp://[0:0::1]:6000")
    ('tcp://lab:5555', 'tcp://127.0.0.1:6000', 'tcp://[::1]:6000')
    """
    url = with_default_port(url)
    scheme, _, place = url.partition("://")
    if scheme != "tcp":
        return url
    host, _, port = place.rpartition(":")
    digits = port.lstrip("0")
    if not (digits.isascii() and digits.isdecimal()):
        raise TransportError(
            f"{url!r} is not an address: {port!r} is no port; expected tcp://host:port, with a port from 1 to "
            f"{MAX_PORT}"
        )
    return f"tcp://{_host(url, host)}:{digits}"


def _host(url: str, host: str) -> str:
    try:
        ip = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        if _NAME.fullmatch(host) is None or _is_number(host):
            raise TransportError(
                f"{url!r} is not an address: {host!r} is no name of a computer, and no address such as "
                "127.0.0.1 or [::1]; expected tcp://host:port"
            ) from None
        return host.lower()
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.scope_id is not None and not (ip.is_link_local and _ZONE.fullmatch(ip.scope_id)):
        raise TransportError(f"{url!r} is not an address: {ip} is in no network called {ip.scope_id!r}")
    return f"[{ip}]" if ip.ipv4_mapped is None else str(ip.ipv4_mapped)


def _is_number(host: str) -> bool:
    """Whether the system takes a host for an address of IPv4, in a form that is hardly ever meant."""
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True
