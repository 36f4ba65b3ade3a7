"""What a message stands for beyond its bytes, and how much of that it may.

A few bytes can claim any number of things: an array of items of no size, Arrow's nulls, a frame of a
million columns without rows, JSON text of lists in lists. Both ends count them while they go through an
object. So a message that is refused is not sent, and one that is received takes memory, and time, in
proportion to the limits of a message.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["LIMITS", "Limit", "Weight", "items_without_bytes"]


class Limit(NamedTuple):
    """How much of one thing a message may have: so many, and so many more for each 8 bytes of its buffers.

    Attributes
    ----------
    together
        Whether those of all objects in the message are added up, or each is looked at alone.
    """

    most: int
    for_8_bytes: int
    together: bool
    name: str


LIMITS: Final = {
    # With the 8 bytes that Python or pandas takes for each they are twice the largest reply. A bit of another
    # column makes up for one: a column of nulls may be as long as those beside it.
    "free": Limit(2**26, 64, True, "items that have no bytes"),
    # A frame or an Arrow table without columns, and pandas' sparse arrays, of which a frame may have thousands.
    "rows": Limit(2**26, 64, False, "rows that have no bytes"),
    # Of dictionaries in lists and structs, or of these: Arrow looks at all of one again with each chunk.
    "entries": Limit(2**26, 64, True, "entries of dictionaries, counted for each chunk"),
    # What many views, codes of a dictionary or runs show, written out as pandas and polars do: in bytes as
    # much as of items without bytes. Text of 1000 characters may be the same in each row of a join.
    "shown": Limit(2**29, 512, True, "bytes to write out what views, dictionaries and runs show"),
    # pandas takes some 40 bytes for each column, and time, also where a message has none for it. The widest
    # tables in use have some 60,000.
    "columns": Limit(2**18, 1, True, "columns"),
    # Values in JSON text. A short text or a number takes up to 70 bytes here, a list or dict, with the one
    # that the parser made, up to 400: it counts as `strict_json.CONTAINER` values.
    "values": Limit(2**24, 0, True, "values in JSON (a list or dict is 8)"),
}


class Weight:
    """What one message has of each of `LIMITS`."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(LIMITS, 0)

    def add(self, what: str, count: int) -> None:
        """Count some more."""
        before = self._counts[what]
        self._counts[what] = before + count if LIMITS[what].together else max(before, count)

    def fault(self, nbytes: int) -> str:
        """Say what is too much in a message of so many bytes, or nothing."""
        for what, limit in LIMITS.items():
            count, most = self._counts[what], limit.most + nbytes // 8 * limit.for_8_bytes
            if count > most:
                return f"{count} {limit.name}; a message of {nbytes} bytes may have at most {most}"
        return ""


def items_without_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many things an array has, to loop over or to list, for which there are no bytes.

    Examples
    --------
    >>> items_without_bytes((2, 3), np.dtype("V0")), items_without_bytes((9, 0, 5), np.dtype("f8"))
    (6, 9)
    """
    if 0 in shape:
        axis = shape.index(0)
        return prod(shape[:axis]) if axis else 0
    return prod(shape) * _empty_in(dtype)


def _empty_in(dtype: np.dtype[Any]) -> int:
    if dtype.subdtype is not None:
        return items_without_bytes(dtype.shape, dtype.base)
    if dtype.names:
        return sum(_empty_in(dtype[name]) for name in dtype.names)
    return 0 if dtype.itemsize else 1
