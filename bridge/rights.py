"""Who asks, and what that peer may do: plain data. No sockets, no keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

__all__ = ["ANYBODY", "EVERYTHING", "NOTHING", "Peer", "Rights"]

# Bytes of replies on their way to one key: several clients at full speed, each with what it may have in
# flight (`transfer.MAX_IN_FLIGHT`).
IN_FLIGHT: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a peer may do.

    Attributes
    ----------
    may_write
        Whether it may put, append and delete, where the server lets anybody write.
    only
        Patterns of names, such as ``run42/*``, in which ``*`` stands for any text and ``?`` for a character; of
        the other names nothing tells this peer that they are there. Empty: all names.
    bytes_in_flight
        Bytes of replies that may be on their way to all of its connections; more requests wait.
    requests_per_second
        More requests wait. Each window of a large object is one.

    Raises
    ------
    ValueError
        If a limit is not above 0, or a pattern is not printable, as all names are.
    """

    may_write: bool = True
    only: tuple[str, ...] = ()
    bytes_in_flight: int = IN_FLIGHT
    requests_per_second: float = math.inf

    def __post_init__(self) -> None:
        for limit in (self.bytes_in_flight, self.requests_per_second):
            if not limit > 0:  # also NaN
                raise ValueError(f"a limit of {limit} lets nothing through; expected a number above 0")
        for pattern in self.only:
            if not pattern.isprintable():
                raise ValueError(f"the pattern {pattern[:60]!r} is not printable, as all names are")

    def sees(self, name: str) -> bool:
        """Whether a name is there, as far as this peer may know.

        Examples
        --------
        >>> rights = Rights(only=("run42/*", "log"))
        >>> rights.sees("run42/wave"), rights.sees("log"), rights.sees("run4/wave")
        (True, True, False)
        """
        return not self.only or any(fnmatchcase(name, _plain(pattern)) for pattern in self.only)

    def visible(self, names: list[str]) -> list[str]:
        """Return those of the names that this peer sees."""
        return [name for name in names if self.sees(name)] if self.only else names


def _plain(pattern: str) -> str:
    """Return a pattern in which brackets, which occur in names, stand for themselves."""
    return pattern.replace("[", "[[]")


EVERYTHING: Final = Rights()
# No name is empty.
NOTHING: Final = Rights(may_write=False, only=("",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who asks.

    Attributes
    ----------
    address
        Of the network, for the log; empty where there is none.
    key
        The fingerprint of its key and the name that was given to it, for the log; empty without keys.
    client
        For whom is counted what is kept for it: its key, else its connection.
    rights
        What it may do.
    now
        Returns what it may do by now, in any thread. None: that does not change.
    """

    address: str = ""
    key: str = ""
    client: Hashable = None
    rights: Rights = EVERYTHING
    now: Callable[[], Rights] | None = field(default=None, compare=False)


ANYBODY: Final = Peer()
