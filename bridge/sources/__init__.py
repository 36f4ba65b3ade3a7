"""What a server serves under a name.

A source that holds data has the attributes and methods of `Source`; a query function is a
`bridge.sources.query.Query`. Reading has two steps, so that a limit can refuse an answer before it is
built: `Source.plan` looks at the selection and says how large the answer will be, `Plan.encode` makes
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from bridge.codecs import BufferReader, Encoded
from bridge.errors import BridgeError
from bridge.sources.files import failure_of

__all__ = ["Entry", "Plan", "Source", "entry_or_reason"]

# Of the catalogue: a small JSON object.
Entry: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer that was not built yet.

    Attributes
    ----------
    version
        Of the data: the same string means the same bytes.
    nbytes
        How large the answer's buffers will be; an estimate for tables with text.
    encode
        Makes the answer: its descriptor and buffers.
    quick
        Whether that is a matter of microseconds: no large copy, no file.
    views
        How many of these bytes take no memory of their own: they are views of what is served, or ranges of
        files.
    """

    version: str
    nbytes: int
    encode: Callable[[], Encoded]
    quick: bool
    views: int = 0

    @property
    def held(self) -> int:
        """How many bytes of memory the answer will take."""
        return self.nbytes - self.views


class Source(Protocol):
    """What a server asks of the things it serves.

    Attributes
    ----------
    in_memory
        Whether its entry and its skeleton are there without looking at a file.
    """

    in_memory: bool

    def entry(self) -> Entry:
        """Return the catalogue's entry, with ``kind``, ``version`` and the like.

        Raises
        ------
        BridgeError, OSError
            If it is a file that cannot be read; see `entry_or_reason`.
        """

    def skeleton(self) -> Encoded | None:
        """Return the object without its rows, as it travels, where the kind has columns; else None."""

    def plans_quickly(self, select: Any) -> bool:
        """Whether `plan` is a matter of microseconds for this selection."""

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        """Look at a selection, and plan the answer.

        Parameters
        ----------
        select
            The JSON form of a selection, or None for all.
        reader
            The request's buffers; those that the selection uses are taken.
        form
            The request's ``as``: None, or "arrow".

        Raises
        ------
        WireError
            If the selection breaks a rule of the protocol.
        LookupError, TypeError, ValueError
            If it does not fit this source.
        """


def entry_or_reason(name: str, entry: Callable[[], Entry]) -> Entry:
    """Return the catalogue's entry under a name, or, of a file that cannot be read, one that says why."""
    try:
        return {"name": name, **entry()}
    except (BridgeError, OSError) as exc:
        reason = str(failure_of(name, exc))
        return {"name": name, "kind": "broken", "version": "", "error": reason}
