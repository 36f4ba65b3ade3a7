"""How much of everything: one record, which all layers read. Sizes are bytes, times are seconds.

The limits of a message are part of the protocol, and the same everywhere; those of a server are its
owner's to set: ``Server(limits=Limits(held=2**30))``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

__all__ = ["HEADER_COST", "STANDARD", "Limits"]

KIB: Final = 1024
MIB: Final = 1024 * 1024
GIB: Final = 1024 * 1024 * 1024

# Bytes of memory for a byte of a request's header, at most: objects of JSON are larger than their text.
HEADER_COST: Final = 32

# Both ends rely on these: another value would be another protocol.
_PROTOCOL: Final = ("request_header", "reply_header", "buffers", "reply", "window")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server takes, holds and gives, at most.

    Attributes
    ----------
    request_header, reply_header
        Bytes of a header. Part of the protocol.
    buffers
        In one message. Part of the protocol.
    request
        Bytes of all buffers of a request. What is larger is put, in windows.
    reply
        Bytes of all buffers of a reply. Part of the protocol: what is larger is fetched in windows.
    window
        Bytes of a part of a transfer. Part of the protocol.
    upload
        Bytes of one object that a client puts.
    held
        Bytes that exist for transfers, calls and uploads alone, each. Views of what is served, and
        ranges of files, cost nothing. When there is no more, the client that has most of it loses its oldest.
        A byte of the header of a call or an upload counts as 32, as for `client_request_bytes`.
        Answers count with transfers while they are made; one that does not fit beside others is told that the
        server is busy.
    transfers, calls
        How many are kept for all clients. A client may have a quarter of them, and one at least.
    client_requests, client_request_bytes
        Requests of one connection, or of all connections of one key, that are under way, parked or waiting,
        and their bytes, where a byte of a header counts as 32: so much memory can its JSON take. Beyond, it is
        told that the server is busy.
    client_unread
        Bytes of replies that are made for one connection, or that it has not read; beyond, its requests wait.
    unread
        Of all connections together; beyond, the requests of all wait that have not read their replies.
    connections
        At the same time. Beyond, those are closed that never sent a request (on Linux).
    unfinished
        Bytes of requests that have not arrived whole, of all connections together, and bytes of memory that
        they can have cost; beyond, the connection with most of them is closed (on Linux). So is one that alone
        sent more than a `request` and 8 MiB.
    query_seconds
        How long a query function may take, or a stream for each of its values, from when it was asked for until
        it is made. None: as long as it likes.

    Raises
    ------
    ValueError
        If a limit is negative, or one of the protocol's is changed, or there may be no transfers or calls.
    """

    # A request names things and selects; what is larger (masks, arguments) travels as buffers.
    request_header: int = 64 * KIB
    # A reply's header also holds a page of the catalogue.
    reply_header: int = MIB
    # A frame of 10,000 columns of mixed kinds is far below; each frame costs libzmq about 100 bytes.
    buffers: int = 32_768
    # Arguments of a call. libzmq takes the memory of a frame in one piece before its bytes come.
    request: int = 64 * MIB
    # Frames beyond 2 GiB fail on some systems.
    reply: int = 256 * MIB
    # The fastest on loopback (benchmarks/), and small enough for progress, for Ctrl-C and for the copies
    # that encryption makes.
    window: int = 4 * MIB
    upload: int = 4 * GIB
    held: int = 4 * GIB
    transfers: int = 4096
    calls: int = 10_000
    # A client of ours has far fewer under way.
    client_requests: int = 4096
    # A few of the largest.
    client_request_bytes: int = 256 * MIB
    # More than what the system's own buffers hold keeps no link busier; what is read from files for it
    # is held in memory.
    client_unread: int = 16 * MIB
    # As many as 64 clients at their own limit.
    unread: int = GIB
    # Each takes a file descriptor and about 100 KiB.
    connections: int = 10_000
    # Room for two of the largest requests at the same time.
    unfinished: int = 128 * MIB
    query_seconds: float | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and value < 0:
                raise ValueError(f"the limit {limit.name!r} is {value}; expected 0 or more")
            if value == 0 and limit.name in ("transfers", "calls"):
                raise ValueError(
                    f"the limit {limit.name!r} is 0, so nothing could be read; expected 1 or more"
                )
            if limit.name in _PROTOCOL and value != limit.default:
                raise ValueError(
                    f"the limit {limit.name!r} is {value}; it is part of the protocol, and always "
                    f"{limit.default}"
                )


# The largest answer that our clients take in one message, and so the largest frame. What comes in one message
# stays where it came to, and is ready in three fifths of the time that windows take (benchmarks/, arrays of
# 16 MiB on loopback); but it is taken from whoever sends it, asked for or not.
MAX_INLINE: Final = 16 * MIB

# What holds where nobody says otherwise, and for clients.
STANDARD: Final = Limits()
