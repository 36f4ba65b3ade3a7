"""Addresses, and what may be left out of them."""

from __future__ import annotations

from typing import Final

from bridge.errors import TransportError

__all__ = ["DEFAULT_PORT", "DEFAULT_URL", "with_default_port", "with_wildcard_port"]

DEFAULT_PORT: Final = 5555
MAX_PORT: Final = 65535
DEFAULT_URL: Final = f"tcp://127.0.0.1:{DEFAULT_PORT}"


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
