"""How a server lets clients in: openly, or by their keys and with their rights.

What libzmq hears about a key, at the handshake, is a name for the connection: the public key itself. What
that key may do is looked up anew at each request, and again when its reply is there: what is taken back ends
with the next of either.
"""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.audit import audit
from bridge.clients import Authorized, Clients, authorized
from bridge.errors import TransportError
from bridge.keys import SERVER, check_bind, fingerprint, home, is_local, make_key, own_key
from bridge.rights import NOTHING, Peer, Rights
from bridge.timers import Timers
from bridge.transport import Envelope, Gate, KeyPair

__all__ = ["Entrance", "entrance_to", "for_others", "keys_for"]

# What a limited key may ask at once after a pause: this many seconds' worth.
BURST_SECONDS: Final = 1.0
# The host of an address that means all addresses of a computer.
_ANYWHERE: Final = re.compile(r"(?<=[/@])(0\.0\.0\.0|\[::\])(?=:)")


class Entrance:
    """Lets everybody in.

    Attributes
    ----------
    url
        The address to bind.
    gate
        For the listener; None: no keys.
    is_open
        Whether strangers can come.
    """

    gate: Gate | None = None

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_open = not is_local(url)

    def address(self, bound: str) -> str:
        """Return what clients connect to, where this was bound."""
        return bound

    def turn(self, envelope: Envelope, unsent: Callable[[str], int], timers: Timers) -> Peer | None:
        """Let a peer ask, or have it wait.

        Parameters
        ----------
        envelope
            Of its request.
        unsent
            Says how many bytes are made for a user, or not read yet.
        timers
            Where the end of a wait is entered.

        Returns
        -------
        Peer or None
            Who asks, with the rights of now; None: not yet.
        """
        return Peer(address=envelope.address, client=envelope.connection)


class KeyedEntrance(Entrance):
    """Lets in those whose keys are authorized."""

    def __init__(self, url: str, own: KeyPair, clients: Clients) -> None:
        super().__init__(url)
        self.is_open = False
        self.gate = Gate(own=own, admits=self._admits, refused=self._refused)
        self._public = own.public.hex()
        self._clients = clients
        self._turns: dict[str, _Turns] = {}

    def address(self, bound: str) -> str:
        """Return what clients connect to, where this was bound."""
        return f"bridge://{self._public}@{bound.removeprefix('tcp://')}"

    def turn(self, envelope: Envelope, unsent: Callable[[str], int], timers: Timers) -> Peer | None:
        """Let a peer ask, or have it wait; see `Entrance.turn`."""
        user = envelope.user
        client = self._clients.find(user)
        rights = _rights_of(client)
        if client is not None and unsent(user) > rights.bytes_in_flight:
            return None  # the wait ends when it has read
        if rights.requests_per_second < math.inf and not self._has_turn(user, rights, timers):
            return None
        return Peer(
            address=envelope.address,
            key=f"- {fingerprint(user)}" if client is None else str(client),
            client=user,
            rights=rights,
            now=lambda: _rights_of(self._clients.find(user)),
        )

    def _has_turn(self, user: str, rights: Rights, timers: Timers) -> bool:
        now = time.monotonic()
        turns = self._turns.setdefault(user, _Turns())
        wait = turns.take(rights.requests_per_second, now)
        if wait and turns.awaited <= now:
            turns.awaited = now + wait
            timers.add(turns.awaited, _nothing)
        return not wait

    def _admits(self, key: bytes, address: str) -> str | None:
        user = key.hex()
        client = self._clients.find(user)
        if client is None:
            audit(peer=address, key=f"- {fingerprint(user)}", op="handshake", outcome="forbidden")
            return None
        return user

    def _refused(self, why: str) -> None:
        audit(op="handshake", outcome=f"failed: {why}")


def _rights_of(client: Authorized | None) -> Rights:
    return NOTHING if client is None else client.rights


@dataclass(slots=True)
class _Turns:
    """A bucket of turns to ask, which fills steadily up to a burst."""

    left: float = 1.0
    at: float = 0.0
    awaited: float = 0.0  # when a timer ends the wait for the next

    def take(self, per_second: float, now: float) -> float:
        """Take a turn and return 0; or return the seconds until there is one."""
        self.left = min(max(1.0, per_second * BURST_SECONDS), self.left + per_second * (now - self.at))
        self.at = now
        if self.left < 1.0:
            return (1.0 - self.left) / per_second
        self.left -= 1.0
        return 0.0


def _nothing() -> None:
    """Be called at a time, so that whoever sleeps until then looks again."""


def entrance_to(url: str, *, keys: str | Path | None, insecure: bool) -> Entrance:
    """Return the entrance to an address.

    Parameters
    ----------
    keys, insecure
        As in `keys_for`.
    """
    given = Path(keys).absolute() if keys is not None else None
    directory = keys_for(url, keys=given, insecure=insecure)
    if directory is None:
        return Entrance(url)
    own = own_key(directory, SERVER) or make_key(directory, SERVER)
    return KeyedEntrance(url, own, Clients(directory))


def for_others(address: str) -> str:
    """Return an address with the name of this computer, where it stands for all of its addresses.

    Examples
    --------
    >>> for_others("tcp://127.0.0.1:5555")
    'tcp://127.0.0.1:5555'
    """
    return _ANYWHERE.sub(socket.gethostname(), address)


def keys_for(url: str, *, keys: Path | None, insecure: bool) -> Path | None:
    """Return the directory of the keys that an address is to be bound with; None: without keys.

    Parameters
    ----------
    keys
        A directory; None: `home`, where others reach the address.
    insecure
        Whether to bind it without keys wherever it is.

    Raises
    ------
    TransportError
        If keys are needed and no client is allowed to connect.
    ValueError
        If the arguments exclude each other.
    """
    if insecure and keys is not None:
        raise ValueError("keys and insecure=True exclude each other: with keys, the address is secure")
    if insecure or (keys is None and is_local(url)):
        return None
    if not url.startswith("tcp://"):
        raise TransportError(
            f"{url} cannot have keys; they are for tcp://host:port. Who may use an ipc:// address is said by "
            "the permissions of its directory"
        )
    directory = keys if keys is not None else home()
    if not authorized(directory):
        check_bind(url, insecure=False)
        raise TransportError(
            f"no client is allowed to connect by the keys in {directory}; run: zbridge keys allow PUBKEY"
        )
    return directory
