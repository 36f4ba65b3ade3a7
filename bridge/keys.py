"""Keys, of this user and of the servers that it knows; and which addresses may be bound without.

All of them are in one directory, as ssh has it: ``$BRIDGE_HOME``, else ``~/.zbridge``. Only its owner may
enter it.

``client.key``, ``server.key``
    What this user is, as a client and as a server: each a CURVE key, made once and never shown.
``known_servers``
    The keys of servers, one address and key a line.
``authorized_keys``
    Whom a server of this user lets in: see `bridge.clients`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from bridge import private
from bridge.errors import TransportError
from bridge.transport import KeyPair, new_key_pair, one_form

__all__ = [
    "CLIENT",
    "HOW_TO_MAKE",
    "SERVER",
    "changed_key_message",
    "check_bind",
    "fingerprint",
    "home",
    "is_local",
    "key_of",
    "known_server",
    "make_key",
    "own_key",
    "trust",
]

KEY_BYTES: Final = 32
CLIENT, SERVER = "client", "server"
# What to do where a key is missing.
HOW_TO_MAKE: Final = {
    CLIENT: "make one with: zbridge keys new",
    SERVER: "one is made when a server is started with keys",
}
# Digits of a fingerprint: 128 bits of SHA-256, far beyond what somebody finds a second key for.
FINGERPRINT_DIGITS: Final = 32


def home() -> Path:
    """Return the directory of keys: ``$BRIDGE_HOME``, else ``~/.zbridge``."""
    # Path.home() fails for a user without one, who may have no use for keys either.
    path = os.path.expanduser(os.environ.get("BRIDGE_HOME") or "~/.zbridge")  # noqa: PTH111
    return Path(path).absolute()  # also for whoever changes the working directory later


def own_key(directory: Path, role: str) -> KeyPair | None:
    """Return the key of a role, "client" or "server"; None if there is none.

    Raises
    ------
    TransportError
        If others can read it, or it is no key.
    """
    text = private.read(directory / f"{role}.key")
    if text is None:
        return None
    try:
        public, secret = (bytes.fromhex(word) for word in text.split())
    except ValueError:
        public = secret = b""
    if not len(public) == len(secret) == KEY_BYTES:
        raise TransportError(
            f"{directory / f'{role}.key'} is no key; remove it, and {HOW_TO_MAKE[role]}"
        )
    return KeyPair(public, secret)


def make_key(directory: Path, role: str) -> KeyPair:
    """Make the key of a role, once.

    Raises
    ------
    TransportError
        If there is one already, or its file cannot be made.
    """
    pair = new_key_pair()
    path = directory / f"{role}.key"
    try:
        private.create(path, f"{pair.public.hex()}\n{pair.secret.hex()}\n")
    except FileExistsError as exc:
        raise TransportError(
            f"{path} is there already, and is not overwritten; see: zbridge keys show"
        ) from exc
    return pair


def key_of(text: str) -> str:
    """Return a public key that somebody typed, in its one form: 64 hex digits in lower case.

    Raises
    ------
    ValueError
        If it is none.
    """
    text = text.strip().lower()
    if len(text) != 2 * KEY_BYTES or not set(text) <= set("0123456789abcdef"):
        raise ValueError(
            f"{text[:80]!r} is no public key: 64 hex digits, as 'zbridge keys show' prints it"
        )
    return text


@lru_cache(maxsize=1024)  # it is wanted for each line of the audit
def fingerprint(key: str) -> str:
    """Return what tells a public key apart in logs: the beginning of its SHA-256.

    Examples
    --------
    >>> fingerprint("00" * 32)
    'SHA256:66687aadf862bd776c8fc18b8e9f8e20'
    """
    return f"SHA256:{hashlib.sha256(bytes.fromhex(key)).hexdigest()[:FINGERPRINT_DIGITS]}"


def known_server(directory: Path, url: str) -> str | None:
    """Return the public key by which a server is known; None if it is not."""
    return _known(directory).get(one_form(url))


def trust(directory: Path, url: str, key: str, *, replace: bool = False) -> None:
    """Know a server by its public key.

    Raises
    ------
    TransportError
        If it is known by another, and that is not to be replaced; or if that is no address.
    """
    url = one_form(url)
    if url.split() != [url]:
        raise TransportError(f"{url!r} is not an address; expected tcp://host:port")
    with private.changing(directory / "known_servers") as lines:
        known = _known(directory)
        if known.get(url, key) != key and not replace:
            raise TransportError(changed_key_message(directory, url, known[url], key))
        lines += [f"{url} {key}" for url, key in (known | {url: key}).items()]


def changed_key_message(directory: Path, url: str, known: str, key: str) -> str:
    """Return what to say when a server is said to have another key than it is known by."""
    return (
        f"the key of {url} has changed. It is known by {fingerprint(known)}, and is now said to be "
        f"{fingerprint(key)}: perhaps another computer answers in its place, and would read along. Ask "
        f"whoever runs it. If it was changed on purpose: zbridge trust {url} {key} --replace (the old one "
        f"is in {directory / 'known_servers'})"
    )


def _known(directory: Path) -> dict[str, str]:
    path = directory / "known_servers"
    known: dict[str, str] = {}
    for number, line in enumerate((private.read(path) or "").splitlines(), 1):
        try:
            url, key = line.split()
            url, key = one_form(url), key_of(key)
            if known.setdefault(url, key) != key:
                raise ValueError(f"{url} has another key in a line above")
        except (ValueError, TransportError) as exc:
            raise TransportError(f"line {number} of {path} is wrong: {exc}") from exc
    return known


def check_bind(url: str, *, insecure: bool) -> None:
    """Refuse to bind an address without keys where others can reach it, unless the user insists.

    Anyone who reaches such a server may read everything that it serves, and the traffic is not encrypted.

    Raises
    ------
    TransportError
        If `url` is neither loopback nor local to this machine and `insecure` is False.
    """
    if not insecure and not is_local(url):
        raise TransportError(
            f"{url} can be reached from other computers, and no client is allowed to. On the other computer, "
            "run: zbridge keys new; and here, with what it prints: zbridge keys allow PUBKEY. Or bind "
            "127.0.0.1, and connect through ssh: bridge.connect('ssh://user@host'). Or accept that "
            "everybody on the network can read what is served: bridge.Server(url, insecure=True), or --insecure"
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
