"""The clients that a server lets in: who they are, and what each may do.

They are in ``authorized_keys``, one JSON object a line. Servers see a change of it at once.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge import private
from bridge.codecs import strict_json
from bridge.errors import TransportError
from bridge.keys import fingerprint, key_of
from bridge.rights import Rights

__all__ = ["Authorized", "Clients", "allow", "as_json", "authorized", "deny"]

# What a line may have, and as which types of JSON.
_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "key": (str,),
    "name": (str,),
    "may": (str,),
    "only": (list,),
    "bytes_in_flight": (int,),
    "requests_per_second": (int, float),
}
_LIMITS: Final = ("bytes_in_flight", "requests_per_second")

_log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """A client that is let in.

    Attributes
    ----------
    key
        Its public key, in hex.
    name
        What to call it, printable, as it is in each line of the audit; may be empty.

    Raises
    ------
    ValueError
        If the name is not printable.
    """

    key: str
    name: str = ""
    rights: Rights

    def __post_init__(self) -> None:
        if not self.name.isprintable():
            raise ValueError(f"the name {self.name!r} is not printable")

    def __str__(self) -> str:
        return f"{self.name or '-'} {fingerprint(self.key)}"


class Clients:
    """The clients that a server lets in. Their file is read again whenever it has changed. Thread-safe.

    If it cannot be read, or a line of it is wrong, nobody is let in: who was taken out of it must not come
    back by a mistake in another line.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = _authorized_path(directory)
        self._trouble = ""
        # The file's stamp, and what it said: always of one moment.
        self._known: tuple[object, dict[str, Authorized]] = None, {}

    def find(self, key: str) -> Authorized | None:
        """Return the client with a public key, as the file is now; None if it is not let in."""
        stamp = private.stamp(self._path)
        known, clients = self._known
        if stamp != known:
            try:
                clients, trouble = authorized(self._directory), ""
            except TransportError as exc:  # perhaps only too many files are open: it is tried again
                stamp, clients, trouble = None, {}, str(exc)
            self._known = stamp, clients
            if trouble and trouble != self._trouble:
                _log.error("nobody is let in any more: %s", trouble)
            self._trouble = trouble
        return clients.get(key)


def authorized(directory: Path) -> dict[str, Authorized]:
    """Return the clients that are let in, by their public keys.

    Raises
    ------
    TransportError
        If their file cannot be read, can be read by others, or has a line that is wrong.
    """
    path = _authorized_path(directory)
    clients = {}
    for number, line in enumerate((private.read(path) or "").splitlines(), 1):
        if not line.strip():
            continue
        try:
            client = _from_line(line)
            if client.key in clients:
                raise ValueError("its key has a line already")
        except ValueError as exc:
            raise TransportError(f"line {number} of {path} is wrong: {exc}") from exc
        clients[client.key] = client
    return clients


def allow(directory: Path, client: Authorized) -> None:
    """Let a client in, from now on, with these rights instead of those that it had.

    Raises
    ------
    ValueError
        If its line could not be read again: then nobody would be let in.
    """
    with private.changing(_authorized_path(directory)) as lines:
        clients = authorized(directory) | {client.key: client}
        lines += map(_line_of, clients.values())


def deny(directory: Path, key_or_name: str) -> list[Authorized]:
    """Let clients in no more: that of a public key, or those of a name. Return who they were."""
    with private.changing(_authorized_path(directory)) as lines:
        clients = authorized(directory).values()
        denied = [c for c in clients if c.key == key_or_name.lower() or c.name == key_or_name != ""]
        lines += [_line_of(client) for client in clients if client not in denied]
    return denied


def _authorized_path(directory: Path) -> Path:
    return directory / "authorized_keys"


def _line_of(client: Authorized) -> str:
    line = json.dumps(as_json(client))
    try:
        _from_line(line)
    except ValueError as exc:
        raise ValueError(
            f"what {client} may do cannot be kept in a file: {exc}; nothing was changed"
        ) from exc
    return line


def _from_line(line: str) -> Authorized:
    fields = strict_json.loads(line.encode())
    if type(fields) is not dict:
        raise ValueError("it is no JSON object")
    for name, value in fields.items():
        if type(value) not in _FIELDS.get(name, ()):
            raise ValueError(f"{name!r} cannot be {value!r}")
    if not {"key", "may"} <= fields.keys():
        raise ValueError("it has no 'key' or no 'may'")
    if fields["may"] not in ("read", "write"):
        raise ValueError(f"'may' cannot be {fields['may']!r}")
    only = fields.get("only", ())
    limits = {name: fields[name] for name in _LIMITS if name in fields}
    if not all(type(pattern) is str for pattern in only):
        raise ValueError(f"'only' cannot be {only!r}")
    rights = Rights(may_write=fields["may"] == "write", only=tuple(only), **limits)
    return Authorized(key=key_of(fields["key"]), name=fields.get("name", ""), rights=rights)


def as_json(client: Authorized) -> dict[str, Any]:
    """Return a client as its line has it: what is not said is left out."""
    rights, default = client.rights, Rights()
    fields: dict[str, Any] = {"key": client.key, "may": "write" if rights.may_write else "read"}
    if client.name:
        fields["name"] = client.name
    if rights.only:
        fields["only"] = list(rights.only)
    for name in _LIMITS:
        if getattr(rights, name) != getattr(default, name):
            fields[name] = getattr(rights, name)
    return fields
