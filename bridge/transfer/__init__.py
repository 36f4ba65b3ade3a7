"""Both ends of a transfer, as plain state: which window next, and where does it land. No sockets.

An answer larger than the client takes in one message stays on the server, in an `Outbox`, under a token.
Its buffers, end to end, are one range of bytes; the client pulls windows of it, several in flight, and a
`Download` says which window to ask for next and where the bytes of each go. What a client puts goes the other
way: its `Windows` say which to send next, and an `Inbox` on the server takes them. Nothing is ever asked for
or sent twice but what was lost.
"""

from __future__ import annotations

from bridge.transfer.inbox import Inbox
from bridge.transfer.outbox import Outbox, Room
from bridge.transfer.ranges import IDLE_SECONDS, MIN_WINDOW, EndToEnd, Window, cut, fill
from bridge.transfer.windows import MAX_IN_FLIGHT, MIN_IN_FLIGHT, Download, Windows

__all__ = [
    "IDLE_SECONDS",
    "MAX_IN_FLIGHT",
    "MIN_IN_FLIGHT",
    "MIN_WINDOW",
    "Download",
    "EndToEnd",
    "Inbox",
    "Outbox",
    "Room",
    "Window",
    "Windows",
    "cut",
    "fill",
]
