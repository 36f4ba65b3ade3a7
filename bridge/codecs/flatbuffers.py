"""FlatBuffers, as far as Arrow's metadata must be looked at.

Every function raises `WireError` or `struct.error` for what points outside the bytes.
"""

from __future__ import annotations

import struct

from bridge.errors import WireError

__all__ = ["field_at", "follow", "read_number"]


def follow(metadata: bytes, table: int, field: int) -> int:
    """Return where the table or vector is that a field points to."""
    at = field_at(metadata, table, field)
    if at is None:
        raise WireError(f"the Arrow metadata lacks field {field} of the table at byte {table}")
    return at + read_number("<I", metadata, at)


def field_at(metadata: bytes, table: int, field: int) -> int | None:
    """Return where a field of a table is, or None where it is left out."""
    vtable = table - read_number("<i", metadata, table)
    entry = 4 + 2 * field
    if entry >= read_number("<H", metadata, vtable):
        return None
    offset = read_number("<H", metadata, vtable + entry)
    return table + offset if offset else None


def read_number(form: str, metadata: bytes, at: int) -> int:
    """Return a number, in a form of `struct`."""
    # struct refuses what is beyond the end, but takes a negative offset as one from the end.
    if at < 0:
        raise WireError("the Arrow metadata points outside itself")
    value: int = struct.unpack_from(form, metadata, at)[0]
    return value
